/*
 * tests/unit/pool/test_shutdown_race.c - a pool that two threads shut down, one of whom opens it again at once: the other has
 * seen it come to rest, too.
 */
#include "tests/unit/pool/pool_help.h"

enum { ROUNDS = 300, CALLERS = 3, DEADLINE_MS = 5000 };

struct round {
    struct pool *pool;
    struct job before, after;
    struct latch hold_before, hold_after;
    uint64_t deadline_us;
    atomic_bool opened; /* again, by whoever came first */
    atomic_int called, returned, fine;
};

/* What each caller does; the first of them gives the pool more to do, which lasts until the others have returned. */
static void *shut_down(void *with)
{
    struct round *r = with;
    atomic_fetch_add(&r->called, 1);
    enum pool_result result = pool_shutdown(r->pool, POOL_DRAIN, r->deadline_us);
    if (result == POOL_OK && !atomic_exchange(&r->opened, true) &&
        (pool_restart(r->pool) != POOL_OK || pool_submit(r->pool, &r->after.task) != POOL_OK))
        result = POOL_EINVAL;
    atomic_fetch_add(&r->fine, result == POOL_OK);
    atomic_fetch_add(&r->returned, 1);
    return NULL;
}

/* Whether all callers returned, and well, while the second job ran. */
static bool all_return(uint64_t deadline_us)
{
    pthread_t threads[CALLERS];
    struct round r = {.pool = pool_of(0, 2, 4),
                      .hold_before = LATCH_CLOSED,
                      .hold_after = LATCH_CLOSED,
                      .deadline_us = deadline_us};
    r.before = job_with(&r.hold_before);
    r.after = job_with(&r.hold_after);
    job_begin(r.pool, &r.before);
    for (int i = 0; i < CALLERS; i++)
        pthread_create(&threads[i], NULL, shut_down, &r);
    while (atomic_load(&r.called) < CALLERS)
        check_pause();
    check_pause(); /* so that they wait, mostly */
    latch_open(&r.hold_before);
    CHECK_EVENTUALLY(atomic_load(&r.returned) == CALLERS);
    bool all = atomic_load(&r.returned) == CALLERS && atomic_load(&r.fine) == CALLERS;
    latch_open(&r.hold_after);
    CHECK_NUMBER(pool_shutdown(r.pool, POOL_DRAIN, UINT64_MAX),
                 POOL_OK); /* and frees those that still wait */
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    job_check_end(&r.after, POOL_TASK_DONE);
    pool_check_sums(r.pool);
    pool_destroy(r.pool);
    return all;
}

static void rounds(bool bounded)
{
    bool all = true;
    for (int i = 0; i < ROUNDS && all; i++)
        all = all_return(bounded ? in_ms(DEADLINE_MS) : UINT64_MAX);
    CU_ASSERT(all);
}

static void nobody_waits_for_ever(void)
{
    rounds(false);
}

static void nobody_waits_to_the_deadline(void)
{
    rounds(true);
}

static const struct check_case cases[] = {
    {"nobody waits for ever", nobody_waits_for_ever},
    {"nobody waits to the deadline", nobody_waits_to_the_deadline},
};

CHECK_MAIN("pool: shutting down by several", cases)
