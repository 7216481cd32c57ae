/*
 * shm/permit_repair.c - making a zone's counts and queues anew from the tags of its permits, and taking back what a dead
 * process held.
 */
#include "shm/permit_internal.h"

#include "base/clock.h"

/* Waiters linked by `newer`, in the order of their tickets. Merges two such lists. */
static uint32_t merge(struct permit_region *r, uint32_t a, uint32_t b)
{
    uint32_t first = PERMIT_NONE, *end = &first;
    while (a && b) {
        uint32_t *lesser = permit_of(r, a)->ticket < permit_of(r, b)->ticket ? &a : &b;
        *end = *lesser;
        end = &permit_of(r, *lesser)->newer;
        *lesser = *end;
    }
    *end = a ? a : b;
    return first;
}

/* A merge sort without memory of its own: runs[i] is empty or holds 2^i waiters. */
enum { RUNS = 32 };

static void add_to_runs(struct permit_region *r, uint32_t runs[RUNS], uint32_t reference)
{
    int i = 0;
    permit_of(r, reference)->newer = PERMIT_NONE;
    for (; runs[i]; i++) {
        reference = merge(r, runs[i], reference);
        runs[i] = PERMIT_NONE;
    }
    runs[i] = reference;
}

static uint32_t sorted(struct permit_region *r, const uint32_t runs[RUNS])
{
    uint32_t all = PERMIT_NONE;
    for (int i = 0; i < RUNS; i++)
        all = merge(r, all, runs[i]);
    return all;
}

/* What a dead process leaves behind. Returns the tag that the permit has now. */
static uint32_t take_back(struct permit_zone *z, struct permit *p, uint32_t tag)
{
    if (permit_tag_state(tag) == PERMIT_HELD)
        permit_count(&z->reclaimed);
    else if (permit_tag_state(tag) == PERMIT_QUEUED)
        permit_count(&z->rejected[PERMIT_CLIENT_GONE]);
    permit_set_tag(p, PERMIT_FREE);
    return PERMIT_FREE;
}

/* Returns how many permits of this part are held; adds its waiters to `runs`. */
static uint32_t scan_part(struct permit_region *r, unsigned zone, int slot, bool dead, uint32_t runs[RUNS])
{
    struct permit_part *part = &r->parts[slot];
    uint32_t held = 0, used = atomic_load_explicit(&part->used, memory_order_acquire);
    for (uint32_t i = 0; i < used; i++) {
        struct permit *p = &part->permits[i];
        uint32_t tag = atomic_load_explicit(&p->tag, memory_order_acquire);
        if (permit_tag_state(tag) == PERMIT_FREE || permit_tag_zone(tag) != zone)
            continue;
        if (dead)
            tag = take_back(&r->zones[zone], p, tag);
        held += permit_tag_state(tag) == PERMIT_HELD;
        if (permit_tag_state(tag) == PERMIT_QUEUED)
            add_to_runs(r, runs, permit_reference(slot, i));
    }
    return held;
}

void permit_repair(struct permit_region *r, unsigned zone, int dead_slot)
{
    struct permit_zone *z = &r->zones[zone];
    uint32_t runs[RUNS] = {0}, held = 0;
    for (int slot = 0; slot < SHM_SLOTS; slot++)
        held += scan_part(r, zone, slot, slot == dead_slot, runs);
    permit_set(&z->held, held);
    permit_set(&z->queued, 0);
    for (int i = 0; i < PERMIT_PRIORITIES; i++) {
        z->queues[i] = (struct permit_queue){0};
        permit_set(&z->waiting[i], 0);
    }
    for (uint32_t waiter = sorted(r, runs), next; waiter; waiter = next) {
        struct permit *p = permit_of(r, waiter);
        next = p->newer;
        if (p->ticket > z->last_ticket)
            z->last_ticket = p->ticket;
        permit_enqueue(r, zone, waiter, permit_tag_priority(p->tag));
    }
}

void permit_reclaim(struct shm *shm, int slot)
{
    struct permit_region *r = permit_region(shm);
    struct permit_part *part = &r->parts[slot];
    if (permit_get(&part->used) == 0)
        return;
    shm_lock_know_self();
    part->address[0] = '\0';
    for (unsigned zone = 0; zone < PERMIT_ZONES; zone++) {
        if (r->zones[zone].name[0] == '\0')
            continue;
        permit_lock(r, zone);
        permit_repair(r, zone, slot);
        permit_grant_and_unlock(r, zone, clock_mono_us(), -1, -1);
    }
}
