/*
 * tests/unit/pool/test_fail.c - tasks that end their thread: by giving up, by exiting, by being cancelled from outside.
 *
 * Each of them ends once, as failed; its cleanup handlers run; the pool's capacity and figures stay right.
 */
#include "tests/unit/pool/pool_help.h"

static atomic_int cleanups;

static void count_cleanup(void *arg)
{
    (void)arg;
    atomic_fetch_add(&cleanups, 1);
}

/* Returns only where there is no reason to give up. */
static int give_up_from_below(int depth, const char *reason)
{
    if (depth > 0)
        return give_up_from_below(depth - 1, reason) + 1;
    if (reason)
        pool_task_fail(reason);
    return 0;
}

static void run_give_up(struct pool_task *t)
{
    job_run(t);
    pthread_cleanup_push(count_cleanup, NULL);
    give_up_from_below(5, "the database is gone");
    pthread_cleanup_pop(0);
}

static void run_exit(struct pool_task *t)
{
    job_run(t);
    pthread_cleanup_push(count_cleanup, NULL);
    pthread_exit(NULL);
    pthread_cleanup_pop(0);
}

static void run_cancel_itself(struct pool_task *t)
{
    job_run(t);
    pthread_cleanup_push(count_cleanup, NULL);
    pthread_cancel(pthread_self());
    pthread_testcancel();
    pthread_cleanup_pop(0);
}

/* A cancellation that no point inside the task acts on. */
static void run_leave_a_cancellation_behind(struct pool_task *t)
{
    atomic_fetch_add(&job_of(t)->started, 1);
    pthread_cancel(pthread_self());
}

/* The same, with cancellation switched off, and left so. */
static void run_hide_a_cancellation(struct pool_task *t)
{
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    run_leave_a_cancellation_behind(t);
}

/* Runs one such task, and an ordinary one behind it on the same capacity of one. */
static void check_failure(void (*run)(struct pool_task *), const char *reason)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct job bad = job_with(NULL), good = job_with(NULL);
    bad.task.run = run;
    atomic_store(&cleanups, 0);
    CHECK_NUMBER(pool_submit(pool, &bad.task), POOL_OK);
    CHECK_NUMBER(pool_submit_until(pool, &good.task, UINT64_MAX), POOL_OK);
    job_check_end(&bad, POOL_TASK_FAILED);
    job_check_end(&good, POOL_TASK_DONE);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bad.task.fail_reason);
    if (reason)
        CU_ASSERT_STRING_EQUAL(bad.task.fail_reason, reason);
    CHECK_NUMBER(atomic_load(&cleanups), 1);
    pool_settle(pool, 1);
    CHECK_NUMBER(FIGURE(pool, failed), 1);
    CHECK_NUMBER(FIGURE(pool, completed), 1);
    CHECK_EVENTUALLY(FIGURE(pool, retired) == 1);
    CHECK_NUMBER(FIGURE(pool, spawned), 2);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void giving_up_from_any_depth(void)
{
    check_failure(run_give_up, "the database is gone");
}

static void exiting_the_thread(void)
{
    check_failure(run_exit, NULL);
}

static void cancelling_itself(void)
{
    check_failure(run_cancel_itself, NULL);
}

static void being_cancelled_from_outside(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct latch hold = LATCH_CLOSED;
    struct job bad = job_with(&hold), good = job_with(NULL);
    job_begin(pool, &bad);
    CHECK_NUMBER(pool_submit(pool, &good.task), POOL_OK);
    pthread_cancel(atomic_load(&bad.thread));
    job_check_end(&bad, POOL_TASK_FAILED);
    job_check_end(&good, POOL_TASK_DONE);
    pool_settle(pool, 1);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void a_late_cancellation_hurts_nobody(void)
{
    struct pool *pool = pool_of(0, 1, 10);
    struct latch hold = LATCH_CLOSED;
    struct job bad[4], good = job_with(&hold);
    for (int i = 0; i < 4; i++) {
        bad[i] = job_with(NULL);
        bad[i].task.run = i % 2 ? run_hide_a_cancellation : run_leave_a_cancellation_behind;
        CHECK_NUMBER(pool_submit(pool, &bad[i].task), POOL_OK);
    }
    /* Done or failed: it depends on when the cancellation is looked at. */
    for (int i = 0; i < 4; i++)
        CHECK_EVENTUALLY(job_has_ended(&bad[i]));
    CHECK_NUMBER(pool_submit(pool, &good.task), POOL_OK);
    /* Its wait is a cancellation point: one that was meant for others must not hit it. */
    latch_open(&hold);
    job_check_end(&good, POOL_TASK_DONE);
    pool_settle(pool, 1); /* it idles, which is a cancellation point */
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, in_ms(5000)), POOL_OK);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void many_failures_in_a_row(void)
{
    enum { TASKS = 300 };
    static struct job jobs[TASKS];
    static void (*const runs[])(struct pool_task *) = {run_give_up, run_exit, run_cancel_itself, job_run};
    struct pool *pool = pool_of(1, 3, TASKS);
    for (int i = 0; i < TASKS; i++) {
        jobs[i] = job_with(NULL);
        jobs[i].task.run = runs[i % 4];
        CHECK_NUMBER(pool_submit(pool, &jobs[i].task), POOL_OK);
    }
    for (int i = 0; i < TASKS; i++)
        job_check_end(&jobs[i], i % 4 == 3 ? POOL_TASK_DONE : POOL_TASK_FAILED);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    CHECK_NUMBER(FIGURE(pool, failed), TASKS / 4 * 3);
    pool_check_sums(pool);
    CHECK_NUMBER(FIGURE(pool, spawned), FIGURE(pool, retired));
    CHECK_NUMBER(FIGURE(pool, idle), 0);
    pool_destroy(pool);
}

static void done_submit_other(struct pool_task *t)
{
    struct job *j = job_of(t);
    atomic_store(&j->result, (int)pool_submit_until(j->pool, &j->other->task, UINT64_MAX));
    job_done(t);
}

static void the_callback_of_a_failure_may_submit(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct job bad = job_with(NULL), next = job_with(NULL);
    bad.task.run = run_give_up;
    bad.task.done = done_submit_other;
    bad.pool = pool;
    bad.other = &next;
    CHECK_NUMBER(pool_submit(pool, &bad.task), POOL_OK);
    job_check_end(&bad, POOL_TASK_FAILED);
    CHECK_NUMBER(atomic_load(&bad.result), POOL_OK);
    job_check_end(&next, POOL_TASK_DONE);
    pool_destroy(pool);
}

static void a_failed_task_may_be_submitted_again(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct job j = job_with(NULL);
    j.task.run = run_give_up;
    CHECK_NUMBER(pool_submit(pool, &j.task), POOL_OK);
    job_check_end(&j, POOL_TASK_FAILED);
    j.task.run = job_run;
    CHECK_NUMBER(pool_submit_until(pool, &j.task, UINT64_MAX), POOL_OK);
    CHECK_EVENTUALLY(atomic_load(&j.ended) == 2);
    CHECK_NUMBER(j.task.outcome, POOL_TASK_DONE);
    CU_ASSERT_PTR_NULL(j.task.fail_reason);
    pool_destroy(pool);
}

/* The least stack that a thread gets is enough to be unwound. */
static void failing_on_the_smallest_stack(void)
{
    static void (*const runs[])(struct pool_task *) = {run_give_up, run_exit, run_cancel_itself, job_run};
    struct pool_config config = {.max = 1, .max_queue = 10, .stack_bytes = 1};
    struct pool *pool = pool_create(&config);
    struct job jobs[4];
    for (int i = 0; i < 4; i++) {
        jobs[i] = job_with(NULL);
        jobs[i].task.run = runs[i];
        CHECK_NUMBER(pool_submit(pool, &jobs[i].task), POOL_OK);
    }
    for (int i = 0; i < 4; i++)
        job_check_end(&jobs[i], i == 3 ? POOL_TASK_DONE : POOL_TASK_FAILED);
    pool_destroy(pool);
}

static const struct check_case cases[] = {
    {"giving up from any depth", giving_up_from_any_depth},
    {"exiting the thread", exiting_the_thread},
    {"cancelling itself", cancelling_itself},
    {"being cancelled from outside", being_cancelled_from_outside},
    {"many failures in a row", many_failures_in_a_row},
    {"the callback of a failure may submit", the_callback_of_a_failure_may_submit},
    {"a failed task may be submitted again", a_failed_task_may_be_submitted_again},
    {"a late cancellation hurts nobody", a_late_cancellation_hurts_nobody},
    {"failing on the smallest stack", failing_on_the_smallest_stack},
};

CHECK_MAIN("pool/fail", cases)
