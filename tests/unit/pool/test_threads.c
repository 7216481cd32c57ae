/*
 * tests/unit/pool/test_threads.c - how many threads there are: on demand, newest first, retiring, resized both ways.
 */
#include "tests/unit/pool/pool_help.h"

#include <signal.h>

enum { MANY = 6 };

/* Starts `n` jobs that run at the same time, each with its own latch. */
static void begin_all(struct pool *pool, struct job *jobs, struct latch *holds, int n)
{
    for (int i = 0; i < n; i++) {
        holds[i] = (struct latch)LATCH_CLOSED;
        jobs[i] = job_with(&holds[i]);
        job_begin(pool, &jobs[i]);
    }
}

/* Makes the pool have `n` idle threads. */
static void warm_up(struct pool *pool, int n)
{
    struct job jobs[MANY];
    struct latch holds[MANY];
    begin_all(pool, jobs, holds, n);
    for (int i = 0; i < n; i++) {
        latch_open(&holds[i]);
        job_check_end(&jobs[i], POOL_TASK_DONE);
    }
}

static struct pool *pool_with_timeout(unsigned min, unsigned max, unsigned idle_timeout_ms)
{
    struct pool_config config = {
        .min = min, .max = max, .max_queue = 100, .idle_timeout_ms = idle_timeout_ms};
    struct pool *pool = pool_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    return pool;
}

static void run_note_spawned(struct pool_task *t)
{
    struct job *j = job_of(t);
    atomic_store(&j->result, (int)FIGURE(j->pool, spawned));
}

/* Whoever sees that a task runs sees a thread that was started. */
static void a_thread_counts_before_its_first_task(void)
{
    for (int i = 0; i < 500; i++) {
        struct pool *pool = pool_of(0, 1, 1);
        struct job j = job_with(NULL);
        j.task.run = run_note_spawned;
        j.pool = pool;
        CHECK_NUMBER(pool_submit(pool, &j.task), POOL_OK);
        job_check_end(&j, POOL_TASK_DONE);
        CHECK_NUMBER(atomic_load(&j.result), 1);
        pool_destroy(pool);
    }
}

static void start_on_demand_up_to_max(void)
{
    struct pool *pool = pool_of(2, 3, 10);
    struct job jobs[3], queued = job_with(NULL);
    struct latch holds[3];
    CHECK_NUMBER(FIGURE(pool, spawned), 0);
    for (int i = 0; i < 3; i++) {
        holds[i] = (struct latch)LATCH_CLOSED;
        jobs[i] = job_with(&holds[i]);
        job_begin(pool, &jobs[i]);
        CHECK_NUMBER(FIGURE(pool, spawned), i + 1);
        CHECK_NUMBER(FIGURE(pool, running), i + 1);
    }
    CHECK_NUMBER(pool_submit(pool, &queued.task), POOL_OK);
    CHECK_STAYS(!job_has_started(&queued), 20);
    CHECK_NUMBER(FIGURE(pool, spawned), 3);
    CHECK_NUMBER(FIGURE(pool, min), 2);
    CHECK_NUMBER(FIGURE(pool, max), 3);
    for (int i = 0; i < 3; i++)
        latch_open(&holds[i]);
    job_check_end(&queued, POOL_TASK_DONE);
    pool_settle(pool, 3);
    pool_destroy(pool);
}

static void the_newest_idle_thread_is_reused(void)
{
    struct pool *pool = pool_of(0, 3, 0);
    struct job jobs[3], next = job_with(NULL);
    struct latch holds[3];
    begin_all(pool, jobs, holds, 3);
    static const int order[] = {2, 0, 1};
    for (int i = 0; i < 3; i++) {
        latch_open(&holds[order[i]]);
        CHECK_EVENTUALLY(FIGURE(pool, idle) == (uint64_t)i + 1);
    }
    /* Again and again the same one: the others grow cold. */
    for (int i = 0; i < 10; i++) {
        next = job_with(NULL);
        CHECK_NUMBER(pool_submit(pool, &next.task), POOL_OK);
        job_check_end(&next, POOL_TASK_DONE);
        CU_ASSERT(pthread_equal(atomic_load(&next.thread), atomic_load(&jobs[1].thread)));
        pool_settle(pool, 3);
    }
    pool_destroy(pool);
}

static void idle_threads_retire(void)
{
    struct pool *pool = pool_with_timeout(0, 4, 20);
    warm_up(pool, 4);
    CHECK_EVENTUALLY(FIGURE(pool, retired) == 4);
    CHECK_NUMBER(FIGURE(pool, idle), 0);
    /* And new ones start when there is work again. */
    warm_up(pool, 2);
    CHECK_NUMBER(FIGURE(pool, spawned), 6);
    pool_destroy(pool);
}

static void min_threads_stay(void)
{
    for (unsigned min = 1; min <= 3; min++) {
        struct pool *pool = pool_with_timeout(min, 4, 20);
        warm_up(pool, 4);
        CHECK_EVENTUALLY(FIGURE(pool, retired) >= 4 - min);
        CHECK_STAYS(FIGURE(pool, retired) == 4 - min, 80);
        CHECK_NUMBER(FIGURE(pool, idle), min);
        pool_destroy(pool);
    }
}

static void without_a_timeout_all_stay(void)
{
    struct pool *pool = pool_with_timeout(0, 3, 0);
    warm_up(pool, 3);
    CHECK_EVENTUALLY(FIGURE(pool, idle) == 3);
    CHECK_STAYS(FIGURE(pool, idle) == 3, 50);
    pool_destroy(pool);
}

static void cold_threads_retire_under_light_load(void)
{
    struct pool *pool = pool_with_timeout(0, 4, 60);
    warm_up(pool, 4);
    uint64_t end_ms = clock_mono_ms() + CHECK_PATIENCE_MS;
    while (FIGURE(pool, retired) < 3 && clock_mono_ms() < end_ms) {
        struct job j = job_with(NULL);
        CHECK_NUMBER(pool_submit(pool, &j.task), POOL_OK);
        job_check_end(&j, POOL_TASK_DONE);
    }
    CHECK_NUMBER(FIGURE(pool, retired), 3);
    CHECK_NUMBER(FIGURE(pool, spawned), 4); /* one went on serving all the time */
    pool_destroy(pool);
}

static void growing_serves_the_queue_at_once(void)
{
    struct pool *pool = pool_of(0, 1, 10);
    struct latch hold = LATCH_CLOSED;
    struct job jobs[4] = {job_with(&hold), job_with(&hold), job_with(&hold), job_with(&hold)};
    job_begin(pool, &jobs[0]);
    for (int i = 1; i < 4; i++)
        CHECK_NUMBER(pool_submit(pool, &jobs[i].task), POOL_OK);
    CHECK_NUMBER(pool_reconfigure(pool, &(struct pool_config){.max = 3, .max_queue = 10}), POOL_OK);
    CHECK_EVENTUALLY(job_has_started(&jobs[1]) && job_has_started(&jobs[2]));
    CHECK_STAYS(!job_has_started(&jobs[3]), 20);
    latch_open(&hold);
    for (int i = 0; i < 4; i++)
        job_check_end(&jobs[i], POOL_TASK_DONE);
    pool_destroy(pool);
}

static void shrinking_retires_busy_threads_as_they_end(void)
{
    struct pool *pool = pool_of(0, 3, 10);
    struct job jobs[3], queued = job_with(NULL);
    struct latch holds[3];
    begin_all(pool, jobs, holds, 3);
    CHECK_NUMBER(pool_submit(pool, &queued.task), POOL_OK);
    CHECK_NUMBER(pool_reconfigure(pool, &(struct pool_config){.max = 1, .max_queue = 10}), POOL_OK);
    for (int i = 0; i < 2; i++) {
        latch_open(&holds[i]);
        job_check_end(&jobs[i], POOL_TASK_DONE);
        CHECK_EVENTUALLY(FIGURE(pool, retired) == (uint64_t)i + 1);
    }
    CHECK_STAYS(!job_has_started(&queued), 20); /* one thread is allowed, and it is taken */
    latch_open(&holds[2]);
    job_check_end(&queued, POOL_TASK_DONE);
    pool_settle(pool, 1);
    CHECK_NUMBER(FIGURE(pool, retired), 2);
    CHECK_NUMBER(FIGURE(pool, spawned), 3);
    pool_destroy(pool);
}

static void shrinking_retires_no_more_idle_threads_than_it_must(void)
{
    for (unsigned round = 0; round < 30; round++) {
        unsigned max = 1 + round % (MANY - 1);
        struct pool *pool = pool_of(1, MANY, 10);
        warm_up(pool, MANY);
        pool_settle(pool, MANY);
        CHECK_NUMBER(pool_reconfigure(pool, &(struct pool_config){.min = 1, .max = max, .max_queue = 10}),
                     POOL_OK);
        CHECK_EVENTUALLY(FIGURE(pool, retired) >= MANY - max);
        CHECK_STAYS(FIGURE(pool, retired) == MANY - max, 5);
        CHECK_NUMBER(FIGURE(pool, idle), max);
        pool_destroy(pool);
    }
}

static void lowering_min_and_timeout_reaches_idle_threads(void)
{
    struct pool *pool = pool_with_timeout(3, 3, 0);
    warm_up(pool, 3);
    pool_settle(pool, 3);
    CHECK_NUMBER(pool_reconfigure(pool, &(struct pool_config){.max = 3, .idle_timeout_ms = 10}), POOL_OK);
    CHECK_EVENTUALLY(FIGURE(pool, retired) == 3);
    pool_destroy(pool);
}

static void resizing_back_and_forth_loses_nothing(void)
{
    struct pool *pool = pool_of(0, 4, 1000);
    static struct job jobs[400];
    for (int i = 0; i < 400; i++) {
        jobs[i] = job_with(NULL);
        CHECK_NUMBER(pool_submit(pool, &jobs[i].task), POOL_OK);
        unsigned max = (unsigned)i % 5 + 1;
        struct pool_config config = {.min = max / 2, .max = max, .max_queue = 1000, .idle_timeout_ms = 1};
        CHECK_NUMBER(pool_reconfigure(pool, &config), POOL_OK);
    }
    for (int i = 0; i < 400; i++)
        job_check_end(&jobs[i], POOL_TASK_DONE);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    CHECK_NUMBER(FIGURE(pool, completed), 400);
    pool_check_sums(pool);
    CHECK_NUMBER(FIGURE(pool, spawned), FIGURE(pool, retired));
    pool_destroy(pool);
}

static void a_thread_that_cannot_start_costs_no_task(void)
{
    struct pool_config config = {
        .max = 1, .max_queue = 1, .stack_bytes = (size_t)1 << 55}; /* more than there is */
    struct pool *pool = pool_create(&config);
    struct job j = job_with(NULL);
    CHECK_NUMBER(pool_submit(pool, &j.task), POOL_OK);
    CHECK_NUMBER(FIGURE(pool, spawn_failures), 1);
    CHECK_NUMBER(FIGURE(pool, spawned), 0);
    CHECK_NUMBER(pool_waiting(pool), 1);
    pool_expire(pool); /* tries again */
    CHECK_NUMBER(FIGURE(pool, spawn_failures), 2);
    CHECK_NUMBER(atomic_load(&j.ended), 0);
    CU_ASSERT(pool_cancel(pool, &j.task));
    job_check_end(&j, POOL_TASK_CANCELLED);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    pool_destroy(pool);
}

struct surroundings {
    struct job job;
    char name[32];
    sigset_t blocked;
};

static void run_look_around(struct pool_task *t)
{
    struct surroundings *s = container_of(job_of(t), struct surroundings, job);
    pthread_getname_np(pthread_self(), s->name, sizeof s->name);
    pthread_sigmask(SIG_SETMASK, NULL, &s->blocked);
}

static void threads_have_a_name_and_take_no_signals(void)
{
    struct pool_config config = {.name = "disk-and-more", .max = 1, .stack_bytes = 262144};
    struct pool *pool = pool_create(&config);
    struct surroundings s = {.job = job_with(NULL)};
    s.job.task.run = run_look_around;
    CHECK_NUMBER(pool_submit(pool, &s.job.task), POOL_OK);
    job_check_end(&s.job, POOL_TASK_DONE);
    CU_ASSERT_STRING_EQUAL(s.name, "pool disk-and-m");
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGCHLD, SIGUSR1, SIGALRM};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        CHECK_NUMBER(sigismember(&s.blocked, signals[i]), 1);
    sigset_t own;
    pthread_sigmask(SIG_SETMASK, NULL, &own);
    CHECK_NUMBER(sigismember(&own, SIGTERM), 0); /* the submitter's mask is as it was */
    pool_destroy(pool);
}

static const struct check_case cases[] = {
    {"start on demand up to max", start_on_demand_up_to_max},
    {"a thread counts before its first task", a_thread_counts_before_its_first_task},
    {"the newest idle thread is reused", the_newest_idle_thread_is_reused},
    {"idle threads retire", idle_threads_retire},
    {"min threads stay", min_threads_stay},
    {"without a timeout all stay", without_a_timeout_all_stay},
    {"cold threads retire under light load", cold_threads_retire_under_light_load},
    {"growing serves the queue at once", growing_serves_the_queue_at_once},
    {"shrinking retires busy threads as they end", shrinking_retires_busy_threads_as_they_end},
    {"shrinking retires no more idle threads than it must",
     shrinking_retires_no_more_idle_threads_than_it_must},
    {"lowering min and timeout reaches idle threads", lowering_min_and_timeout_reaches_idle_threads},
    {"resizing back and forth loses nothing", resizing_back_and_forth_loses_nothing},
    {"a thread that cannot start costs no task", a_thread_that_cannot_start_costs_no_task},
    {"threads have a name and take no signals", threads_have_a_name_and_take_no_signals},
};

CHECK_MAIN("pool/threads", cases)
