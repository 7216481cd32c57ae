/*
 * tests/unit/shm/test_shm.c - the shared region: its start, slots, pools by name, and what outlives a worker.
 */
#include "shm/shm.h"

#include "pool/figures.h"
#include "tests/unit/check.h"

#include <sys/wait.h>

static void starts_empty(void)
{
    struct shm *shm = shm_create();
    CU_ASSERT_PTR_NOT_NULL_FATAL(shm);
    CHECK_NUMBER(shm->head->layout_version, SHM_LAYOUT_VERSION);
    CHECK_NUMBER(shm->head->generation, 1);
    CHECK_NUMBER(shm->head->reload.last_ok, 1);
    CHECK_NUMBER(shm->head->reload.last_kind, SHM_RELOAD_NONE);
    CU_ASSERT(shm->start_mono_ms <= clock_mono_ms());
    CU_ASSERT(shm->start_wall_ms <= clock_wall_ms());
    for (int i = 0; i < SHM_SLOTS; i++)
        CHECK_NUMBER(shm->slots[i].state, SHM_SLOT_FREE);
    shm_destroy(shm);
    shm_destroy(NULL);
}

static void each_worker_has_its_own_lines(void)
{
    CHECK_NUMBER(sizeof(struct shm_slot) % 64, 0);
    CHECK_NUMBER(offsetof(struct shm_slot, connections) % 64, 0);
    CHECK_NUMBER(offsetof(struct shm_slot, accepted) % 64, 0);
    CU_ASSERT(sizeof(struct pool_figures) <= sizeof((struct shm_pool *)NULL)->figures);
}

static void used_slots_are_counted(void)
{
    struct shm *shm = shm_create();
    CHECK_NUMBER(shm_slots_used(shm), 0);
    shm_note_slot(shm, 3);
    shm_note_slot(shm, 1);
    CHECK_NUMBER(shm_slots_used(shm), 4);
    atomic_store(&shm->head->slots_used, UINT32_MAX); /* somebody has overwritten it */
    CHECK_NUMBER(shm_slots_used(shm), SHM_SLOTS);
    shm->slots_known = 1; /* the master */
    CHECK_NUMBER(shm_slots_used(shm), 1);
    shm_note_slot(shm, 6);
    CHECK_NUMBER(shm_slots_used(shm), 7);
    shm_destroy(shm);
}

static const char *const nothing[] = {NULL};

/* Fills a slot with pools "pool-0" and so on; `names` gets them, and a NULL behind the last. */
static void fill_slot(struct shm_slot *slot, char names[SHM_POOLS][16], const char *wanted[SHM_POOLS + 1])
{
    for (int i = 0; i < SHM_POOLS; i++) {
        snprintf(names[i], 16, "pool-%d", i);
        wanted[i] = names[i];
    }
    wanted[SHM_POOLS] = NULL;
    for (int i = 0; i < SHM_POOLS; i++)
        CU_ASSERT_PTR_NOT_NULL_FATAL(shm_slot_pool(slot, wanted[i], wanted));
}

static struct pool_figures *figures_of(struct shm_pool *p)
{
    return (struct pool_figures *)(void *)p->figures;
}

static void pools_are_found_by_name(void)
{
    struct shm *shm = shm_create();
    struct shm_slot *slot = &shm->slots[3];
    char names[SHM_POOLS][16];
    const char *wanted[SHM_POOLS + 1];
    fill_slot(slot, names, wanted);
    for (int i = 0; i < SHM_POOLS; i++) {
        struct shm_pool *p = shm_slot_pool(slot, wanted[i], wanted);
        CU_ASSERT_STRING_EQUAL(p->name, wanted[i]);
        CU_ASSERT_PTR_EQUAL(shm_slot_pool(slot, wanted[i], nothing), p);
        CU_ASSERT(i == 0 || p != shm_slot_pool(slot, wanted[i - 1], wanted));
    }
    CU_ASSERT_PTR_NULL(shm_slot_pool(slot, "one too many", wanted));
    CU_ASSERT_PTR_NOT_EQUAL(shm_slot_pool(&shm->slots[4], "pool-0", wanted),
                            shm_slot_pool(slot, "pool-0", wanted));
    shm_destroy(shm);
}

static void a_pool_that_nobody_wants_gives_its_place(void)
{
    struct shm *shm = shm_create();
    struct shm_slot *slot = &shm->slots[0];
    char names[SHM_POOLS][16];
    const char *wanted[SHM_POOLS + 1];
    fill_slot(slot, names, wanted);
    struct shm_pool *old = shm_slot_pool(slot, "pool-5", wanted),
                    *kept = shm_slot_pool(slot, "pool-6", wanted);
    counter_add(&figures_of(old)->completed, 7);
    counter_add(&figures_of(kept)->completed, 8);
    wanted[5] = "new";
    struct shm_pool *new = shm_slot_pool(slot, "new", wanted);
    CU_ASSERT_PTR_EQUAL(new, old);
    CU_ASSERT_STRING_EQUAL(new->name, "new");
    CHECK_NUMBER(counter_get(&figures_of(new)->completed), 0); /* it starts anew */
    CHECK_NUMBER(counter_get(&figures_of(kept)->completed), 8);
    CU_ASSERT_PTR_NULL(shm_slot_pool(slot, "another", wanted));
    shm_destroy(shm);
}

static void the_longest_name_fits(void)
{
    struct shm *shm = shm_create();
    const char *longest = "a-name-of-exactly-31-characters";
    CHECK_NUMBER(strlen(longest), SHM_POOL_NAME_BYTES - 1);
    struct shm_pool *p = shm_slot_pool(&shm->slots[0], longest, nothing);
    CU_ASSERT_STRING_EQUAL(p->name, longest);
    CU_ASSERT_PTR_EQUAL(shm_slot_pool(&shm->slots[0], longest, nothing), p);
    shm_destroy(shm);
}

static void a_dead_workers_gauges_go_and_its_counters_stay(void)
{
    struct shm *shm = shm_create();
    struct shm_slot *slot = &shm->slots[0];
    slot->pid = 4711;
    counter_set(&slot->connections, 5);
    counter_set(&slot->connection_states[SHM_CONNECTION_WAITING], 5);
    counter_set(&slot->in_flight, 2);
    counter_set(&slot->memory_resident_bytes, 1000);
    counter_set(&slot->cpu_us, 30);
    counter_set(&slot->accepted, 7);
    counter_set(&slot->codes[200], 6);
    shm_slot_clear_gauges(slot);
    CHECK_NUMBER(slot->pid, 0);
    CHECK_NUMBER(counter_get(&slot->connections), 0);
    CHECK_NUMBER(counter_get(&slot->connection_states[SHM_CONNECTION_WAITING]), 0);
    CHECK_NUMBER(counter_get(&slot->in_flight), 0);
    CHECK_NUMBER(counter_get(&slot->memory_resident_bytes), 0);
    CHECK_NUMBER(counter_get(&slot->accepted), 7);
    CHECK_NUMBER(counter_get(&slot->codes[200]), 6);
    CHECK_NUMBER(counter_get(&slot->cpu_us) + counter_get(&slot->cpu_us_before), 30); /* never backwards */
    counter_set(&slot->cpu_us, 12);
    shm_slot_clear_gauges(slot);
    CHECK_NUMBER(counter_get(&slot->cpu_us_before), 42);
    shm_destroy(shm);
}

static void children_write_what_parents_read(void)
{
    struct shm *shm = shm_create();
    pid_t pid = fork();
    if (pid == 0) {
        counter_add(&shm->slots[9].requests, 11);
        _exit(0);
    }
    CU_ASSERT_FATAL(pid > 0);
    CHECK_NUMBER(waitpid(pid, NULL, 0), pid);
    CHECK_NUMBER(counter_get(&shm->slots[9].requests), 11);
    shm_destroy(shm);
}

static const struct check_case cases[] = {
    {"starts empty", starts_empty},
    {"each worker has its own lines", each_worker_has_its_own_lines},
    {"used slots are counted", used_slots_are_counted},
    {"pools are found by name", pools_are_found_by_name},
    {"a pool that nobody wants gives its place", a_pool_that_nobody_wants_gives_its_place},
    {"the longest name fits", the_longest_name_fits},
    {"a dead worker's gauges go and its counters stay", a_dead_workers_gauges_go_and_its_counters_stay},
    {"children write what parents read", children_write_what_parents_read},
};

CHECK_MAIN("shm/shm", cases)
