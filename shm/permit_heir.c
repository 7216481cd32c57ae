/*
 * shm/permit_heir.c - the permits of work that was lent to another process: they pass on to that one if their own dies.
 *
 * Whoever does the work has an entry for each permit of it, its heir, which counts for nothing while the lender lives. When the lender
 * dies the master frees what it held, and in the same hold of the zone's lock makes heirs of work that has begun
 * held ones: so the limit is never exceeded, and nothing is counted twice. Whether work has begun says the lender's
 * entry of `lent`. What has not is ended there first, by the compare-and-swap that its beginning would take.
 */
#include "shm/permit_internal.h"

#include <assert.h>

bool permit_heir_open(struct permit_user *u, const struct permit_lender *lender, uint32_t *heir)
{
    assert(lender->slot >= 0 && lender->slot < SHM_SLOTS && lender->slot != u->slot);
    if (lender->permit >= SHM_PERMITS_PER_SLOT || lender->entry >= SHM_LENT)
        return false;
    int place = permit_place(u->shm, lender->slot);
    const struct permit *held = &permit_region(u->shm)->parts[place].permits[lender->permit];
    uint32_t tag = atomic_load_explicit(&held->tag, memory_order_acquire);
    if (!permit_tag_is_held(tag) || permit_tag_zone(tag) >= PERMIT_ZONES)
        return false;
    *heir = permit_take_spare(u);
    if (*heir >= SHM_PERMITS_PER_SLOT)
        return false;
    struct permit *p = &u->part->permits[*heir];
    p->about = held->about;
    p->about.runs_in = (int16_t)u->slot;
    p->since_us = held->since_us;
    p->older = permit_reference(place, lender->permit);
    p->newer = lender->entry;
    p->ticket = lender->tag;
    permit_set_tag(p, permit_tag(PERMIT_HEIR, permit_tag_zone(tag), permit_tag_priority(tag), PERMIT_LIMIT));
    return true;
}

bool permit_heir_close(struct permit_user *u, uint32_t heir)
{
    struct permit *p = &u->part->permits[heir];
    assert(heir < u->used);
    uint32_t tag = atomic_load_explicit(&p->tag, memory_order_acquire);
    /* The master may just be making it a held one. */
    bool closed =
        permit_tag_state(tag) == PERMIT_HEIR && atomic_compare_exchange_strong(&p->tag, &tag, PERMIT_FREE);
    if (closed)
        permit_put_spare(u, heir);
    return closed;
}

void permit_end_unbegun(const struct shm *shm, int dead_slot)
{
    assert(dead_slot >= 0 && dead_slot < SHM_SLOTS);
    for (int i = 0; i < SHM_LENT; i++) {
        _Atomic uint64_t *entry = &shm->slots[dead_slot].lent[i];
        uint64_t waits = atomic_load(entry);
        if ((waits & SHM_LENT_BITS) == SHM_LENT_WAITS)
            atomic_compare_exchange_strong(entry, &waits, 0);
    }
}

/* Of another binary's workers the entries are not ours to see: then it may have begun. */
static bool has_begun(const struct shm *shm, int dead_place, uint32_t entry, uint64_t tag)
{
    if (dead_place / SHM_SLOTS != shm->side)
        return true;
    const struct shm_slot *slot = &shm->slots[dead_place % SHM_SLOTS];
    return entry < SHM_LENT && atomic_load(&slot->lent[entry]) == (tag | SHM_LENT_BEGUN);
}

/* What it is the heir of: a permit of that process for work that has begun. NULL: none. */
static struct permit *legacy_of(const struct shm *shm, const struct permit *heir, unsigned zone,
                                const struct permit_dead *dead)
{
    uint32_t of = permit_read(&heir->older), entry = permit_read(&heir->newer);
    struct permit *p = permit_of(shm->permits, of);
    if (!p || !dead->at[permit_place_of(of)] || !has_begun(shm, permit_place_of(of), entry, heir->ticket))
        return NULL;
    /* It may have been given back meanwhile, and be another request's by now. */
    uint32_t tag = atomic_load_explicit(&p->tag, memory_order_acquire);
    bool same = permit_tag_is_held(tag) && permit_tag_zone(tag) == zone && p->since_us == heir->since_us;
    return same ? p : NULL;
}

void permit_pass_on(const struct shm *shm, unsigned zone, const struct permit_dead *dead)
{
    assert(shm_lock_is_held(&shm->permits->zones[zone].lock));
    for (int place = 0; dead && (place = permit_next_place(shm, place)) >= 0; place++) {
        struct permit_part *part = &shm->permits->parts[place];
        if (dead->at[place])
            continue; /* its work has ended with it */
        for (uint32_t i = 0, used = permit_part_used(part); i < used; i++) {
            struct permit *heir = &part->permits[i], *legacy;
            uint32_t tag = atomic_load_explicit(&heir->tag, memory_order_acquire);
            uint32_t held = permit_tag(PERMIT_HELD, zone, permit_tag_priority(tag), PERMIT_LIMIT);
            if (permit_tag_state(tag) != PERMIT_HEIR || permit_tag_zone(tag) != zone ||
                !(legacy = legacy_of(shm, heir, zone, dead)))
                continue;
            /* Its process may just have ended the work. */
            if (atomic_compare_exchange_strong(&heir->tag, &tag, held))
                permit_set_tag(legacy, PERMIT_FREE);
        }
    }
}
