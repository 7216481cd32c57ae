/*
 * shm/permit.c - asking for permits, giving them back, waiting for them.
 */
#include "shm/permit.h"

#include "base/clock.h"
#include "shm/permit_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const char *const permit_reason_names[PERMIT_REASONS] = {"limit", "queue_full",  "queue_timeout",
                                                         "codel", "client_gone", "draining"};

/* Whether a request of this priority has no chance, by a look that takes no lock. */
static bool is_hopeless(const struct permit_zone *z, enum permit_priority priority)
{
    uint32_t queued = permit_get(&z->queued);
    if (permit_get(&z->held) < permit_get(&z->limit) || queued < permit_get(&z->queue_limit))
        return false;
    for (int i = PERMIT_LOW; i > (int)priority; i--)
        if (permit_get(&z->waiting[i]))
            return false;
    /* The queue's oldest may have to go by now; whoever gives a permit back sees to that. */
    return true;
}

static enum permit_result refuse_permit(struct permit_zone *z, bool dry_run, enum permit_reason *why)
{
    *why = permit_get(&z->queue_limit) ? PERMIT_QUEUE_FULL : PERMIT_LIMIT;
    permit_count(dry_run ? &z->dry_run_rejected : &z->rejected[*why]);
    return PERMIT_NO;
}

/* Into the queue. Lock held. */
static void queue_permit(struct permit_region *r, const struct permit_request *request, uint32_t reference)
{
    struct permit *p = permit_of(r, reference);
    assert(shm_lock_is_held(&r->zones[request->zone].lock));
    p->since_us = request->now_us;
    p->ticket = ++r->zones[request->zone].last_ticket;
    permit_set_tag(p, permit_tag(PERMIT_QUEUED, request->zone, request->priority, PERMIT_LIMIT));
    permit_enqueue(r, request->zone, reference, request->priority);
}

/* GO: the permit is held; WAIT: it waits, but in a dry run; NO: there is no room. Lock held. */
static enum permit_result ask_for_permit(const struct shm *shm, const struct permit_request *request,
                                         uint32_t reference, struct permit_calls *calls)
{
    struct permit_region *r = shm->permits;
    struct permit_zone *z = &r->zones[request->zone];
    assert(shm_lock_is_held(&z->lock));
    if (permit_get(&z->held) < permit_get(&z->limit) && permit_get(&z->queued) == 0) {
        permit_observe_delay(r, request->zone, request->now_us);
        permit_admit(z, permit_of(r, reference),
                     permit_tag(PERMIT_HELD, request->zone, request->priority, PERMIT_LIMIT),
                     request->now_us);
        return PERMIT_GO;
    }
    if (request->dry_run) {
        bool room = permit_get(&z->queued) < z->rules.queue;
        if (room)
            permit_count(&z->dry_run_queued);
        return room ? PERMIT_WAIT : PERMIT_NO;
    }
    if (!permit_make_room(shm, request->zone, request->priority, request->now_us, calls))
        return PERMIT_NO;
    queue_permit(r, request, reference);
    return PERMIT_WAIT;
}

enum permit_result permit_acquire(struct permit_user *u, const struct permit_request *request,
                                  const struct permit_about *about, uint32_t *permit, enum permit_reason *why)
{
    struct permit_region *r = permit_region(u->shm);
    struct permit_zone *z = &r->zones[request->zone];
    struct permit_calls calls = {.self = u->place};
    assert(request->zone < PERMIT_ZONES && request->priority < PERMIT_PRIORITIES);
    if (is_hopeless(z, request->priority))
        return refuse_permit(z, request->dry_run, why);
    uint32_t index = permit_take_spare(u);
    if (index >= SHM_PERMITS_PER_SLOT)
        return refuse_permit(z, request->dry_run, why);
    u->part->permits[index].about = *about;
    *permit = index;
    permit_lock(u->shm, request->zone);
    enum permit_result result = ask_for_permit(u->shm, request, permit_reference(u->place, index), &calls);
    bool owed = permit_get(&z->queued) && permit_get(&z->held) < permit_get(&z->limit);
    permit_unlock(z);
    permit_wake(u->shm, u->socket, &calls);
    /* A process died between giving a permit back and passing it on. */
    if (owed) {
        permit_lock(u->shm, request->zone);
        permit_grant_and_unlock(u->shm, request->zone, request->now_us, u->place, u->socket);
    }
    if (result == PERMIT_NO || (result == PERMIT_WAIT && request->dry_run))
        permit_put_spare(u, index);
    return result == PERMIT_NO ? refuse_permit(z, request->dry_run, why) : result;
}

void permit_release(struct permit_user *u, uint32_t permit, uint64_t now_us, uint64_t rtt_us)
{
    struct permit_region *r = permit_region(u->shm);
    struct permit *p = &u->part->permits[permit];
    unsigned zone = permit_tag_zone(p->tag);
    permit_put_spare(u, permit);
    /* The region was damaged and made anew under the permit. */
    if (zone >= PERMIT_ZONES || !permit_tag_is_held(p->tag)) {
        permit_set_tag(p, PERMIT_FREE);
        return;
    }
    struct permit_zone *z = &r->zones[zone];
    permit_lock(u->shm, zone);
    permit_set_tag(p, PERMIT_FREE);
    permit_set(&z->held, permit_get(&z->held) - (permit_get(&z->held) > 0));
    if (rtt_us)
        permit_policy_sample(u->shm, zone, now_us, p->since_us, rtt_us);
    permit_grant_and_unlock(u->shm, zone, now_us, u->place, u->socket);
}

void permit_note_runs_in(struct permit_user *u, uint32_t permit, int slot)
{
    struct permit_part *part = u->part;
    assert(permit < SHM_PERMITS_PER_SLOT && slot < SHM_SLOTS);
    part->permits[permit].about.runs_in = (int16_t)slot;
}

void permit_note_served(struct permit_user *u, uint32_t permit)
{
    struct permit *p = &u->part->permits[permit];
    assert(permit < u->used);
    uint32_t tag = atomic_load_explicit(&p->tag, memory_order_relaxed);
    if (permit_tag_state(tag) == PERMIT_HELD) /* its owner alone changes it then */
        permit_set_tag(p, tag | PERMIT_SERVED);
}

enum permit_result permit_look(struct permit_user *u, uint32_t permit, enum permit_reason *why)
{
    struct permit *p = &u->part->permits[permit];
    assert(permit < u->used);
    uint32_t tag = atomic_load_explicit(&p->tag, memory_order_acquire);
    /* A grant is ours, unless it is just taken back from us, who were late. */
    if (permit_tag_state(tag) == PERMIT_GRANTED) {
        uint32_t held = permit_tag(PERMIT_HELD, permit_tag_zone(tag), permit_tag_priority(tag), PERMIT_LIMIT);
        if (!atomic_compare_exchange_strong(&p->tag, &tag, held))
            return PERMIT_WAIT;
        return PERMIT_GO;
    }
    if (permit_tag_state(tag) == PERMIT_HELD)
        return PERMIT_GO;
    if (permit_tag_state(tag) == PERMIT_QUEUED)
        return PERMIT_WAIT;
    *why = permit_tag_reason(tag);
    permit_set_tag(p, PERMIT_FREE);
    permit_put_spare(u, permit);
    return PERMIT_NO;
}

enum permit_result permit_leave(struct permit_user *u, uint32_t permit, uint64_t now_us,
                                enum permit_reason *why)
{
    struct permit_region *r = permit_region(u->shm);
    struct permit *p = &u->part->permits[permit];
    assert(permit < u->used);
    uint32_t tag = atomic_load_explicit(&p->tag, memory_order_acquire);
    unsigned zone = permit_tag_zone(tag);
    if (zone >= PERMIT_ZONES || permit_tag_state(tag) == PERMIT_FREE) { /* damaged, and made anew under it */
        permit_set_tag(p, PERMIT_FREE);
        permit_put_spare(u, permit);
        return PERMIT_NO;
    }
    struct permit_zone *z = &r->zones[zone];
    bool whole = true;
    permit_lock(u->shm, zone);
    tag = atomic_load_explicit(&p->tag, memory_order_relaxed);
    bool held = permit_tag_is_held(tag);
    if (permit_tag_state(tag) == PERMIT_QUEUED) {
        permit_observe_delay(r, zone, now_us);
        whole = permit_dequeue(r, zone, permit_reference(u->place, permit));
        permit_count(&z->rejected[*why]);
    }
    if (permit_tag_state(tag) == PERMIT_REFUSED)
        *why = permit_tag_reason(tag);
    permit_set_tag(p, held ? permit_tag(PERMIT_HELD, zone, permit_tag_priority(tag), PERMIT_LIMIT)
                           : PERMIT_FREE);
    if (!held)
        permit_put_spare(u, permit);
    if (!whole)
        permit_repair(u->shm, zone, NULL);
    permit_unlock(z);
    return held ? PERMIT_GO : PERMIT_NO;
}

/* --- zones --- */

/* Empties a zone in which nothing is held and nobody waits; its lock stays what it is. False: something is. */
static bool clear_if_unused(const struct shm *shm, unsigned zone)
{
    struct permit_zone *z = &shm->permits->zones[zone];
    permit_lock(shm, zone);
    bool unused = permit_get(&z->held) == 0 && permit_get(&z->queued) == 0;
    if (unused)
        permit_zone_clear(z);
    permit_unlock(z);
    return unused;
}

static bool is_name_among(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

/* False: it is one that only the other binary knows. */
static bool claim_zone(const struct shm *shm, unsigned zone)
{
    _Atomic uint32_t *sides = &shm->permits->zones[zone].sides;
    uint32_t before = atomic_fetch_or(sides, permit_own_side(shm));
    if (!shm->shares_permits || !(before & permit_other_side(shm)))
        return true;
    atomic_fetch_and(sides, ~permit_own_side(shm));
    return false;
}

/* A zone of that name that the other binary has made since it was handed on. -1: there is none. */
static int find_others_zone(const struct shm *shm, const char *name)
{
    for (int i = 0; i < PERMIT_ZONES && shm->shares_permits; i++) {
        struct permit_zone *z = &shm->permits->zones[i];
        if (shm->permit_names[i][0] || !(permit_get(&z->sides) & permit_other_side(shm)) ||
            strncmp(z->name, name, sizeof z->name) != 0)
            continue;
        atomic_fetch_or(&z->sides, permit_own_side(shm));
        return i;
    }
    return -1;
}

/* One without a name, or else one in which nothing is. -1: there is none. */
static int choose_zone(const struct shm *shm, const char *const *wanted)
{
    for (int i = 0; i < PERMIT_ZONES; i++)
        if (!shm->permit_names[i][0] && claim_zone(shm, (unsigned)i)) {
            permit_zone_clear(&shm->permits->zones[i]);
            return i;
        }
    for (int i = 0; i < PERMIT_ZONES && !shm->shares_permits; i++)
        if (!is_name_among(shm->permit_names[i], wanted) && clear_if_unused(shm, (unsigned)i))
            return i;
    return -1;
}

int permit_zone_open(struct shm *shm, const char *name, const struct permit_rules *rules,
                     const char *const *wanted)
{
    shm_lock_know_self();
    for (int i = 0; i < PERMIT_ZONES; i++)
        if (strcmp(shm->permit_names[i], name) == 0)
            return i;
    int chosen = find_others_zone(shm, name);
    if (chosen >= 0) {
        shm->permit_rules[chosen] = *rules;
    } else {
        chosen = choose_zone(shm, wanted);
        if (chosen < 0)
            return -1;
        snprintf(shm->permits->zones[chosen].name, PERMIT_NAME_BYTES, "%s", name);
        permit_zone_set(shm, (unsigned)chosen, rules);
    }
    snprintf(shm->permit_names[chosen], PERMIT_NAME_BYTES, "%s", name);
    return chosen;
}

/* Whether a gradient may go on under these rules with what it has learned. */
static bool keeps_gradient(const struct permit_rules *a, const struct permit_rules *b)
{
    return a->policy == PERMIT_GRADIENT && b->policy == PERMIT_GRADIENT && a->limit == b->limit &&
           a->min == b->min && a->max == b->max && a->probe_requests == b->probe_requests;
}

void permit_zone_set(struct shm *shm, unsigned zone, const struct permit_rules *rules)
{
    struct permit_region *r = permit_region(shm);
    struct permit_zone *z = &r->zones[zone];
    uint64_t now_us = clock_mono_us();
    assert(zone < PERMIT_ZONES);
    shm_lock_know_self();
    permit_lock(shm, zone);
    bool keeps = keeps_gradient(&z->rules, rules);
    z->rules = shm->permit_rules[zone] = *rules;
    permit_set(&z->queue_limit, rules->queue);
    if (!keeps)
        permit_policy_begin(z, now_us);
    permit_grant_and_unlock(shm, zone, now_us, -1, -1);
}
