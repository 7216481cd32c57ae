/*
 * shm/permit_grant.c - who comes next: permits that are free go to those who wait, and who has waited too long is refused.
 *
 * What is decided about another process's waiter stands in the waiter's tag; its process finds it among its changed ones.
 * A process that does not look is passed over after a while, and what it was given goes on (see permit_tend).
 */
#include "shm/permit_internal.h"

#include <assert.h>

/* Links that were bent are put right at once; bent again and again, they end the call. */
enum { STEPS_OF_REPAIR = PERMIT_STEPS_MAX / 8 };

static bool are_steps_used_up(const struct permit_calls *calls)
{
    return calls->steps >= PERMIT_STEPS_MAX;
}

static bool calls_full(const struct permit_calls *calls)
{
    return calls->count == PERMIT_CALLS_MAX;
}

void permit_mark_changed(struct permit_region *r, uint32_t reference, uint64_t now_us,
                         struct permit_calls *calls)
{
    int place = permit_place_of(reference);
    bool known = place == calls->self;
    struct permit_part *part = &r->parts[place];
    uint32_t index = (reference - 1) % SHM_PERMITS_PER_SLOT, word = index / 64;
    atomic_fetch_or(&part->changed[word], 1ull << index % 64);
    atomic_fetch_or(&part->changed_words[word / 64], 1ull << word % 64);
    /* Set after the bits: the permit's process clears the time before it looks at them. */
    if (atomic_load_explicit(&part->granted_us, memory_order_relaxed) == 0)
        atomic_store(&part->granted_us, now_us);
    for (int i = 0; i < calls->count; i++)
        known |= calls->places[i] == place;
    assert(known || !calls_full(calls));
    if (!known)
        calls->places[calls->count++] = place;
}

/* Whether a process has not looked at what was given to it for so long that it counts as standing still. */
static bool is_stalled(const struct permit_part *part, uint64_t now_us)
{
    uint64_t since_us = atomic_load_explicit(&part->granted_us, memory_order_relaxed);
    if (since_us == 0 || now_us < since_us + PERMIT_UPTAKE_US)
        return false;
    for (unsigned i = 0; i < sizeof part->changed_words / sizeof part->changed_words[0]; i++)
        if (atomic_load_explicit(&part->changed_words[i], memory_order_relaxed))
            return true;
    return false;
}

static void repair_zone(const struct shm *shm, unsigned zone, struct permit_calls *calls)
{
    calls->steps += STEPS_OF_REPAIR;
    permit_repair(shm, zone, NULL);
}

/* Takes a waiter out of the queue for good; its owner will see why. */
static void refuse_waiter(const struct shm *shm, unsigned zone, uint32_t reference, enum permit_reason why,
                          uint64_t now_us, struct permit_calls *calls)
{
    struct permit_region *r = shm->permits;
    struct permit *p = permit_of(r, reference);
    assert(p && shm_lock_is_held(&r->zones[zone].lock));
    bool whole = permit_dequeue(r, zone, reference);
    calls->steps++;
    permit_set_tag(p, permit_tag(PERMIT_REFUSED, zone, permit_tag_priority(p->tag), why));
    permit_count(&r->zones[zone].rejected[why]);
    permit_mark_changed(r, reference, now_us, calls);
    if (!whole)
        repair_zone(shm, zone, calls);
}

static uint64_t age_us(const struct permit *p, uint64_t now_us)
{
    return now_us > p->since_us ? now_us - p->since_us : 0;
}

/*
 * From the oldest on, who has waited longer than the rules allow. The newest of the highest priority is not shed, or it would go
 * while a lower one is served. False when `calls` is full.
 */
static bool drop_old_waiters(const struct shm *shm, unsigned zone, uint64_t now_us,
                             struct permit_calls *calls)
{
    struct permit_zone *z = &shm->permits->zones[zone];
    bool shed = z->rules.policy == PERMIT_CODEL && z->codel.overloaded, spared = false;
    assert(shm_lock_is_held(&z->lock));
    for (int i = 0; i < PERMIT_PRIORITIES; i++) {
        const struct permit *oldest;
        /* Read once: what is checked is what is used. */
        uint32_t reference;
        while ((oldest = permit_waiter(shm->permits, zone, reference = permit_read(&z->queues[i].oldest),
                                       (enum permit_priority)i))) {
            uint64_t age = age_us(oldest, now_us);
            bool late = age >= z->rules.queue_timeout_us;
            if (!late &&
                !(shed && age > 2 * z->rules.target_us && (spared || reference != z->queues[i].newest)))
                break;
            if (calls_full(calls) || are_steps_used_up(calls))
                return false;
            refuse_waiter(shm, zone, reference, late ? PERMIT_QUEUE_TIMEOUT : PERMIT_CODEL_SHED, now_us,
                          calls);
            if (!late)
                codel_note_shed(&z->codel);
        }
        spared |= z->queues[i].oldest != 0;
    }
    return true;
}

void permit_observe_delay(struct permit_region *r, unsigned zone, uint64_t now_us)
{
    struct permit_zone *z = &r->zones[zone];
    uint64_t delay_us = 0;
    assert(shm_lock_is_held(&z->lock));
    if (z->rules.policy != PERMIT_CODEL)
        return;
    for (int i = 0; i < PERMIT_PRIORITIES; i++) {
        const struct permit *oldest = permit_of(r, permit_read(&z->queues[i].oldest));
        uint64_t age = oldest ? age_us(oldest, now_us) : 0;
        if (age > delay_us)
            delay_us = age;
    }
    codel_observe(&z->codel, now_us, delay_us, z->rules.interval_us, z->rules.target_us);
}

bool permit_make_room(const struct shm *shm, unsigned zone, enum permit_priority priority, uint64_t now_us,
                      struct permit_calls *calls)
{
    struct permit_zone *z = &shm->permits->zones[zone];
    assert(shm_lock_is_held(&z->lock) && priority < PERMIT_PRIORITIES);
    if (permit_get(&z->queued) < z->rules.queue)
        return true;
    drop_old_waiters(shm, zone, now_us, calls);
    if (permit_get(&z->queued) < z->rules.queue)
        return true;
    for (int i = PERMIT_LOW; i > (int)priority; i--) {
        uint32_t newest = permit_read(&z->queues[i].newest);
        if (permit_waiter(shm->permits, zone, newest, (enum permit_priority)i) && !calls_full(calls)) {
            refuse_waiter(shm, zone, newest, PERMIT_QUEUE_FULL, now_us, calls);
            return true;
        }
    }
    return false;
}

void permit_admit(struct permit_zone *z, struct permit *p, uint32_t tag, uint64_t now_us)
{
    uint32_t before = atomic_load_explicit(&p->tag, memory_order_relaxed);
    assert(shm_lock_is_held(&z->lock) && permit_tag_is_held(tag));
    bool counted = permit_tag_state(before) == PERMIT_QUEUED && before & PERMIT_COUNTED;
    p->since_us = now_us;
    permit_set_tag(p, tag);
    permit_set(&z->held, permit_get(&z->held) + 1);
    if (permit_get(&z->held) > z->gradient.peak)
        z->gradient.peak = permit_get(&z->held);
    if (!counted)
        permit_count(&z->admitted);
}

/* The waiter of this priority that comes first, with its process at work: the oldest, or the newest. 0: none. */
static uint32_t first_in_queue(struct permit_region *r, unsigned zone, enum permit_priority priority,
                               bool newest, uint64_t now_us, struct permit_calls *calls)
{
    const struct permit_queue *q = &r->zones[zone].queues[priority];
    uint32_t reference = permit_read(newest ? &q->newest : &q->oldest);
    const struct permit *p;
    while ((p = permit_waiter(r, zone, reference, priority)) && !are_steps_used_up(calls)) {
        int place = permit_place_of(reference);
        if (place == calls->self || !is_stalled(&r->parts[place], now_us))
            return reference;
        calls->steps++;
        reference = permit_read(newest ? &p->older : &p->newer);
    }
    return PERMIT_NONE;
}

static uint32_t next_in_line(struct permit_region *r, unsigned zone, uint64_t now_us,
                             struct permit_calls *calls)
{
    const struct permit_zone *z = &r->zones[zone];
    bool newest = z->rules.policy == PERMIT_CODEL && z->codel.overloaded;
    uint32_t chosen = PERMIT_NONE;
    for (int i = 0; i < PERMIT_PRIORITIES && !chosen; i++)
        chosen = first_in_queue(r, zone, (enum permit_priority)i, newest, now_us, calls);
    return chosen;
}

/* Admits waiters while permits are free. False when `calls` is full: wake those, and come again. */
static bool grant_waiters(const struct shm *shm, unsigned zone, uint64_t now_us, struct permit_calls *calls)
{
    struct permit_region *r = shm->permits;
    struct permit_zone *z = &r->zones[zone];
    assert(shm_lock_is_held(&z->lock));
    while (permit_get(&z->queued) && permit_get(&z->held) < permit_get(&z->limit) &&
           !are_steps_used_up(calls)) {
        permit_observe_delay(r, zone, now_us);
        if (!drop_old_waiters(shm, zone, now_us, calls) || calls_full(calls))
            return are_steps_used_up(calls);
        uint32_t chosen = next_in_line(r, zone, now_us, calls);
        struct permit *p = permit_of(r, chosen);
        if (!p)
            break;
        calls->steps++;
        bool whole = permit_dequeue(r, zone, chosen);
        permit_admit(z, p, permit_tag(PERMIT_GRANTED, zone, permit_tag_priority(p->tag), PERMIT_LIMIT),
                     now_us);
        permit_mark_changed(r, chosen, now_us, calls);
        if (!whole)
            repair_zone(shm, zone, calls);
    }
    return true;
}

void permit_grant_and_unlock(const struct shm *shm, unsigned zone, uint64_t now_us, int self, int socket)
{
    struct permit_zone *z = &shm->permits->zones[zone];
    struct permit_calls calls = {.self = self};
    assert(shm_lock_is_held(&z->lock) && self < PERMIT_PLACES);
    while (!grant_waiters(shm, zone, now_us, &calls)) {
        permit_unlock(z);
        permit_wake(shm, socket, &calls);
        calls.count = 0;
        permit_lock(shm, zone);
    }
    permit_unlock(z);
    permit_wake(shm, socket, &calls);
}

/* --- grants that nobody takes up --- */

/* Back into the queue, in front, what this zone gave to a process that stands still. Lock held. */
static void take_back_grants(struct permit_region *r, unsigned zone, int place, uint64_t now_us)
{
    struct permit_zone *z = &r->zones[zone];
    struct permit_part *part = &r->parts[place];
    assert(shm_lock_is_held(&z->lock));
    for (uint32_t i = permit_part_used(part); i-- > 0;) {
        struct permit *p = &part->permits[i];
        uint32_t tag = atomic_load_explicit(&p->tag, memory_order_acquire);
        enum permit_priority priority = permit_tag_priority(tag);
        if (permit_tag_state(tag) != PERMIT_GRANTED || permit_tag_zone(tag) != zone ||
            now_us < p->since_us + PERMIT_UPTAKE_US)
            continue;
        uint32_t waits = permit_tag(PERMIT_QUEUED, zone, priority, PERMIT_LIMIT) | PERMIT_COUNTED;
        if (!atomic_compare_exchange_strong(&p->tag, &tag, waits))
            continue; /* its process has just taken it up */
        permit_set(&z->held, permit_get(&z->held) - (permit_get(&z->held) > 0));
        permit_enqueue_first(r, zone, permit_reference(place, i), priority);
    }
}

void permit_tend(struct permit_user *u, unsigned zone, uint64_t now_us)
{
    struct permit_region *r = u->shm->permits;
    struct permit_zone *z = &r->zones[zone];
    int stalled = 0, place;
    for (place = 0; (place = permit_next_place(u->shm, place)) >= 0; place++)
        stalled += place != u->place && is_stalled(&r->parts[place], now_us);
    if (!stalled && (permit_get(&z->queued) == 0 || permit_get(&z->held) >= permit_get(&z->limit)))
        return;
    permit_lock(u->shm, zone);
    for (place = 0; stalled && (place = permit_next_place(u->shm, place)) >= 0; place++)
        if (place != u->place && is_stalled(&r->parts[place], now_us))
            take_back_grants(r, zone, place, now_us);
    permit_grant_and_unlock(u->shm, zone, now_us, u->place, u->socket);
}
