/*
 * tests/unit/pool/test_collect.c - ends without a callback: notify says that there are some, collect hands them out.
 */
#include "tests/unit/pool/pool_help.h"

#include <semaphore.h>

enum { TASKS = 50 };

static void count_notify(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static struct pool *pool_that_notifies(unsigned max, size_t max_queue, atomic_int *notified)
{
    struct pool_config config = {
        .max = max, .max_queue = max_queue, .notify = count_notify, .notify_arg = notified};
    struct pool *pool = pool_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    return pool;
}

static struct job silent_job(struct latch *hold)
{
    struct job j = job_with(hold);
    j.task.done = NULL;
    return j;
}

static void ends_are_collected_oldest_first(void)
{
    atomic_int notified = 0;
    struct pool *pool = pool_that_notifies(1, TASKS, &notified);
    struct job jobs[TASKS];
    CU_ASSERT_PTR_NULL(pool_collect(pool));
    for (int i = 0; i < TASKS; i++) {
        jobs[i] = silent_job(NULL);
        CHECK_NUMBER(pool_submit(pool, &jobs[i].task), POOL_OK);
    }
    CHECK_EVENTUALLY(FIGURE(pool, completed) == TASKS);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    CHECK_NUMBER(atomic_load(&notified), 1); /* once: nobody collected in between */
    struct pool_task *t = pool_collect(pool);
    for (int i = 0; i < TASKS; i++, t = t ? t->next : NULL) {
        CU_ASSERT_PTR_EQUAL(t, &jobs[i].task);
        CHECK_NUMBER(jobs[i].task.outcome, POOL_TASK_DONE);
    }
    CU_ASSERT_PTR_NULL(t);
    CU_ASSERT_PTR_NULL(pool_collect(pool));
    pool_destroy(pool);
}

static void every_kind_of_end_is_collected(void)
{
    atomic_int notified = 0;
    struct pool *pool = pool_that_notifies(1, TASKS, &notified);
    struct latch hold = LATCH_CLOSED;
    struct job running = silent_job(&hold), cancelled = silent_job(NULL), dropped = silent_job(NULL);
    job_begin(pool, &running);
    CHECK_NUMBER(pool_submit(pool, &cancelled.task), POOL_OK);
    CHECK_NUMBER(pool_submit(pool, &dropped.task), POOL_OK);
    CU_ASSERT(pool_cancel(pool, &cancelled.task));
    CHECK_NUMBER(atomic_load(&notified), 1);
    struct pool_task *t = pool_collect(pool);
    CU_ASSERT_PTR_EQUAL(t, &cancelled.task);
    CU_ASSERT(t && !t->next && t->outcome == POOL_TASK_CANCELLED);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DROP, in_ms(1)), POOL_ETIMEDOUT);
    CHECK_NUMBER(atomic_load(&notified), 2); /* again, since it had been emptied */
    t = pool_collect(pool);
    CU_ASSERT_PTR_EQUAL(t, &dropped.task);
    CHECK_NUMBER(dropped.task.outcome, POOL_TASK_DROPPED);
    CU_ASSERT(pool_abandon(pool, &running.task));
    CHECK_NUMBER(atomic_load(&notified), 2);
    latch_open(&hold);
    CHECK_EVENTUALLY(atomic_load(&notified) == 3);
    t = pool_collect(pool);
    CU_ASSERT_PTR_EQUAL(t, &running.task);
    pool_destroy(pool);
}

static void post_notify(void *arg)
{
    sem_post(arg);
}

/* Whether there was one within CHECK_PATIENCE_MS. */
static bool wait_for_notice(sem_t *notices)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += CHECK_PATIENCE_MS / 1000 * check_slowness();
    return sem_clockwait(notices, CLOCK_MONOTONIC, &end) == 0;
}

/* Nobody looks without having been notified, and yet everything is found: the promise that an event loop builds on. */
static void collecting_on_notice_alone_misses_nothing(void)
{
    enum { ALL = 20000 };
    static struct job jobs[ALL];
    sem_t notices;
    sem_init(&notices, 0, 0);
    struct pool *pool = pool_create(
        &(struct pool_config){.max = 3, .max_queue = ALL, .notify = post_notify, .notify_arg = &notices});
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    int submitted = 0, collected = 0;
    while (collected < ALL) {
        for (int i = 0; i < 10 && submitted < ALL; i++, submitted++) {
            jobs[submitted] = silent_job(NULL);
            pool_submit(pool, &jobs[submitted].task);
        }
        if (!wait_for_notice(&notices))
            break;
        for (struct pool_task *t = pool_collect(pool); t; t = t->next)
            collected++;
    }
    CHECK_NUMBER(collected, ALL);
    pool_destroy(pool);
    sem_destroy(&notices);
}

static void tasks_with_a_callback_are_not_collected(void)
{
    atomic_int notified = 0;
    struct pool *pool = pool_that_notifies(1, 1, &notified);
    struct job j = job_with(NULL);
    CHECK_NUMBER(pool_submit(pool, &j.task), POOL_OK);
    job_check_end(&j, POOL_TASK_DONE);
    CU_ASSERT_PTR_NULL(pool_collect(pool));
    CHECK_NUMBER(atomic_load(&notified), 0);
    pool_destroy(pool);
}

static void figures_outlive_the_pool(void)
{
    static struct pool_figures figures;
    struct pool_config config = {.max = 2, .max_queue = 4, .figures = &figures};
    for (int generation = 1; generation <= 3; generation++) {
        struct pool *pool = pool_create(&config);
        struct job j = job_with(NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
        CU_ASSERT_PTR_EQUAL(pool_read_figures(pool), &figures);
        CHECK_NUMBER(pool_submit(pool, &j.task), POOL_OK);
        job_check_end(&j, POOL_TASK_DONE);
        CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
        CHECK_NUMBER(counter_get(&figures.completed), generation); /* a successor goes on where it stood */
        pool_check_sums(pool);
        pool_destroy(pool);
    }
    CHECK_NUMBER(counter_get(&figures.max), 2);
    pool_figures_clear_gauges(&figures);
    CHECK_NUMBER(counter_get(&figures.max), 0);
    CHECK_NUMBER(counter_get(&figures.queue_limit), 0);
    CHECK_NUMBER(counter_get(&figures.completed), 3);
}

static const struct check_case cases[] = {
    {"ends are collected oldest first", ends_are_collected_oldest_first},
    {"every kind of end is collected", every_kind_of_end_is_collected},
    {"collecting on notice alone misses nothing", collecting_on_notice_alone_misses_nothing},
    {"tasks with a callback are not collected", tasks_with_a_callback_are_not_collected},
    {"figures outlive the pool", figures_outlive_the_pool},
};

CHECK_MAIN("pool/collect", cases)
