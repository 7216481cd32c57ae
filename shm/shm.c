/*
 * shm/shm.c - mapping the region and looking after slots.
 */
#include "shm/shm.h"

#include "base/clock.h"
#include "shm/keyed.h"
#include "shm/peer.h"
#include "shm/permit.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNED(bytes) (((bytes) + 63) / 64 * 64)
#define SLOTS_AT ALIGNED(sizeof(struct shm_head))
#define PEERS_AT (SLOTS_AT + SHM_SLOTS * sizeof(struct shm_slot))
#define TOTAL_BYTES (PEERS_AT + sizeof(struct peer_region))

struct shm *shm_create(void)
{
    struct shm *shm = calloc(1, sizeof *shm);
    struct keyed_zone *keyed = calloc(SHM_ZONES, sizeof *keyed);
    struct permit_rules *rules = calloc(SHM_ZONES, sizeof *rules);
    /* Only what is touched costs memory, and that is little: so none is reserved. */
    char *at =
        mmap(NULL, TOTAL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!shm || !keyed || !rules || at == MAP_FAILED || !permit_map(shm)) {
        free(shm);
        free(keyed);
        free(rules);
        if (at != MAP_FAILED)
            munmap(at, TOTAL_BYTES);
        errno = ENOMEM;
        return NULL;
    }
    /* A core must not show what clients of all workers have asked for. */
    madvise(at, TOTAL_BYTES, MADV_DONTDUMP);
    shm->head = (struct shm_head *)(void *)at;
    shm->slots = (struct shm_slot *)(void *)(at + SLOTS_AT);
    shm->peers = (struct peer_region *)(void *)(at + PEERS_AT);
    shm->keyed = keyed;
    shm->permit_rules = rules;
    shm->head->layout_version = SHM_LAYOUT_VERSION;
    shm->start_mono_ms = clock_mono_ms();
    shm->start_wall_ms = clock_wall_ms();
    shm->head->generation = 1;
    shm->head->reload.last_ok = 1;
    return shm;
}

void shm_destroy(struct shm *shm)
{
    if (!shm)
        return;
    munmap(shm->head, TOTAL_BYTES);
    permit_unmap(shm);
    free(shm->keyed);
    free(shm->permit_rules);
    free(shm);
}

void shm_note_slot(struct shm *shm, int slot)
{
    assert(slot >= 0 && slot < SHM_SLOTS);
    uint32_t wanted = (uint32_t)slot + 1, used = atomic_load(&shm->head->slots_used);
    while (used < wanted && !atomic_compare_exchange_weak(&shm->head->slots_used, &used, wanted)) {
    }
    if (shm->slots_known && shm->slots_known <= slot)
        shm->slots_known = slot + 1;
}

int shm_slots_used(const struct shm *shm)
{
    assert(shm->slots_known >= 0 && shm->slots_known <= SHM_SLOTS);
    if (shm->slots_known)
        return shm->slots_known;
    uint32_t used = atomic_load_explicit(&shm->head->slots_used, memory_order_relaxed);
    return used < SHM_SLOTS ? (int)used : SHM_SLOTS;
}

void shm_slot_clear_gauges(struct shm_slot *slot)
{
    slot->pid = 0;
    counter_set(&slot->connections, 0);
    for (int i = 0; i < SHM_CONNECTION_STATES; i++)
        counter_set(&slot->connection_states[i], 0);
    counter_set(&slot->in_flight, 0);
    counter_set(&slot->http2.connections, 0);
    counter_set(&slot->http2.streams, 0);
    counter_set(&slot->turn_since_ms, 0);
    counter_set(&slot->slow_until_ms, 0);
    for (int i = 0; i < SHM_POOLS; i++) {
        atomic_store(&slot->pools[i].offers, 0);
        counter_set(&slot->pools[i].oldest_us, 0);
        for (int k = 0; k < SHM_POOL_PROCESSES; k++)
            atomic_store(&slot->pools[i].processes[k], 0);
    }
    counter_set(&slot->memory_allocated_bytes, 0);
    counter_set(&slot->memory_resident_bytes, 0);
    counter_add(&slot->cpu_us_before, counter_get(&slot->cpu_us));
    counter_set(&slot->cpu_us, 0);
}

static bool is_wanted_pool(const struct shm_pool *p, const char *const *wanted)
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
        if (!is_wanted_pool(&slot->pools[i], wanted))
            unused = &slot->pools[i];
    if (unused) {
        memset(unused, 0, sizeof *unused);
        memcpy(unused->name, name, strnlen(name, SHM_POOL_NAME_BYTES - 1));
    }
    return unused;
}
