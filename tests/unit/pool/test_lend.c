/*
 * tests/unit/pool/test_lend.c - tasks that leave a pool for another one, and those that come from there: each counts once.
 */
#include "tests/unit/pool/pool_help.h"

/* What two pools have had together: each task was submitted once and has ended once. */
static void check_sums_of_both(struct pool *a, struct pool *b)
{
    CHECK_NUMBER(pool_waiting(a) + pool_waiting(b), 0);
    CHECK_NUMBER(FIGURE(a, submitted) + FIGURE(b, submitted), FIGURE(a, completed) + FIGURE(b, completed));
    CHECK_NUMBER(FIGURE(a, lent) + FIGURE(a, declined) + FIGURE(b, lent) + FIGURE(b, declined),
                 FIGURE(a, borrowed) + FIGURE(b, borrowed));
}

static void a_task_that_waits_runs_elsewhere(void)
{
    struct pool *here = pool_of(0, 1, 4), *there = pool_of(0, 1, 0);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold), waits = job_with(NULL);
    job_begin(here, &running);
    CHECK_NUMBER(pool_submit(here, &waits.task), POOL_OK);
    CU_ASSERT(pool_task_waits(&waits.task) && !pool_task_waits(&running.task));
    uint64_t since_us = waits.task.submitted_us;
    CU_ASSERT(pool_take_back(here, &waits.task));
    CU_ASSERT(!pool_take_back(here, &waits.task) && !pool_task_waits(&waits.task));
    CHECK_NUMBER(atomic_load(&waits.ended), 0); /* it is no end */
    CHECK_NUMBER(pool_waiting(here), 0);
    CU_ASSERT(!pool_take_back(here, &running.task));
    waits.task.borrowed = 1;
    CHECK_NUMBER(pool_submit(there, &waits.task), POOL_OK);
    job_check_end(&waits, POOL_TASK_DONE);
    CHECK_NUMBER(waits.task.submitted_us, since_us); /* it has waited since then */
    latch_open(&hold);
    job_check_end(&running, POOL_TASK_DONE);
    pool_settle(here, 1);
    pool_settle(there, 1);
    CHECK_NUMBER(FIGURE(here, lent), 1);
    CHECK_NUMBER(FIGURE(there, borrowed), 1);
    CHECK_NUMBER(FIGURE(there, submitted), 0);
    check_sums_of_both(here, there);
    pool_destroy(here);
    pool_destroy(there);
}

/* It was let in once: there is room for it whatever the bound says. */
static void what_comes_back_has_room(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold), waits = job_with(NULL), more = job_with(NULL),
               back = job_with(NULL);
    job_begin(pool, &running);
    CHECK_NUMBER(pool_submit(pool, &back.task), POOL_OK);
    CU_ASSERT(pool_take_back(pool, &back.task));
    CHECK_NUMBER(pool_submit(pool, &waits.task), POOL_OK);
    CHECK_NUMBER(pool_submit(pool, &more.task), POOL_EOVERLOAD);
    back.task.borrowed = 1;
    back.task.priority = POOL_HIGH;
    CHECK_NUMBER(pool_submit(pool, &back.task), POOL_OK);
    CHECK_NUMBER(pool_waiting(pool), 2);
    latch_open(&hold);
    job_check_end(&back, POOL_TASK_DONE);
    job_check_end(&waits, POOL_TASK_DONE);
    CU_ASSERT(back.task.started_us <= waits.task.started_us);
    pool_settle(pool, 1);
    CHECK_NUMBER(FIGURE(pool, refused_full), 1);
    CHECK_NUMBER(FIGURE(pool, submitted), 3);
    CHECK_NUMBER(FIGURE(pool, completed), 3);
    pool_destroy(pool);
}

static void without_a_place_in_the_queue(void)
{
    struct pool *pool = pool_of(0, 1, 0);
    struct job first = job_with(NULL), again = job_with(NULL);
    again.task.borrowed = 1;
    pool_note_lent(pool, &first.task);
    pool_note_lent(pool, &again.task);
    CHECK_NUMBER(FIGURE(pool, submitted), 1);
    CHECK_NUMBER(FIGURE(pool, borrowed), 1);
    CHECK_NUMBER(FIGURE(pool, lent), 2);
    CHECK_NUMBER(pool_waiting(pool), 0);
    pool_destroy(pool);
}

static void decline(struct pool_task *t)
{
    t->declined = POOL_DECLINED;
}

static void a_thread_may_decline(void)
{
    struct pool *pool = pool_of(0, 1, 0);
    struct job j = job_with(NULL);
    j.task.run = decline;
    j.task.borrowed = 1;
    CHECK_NUMBER(pool_submit(pool, &j.task), POOL_OK);
    job_check_end(&j, POOL_TASK_DONE);
    pool_settle(pool, 1);
    CHECK_NUMBER(FIGURE(pool, completed), 0);
    CHECK_NUMBER(FIGURE(pool, declined), 1);
    CHECK_NUMBER(pool_waiting(pool), 0);
    pool_destroy(pool);
}

static void postpone(struct pool_task *t)
{
    t->declined = POOL_POSTPONED;
}

/* Submitted again it waits in front, beyond the bound, since it came; it counts once, and in between as one that waits. */
static void a_thread_may_postpone(void)
{
    struct pool *pool = pool_of(0, 1, 0);
    struct latch hold = LATCH_CLOSED;
    struct job j = job_with(NULL), running = job_with(&hold);
    void (*own_run)(struct pool_task *) = j.task.run;
    j.task.run = postpone;
    CHECK_NUMBER(pool_submit(pool, &j.task), POOL_OK);
    job_check_end(&j, POOL_TASK_DONE);
    uint64_t since_us = j.task.submitted_us;
    CHECK_NUMBER(FIGURE(pool, completed) + FIGURE(pool, declined) + FIGURE(pool, started), 0);
    CHECK_NUMBER(pool_waiting(pool), 1);
    job_begin(pool, &running);
    j.task.run = own_run;
    atomic_store(&j.ended, 0);
    CHECK_NUMBER(pool_submit(pool, &j.task), POOL_OK); /* there is no room for anything else */
    CHECK_NUMBER(j.task.submitted_us, since_us);
    latch_open(&hold);
    job_check_end(&running, POOL_TASK_DONE);
    job_check_end(&j, POOL_TASK_DONE);
    pool_settle(pool, 1);
    CHECK_NUMBER(FIGURE(pool, submitted), 2);
    CHECK_NUMBER(FIGURE(pool, started), 2);
    CHECK_NUMBER(FIGURE(pool, completed), 2);
    CHECK_NUMBER(pool_waiting(pool), 0);
    pool_destroy(pool);
}

static const struct check_case cases[] = {
    {"a task that waits runs elsewhere", a_task_that_waits_runs_elsewhere},
    {"what comes back has room", what_comes_back_has_room},
    {"without a place in the queue", without_a_place_in_the_queue},
    {"a thread may decline", a_thread_may_decline},
    {"a thread may postpone", a_thread_may_postpone},
};

CHECK_MAIN("pool/lend", cases)
