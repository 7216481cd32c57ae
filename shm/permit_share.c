/*
 * shm/permit_share.c - permits that outlive a binary: one that takes over from another maps the same memory file, so that a limit
 * holds over the workers of both.
 *
 * Each of the two has a side of the parts for its workers, and its master looks after them. What is both's are the zones, each of
 * which has the same number with both: a bit for each side says who knows it. The rules are those of whoever has spoken last. A
 * master that is gone looks after nobody: then the other one does, and knows who lives by the word that each worker has
 * in its part (shm_lock_live).
 */
#include "shm/permit_internal.h"

#include <assert.h>

bool permit_take_over(struct shm *shm, int fd, int side)
{
    assert(side == 0 || side == 1);
    if (!permit_map_file(shm, fd))
        return false;
    shm->side = side;
    shm->shares_permits = true;
    permit_clear_side(shm, side);
    permit_set(&shm->permits->stuck[side], 0);
    for (unsigned zone = 0; zone < PERMIT_ZONES; zone++) {
        if (!shm->permit_names[zone][0])
            continue;
        atomic_fetch_or(&shm->permits->zones[zone].sides, permit_own_side(shm));
        shm->permit_rules[zone] = shm->permits->zones[zone].rules;
    }
    permit_reclaim_dead(shm, NULL);
    return true;
}

/* The other side's, of workers that have died. Returns how many live. */
static int reclaim_dead(const struct shm *shm)
{
    struct permit_dead dead = {0};
    bool any = false;
    int living = 0;
    for (int place = 0; (place = permit_next_place(shm, place)) >= 0; place++) {
        struct permit_part *part = &shm->permits->parts[place];
        if (place / SHM_SLOTS == shm->side)
            continue;
        /* One that has never held anything may yet. */
        if (shm_lock_lives(&part->owner)) {
            living++;
            continue;
        }
        if (permit_part_used(part) == 0)
            continue;
        dead.at[place] = any = true;
    }
    if (any)
        permit_reclaim_dead(shm, &dead);
    for (int place = 0; any && place < PERMIT_PLACES; place++) {
        if (!dead.at[place])
            continue;
        permit_empty_part(&shm->permits->parts[place]);
        permit_set(&shm->permits->parts[place].used, 0);
    }
    return living;
}

int permit_reclaim_other(struct shm *shm)
{
    assert(shm->shares_permits);
    int living = reclaim_dead(shm);
    if (living > 0)
        return living;
    permit_clear_side(shm, !shm->side);
    for (unsigned zone = 0; zone < PERMIT_ZONES; zone++) {
        bool known = shm->permit_names[zone][0] != '\0';
        permit_set(&shm->permits->zones[zone].sides, known ? permit_own_side(shm) : 0);
        if (known)
            permit_zone_set(shm, zone, &shm->permit_rules[zone]);
    }
    shm->shares_permits = false;
    return 0;
}

void permit_report_stuck(struct shm *shm, uint32_t process)
{
    assert(shm->shares_permits);
    permit_set(&shm->permits->stuck[!shm->side], process);
}

bool permit_has_lock(const struct shm *shm, uint32_t process)
{
    bool has = false;
    for (unsigned zone = 0; zone < PERMIT_ZONES; zone++)
        has |= permit_get(&shm->permits->zones[zone].lock) == process;
    return has;
}

uint32_t permit_take_stuck(struct shm *shm)
{
    return atomic_exchange(&shm->permits->stuck[shm->side], 0);
}
