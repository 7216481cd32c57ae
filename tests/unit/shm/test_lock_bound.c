/*
 * tests/unit/shm/test_lock_bound.c - a process with a bound for its waiting is not kept from going on by what is written into
 * locks.
 */
#include "shm/lock.h"

#include "base/clock.h"
#include "shm/permit.h"
#include "shm/permit_internal.h"
#include "tests/unit/check.h"

#include <pthread.h>

enum { BOUND_MS = 60, LOCKS = 300, LATE_MS = 10000 };

static _Atomic uint32_t word;
static atomic_bool over;

/* Never the same holder for long, and never free. */
static void *scribble(void *with)
{
    for (uint32_t i = 1; !atomic_load(&over); i = i % 1000 + 1)
        atomic_store(&word, i);
    return with;
}

static void a_holder_that_changes(void)
{
    pthread_t thread;
    atomic_store(&word, 1);
    CU_ASSERT_FATAL(pthread_create(&thread, NULL, scribble, NULL) == 0);
    shm_lock_bound(BOUND_MS);
    uint64_t begun_ms = clock_mono_ms();
    CU_ASSERT(shm_lock(&word)); /* as after a death: to be put right */
    CU_ASSERT(clock_mono_ms() < begun_ms + LATE_MS);
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    shm_unlock(&word);
    CHECK_NUMBER(shm_lock_bound(0), 1);
}

static void shorten(uint32_t holder)
{
    CHECK_NUMBER(holder, 200000);
    shm_lock_shorten(BOUND_MS);
}

/* The bound is for all of them together. */
static void many_locks(void)
{
    static _Atomic uint32_t locks[LOCKS];
    uint64_t begun_ms = clock_mono_ms();
    shm_lock_bound(BOUND_MS);
    for (uint32_t i = 0; i < LOCKS; i++) {
        locks[i] = 100000 + i;
        CU_ASSERT(shm_lock(&locks[i]));
        shm_unlock(&locks[i]);
    }
    CU_ASSERT(clock_mono_ms() < begun_ms + LATE_MS);
    CHECK_NUMBER(shm_lock_bound(0), LOCKS);
    CHECK_NUMBER(shm_lock_bound(0), 0);
}

/* A long bound, and then a short one, from the first holder that cannot be. */
static void shorter_from_now_on(void)
{
    static _Atomic uint32_t locks[LOCKS];
    uint64_t begun_ms = clock_mono_ms();
    shm_lock_bound(10 * LATE_MS);
    shm_lock_on_stuck(shorten);
    for (uint32_t i = 0; i < LOCKS; i++) {
        locks[i] = 200000 + i;
        CU_ASSERT(shm_lock(&locks[i]));
        shm_unlock(&locks[i]);
    }
    shm_lock_on_stuck(NULL);
    CU_ASSERT(clock_mono_ms() < begun_ms + LATE_MS);
    CHECK_NUMBER(shm_lock_bound(0), LOCKS);
    shm_lock_shorten(1); /* there is none: nothing */
    CHECK_NUMBER(shm_lock_bound(0), 0);
}

static void free_ones_are_not_forced(void)
{
    _Atomic uint32_t lock = 0;
    shm_lock_bound(BOUND_MS);
    for (int i = 0; i < LOCKS; i++) {
        CU_ASSERT(!shm_lock(&lock));
        shm_unlock(&lock);
    }
    CHECK_NUMBER(shm_lock_bound(0), 0);
}

static const struct check_case cases[] = {
    {"a holder that changes", a_holder_that_changes},
    {"many locks", many_locks},
    {"shorter from now on", shorter_from_now_on},
    {"free ones are not forced", free_ones_are_not_forced},
};

CHECK_MAIN("lock bound", cases)
