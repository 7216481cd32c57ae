/*
 * shm/permit_part.c - a process's part of the region: it begins to use it, and takes permits from it.
 */
#include "shm/permit_internal.h"

#include <assert.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int permit_next_place(const struct shm *shm, int from)
{
    assert(from >= 0 && from <= PERMIT_PLACES);
    for (int side = from / SHM_SLOTS; side < PERMIT_SIDES; side++) {
        /* Of our own workers the master knows better than what stands there. */
        uint32_t used = side == shm->side ? (uint32_t)shm_slots_used(shm)
                        : shm->slots_known && !shm->shares_permits
                            ? 0
                            : permit_get(&shm->permits->slots_used[side]);
        if ((uint32_t)(from % SHM_SLOTS) < used)
            return from;
        from = (side + 1) * SHM_SLOTS;
    }
    return -1;
}

uint32_t permit_take_spare(struct permit_user *u)
{
    struct permit_part *part = u->part;
    assert(u->spare_count <= u->used && u->used <= SHM_PERMITS_PER_SLOT);
    uint32_t index = u->spare_count > 0 ? u->spare[--u->spare_count] : u->used;
    if (index >= SHM_PERMITS_PER_SLOT)
        return index;
    u->doubts |= permit_get(&part->permits[index].tag) != PERMIT_FREE; /* others may have counted it */
    if (index == u->used) {
        permit_set_tag(&part->permits[index], PERMIT_FREE);
        atomic_store_explicit(&part->used, ++u->used, memory_order_release);
    }
    return index;
}

void permit_put_spare(struct permit_user *u, uint32_t permit)
{
    assert(u->spare_count < u->used && permit < u->used);
    u->spare[u->spare_count++] = permit;
}

void permit_show_address(const struct permit_user *u)
{
    struct permit_part *part = u->part;
    if (memcmp(part->address, u->address, sizeof part->address) != 0)
        memcpy(part->address, u->address, sizeof part->address);
}

/* Others look at the part from now on. */
static void note_use(const struct shm *shm, int slot)
{
    _Atomic uint32_t *slots_used = &permit_region(shm)->slots_used[shm->side];
    uint32_t wanted = (uint32_t)slot + 1, used = atomic_load(slots_used);
    while (used < wanted && !atomic_compare_exchange_weak(slots_used, &used, wanted)) {
    }
}

bool permit_open(struct permit_user *u, struct shm *shm, int slot)
{
    assert(slot >= 0 && slot < SHM_SLOTS);
    int place = permit_place(shm, slot);
    struct permit_part *part = &permit_region(shm)->parts[place];
    shm_lock_know_self();
    shm->slots_known = 0;
    shm->wake = NULL;
    shm_note_slot(shm, slot);
    note_use(shm, slot);
    *u = (struct permit_user){.shm = shm, .slot = slot, .place = place, .part = part, .socket = -1};
    u->spare = malloc(SHM_PERMITS_PER_SLOT * sizeof *u->spare);
    if (!u->spare)
        return false;
    u->socket = permit_open_wake_socket(u->address);
    if (u->socket < 0) {
        free(u->spare);
        return false;
    }
    permit_show_address(u);
    u->used = permit_part_used(part);
    permit_set(&part->used, u->used);
    for (uint32_t used = u->used; used > 0; used--)
        u->spare[u->spare_count++] = used - 1; /* an earlier process had them */
    assert(u->spare_count == u->used && u->used <= SHM_PERMITS_PER_SLOT);
    atomic_store(&part->woken, 0);
    shm_lock_live(&part->owner);
    return true;
}

bool permit_process_died(const struct shm *shm, int slot)
{
    const struct permit_part *part = &permit_region(shm)->parts[permit_place(shm, slot)];
    return permit_get(&part->owner) & FUTEX_OWNER_DIED;
}

void permit_close(struct permit_user *u)
{
    close(u->socket);
    free(u->spare);
}
