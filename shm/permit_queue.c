/*
 * shm/permit_queue.c - the queues of a zone: waiters linked by references in shared memory.
 *
 * The links are any process's to write. So none is followed that leads out of the region, and a waiter is unlinked only
 * where its neighbours agree; where they do not, the queues are made anew from the tags (shm/permit_repair.c).
 * Every call with the zone's lock held.
 */
#include "shm/permit_internal.h"

#include <assert.h>

static void count_waiter(struct permit_zone *z, enum permit_priority priority, uint32_t by)
{
    assert(shm_lock_is_held(&z->lock) && priority < PERMIT_PRIORITIES);
    permit_set(&z->queued, permit_get(&z->queued) + by);
    permit_set(&z->waiting[priority], permit_get(&z->waiting[priority]) + by);
}

void permit_enqueue(struct permit_region *r, unsigned zone, uint32_t reference, enum permit_priority priority)
{
    struct permit_zone *z = &r->zones[zone];
    struct permit_queue *q = &z->queues[priority];
    struct permit *p = permit_of(r, reference), *newest = permit_of(r, permit_read(&q->newest));
    assert(p && shm_lock_is_held(&z->lock));
    p->older = q->newest;
    p->newer = PERMIT_NONE;
    *(newest ? &newest->newer : &q->oldest) = reference;
    q->newest = reference;
    count_waiter(z, priority, 1);
}

void permit_enqueue_first(struct permit_region *r, unsigned zone, uint32_t reference,
                          enum permit_priority priority)
{
    struct permit_zone *z = &r->zones[zone];
    struct permit_queue *q = &z->queues[priority];
    struct permit *p = permit_of(r, reference), *oldest = permit_of(r, permit_read(&q->oldest));
    assert(p && shm_lock_is_held(&z->lock));
    p->older = PERMIT_NONE;
    p->newer = q->oldest;
    *(oldest ? &oldest->older : &q->newest) = reference;
    q->oldest = reference;
    count_waiter(z, priority, 1);
}

struct permit *permit_waiter(struct permit_region *r, unsigned zone, uint32_t reference,
                             enum permit_priority priority)
{
    struct permit *p = permit_of(r, reference);
    uint32_t tag = p ? atomic_load_explicit(&p->tag, memory_order_relaxed) : PERMIT_FREE;
    bool waits = permit_tag_state(tag) == PERMIT_QUEUED && permit_tag_zone(tag) == zone &&
                 permit_tag_priority(tag) == priority;
    return waits ? p : NULL;
}

bool permit_dequeue(struct permit_region *r, unsigned zone, uint32_t reference)
{
    struct permit_zone *z = &r->zones[zone];
    struct permit *p = permit_of(r, reference);
    assert(p && shm_lock_is_held(&z->lock));
    enum permit_priority priority = permit_tag_priority(p->tag);
    struct permit_queue *q = &z->queues[priority];
    uint32_t older_link = permit_read(&p->older), newer_link = permit_read(&p->newer);
    struct permit *older = permit_of(r, older_link), *newer = permit_of(r, newer_link);
    uint32_t *to_newer = older ? &older->newer : &q->oldest, *to_older = newer ? &newer->older : &q->newest;
    if ((older_link && !older) || (newer_link && !newer) || *to_newer != reference ||
        *to_older != reference || permit_get(&z->queued) == 0 || permit_get(&z->waiting[priority]) == 0)
        return false;
    *to_newer = newer_link;
    *to_older = older_link;
    count_waiter(z, priority, (uint32_t)-1);
    return true;
}
