/*
 * shm/shm.c - mapping the region and looking after slots.
 */
#include "shm/shm.h"

#include "base/clock.h"
#include "shm/keyed.h"
#include "shm/peer.h"
#include "shm/permit.h"

#include <string.h>
#include <sys/mman.h>

#define PERMITS_AT ((sizeof(struct shm) + 63) / 64 * 64)
#define KEYED_AT (PERMITS_AT + (sizeof(struct permit_region) + 63) / 64 * 64)
#define PEERS_AT (KEYED_AT + (sizeof(struct keyed_region) + 63) / 64 * 64)
#define TOTAL_BYTES (PEERS_AT + sizeof(struct peer_region))

struct shm *shm_create(void)
{
    /* Only what is touched costs memory, and that is little: so none is reserved. */
    struct shm *shm =
        mmap(NULL, TOTAL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shm == MAP_FAILED)
        return NULL;
    shm->permits = (struct permit_region *)(void *)((char *)shm + PERMITS_AT);
    shm->keyed = (struct keyed_region *)(void *)((char *)shm + KEYED_AT);
    shm->peers = (struct peer_region *)(void *)((char *)shm + PEERS_AT);
    shm->layout_version = SHM_LAYOUT_VERSION;
    shm->slot_count = SHM_SLOTS;
    shm->start_mono_ms = clock_mono_ms();
    shm->start_wall_ms = clock_wall_ms();
    shm->generation = 1;
    shm->reload.last_ok = 1;
    return shm;
}

void shm_destroy(struct shm *shm)
{
    if (shm)
        munmap(shm, TOTAL_BYTES);
}

int shm_find_free_slot(const struct shm *shm)
{
    for (int i = 0; i < SHM_SLOTS; i++)
        if (shm->slots[i].state == SHM_SLOT_FREE)
            return i;
    return -1;
}

void shm_slot_clear_gauges(struct shm_slot *slot)
{
    slot->pid = 0;
    counter_set(&slot->connections, 0);
    for (int i = 0; i < SHM_CONNECTION_STATES; i++)
        counter_set(&slot->connection_states[i], 0);
    counter_set(&slot->in_flight, 0);
    counter_set(&slot->memory_allocated_bytes, 0);
    counter_set(&slot->memory_resident_bytes, 0);
    counter_add(&slot->cpu_us_before, counter_get(&slot->cpu_us));
    counter_set(&slot->cpu_us, 0);
}

static bool is_wanted(const struct shm_pool *p, const char *const *wanted)
{
    for (; *wanted; wanted++)
        if (strncmp(p->name, *wanted, SHM_POOL_NAME_BYTES) == 0)
            return true;
    return false;
}

struct shm_pool *shm_slot_pool(struct shm_slot *slot, const char *name, const char *const *wanted)
{
    struct shm_pool *unused = NULL;
    for (int i = 0; i < SHM_POOLS; i++) {
        if (strncmp(slot->pools[i].name, name, SHM_POOL_NAME_BYTES) == 0)
            return &slot->pools[i];
        if (!unused && slot->pools[i].name[0] == '\0')
            unused = &slot->pools[i];
    }
    for (int i = 0; i < SHM_POOLS && !unused; i++)
        if (!is_wanted(&slot->pools[i], wanted))
            unused = &slot->pools[i];
    if (unused) {
        memset(unused, 0, sizeof *unused);
        memcpy(unused->name, name, strnlen(name, SHM_POOL_NAME_BYTES - 1));
    }
    return unused;
}
