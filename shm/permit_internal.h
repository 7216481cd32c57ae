/*
 * shm/permit_internal.h - what the files of permits share. Not for others.
 */
#ifndef WEIR_SHM_PERMIT_INTERNAL_H
#define WEIR_SHM_PERMIT_INTERNAL_H

#include "shm/lock.h"
#include "shm/permit.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

enum { PERMIT_NONE = 0 }; /* the reference to no permit */

static inline uint32_t permit_reference(int place, uint32_t index)
{
    assert(place >= 0 && place < PERMIT_PLACES && index < SHM_PERMITS_PER_SLOT);
    return (uint32_t)place * SHM_PERMITS_PER_SLOT + index + 1;
}
static inline int permit_place_of(uint32_t reference)
{
    assert(reference != PERMIT_NONE);
    return (int)((reference - 1) / SHM_PERMITS_PER_SLOT);
}
/* A link: any process may change it at any moment, so it is read once, and what was checked is what is used. */
static inline uint32_t permit_read(const uint32_t *link)
{
    return *(const volatile uint32_t *)link;
}
/* NULL: a reference to nothing, or one that cannot be. */
static inline struct permit *permit_of(struct permit_region *r, uint32_t reference)
{
    if (reference - 1 >= (uint32_t)PERMIT_PLACES * SHM_PERMITS_PER_SLOT)
        return NULL;
    return &r->parts[permit_place_of(reference)].permits[(reference - 1) % SHM_PERMITS_PER_SLOT];
}

/* For fields that are written under the zone's lock, and read by anybody. */
static inline uint32_t permit_get(const _Atomic uint32_t *field)
{
    return atomic_load_explicit(field, memory_order_relaxed);
}
static inline void permit_set(_Atomic uint32_t *field, uint32_t value)
{
    atomic_store_explicit(field, value, memory_order_relaxed);
}

/* The commit: what was written before it is seen by whoever sees it. */
static inline void permit_set_tag(struct permit *p, uint32_t tag)
{
    atomic_store_explicit(&p->tag, tag, memory_order_release);
}

static inline void permit_count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/*
 * Processes that have something to look at, to be woken once the lock is given up; and what one call may still do, so that
 * links that somebody has bent do not keep it for ever.
 */
enum { PERMIT_CALLS_MAX = 32, PERMIT_STEPS_MAX = PERMIT_PLACES * SHM_PERMITS_PER_SLOT };
struct permit_calls {
    /* The caller's own place, which looks by itself; -1: none. */
    int self;
    int steps;
    int count;
    int places[PERMIT_CALLS_MAX];
};

/* --- permit_repair.c --- */

/* Whose processes are dead: all of them in one go, as each look at the tags is one at all of them. */
struct permit_dead {
    bool at[PERMIT_PLACES];
};

/* Makes counts and queues anew from the tags. Tags at dead places (NULL: none) become free first. Lock held. */
void permit_repair(const struct shm *shm, unsigned zone, const struct permit_dead *dead);

/* Takes the lock; makes the zone's derived state anew if its holder had died. */
static inline void permit_lock(const struct shm *shm, unsigned zone)
{
    assert(zone < PERMIT_ZONES);
    if (shm_lock(&shm->permits->zones[zone].lock))
        permit_repair(shm, zone, NULL);
}
static inline void permit_unlock(struct permit_zone *z)
{
    shm_unlock(&z->lock);
}

/* The other binary's bit of a zone's sides; and ours. */
static inline uint32_t permit_other_side(const struct shm *shm)
{
    return 1u << !shm->side;
}
static inline uint32_t permit_own_side(const struct shm *shm)
{
    return 1u << shm->side;
}

/* All of a zone but its lock and whose it is. */
static inline void permit_zone_clear(struct permit_zone *z)
{
    size_t from = offsetof(struct permit_zone, limit);
    memset((char *)z + from, 0, sizeof *z - from);
}

/* permit_map.c: in place of the mapping that there is, that of this file, which is the region's from then on. False with errno: it is no such file, or out of memory. */
bool permit_map_file(struct shm *shm, int fd);

/* What processes that are dead held or waited for is given back. NULL: none is, the counts of all zones are made anew. */
void permit_reclaim_dead(const struct shm *shm, const struct permit_dead *dead);

/* All permits of a part are free, and of all parts of a side. Counts have to be made anew. */
void permit_empty_part(struct permit_part *part);
void permit_clear_side(const struct shm *shm, int side);

/* --- permit_heir.c --- */

/* Work that a dead process had lent, and that had not begun, does not begin any more. */
void permit_end_unbegun(const struct shm *shm, int dead_slot);

/* What those held for work that goes on elsewhere passes on to its heirs. Lock held; counts have to be made anew. */
void permit_pass_on(const struct shm *shm, unsigned zone, const struct permit_dead *dead);

/* --- permit_part.c --- */

/* A free permit of the user's part; SHM_PERMITS_PER_SLOT: none. And back: its tag is free already. */
uint32_t permit_take_spare(struct permit_user *u);
void permit_put_spare(struct permit_user *u, uint32_t permit);

/* --- permit_queue.c. Lock held. --- */

/* Into the queue behind all others of its priority; or in front of them. */
void permit_enqueue(struct permit_region *r, unsigned zone, uint32_t reference,
                    enum permit_priority priority);
void permit_enqueue_first(struct permit_region *r, unsigned zone, uint32_t reference,
                          enum permit_priority priority);

/* Out of it. False: the links are not what they should be; nothing is changed, and permit_repair has to come. */
bool permit_dequeue(struct permit_region *r, unsigned zone, uint32_t reference);

/* The waiter that this reference names, if it is one of this zone and priority; else NULL. */
struct permit *permit_waiter(struct permit_region *r, unsigned zone, uint32_t reference,
                             enum permit_priority priority);

/* --- permit_grant.c --- */

/* Says that a permit has been changed by somebody else than its owner. Lock held; `calls` has room for one more. */
void permit_mark_changed(struct permit_region *r, uint32_t reference, uint64_t now_us,
                         struct permit_calls *calls);

/* It is held from now on. Lock held. */
void permit_admit(struct permit_zone *z, struct permit *p, uint32_t tag, uint64_t now_us);

/* Whether the queue takes one more of this priority: if it is full, by refusing the newest of the lowest one below. Lock held. */
bool permit_make_room(const struct shm *shm, unsigned zone, enum permit_priority priority, uint64_t now_us,
                      struct permit_calls *calls);

/* codel: the delay of the oldest waiter is looked at. Lock held. */
void permit_observe_delay(struct permit_region *r, unsigned zone, uint64_t now_us);

/*
 * Admits waiters while permits are free, and wakes their processes; `self` is the caller's own place, or -1, and `socket` as for
 * permit_wake. The lock is held, and given up.
 */
void permit_grant_and_unlock(const struct shm *shm, unsigned zone, uint64_t now_us, int self, int socket);

/* --- permit_wake.c --- */

/* A socket of this process for datagrams, and its address. -1 with errno. */
int permit_open_wake_socket(char address[8]);

/* Wakes the processes, from a socket of this kind; -1: from one made for it. No lock held. */
void permit_wake(const struct shm *shm, int from, const struct permit_calls *calls);

/* --- permit_policy.c --- */

/* The zone's limit begins anew under its rules. Lock held. */
void permit_policy_begin(struct permit_zone *z, uint64_t now_us);

/* A request admitted at since_us was served in rtt_us. Lock held. */
void permit_policy_sample(const struct shm *shm, unsigned zone, uint64_t now_us, uint64_t since_us,
                          uint64_t rtt_us);

#endif
