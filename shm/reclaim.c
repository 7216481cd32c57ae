/*
 * shm/reclaim.c - the tables of the region together: is it whole, is it made anew, is it given back.
 *
 * A worker that writes where it must not can leave anything. What can be told from memory of one's own is told by its owner:
 * the master knows the rules of zones and which slots there are, a worker knows which of its permits are free.
 */
#include "shm/reclaim.h"

#include "base/clock.h"
#include "shm/keyed.h"
#include "shm/peer.h"
#include "shm/permit_internal.h"

#include <assert.h>

bool shm_reclaim(struct shm *shm, int slot, bool damaged)
{
    damaged = damaged || !permit_is_sane(shm) || !keyed_is_sane(shm) || !peer_is_sane(shm, clock_mono_ms());
    if (damaged) {
        keyed_begin_anew(shm);
        permit_begin_anew(shm);
        peer_begin_anew(shm);
    }
    if (shm->slots_known)
        atomic_store(&shm->head->slots_used, (uint32_t)shm->slots_known);
    permit_clear_empty(shm, slot);
    keyed_reclaim(shm, slot);
    permit_reclaim(shm, slot);
    peer_reclaim(shm, slot);
    return !damaged;
}

void shm_break_locks(struct shm *shm, uint32_t holder)
{
    for (unsigned zone = 0; zone < PERMIT_ZONES; zone++)
        shm_lock_break(&shm->permits->zones[zone].lock, holder);
    for (unsigned zone = 0; zone < KEYED_ZONES; zone++)
        if (shm->keyed[zone].name[0])
            shm_lock_break(&shm->keyed[zone].links->lock, holder);
    shm_lock_break(&shm->peers->lock, holder);
    for (uint32_t i = 0; i < peer_groups_used(shm); i++)
        shm_lock_break(&shm->peers->groups[i].lock, holder);
}

/* Zones of whose permits one was marked although it is free. */
struct zones {
    uint64_t permits, keyed;
};

static void free_marked(struct permit *p, struct zones *zones)
{
    unsigned zone = permit_tag_zone(p->tag);
    permit_set_tag(p, PERMIT_FREE);
    if (zone < PERMIT_ZONES)
        zones->permits |= 1ull << zone;
    else if (zone < PERMIT_ZONES + KEYED_ZONES)
        zones->keyed |= 1ull << (zone - PERMIT_ZONES);
}

void shm_look_after(struct permit_user *u)
{
    struct permit_part *part = u->part;
    struct zones zones = {0};
    assert(u->spare_count <= u->used && u->used <= SHM_PERMITS_PER_SLOT);
    permit_show_address(u);
    /* If the part is damaged, others may have counted what never was. */
    if (permit_get(&part->used) != u->used || u->doubts) {
        atomic_store_explicit(&part->used, u->used, memory_order_release);
        zones.permits = zones.keyed = UINT64_MAX;
        u->doubts = false;
    }
    for (uint32_t i = 0; i < u->spare_count; i++)
        if (atomic_load_explicit(&part->permits[u->spare[i]].tag, memory_order_relaxed) != PERMIT_FREE)
            free_marked(&part->permits[u->spare[i]], &zones);
    for (unsigned zone = 0; zones.permits; zone++, zones.permits >>= 1) {
        if (!(zones.permits & 1) || !u->shm->permit_names[zone][0])
            continue;
        permit_lock(u->shm, zone);
        permit_repair(u->shm, zone, NULL);
        permit_grant_and_unlock(u->shm, zone, clock_mono_us(), u->place, u->socket);
    }
    for (unsigned zone = 0; zones.keyed; zone++, zones.keyed >>= 1)
        if (zones.keyed & 1 && u->shm->keyed[zone].name[0])
            keyed_recount(u->shm, zone);
}
