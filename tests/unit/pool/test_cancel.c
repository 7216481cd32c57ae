/*
 * tests/unit/pool/test_cancel.c - taking back what waits, giving up what runs: in every state that a task may be in.
 */
#include "tests/unit/pool/pool_help.h"

static void a_queued_task_is_taken_back(void)
{
    struct pool *pool = pool_of(0, 1, 3);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold), queued[3] = {job_with(NULL), job_with(NULL), job_with(NULL)};
    job_begin(pool, &running);
    for (int i = 0; i < 3; i++)
        CHECK_NUMBER(pool_submit(pool, &queued[i].task), POOL_OK);
    CU_ASSERT(pool_cancel(pool, &queued[1].task));
    CHECK_NUMBER(atomic_load(&queued[1].ended), 1); /* reported before the call returns */
    CHECK_NUMBER(queued[1].task.outcome, POOL_TASK_CANCELLED);
    CU_ASSERT(!pool_cancel(pool, &queued[1].task));
    CHECK_NUMBER(pool_waiting(pool), 2);
    CHECK_NUMBER(FIGURE(pool, cancelled), 1);
    CHECK_NUMBER(pool_submit(pool, &queued[1].task), POOL_OK); /* its place is free, and it is its owner's */
    CU_ASSERT(pool_cancel(pool, &queued[1].task));
    latch_open(&hold);
    job_check_end(&queued[0], POOL_TASK_DONE);
    job_check_end(&queued[2], POOL_TASK_DONE);
    CHECK_NUMBER(atomic_load(&queued[1].started), 0);
    CHECK_NUMBER(atomic_load(&queued[1].ended), 2);
    pool_settle(pool, 1);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void other_states_are_too_late_or_too_early(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct latch hold = LATCH_CLOSED;
    struct job j = job_with(&hold), never = job_with(NULL);
    CU_ASSERT(!pool_cancel(pool, &never.task));
    CU_ASSERT(!pool_abandon(pool, &never.task));
    job_begin(pool, &j);
    CU_ASSERT(!pool_cancel(pool, &j.task)); /* it runs */
    latch_open(&hold);
    job_check_end(&j, POOL_TASK_DONE);
    CU_ASSERT(!pool_cancel(pool, &j.task));
    CU_ASSERT(!pool_abandon(pool, &j.task));
    CHECK_NUMBER(atomic_load(&j.ended), 1);
    CHECK_NUMBER(FIGURE(pool, cancelled), 0);
    CHECK_NUMBER(FIGURE(pool, stuck), 0);
    pool_destroy(pool);
}

static void done_cancel_other(struct pool_task *t)
{
    struct job *j = job_of(t);
    atomic_store(&j->result, pool_cancel(j->pool, &j->other->task));
    job_done(t);
}

static void callbacks_may_cancel(void)
{
    struct pool *pool = pool_of(0, 1, 4);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold), first = job_with(NULL), second = job_with(NULL);
    job_begin(pool, &running);
    first.task.done = done_cancel_other;
    first.other = &second;
    first.pool = pool;
    CHECK_NUMBER(pool_submit(pool, &first.task), POOL_OK);
    CHECK_NUMBER(pool_submit(pool, &second.task), POOL_OK);
    CU_ASSERT(pool_cancel(pool, &first.task));
    CHECK_NUMBER(atomic_load(&first.result), true);
    job_check_end(&second, POOL_TASK_CANCELLED);
    latch_open(&hold);
    job_check_end(&running, POOL_TASK_DONE);
    pool_destroy(pool);
}

static void a_task_given_up_is_replaced(void)
{
    struct pool *pool = pool_of(0, 1, 2);
    struct latch hold = LATCH_CLOSED;
    struct job stuck = job_with(&hold), queued = job_with(NULL), later = job_with(NULL);
    job_begin(pool, &stuck);
    CHECK_NUMBER(pool_submit(pool, &queued.task), POOL_OK);
    CU_ASSERT(!pool_abandon(pool, &queued.task)); /* it does not run */
    CU_ASSERT(pool_abandon(pool, &stuck.task));
    CU_ASSERT(!pool_abandon(pool, &stuck.task));
    CU_ASSERT(!pool_cancel(pool, &stuck.task));
    CHECK_NUMBER(FIGURE(pool, stuck), 1);
    job_check_end(&queued, POOL_TASK_DONE); /* by a replacement */
    CHECK_NUMBER(FIGURE(pool, spawned), 2);
    CHECK_NUMBER(atomic_load(&stuck.ended), 0);
    pool_settle(pool, 1);
    CHECK_NUMBER(pool_submit(pool, &later.task), POOL_OK);
    job_check_end(&later, POOL_TASK_DONE);
    latch_open(&hold);
    job_check_end(&stuck, POOL_TASK_DONE); /* the end is still reported, once */
    CHECK_EVENTUALLY(FIGURE(pool, retired) == 1);
    pool_settle(pool, 1); /* back within max */
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void run_fail_after_hold(struct pool_task *t)
{
    job_run(t);
    pool_task_fail("too late anyway");
}

static void a_task_given_up_may_fail(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct latch hold = LATCH_CLOSED;
    struct job stuck = job_with(&hold), next = job_with(NULL);
    stuck.task.run = run_fail_after_hold;
    job_begin(pool, &stuck);
    CU_ASSERT(pool_abandon(pool, &stuck.task));
    latch_open(&hold);
    job_check_end(&stuck, POOL_TASK_FAILED);
    CHECK_EVENTUALLY(FIGURE(pool, retired) == 1);
    CHECK_NUMBER(FIGURE(pool, stuck), 0);
    CHECK_NUMBER(pool_submit(pool, &next.task), POOL_OK);
    job_check_end(&next, POOL_TASK_DONE);
    pool_settle(pool, 1);
    pool_check_sums(pool);
    pool_destroy(pool);
}

/* When it is given up, and not once more when it returns. */
static void a_task_given_up_makes_room_once(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct latch hold = LATCH_CLOSED, hold_stuck = LATCH_CLOSED;
    struct job stuck = job_with(&hold_stuck), next = job_with(&hold), queued = job_with(NULL),
               more = job_with(NULL);
    job_begin(pool, &stuck);
    CU_ASSERT(pool_abandon(pool, &stuck.task));
    job_begin(pool, &next);
    CHECK_NUMBER(pool_submit(pool, &queued.task), POOL_OK);
    CHECK_NUMBER(pool_submit(pool, &more.task), POOL_EOVERLOAD);
    latch_open(&hold_stuck);
    job_check_end(&stuck, POOL_TASK_DONE);
    CHECK_NUMBER(pool_submit(pool, &more.task), POOL_EOVERLOAD);
    latch_open(&hold);
    job_check_end(&queued, POOL_TASK_DONE);
    pool_destroy(pool);
}

static void replacements_are_capped(void)
{
    struct pool *pool = pool_of(0, 2, 10);
    struct latch hold = LATCH_CLOSED;
    struct job stuck[4] = {job_with(&hold), job_with(&hold), job_with(&hold), job_with(&hold)},
               queued = job_with(NULL);
    for (int i = 0; i < 4; i++) {
        job_begin(pool, &stuck[i]);
        CU_ASSERT(pool_abandon(pool, &stuck[i].task));
    }
    CHECK_NUMBER(FIGURE(pool, stuck), 4);
    CHECK_NUMBER(FIGURE(pool, spawned), 4); /* max, and as many replacements */
    CHECK_NUMBER(pool_submit(pool, &queued.task), POOL_OK);
    CHECK_STAYS(!job_has_started(&queued), 20);
    latch_open(&hold);
    job_check_end(&queued, POOL_TASK_DONE);
    for (int i = 0; i < 4; i++)
        job_check_end(&stuck[i], POOL_TASK_DONE);
    CHECK_EVENTUALLY(FIGURE(pool, idle) + FIGURE(pool, retired) == FIGURE(pool, spawned));
    CU_ASSERT(FIGURE(pool, idle) <= 2);
    CHECK_NUMBER(FIGURE(pool, spawned), 4);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void the_oldest_running_task_has_an_age(void)
{
    struct pool *pool = pool_of(0, 2, 0);
    struct latch holds[2] = {LATCH_CLOSED, LATCH_CLOSED};
    struct job old = job_with(&holds[0]), young = job_with(&holds[1]);
    CHECK_NUMBER(pool_oldest_running_us(pool), 0);
    job_begin(pool, &old);
    CHECK_EVENTUALLY(pool_oldest_running_us(pool) >= 20000);
    job_begin(pool, &young);
    CU_ASSERT(pool_oldest_running_us(pool) >= 20000);
    latch_open(&holds[0]);
    job_check_end(&old, POOL_TASK_DONE);
    CU_ASSERT(pool_oldest_running_us(pool) <= clock_mono_us() - old.task.started_us - 20000);
    latch_open(&holds[1]);
    job_check_end(&young, POOL_TASK_DONE);
    CHECK_NUMBER(pool_oldest_running_us(pool), 0);
    pool_destroy(pool);
}

static const struct check_case cases[] = {
    {"a queued task is taken back", a_queued_task_is_taken_back},
    {"other states are too late or too early", other_states_are_too_late_or_too_early},
    {"callbacks may cancel", callbacks_may_cancel},
    {"a task given up is replaced", a_task_given_up_is_replaced},
    {"a task given up may fail", a_task_given_up_may_fail},
    {"a task given up makes room once", a_task_given_up_makes_room_once},
    {"replacements are capped", replacements_are_capped},
    {"the oldest running task has an age", the_oldest_running_task_has_an_age},
};

CHECK_MAIN("pool/cancel", cases)
