/*
 * shm/permit_repair.c - making a zone's counts and queues anew from the tags of its permits, and taking back what a dead
 * process held.
 *
 * The tags are any process's to write, so each is read once and checked; the order of waiters is found in private memory.
 */
#include "shm/permit_internal.h"

#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct waiter {
    uint64_t ticket;
    uint32_t reference;
    enum permit_priority priority;
};

struct waiters {
    struct waiter *items;
    size_t count, room;
};

static bool add_waiter(struct waiters *w, struct waiter waiter)
{
    if (w->count == w->room) {
        size_t room = w->room ? w->room * 2 : 64;
        struct waiter *items = reallocarray(w->items, room, sizeof *items);
        if (!items)
            return false;
        w->items = items;
        w->room = room;
    }
    assert(w->count < w->room);
    w->items[w->count++] = waiter;
    return true;
}

static int by_ticket(const void *a, const void *b)
{
    const struct waiter *x = a, *y = b;
    return x->ticket < y->ticket ? -1 : x->ticket > y->ticket;
}

/* What a dead process leaves behind. Returns the tag that the permit has now. */
static uint32_t take_back(struct permit_zone *z, struct permit *p, uint32_t tag)
{
    if (permit_tag_is_held(tag))
        permit_count(&z->reclaimed);
    else if (permit_tag_state(tag) == PERMIT_QUEUED)
        permit_count(&z->rejected[PERMIT_CLIENT_GONE]);
    permit_set_tag(p, PERMIT_FREE);
    return PERMIT_FREE;
}

/* Without memory for one more waiter it is refused, as by a queue that is full. */
static void note_waiter(struct permit_region *r, unsigned zone, uint32_t reference, uint32_t tag,
                        struct waiters *waiters)
{
    struct permit *p = permit_of(r, reference);
    struct waiter waiter = {p->ticket, reference, permit_tag_priority(tag)};
    if (add_waiter(waiters, waiter))
        return;
    permit_set_tag(p, permit_tag(PERMIT_REFUSED, zone, waiter.priority, PERMIT_QUEUE_FULL));
    permit_count(&r->zones[zone].rejected[PERMIT_QUEUE_FULL]);
}

/* Returns how many permits of this part are held; adds its waiters. */
static uint32_t scan_part(struct permit_region *r, unsigned zone, int place, bool dead,
                          struct waiters *waiters)
{
    struct permit_part *part = &r->parts[place];
    uint32_t held = 0, used = permit_part_used(part);
    for (uint32_t i = 0; i < used; i++) {
        struct permit *p = &part->permits[i];
        uint32_t tag = atomic_load_explicit(&p->tag, memory_order_acquire);
        if (permit_tag_state(tag) == PERMIT_FREE || permit_tag_zone(tag) != zone)
            continue;
        if (dead)
            tag = take_back(&r->zones[zone], p, tag);
        held += permit_tag_is_held(tag);
        if (permit_tag_state(tag) == PERMIT_QUEUED)
            note_waiter(r, zone, permit_reference(place, i), tag, waiters);
    }
    return held;
}

void permit_repair(const struct shm *shm, unsigned zone, const struct permit_dead *dead)
{
    struct permit_region *r = shm->permits;
    struct permit_zone *z = &r->zones[zone];
    struct waiters waiters = {0};
    uint32_t held = 0;
    assert(shm_lock_is_held(&z->lock));
    for (int place = 0; (place = permit_next_place(shm, place)) >= 0; place++)
        held += scan_part(r, zone, place, dead && dead->at[place], &waiters);
    permit_set(&z->held, held);
    permit_set(&z->queued, 0);
    for (int i = 0; i < PERMIT_PRIORITIES; i++) {
        z->queues[i] = (struct permit_queue){0};
        permit_set(&z->waiting[i], 0);
    }
    if (waiters.count)
        qsort(waiters.items, waiters.count, sizeof *waiters.items, by_ticket);
    for (size_t i = 0; i < waiters.count; i++) {
        if (waiters.items[i].ticket > z->last_ticket)
            z->last_ticket = waiters.items[i].ticket;
        permit_enqueue(r, zone, waiters.items[i].reference, waiters.items[i].priority);
    }
    free(waiters.items);
}

void permit_reclaim_dead(const struct shm *shm, const struct permit_dead *dead)
{
    shm_lock_know_self();
    for (unsigned zone = 0; zone < PERMIT_ZONES; zone++) {
        bool others =
            shm->shares_permits && permit_get(&shm->permits->zones[zone].sides) & permit_other_side(shm);
        if (shm->permit_names[zone][0] == '\0' && !others)
            continue;
        permit_lock(shm, zone);
        permit_pass_on(shm, zone, dead);
        permit_repair(shm, zone, dead);
        permit_grant_and_unlock(shm, zone, clock_mono_us(), -1, -1);
    }
    /* What is left has no zone of ours. */
    for (int place = 0; dead && (place = permit_next_place(shm, place)) >= 0; place++) {
        struct permit_part *part = &shm->permits->parts[place];
        for (uint32_t i = 0, used = permit_part_used(part); dead->at[place] && i < used; i++)
            permit_set_tag(&part->permits[i], PERMIT_FREE);
    }
}

void permit_reclaim(struct shm *shm, int slot)
{
    struct permit_dead dead = {0};
    assert(slot < SHM_SLOTS);
    if (slot >= 0) {
        dead.at[permit_place(shm, slot)] = true;
        struct permit_part *part = &shm->permits->parts[permit_place(shm, slot)];
        part->address[0] = '\0';
        atomic_store(&part->granted_us, 0);
        permit_end_unbegun(shm, slot);
    }
    permit_reclaim_dead(shm, slot < 0 ? NULL : &dead);
}

/* --- what somebody has overwritten --- */

static bool same_rules(const struct permit_rules *a, const struct permit_rules *b)
{
    return a->limit == b->limit && a->queue == b->queue && a->queue_timeout_us == b->queue_timeout_us &&
           (uint32_t)a->policy == (uint32_t)b->policy && a->min == b->min && a->max == b->max &&
           a->target_us == b->target_us && a->interval_us == b->interval_us && a->window_us == b->window_us &&
           a->probe_interval_us == b->probe_interval_us && a->probe_requests == b->probe_requests &&
           a->buffer_percent == b->buffer_percent && a->jitter_percent == b->jitter_percent;
}

static bool zone_is_sane(const struct shm *shm, unsigned zone)
{
    const struct permit_zone *z = &shm->permits->zones[zone];
    const struct permit_rules *rules = &shm->permit_rules[zone];
    /* It may follow the other binary's rules. */
    if (shm->shares_permits && permit_get(&z->sides) & permit_other_side(shm))
        return true;
    uint32_t limit = permit_get(&z->limit);
    bool follows = rules->policy == PERMIT_GRADIENT;
    return same_rules(&z->rules, rules) && permit_get(&z->queue_limit) == rules->queue &&
           (follows ? limit >= rules->min && limit <= rules->max : limit == rules->limit);
}

bool permit_is_sane(const struct shm *shm)
{
    for (int slot = 0; slot < shm_slots_used(shm); slot++)
        if (permit_get(&shm->permits->parts[permit_place(shm, slot)].used) > SHM_PERMITS_PER_SLOT)
            return false;
    for (unsigned zone = 0; zone < PERMIT_ZONES; zone++)
        if (shm->permit_names[zone][0] && !zone_is_sane(shm, zone))
            return false;
    return true;
}

void permit_empty_part(struct permit_part *part)
{
    uint32_t used = permit_part_used(part);
    for (uint32_t i = 0; i < used; i++)
        permit_set_tag(&part->permits[i], PERMIT_FREE);
    permit_set(&part->used, used);
    permit_set(&part->woken, 0);
    atomic_store(&part->granted_us, 0);
    memset(part->changed_words, 0, sizeof part->changed_words);
    memset(part->changed, 0, sizeof part->changed);
}

void permit_clear_side(const struct shm *shm, int side)
{
    uint32_t used = permit_get(&shm->permits->slots_used[side]);
    for (uint32_t slot = 0; slot < used && slot < SHM_SLOTS; slot++)
        permit_empty_part(&shm->permits->parts[(uint32_t)side * SHM_SLOTS + slot]);
    permit_set(&shm->permits->slots_used[side], 0);
}

void permit_clear_empty(struct shm *shm, int dead_slot)
{
    for (int slot = 0; slot < shm_slots_used(shm); slot++) {
        struct permit_part *part = &shm->permits->parts[permit_place(shm, slot)];
        if (!shm->empty[slot] || slot == dead_slot)
            continue;
        permit_empty_part(part);
        memset(part->address, 0, sizeof part->address);
    }
    if (shm->slots_known)
        permit_set(&shm->permits->slots_used[shm->side], (uint32_t)shm->slots_known);
    if (!shm->shares_permits)
        permit_clear_side(shm, !shm->side);
}

void permit_begin_anew(struct shm *shm)
{
    shm_lock_know_self();
    for (int slot = 0; slot < shm_slots_used(shm); slot++)
        permit_empty_part(&shm->permits->parts[permit_place(shm, slot)]);
    for (unsigned zone = 0; zone < PERMIT_ZONES; zone++) {
        struct permit_zone *z = &shm->permits->zones[zone];
        if (!shm->permit_names[zone][0] && shm->shares_permits)
            continue;
        permit_zone_clear(z);
        if (!shm->permit_names[zone][0])
            continue;
        permit_zone_set(shm, zone, &shm->permit_rules[zone]);
        permit_lock(shm, zone); /* what the other binary's workers hold */
        permit_repair(shm, zone, NULL);
        permit_grant_and_unlock(shm, zone, clock_mono_us(), -1, -1);
    }
}
