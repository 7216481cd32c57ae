/*
 * tests/unit/pool/test_refusal.c - a system that refuses threads: the pool goes on with those that it has, and asks
 * again.
 *
 * Such a system is made in two ways: by stacks larger than any address space, and, in a child process, by a limit of
 * the address space that can be raised again. Of the second one the pool is told nothing.
 */
#include "tests/unit/pool/pool_help.h"

#include <sys/resource.h>
#include <sys/wait.h>

static const size_t IMPOSSIBLE_STACK = (size_t)1 << 55;

static void prestarting_says_when_it_is_refused(void)
{
    struct pool_config config = {.min = 2, .max = 3, .max_queue = 5, .stack_bytes = IMPOSSIBLE_STACK};
    struct pool *pool = pool_create(&config);
    CHECK_NUMBER(pool_prestart(pool), POOL_EOVERLOAD);
    CHECK_NUMBER(FIGURE(pool, spawn_failures), 1);
    CHECK_NUMBER(FIGURE(pool, spawned), 0);
    config.stack_bytes = 0;
    CHECK_NUMBER(pool_reconfigure(pool, &config), POOL_OK);
    CHECK_NUMBER(pool_prestart(pool), POOL_OK);
    pool_settle(pool, 2);
    pool_destroy(pool);
}

/* Refused more threads, a pool goes on with those that it has. */
static void fewer_threads_do_the_work(void)
{
    enum { TASKS = 50 };
    struct pool_config config = {.min = 2, .max = 8, .max_queue = TASKS};
    struct pool *pool = pool_create(&config);
    struct job held[2];
    struct latch holds[2];
    static struct job jobs[TASKS];
    CHECK_NUMBER(pool_prestart(pool), POOL_OK);
    pool_settle(pool, 2);
    config.stack_bytes = IMPOSSIBLE_STACK;
    CHECK_NUMBER(pool_reconfigure(pool, &config), POOL_OK);
    for (int i = 0; i < 2; i++) {
        holds[i] = (struct latch)LATCH_CLOSED;
        held[i] = job_with(&holds[i]);
        job_begin(pool, &held[i]);
    }
    for (int i = 0; i < TASKS; i++) {
        jobs[i] = job_with(NULL);
        CHECK_NUMBER(pool_submit(pool, &jobs[i].task), POOL_OK);
    }
    CU_ASSERT(FIGURE(pool, spawn_failures) > 0);
    latch_open(&holds[0]);
    for (int i = 0; i < TASKS; i++)
        job_check_end(&jobs[i], POOL_TASK_DONE);
    latch_open(&holds[1]);
    pool_settle(pool, 2);
    CHECK_NUMBER(FIGURE(pool, spawned), 2);
    CU_ASSERT(FIGURE(pool, spawn_failures) < TASKS); /* it does not ask for each */
    pool_check_sums(pool);
    pool_destroy(pool);
}

/* Whether the next attempt to start a thread is made by one who submits, or by pool_expire. */
static void refused_at_first(bool by_expire)
{
    struct pool_config config = {.max = 1, .max_queue = 5, .stack_bytes = IMPOSSIBLE_STACK};
    struct pool *pool = pool_create(&config);
    struct job first = job_with(NULL), next = job_with(NULL);
    CHECK_NUMBER(pool_submit(pool, &first.task), POOL_OK);
    CHECK_NUMBER(FIGURE(pool, spawn_failures), 1);
    usleep(15000);
    if (by_expire)
        pool_expire(pool);
    else
        CHECK_NUMBER(pool_submit(pool, &next.task), POOL_OK);
    CHECK_NUMBER(FIGURE(pool, spawn_failures), 2);
    CHECK_NUMBER(atomic_load(&first.ended), 0);
    config.stack_bytes = 0;
    CHECK_NUMBER(pool_reconfigure(pool, &config), POOL_OK);
    job_check_end(&first, POOL_TASK_DONE);
    pool_destroy(pool);
}

static void expiring_tries_again(void)
{
    refused_at_first(true);
}

static void submitting_tries_again(void)
{
    refused_at_first(false);
}

/* A pool without a single thread is empty as soon as nothing waits any more: whoever waits for that hears of it. */
static void *shut_down(void *pool)
{
    uint64_t begun_us = clock_mono_us();
    bool closed = pool_shutdown(pool, POOL_DRAIN, begun_us + 2000000) == POOL_OK;
    return closed && clock_mono_us() < begun_us + 1500000 ? pool : NULL;
}

static void the_last_task_taken_back_ends_a_shutdown(void)
{
    for (int by_expiry = 0; by_expiry <= 1; by_expiry++) {
        struct pool_config config = {.max = 1, .max_queue = 5, .stack_bytes = IMPOSSIBLE_STACK};
        config.queue_timeout_ms = by_expiry ? 100 : 0;
        struct pool *pool = pool_create(&config);
        struct job j = job_with(NULL);
        pthread_t thread;
        void *in_time = NULL;
        CHECK_NUMBER(pool_submit(pool, &j.task), POOL_OK);
        CHECK_NUMBER(pthread_create(&thread, NULL, shut_down, pool), 0);
        usleep(by_expiry ? 150000 : 50000);
        if (by_expiry)
            pool_expire(pool);
        else
            CU_ASSERT(pool_cancel(pool, &j.task));
        job_check_end(&j, by_expiry ? POOL_TASK_EXPIRED : POOL_TASK_CANCELLED);
        pthread_join(thread, &in_time);
        CU_ASSERT_PTR_NOT_NULL(in_time);
        pool_destroy(pool);
    }
}

static void run_fail_when_let(struct pool_task *t)
{
    job_run(t);
    pool_task_fail("it has been waited for");
}

/* Where the last thread ends, and no other one can be started for what waits, a shutdown that waits asks again. */
static void a_shutdown_goes_on_asking_for_a_thread(void)
{
    struct pool_config config = {.max = 1, .max_queue = 5};
    struct pool *pool = pool_create(&config);
    struct latch hold = LATCH_CLOSED;
    struct job last = job_with(&hold), waits = job_with(NULL);
    pthread_t thread;
    void *in_time = NULL;
    last.task.run = run_fail_when_let;
    job_begin(pool, &last);
    CHECK_NUMBER(pool_submit(pool, &waits.task), POOL_OK);
    config.stack_bytes = IMPOSSIBLE_STACK;
    CHECK_NUMBER(pool_reconfigure(pool, &config), POOL_OK);
    CHECK_NUMBER(pthread_create(&thread, NULL, shut_down, pool), 0);
    usleep(50000); /* it waits for the task that runs */
    latch_open(&hold);
    job_check_end(&last, POOL_TASK_FAILED);
    uint64_t end_ms = clock_mono_ms() + 1000;
    while (FIGURE(pool, spawn_failures) < 4 && clock_mono_ms() < end_ms)
        check_pause();
    CU_ASSERT(FIGURE(pool, spawn_failures) >= 4);
    CU_ASSERT(pool_cancel(pool, &waits.task));
    pthread_join(thread, &in_time);
    pool_destroy(pool);
}

/* Bytes of address space in use. */
static size_t mapped_bytes(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f || fscanf(f, "%lu", &pages) != 1)
        _exit(99);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void limit_memory(bool limited)
{
    struct rlimit r;
    getrlimit(RLIMIT_AS, &r);
    r.rlim_cur = limited ? mapped_bytes() + ((size_t)16 << 20) : r.rlim_max;
    setrlimit(RLIMIT_AS, &r);
}

static bool wait_for(atomic_int *what)
{
    uint64_t end_ms = clock_mono_ms() + 3000;
    while (!atomic_load(what) && clock_mono_ms() < end_ms)
        check_pause();
    return atomic_load(what);
}

/*
 * In a child process: `threads` are there and busy, and no more can be started; then they can. Returns 0 when it went
 * as it should, or which step did not.
 */
static int meet_the_limit(unsigned threads, bool by_expire)
{
    struct pool_config config = {.min = threads, .max = 4, .max_queue = 10, .stack_bytes = (size_t)64 << 20};
    struct pool *pool = pool_create(&config);
    struct latch hold = LATCH_CLOSED;
    static struct job busy[4], first, next;
    for (unsigned i = 0; i < threads; i++) {
        busy[i] = job_with(&hold);
        if (pool_submit(pool, &busy[i].task) != POOL_OK || !wait_for(&busy[i].started))
            return 1;
    }
    first = next = job_with(NULL);
    limit_memory(true);
    if (pool_submit(pool, &first.task) != POOL_OK || FIGURE(pool, spawn_failures) != 1)
        return 2;
    usleep(20000);
    limit_memory(false);
    if (by_expire)
        pool_expire(pool);
    else if (pool_submit(pool, &next.task) != POOL_OK)
        return 3;
    if (!wait_for(&first.ended))
        return 4;
    latch_open(&hold);
    return pool_shutdown(pool, POOL_DRAIN, in_ms(5000)) == POOL_OK ? 0 : 5;
}

static void a_limit_that_is_lifted_is_noticed(void)
{
    /* They need more address space than any limit allows. */
    if (TEST_SANITIZED || test_simulated())
        return;
    for (unsigned threads = 0; threads <= 2; threads++)
        for (int by_expire = threads > 0; by_expire <= 1;
             by_expire++) { /* who submits asks only if there is none */
            pid_t child = fork();
            if (child == 0) {
                alarm(30);
                _exit(meet_the_limit(threads, by_expire));
            }
            int status = 0;
            char what[64];
            snprintf(what, sizeof what, "%u busy threads, tried by %s", threads,
                     by_expire ? "pool_expire" : "submitting");
            CHECK_NUMBER(waitpid(child, &status, 0), child);
            CHECK_FOR(what, WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
}

static const struct check_case cases[] = {
    {"a limit that is lifted is noticed", a_limit_that_is_lifted_is_noticed},
    {"prestarting says when it is refused", prestarting_says_when_it_is_refused},
    {"fewer threads do the work", fewer_threads_do_the_work},
    {"expiring tries again", expiring_tries_again},
    {"submitting tries again", submitting_tries_again},
    {"the last task taken back ends a shutdown", the_last_task_taken_back_ends_a_shutdown},
    {"a shutdown goes on asking for a thread", a_shutdown_goes_on_asking_for_a_thread},
};

CHECK_MAIN("pool/refusal", cases)
