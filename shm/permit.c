/*
 * shm/permit.c - asking for permits, giving them back, waiting for them.
 */
#include "shm/permit.h"

#include "base/clock.h"
#include "shm/permit_internal.h"

#include <string.h>

const char *const permit_reason_names[PERMIT_REASONS] = {"limit", "queue_full",  "queue_timeout",
                                                         "codel", "client_gone", "draining"};

/* --- queues. Lock held. --- */

void permit_enqueue(struct permit_region *r, unsigned zone, uint32_t reference, enum permit_priority priority)
{
    struct permit_zone *z = &r->zones[zone];
    struct permit_queue *q = &z->queues[priority];
    struct permit *p = permit_of(r, reference);
    p->older = q->newest;
    p->newer = PERMIT_NONE;
    *(q->newest ? &permit_of(r, q->newest)->newer : &q->oldest) = reference;
    q->newest = reference;
    permit_set(&z->queued, permit_get(&z->queued) + 1);
    permit_set(&z->waiting[priority], permit_get(&z->waiting[priority]) + 1);
}

static void dequeue(struct permit_region *r, unsigned zone, uint32_t reference)
{
    struct permit_zone *z = &r->zones[zone];
    struct permit *p = permit_of(r, reference);
    enum permit_priority priority = permit_tag_priority(p->tag);
    struct permit_queue *q = &z->queues[priority];
    *(p->older ? &permit_of(r, p->older)->newer : &q->oldest) = p->newer;
    *(p->newer ? &permit_of(r, p->newer)->older : &q->newest) = p->older;
    permit_set(&z->queued, permit_get(&z->queued) - 1);
    permit_set(&z->waiting[priority], permit_get(&z->waiting[priority]) - 1);
}

static bool calls_full(const struct permit_calls *calls)
{
    return calls->count == PERMIT_CALLS_MAX;
}

/* Says that a permit has been changed by somebody else than its owner. */
static void mark_changed(struct permit_region *r, uint32_t reference, struct permit_calls *calls)
{
    int slot = permit_slot_of(reference);
    bool known = slot == calls->self;
    struct permit_part *part = &r->parts[slot];
    uint32_t index = (reference - 1) % SHM_PERMITS_PER_SLOT, word = index / 64;
    atomic_fetch_or(&part->changed[word], 1ull << index % 64);
    atomic_fetch_or(&part->changed_words[word / 64], 1ull << word % 64);
    for (int i = 0; i < calls->count; i++)
        known |= calls->slots[i] == slot;
    if (!known)
        calls->slots[calls->count++] = slot;
}

/* Takes a waiter out of the queue for good; its owner will see why. */
static void refuse_waiter(struct permit_region *r, unsigned zone, uint32_t reference, enum permit_reason why,
                          struct permit_calls *calls)
{
    struct permit *p = permit_of(r, reference);
    enum permit_priority priority = permit_tag_priority(p->tag);
    dequeue(r, zone, reference);
    permit_set_tag(p, permit_tag(PERMIT_REFUSED, zone, priority, why));
    permit_count(&r->zones[zone].rejected[why]);
    mark_changed(r, reference, calls);
}

static uint64_t age_us(const struct permit *p, uint64_t now_us)
{
    return now_us > p->since_us ? now_us - p->since_us : 0;
}

/*
 * From the oldest on, who has waited longer than the rules allow. The newest of the highest priority is not shed, or it would go
 * while a lower one is served. False when `calls` is full.
 */
static bool drop_old(struct permit_region *r, unsigned zone, uint64_t now_us, struct permit_calls *calls)
{
    struct permit_zone *z = &r->zones[zone];
    bool shed = z->rules.policy == PERMIT_CODEL && z->codel.overloaded, spared = false;
    for (int i = 0; i < PERMIT_PRIORITIES; i++) {
        uint32_t oldest;
        while ((oldest = z->queues[i].oldest)) {
            uint64_t age = age_us(permit_of(r, oldest), now_us);
            bool late = age >= z->rules.queue_timeout_us;
            if (!late && !(shed && age > 2 * z->rules.target_us && (spared || oldest != z->queues[i].newest)))
                break;
            if (calls_full(calls))
                return false;
            refuse_waiter(r, zone, oldest, late ? PERMIT_QUEUE_TIMEOUT : PERMIT_CODEL_SHED, calls);
            if (!late)
                codel_note_shed(&z->codel);
        }
        spared |= z->queues[i].oldest != 0;
    }
    return true;
}

static void observe_delay(struct permit_region *r, struct permit_zone *z, uint64_t now_us)
{
    uint64_t delay_us = 0;
    if (z->rules.policy != PERMIT_CODEL)
        return;
    for (int i = 0; i < PERMIT_PRIORITIES; i++) {
        uint64_t age = z->queues[i].oldest ? age_us(permit_of(r, z->queues[i].oldest), now_us) : 0;
        if (age > delay_us)
            delay_us = age;
    }
    codel_observe(&z->codel, now_us, delay_us, z->rules.interval_us, z->rules.target_us);
}

/* --- admission. Lock held. --- */

static void admit(struct permit_zone *z, unsigned zone, struct permit *p, enum permit_priority priority,
                  uint64_t now_us)
{
    p->since_us = now_us;
    permit_set_tag(p, permit_tag(PERMIT_HELD, zone, priority, PERMIT_LIMIT));
    permit_set(&z->held, permit_get(&z->held) + 1);
    if (permit_get(&z->held) > z->gradient.peak)
        z->gradient.peak = permit_get(&z->held);
    permit_count(&z->admitted);
}

/* Admits waiters while permits are free. False when `calls` is full: wake those, and come again. */
static bool grant(struct permit_region *r, unsigned zone, uint64_t now_us, struct permit_calls *calls)
{
    struct permit_zone *z = &r->zones[zone];
    while (permit_get(&z->queued) && permit_get(&z->held) < permit_get(&z->limit)) {
        observe_delay(r, z, now_us);
        if (!drop_old(r, zone, now_us, calls) || calls_full(calls))
            return false;
        int first = 0;
        while (first < PERMIT_PRIORITIES && !z->queues[first].oldest)
            first++;
        if (first == PERMIT_PRIORITIES)
            break;
        bool newest = z->rules.policy == PERMIT_CODEL && z->codel.overloaded;
        uint32_t chosen = newest ? z->queues[first].newest : z->queues[first].oldest;
        dequeue(r, zone, chosen);
        admit(z, zone, permit_of(r, chosen), (enum permit_priority)first, now_us);
        mark_changed(r, chosen, calls);
    }
    return true;
}

/* Whether the queue takes one more of this priority: if it is full, by refusing the newest of the lowest one below. */
static bool make_room(struct permit_region *r, unsigned zone, enum permit_priority priority, uint64_t now_us,
                      struct permit_calls *calls)
{
    struct permit_zone *z = &r->zones[zone];
    if (permit_get(&z->queued) < z->rules.queue)
        return true;
    drop_old(r, zone, now_us, calls);
    if (permit_get(&z->queued) < z->rules.queue)
        return true;
    for (int i = PERMIT_LOW; i > (int)priority; i--) {
        if (z->queues[i].newest && !calls_full(calls)) {
            refuse_waiter(r, zone, z->queues[i].newest, PERMIT_QUEUE_FULL, calls);
            return true;
        }
    }
    return false;
}

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

uint32_t permit_take_spare(struct permit_user *u)
{
    struct permit_part *part = &permit_region(u->shm)->parts[u->slot];
    if (u->spare_count > 0)
        return u->spare[--u->spare_count];
    uint32_t used = permit_get(&part->used);
    if (used < SHM_PERMITS_PER_SLOT)
        atomic_store_explicit(&part->used, used + 1, memory_order_release);
    return used;
}

static enum permit_result refuse(struct permit_zone *z, bool dry_run, enum permit_reason *why)
{
    *why = permit_get(&z->queue_limit) ? PERMIT_QUEUE_FULL : PERMIT_LIMIT;
    permit_count(dry_run ? &z->dry_run_rejected : &z->rejected[*why]);
    return PERMIT_NO;
}

/* Into the queue. Lock held. */
static void begin_to_wait(struct permit_region *r, const struct permit_request *request, uint32_t reference)
{
    struct permit *p = permit_of(r, reference);
    p->since_us = request->now_us;
    p->ticket = ++r->zones[request->zone].last_ticket;
    permit_set_tag(p, permit_tag(PERMIT_QUEUED, request->zone, request->priority, PERMIT_LIMIT));
    permit_enqueue(r, request->zone, reference, request->priority);
}

/* GO: the permit is held; WAIT: it waits, but in a dry run; NO: there is no room. Lock held. */
static enum permit_result ask(struct permit_region *r, const struct permit_request *request,
                              uint32_t reference, struct permit_calls *calls)
{
    struct permit_zone *z = &r->zones[request->zone];
    if (permit_get(&z->held) < permit_get(&z->limit) && permit_get(&z->queued) == 0) {
        observe_delay(r, z, request->now_us);
        admit(z, request->zone, permit_of(r, reference), request->priority, request->now_us);
        return PERMIT_GO;
    }
    if (request->dry_run) {
        bool room = permit_get(&z->queued) < z->rules.queue;
        if (room)
            permit_count(&z->dry_run_queued);
        return room ? PERMIT_WAIT : PERMIT_NO;
    }
    if (!make_room(r, request->zone, request->priority, request->now_us, calls))
        return PERMIT_NO;
    begin_to_wait(r, request, reference);
    return PERMIT_WAIT;
}

void permit_grant_and_unlock(struct permit_region *r, unsigned zone, uint64_t now_us, int self, int socket)
{
    struct permit_calls calls = {.self = self};
    while (!grant(r, zone, now_us, &calls)) {
        permit_unlock(&r->zones[zone]);
        permit_wake(r, socket, &calls);
        calls.count = 0;
        permit_lock(r, zone);
    }
    permit_unlock(&r->zones[zone]);
    permit_wake(r, socket, &calls);
}

enum permit_result permit_acquire(struct permit_user *u, const struct permit_request *request,
                                  const struct permit_about *about, uint32_t *permit, enum permit_reason *why)
{
    struct permit_region *r = permit_region(u->shm);
    struct permit_zone *z = &r->zones[request->zone];
    struct permit_calls calls = {.self = u->slot};
    if (is_hopeless(z, request->priority))
        return refuse(z, request->dry_run, why);
    uint32_t index = permit_take_spare(u);
    if (index >= SHM_PERMITS_PER_SLOT)
        return refuse(z, request->dry_run, why);
    r->parts[u->slot].permits[index].about = *about;
    *permit = index;
    permit_lock(r, request->zone);
    enum permit_result result = ask(r, request, permit_reference(u->slot, index), &calls);
    bool owed = permit_get(&z->queued) && permit_get(&z->held) < permit_get(&z->limit);
    permit_unlock(z);
    permit_wake(r, u->socket, &calls);
    if (owed) { /* a process died between giving a permit back and passing it on */
        permit_lock(r, request->zone);
        permit_grant_and_unlock(r, request->zone, request->now_us, u->slot, u->socket);
    }
    if (result == PERMIT_NO || (result == PERMIT_WAIT && request->dry_run))
        permit_put_spare(u, index);
    return result == PERMIT_NO ? refuse(z, request->dry_run, why) : result;
}

void permit_put_spare(struct permit_user *u, uint32_t permit)
{
    u->spare[u->spare_count++] = permit;
}

void permit_release(struct permit_user *u, uint32_t permit, uint64_t now_us, uint64_t rtt_us)
{
    struct permit_region *r = permit_region(u->shm);
    struct permit *p = &r->parts[u->slot].permits[permit];
    unsigned zone = permit_tag_zone(p->tag);
    struct permit_zone *z = &r->zones[zone];
    permit_lock(r, zone);
    permit_set_tag(p, PERMIT_FREE);
    permit_set(&z->held, permit_get(&z->held) - 1);
    if (rtt_us)
        permit_policy_sample(z, now_us, p->since_us, rtt_us);
    permit_put_spare(u, permit);
    permit_grant_and_unlock(r, zone, now_us, u->slot, u->socket);
}

enum permit_result permit_look(struct permit_user *u, uint32_t permit, enum permit_reason *why)
{
    struct permit *p = &permit_region(u->shm)->parts[u->slot].permits[permit];
    uint32_t tag = atomic_load_explicit(&p->tag, memory_order_acquire);
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
    struct permit *p = &r->parts[u->slot].permits[permit];
    unsigned zone = permit_tag_zone(p->tag);
    struct permit_zone *z = &r->zones[zone];
    permit_lock(r, zone);
    enum permit_state state = permit_tag_state(p->tag);
    if (state == PERMIT_QUEUED) {
        observe_delay(r, z, now_us);
        dequeue(r, zone, permit_reference(u->slot, permit));
        permit_count(&z->rejected[*why]);
    }
    if (state == PERMIT_REFUSED)
        *why = permit_tag_reason(p->tag);
    if (state != PERMIT_HELD) {
        permit_set_tag(p, PERMIT_FREE);
        permit_put_spare(u, permit);
    }
    permit_unlock(z);
    return state == PERMIT_HELD ? PERMIT_GO : PERMIT_NO;
}

/* --- zones --- */

/* Empties a zone in which nothing is held and nobody waits; its lock stays what it is. False: something is. */
static bool clear_if_unused(struct permit_region *r, unsigned zone)
{
    struct permit_zone *z = &r->zones[zone];
    permit_lock(r, zone);
    bool unused = permit_get(&z->held) == 0 && permit_get(&z->queued) == 0;
    if (unused)
        memset((char *)z + sizeof z->lock, 0, sizeof *z - sizeof z->lock);
    permit_unlock(z);
    return unused;
}

static bool is_among(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

int permit_zone_open(struct shm *shm, const char *name, const struct permit_rules *rules,
                     const char *const *wanted)
{
    struct permit_region *r = permit_region(shm);
    int chosen = -1;
    shm_lock_know_self();
    for (int i = PERMIT_ZONES - 1; i >= 0; i--) {
        if (strcmp(r->zones[i].name, name) == 0)
            return i;
        if (r->zones[i].name[0] == '\0')
            chosen = i;
    }
    for (int i = 0; i < PERMIT_ZONES && chosen < 0; i++)
        if (!is_among(r->zones[i].name, wanted) && clear_if_unused(r, (unsigned)i))
            chosen = i;
    if (chosen < 0)
        return -1;
    permit_zone_set(shm, (unsigned)chosen, rules);
    strncpy(r->zones[chosen].name, name, PERMIT_NAME_BYTES - 1);
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
    shm_lock_know_self();
    permit_lock(r, zone);
    bool keeps = keeps_gradient(&z->rules, rules);
    z->rules = *rules;
    permit_set(&z->queue_limit, rules->queue);
    if (!keeps)
        permit_policy_begin(z, now_us);
    permit_grant_and_unlock(r, zone, now_us, -1, -1);
}
