/*
 * tests/unit/pool/test_visit.c - looking at running tasks, starting threads ahead of time, and systems that refuse them.
 *
 * A system that refuses threads is made in two ways: by stacks larger than any address space, and, in a child process,
 * by a limit of the address space that can be raised again. The second one knows nothing of the pool.
 */
#include "tests/unit/pool/pool_help.h"

#include <sys/resource.h>
#include <sys/wait.h>

enum { RUNNING = 4 };

static const size_t IMPOSSIBLE_STACK = (size_t)1 << 55;

/* A job that knows its thread. */
struct known {
    struct job job;
    struct latch hold;
    _Atomic pid_t tid;
};

static void run_known(struct pool_task *t)
{
    atomic_store(&container_of(job_of(t), struct known, job)->tid, gettid());
    job_run(t);
}

static void known_begin(struct known *k, struct pool *pool)
{
    *k = (struct known){.hold = LATCH_CLOSED};
    k->job = job_with(&k->hold);
    k->job.task.run = run_known;
    job_begin(pool, &k->job);
}

/* What a visit saw, up to so many. */
struct sight {
    struct pool_running seen[RUNNING + 1];
    int count, limit;
};

static bool look(const struct pool_running *running, void *arg)
{
    struct sight *s = arg;
    if (s->count <= RUNNING)
        s->seen[s->count] = *running;
    return ++s->count < s->limit;
}

static struct sight visit(struct pool *pool, int limit)
{
    struct sight s = {.limit = limit};
    pool_visit_running(pool, look, &s);
    return s;
}

static void a_visit_sees_the_oldest_first(void)
{
    struct pool *pool = pool_of(0, RUNNING, 10);
    struct known jobs[RUNNING];
    struct job queued = job_with(NULL);
    CHECK_NUMBER(visit(pool, 100).count, 0);
    for (int i = 0; i < RUNNING; i++) {
        known_begin(&jobs[i], pool);
        CHECK_EVENTUALLY(clock_mono_us() > jobs[i].job.task.started_us + 2000);
    }
    CHECK_NUMBER(pool_submit(pool, &queued.task), POOL_OK);
    struct sight s = visit(pool, 100);
    CHECK_NUMBER(s.count, RUNNING); /* and not the one that waits */
    for (int i = 0; i < RUNNING; i++) {
        CU_ASSERT_PTR_EQUAL(s.seen[i].task, &jobs[i].job.task);
        CHECK_NUMBER(s.seen[i].tid, atomic_load(&jobs[i].tid));
        CU_ASSERT(!s.seen[i].abandoned);
        CU_ASSERT(s.seen[i].age_us >= 2000 && (i == 0 || s.seen[i].age_us <= s.seen[i - 1].age_us));
    }
    CU_ASSERT(pool_oldest_running_us(pool) >= s.seen[0].age_us);
    for (int limit = 1; limit <= RUNNING; limit++)
        CHECK_NUMBER(visit(pool, limit).count, limit); /* it stops where it is told to */
    for (int i = 0; i < RUNNING; i++)
        latch_open(&jobs[i].hold);
    job_check_end(&queued, POOL_TASK_DONE);
    pool_settle(pool, RUNNING);
    CHECK_NUMBER(visit(pool, 100).count, 0);
    pool_destroy(pool);
}

static void a_visit_sees_what_was_given_up(void)
{
    struct pool *pool = pool_of(0, 2, 10);
    struct known jobs[3];
    known_begin(&jobs[0], pool);
    known_begin(&jobs[1], pool);
    CU_ASSERT(pool_abandon(pool, &jobs[1].job.task));
    known_begin(&jobs[2], pool);
    struct sight s = visit(pool, 100);
    CHECK_NUMBER(s.count, 3);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_PTR_EQUAL(s.seen[i].task, &jobs[i].job.task);
        CHECK_NUMBER(s.seen[i].abandoned, i == 1);
        CHECK_NUMBER(s.seen[i].tid, atomic_load(&jobs[i].tid));
    }
    latch_open(&jobs[0].hold);
    job_check_end(&jobs[0].job, POOL_TASK_DONE);
    CHECK_EVENTUALLY(visit(pool, 100).count == 2);
    CU_ASSERT_PTR_EQUAL(visit(pool, 1).seen[0].task, &jobs[1].job.task);
    latch_open(&jobs[1].hold);
    latch_open(&jobs[2].hold);
    job_check_end(&jobs[1].job, POOL_TASK_DONE);
    job_check_end(&jobs[2].job, POOL_TASK_DONE);
    pool_destroy(pool);
}

/* Visits all the time, while tasks begin and end: what is seen of a task must be true of it. */
static bool compare_tid(const struct pool_running *running, void *wrong)
{
    const struct job *j = container_of(running->task, struct job, task);
    if (running->task->run != run_known || j->pool == NULL || running->tid <= 0)
        ++*(int *)wrong;
    return true;
}

static void visits_disturb_nobody(void)
{
    enum { TASKS = 20000 };
    static struct known jobs[TASKS];
    struct pool *pool = pool_of(0, 3, TASKS);
    int wrong = 0, visits = 0;
    for (int i = 0; i < TASKS; i++) {
        jobs[i].job = job_with(NULL);
        jobs[i].job.task.run = run_known;
        jobs[i].job.pool = pool;
        CHECK_NUMBER(pool_submit(pool, &jobs[i].job.task), POOL_OK);
        if (i % 64 == 0)
            pool_visit_running(pool, compare_tid, &wrong);
    }
    while (FIGURE(pool, completed) < TASKS && visits++ < 1000000)
        pool_visit_running(pool, compare_tid, &wrong);
    CHECK_NUMBER(wrong, 0);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    CHECK_NUMBER(FIGURE(pool, completed), TASKS);
    pool_destroy(pool);
}

static void prestarting_starts_min_threads(void)
{
    for (unsigned min = 0; min <= 5; min++) {
        struct pool *pool = pool_of(min, 5, 10);
        CHECK_NUMBER(FIGURE(pool, spawned), 0);
        CHECK_NUMBER(pool_prestart(pool), POOL_OK);
        CHECK_NUMBER(FIGURE(pool, spawned), min);
        pool_settle(pool, min);
        CHECK_NUMBER(pool_prestart(pool), POOL_OK); /* they are there */
        CHECK_NUMBER(FIGURE(pool, spawned), min);
        CHECK_STAYS(FIGURE(pool, idle) == min, 5);
        struct known k[5];
        for (unsigned i = 0; i < 5; i++)
            known_begin(&k[i], pool);
        CHECK_NUMBER(FIGURE(pool, spawned), 5);
        for (unsigned i = 0; i < 5; i++)
            latch_open(&k[i].hold);
        CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
        CHECK_NUMBER(pool_prestart(pool), POOL_ECLOSED);
        CHECK_NUMBER(FIGURE(pool, spawned), 5);
        CHECK_NUMBER(pool_restart(pool), POOL_OK);
        CHECK_NUMBER(pool_prestart(pool), POOL_OK);
        pool_settle(pool, min);
        pool_destroy(pool);
    }
}

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
    struct known held[2];
    static struct job jobs[TASKS];
    CHECK_NUMBER(pool_prestart(pool), POOL_OK);
    pool_settle(pool, 2);
    config.stack_bytes = IMPOSSIBLE_STACK;
    CHECK_NUMBER(pool_reconfigure(pool, &config), POOL_OK);
    known_begin(&held[0], pool);
    known_begin(&held[1], pool);
    for (int i = 0; i < TASKS; i++) {
        jobs[i] = job_with(NULL);
        CHECK_NUMBER(pool_submit(pool, &jobs[i].task), POOL_OK);
    }
    CU_ASSERT(FIGURE(pool, spawn_failures) > 0);
    latch_open(&held[0].hold);
    for (int i = 0; i < TASKS; i++)
        job_check_end(&jobs[i], POOL_TASK_DONE);
    latch_open(&held[1].hold);
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

/* Pages of address space in use. */
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
    if (TEST_SANITIZED || test_simulated())
        return; /* they need more address space than any limit allows */
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
    {"a visit sees the oldest first", a_visit_sees_the_oldest_first},
    {"a visit sees what was given up", a_visit_sees_what_was_given_up},
    {"visits disturb nobody", visits_disturb_nobody},
    {"prestarting starts min threads", prestarting_starts_min_threads},
    {"prestarting says when it is refused", prestarting_says_when_it_is_refused},
    {"fewer threads do the work", fewer_threads_do_the_work},
    {"expiring tries again", expiring_tries_again},
    {"submitting tries again", submitting_tries_again},
    {"the last task taken back ends a shutdown", the_last_task_taken_back_ends_a_shutdown},
};

CHECK_MAIN("pool/visit", cases)
