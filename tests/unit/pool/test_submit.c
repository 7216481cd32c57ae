/*
 * tests/unit/pool/test_submit.c - every result of submitting: room, overload, waiting, deadlines, closed, invalid.
 */
#include "tests/unit/pool/pool_help.h"

#include <errno.h>

static void refuses_bad_configurations(void)
{
    static const struct pool_config bad[] = {{.min = 0, .max = 0},
                                             {.min = 2, .max = 1},
                                             {.max = 65537},
                                             {.max = 1, .discipline = (enum pool_discipline)3}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        errno = 0;
        CU_ASSERT_PTR_NULL(pool_create(&bad[i]));
        CHECK_NUMBER(errno, EINVAL);
    }
    struct pool_config config = {.max = 1, .name = "a name of more than thirty-one bytes, cut"};
    struct pool *pool = pool_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    CU_ASSERT_STRING_EQUAL(pool_name(pool), "a name of more than thirty-one ");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_NUMBER(pool_reconfigure(pool, &bad[i]), POOL_EINVAL);
    CHECK_NUMBER(FIGURE(pool, max), 1);
    pool_destroy(pool);
    pool_destroy(NULL);
}

static void runs_a_task(void)
{
    struct pool *pool = pool_of(0, 1, 0);
    struct job j = job_with(NULL);
    CHECK_NUMBER(FIGURE(pool, spawned), 0); /* no thread before there is work */
    CHECK_NUMBER(pool_submit(pool, &j.task), POOL_OK);
    job_check_end(&j, POOL_TASK_DONE);
    CHECK_NUMBER(atomic_load(&j.started), 1);
    CU_ASSERT(!pthread_equal(atomic_load(&j.thread), pthread_self()));
    CU_ASSERT_PTR_NULL(j.task.fail_reason);
    pool_destroy(pool);
}

static void a_task_without_run_is_invalid(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct pool_task task = {0};
    CHECK_NUMBER(pool_submit(pool, &task), POOL_EINVAL);
    CHECK_NUMBER(pool_submit_until(pool, &task, UINT64_MAX), POOL_EINVAL);
    CHECK_NUMBER(FIGURE(pool, submitted), 0);
    pool_destroy(pool);
}

static void a_full_queue_is_an_overload(void)
{
    struct pool *pool = pool_of(0, 1, 2);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold), queued[2] = {job_with(NULL), job_with(NULL)},
               refused = job_with(NULL);
    job_begin(pool, &running);
    for (int i = 0; i < 2; i++)
        CHECK_NUMBER(pool_submit(pool, &queued[i].task), POOL_OK);
    CHECK_NUMBER(pool_waiting(pool), 2);
    CHECK_NUMBER(FIGURE(pool, queue_limit), 2);
    CHECK_NUMBER(pool_submit(pool, &refused.task), POOL_EOVERLOAD);
    CHECK_NUMBER(FIGURE(pool, refused_full), 1);
    CHECK_NUMBER(FIGURE(pool, submitted), 3);
    latch_open(&hold);
    job_check_end(&running, POOL_TASK_DONE);
    job_check_end(&queued[0], POOL_TASK_DONE);
    job_check_end(&queued[1], POOL_TASK_DONE);
    CHECK_NUMBER(atomic_load(&refused.ended), 0); /* what was refused has no end to report */
    pool_settle(pool, 1);
    CHECK_NUMBER(pool_submit(pool, &refused.task), POOL_OK); /* and may be tried again */
    job_check_end(&refused, POOL_TASK_DONE);
    pool_settle(pool, 1);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void without_a_queue_each_task_needs_a_thread(void)
{
    struct pool *pool = pool_of(0, 3, 0);
    struct latch hold = LATCH_CLOSED;
    struct job jobs[3] = {job_with(&hold), job_with(&hold), job_with(&hold)}, refused = job_with(NULL);
    /* All at once: none of their threads has arrived yet. */
    for (int i = 0; i < 3; i++)
        CHECK_NUMBER(pool_submit(pool, &jobs[i].task), POOL_OK);
    CHECK_NUMBER(pool_submit(pool, &refused.task), POOL_EOVERLOAD);
    for (int i = 0; i < 3; i++)
        CHECK_EVENTUALLY(job_has_started(&jobs[i]));
    CHECK_NUMBER(pool_submit(pool, &refused.task), POOL_EOVERLOAD);
    latch_open(&hold);
    for (int i = 0; i < 3; i++)
        job_check_end(&jobs[i], POOL_TASK_DONE);
    pool_settle(pool, 3);
    for (int round = 0; round < 50; round++) { /* the same with threads that idle */
        latch_set(&hold, false);
        for (int i = 0; i < 3; i++) {
            jobs[i] = job_with(&hold);
            CHECK_NUMBER(pool_submit(pool, &jobs[i].task), POOL_OK);
        }
        CHECK_NUMBER(pool_submit(pool, &refused.task), POOL_EOVERLOAD);
        latch_open(&hold);
        for (int i = 0; i < 3; i++)
            job_check_end(&jobs[i], POOL_TASK_DONE);
        pool_settle(pool, 3);
    }
    CHECK_NUMBER(FIGURE(pool, spawned), 3);
    pool_destroy(pool);
}

static void done_try_other(struct pool_task *t)
{
    struct job *j = job_of(t);
    if (j->other)
        atomic_store(&j->result, (int)pool_submit(j->pool, &j->other->task));
    job_done(t);
}

/* Whoever learns of an end may count on the room that it made, at the latest in its callback. */
static void an_end_makes_room_before_it_is_reported(void)
{
    struct pool *pool = pool_of(0, 1, 0);
    struct job jobs[20];
    for (int i = 0; i < 20; i++) {
        jobs[i] = job_with(NULL);
        jobs[i].task.done = done_try_other;
        jobs[i].pool = pool;
        jobs[i].other = i < 19 ? &jobs[i + 1] : NULL;
    }
    CHECK_NUMBER(pool_submit(pool, &jobs[0].task), POOL_OK);
    for (int i = 0; i < 20; i++) {
        uint64_t end_ms = clock_mono_ms() + 1000; /* what is refused never ends */
        while (!job_has_ended(&jobs[i]) && clock_mono_ms() < end_ms)
            check_pause();
        CU_ASSERT_FATAL(job_has_ended(&jobs[i]));
        CHECK_NUMBER(atomic_load(&jobs[i].result), POOL_OK);
    }
    pool_destroy(pool);
}

static void a_queue_may_be_without_a_bound(void)
{
    struct pool *pool = pool_of(0, 1, SIZE_MAX);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold), queued[3] = {job_with(NULL), job_with(NULL), job_with(NULL)};
    job_begin(pool, &running);
    for (int i = 0; i < 3; i++)
        CHECK_NUMBER(pool_submit(pool, &queued[i].task), POOL_OK);
    latch_open(&hold);
    pool_settle(pool, 1);
    pool_destroy(pool);
}

/* What a thread that blocks in pool_submit_until did. */
struct submitter {
    pthread_t thread;
    struct pool *pool;
    struct job job;
    uint64_t deadline_us;
    atomic_int finished;
    enum pool_result result;
};

static void *submit_and_wait(void *arg)
{
    struct submitter *s = arg;
    s->result = pool_submit_until(s->pool, &s->job.task, s->deadline_us);
    atomic_store(&s->finished, 1);
    return NULL;
}

static void submitter_start(struct submitter *s, struct pool *pool, uint64_t deadline_us)
{
    *s = (struct submitter){.pool = pool, .job = job_with(NULL), .deadline_us = deadline_us};
    if (pthread_create(&s->thread, NULL, submit_and_wait, s) != 0)
        abort();
}

/* Waits until it has come back; a submitter that nobody wakes is let go by closing the pool, and its check fails. */
static enum pool_result submitter_finish(struct submitter *s)
{
    uint64_t end_ms = clock_mono_ms() + 3000;
    while (!atomic_load(&s->finished) && clock_mono_ms() < end_ms)
        check_pause();
    CU_ASSERT(atomic_load(&s->finished)); /* else it waits although there is room */
    if (!atomic_load(&s->finished))
        pool_shutdown(s->pool, POOL_DROP, in_ms(1000));
    pthread_join(s->thread, NULL);
    return s->result;
}

static void waits_for_room_in_the_queue(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold), queued = job_with(NULL);
    struct submitter s[2];
    job_begin(pool, &running);
    CHECK_NUMBER(pool_submit(pool, &queued.task), POOL_OK);
    submitter_start(&s[0], pool, UINT64_MAX);
    submitter_start(&s[1], pool, in_ms(60000));
    CHECK_EVENTUALLY(FIGURE(pool, waiting) == 2);
    CHECK_NUMBER(atomic_load(&s[0].finished) + atomic_load(&s[1].finished), 0);
    latch_open(&hold);
    for (int i = 0; i < 2; i++) {
        CHECK_NUMBER(submitter_finish(&s[i]), POOL_OK);
        job_check_end(&s[i].job, POOL_TASK_DONE);
    }
    CHECK_NUMBER(FIGURE(pool, waiting), 0);
    pool_destroy(pool);
}

/* Without a queue, room is a free thread: its becoming free wakes the submitter. */
static void waits_for_a_thread_without_a_queue(void)
{
    struct pool *pool = pool_of(0, 1, 0);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold);
    struct submitter s;
    job_begin(pool, &running);
    submitter_start(&s, pool, UINT64_MAX);
    CHECK_EVENTUALLY(FIGURE(pool, waiting) == 1);
    latch_open(&hold);
    CHECK_NUMBER(submitter_finish(&s), POOL_OK);
    job_check_end(&s.job, POOL_TASK_DONE);
    pool_destroy(pool);
}

static void run_fail_when_let(struct pool_task *t)
{
    job_run(t);
    pool_task_fail("let go");
}

static void a_failing_task_makes_room_too(void)
{
    struct pool *pool = pool_of(0, 1, 0);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold);
    struct submitter s;
    running.task.run = run_fail_when_let;
    job_begin(pool, &running);
    submitter_start(&s, pool, UINT64_MAX);
    CHECK_EVENTUALLY(FIGURE(pool, waiting) == 1);
    latch_open(&hold);
    CHECK_NUMBER(submitter_finish(&s), POOL_OK);
    job_check_end(&s.job, POOL_TASK_DONE);
    job_check_end(&running, POOL_TASK_FAILED);
    pool_destroy(pool);
}

static void giving_a_task_up_makes_room_too(void)
{
    struct pool *pool = pool_of(0, 1, 0);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold);
    struct submitter s;
    job_begin(pool, &running);
    submitter_start(&s, pool, UINT64_MAX);
    CHECK_EVENTUALLY(FIGURE(pool, waiting) == 1);
    CU_ASSERT(pool_abandon(pool, &running.task));
    CHECK_NUMBER(submitter_finish(&s), POOL_OK); /* on the replacement */
    job_check_end(&s.job, POOL_TASK_DONE);
    latch_open(&hold);
    job_check_end(&running, POOL_TASK_DONE);
    pool_destroy(pool);
}

static void cancelling_and_growing_make_room(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold), queued = job_with(NULL);
    struct submitter s;
    job_begin(pool, &running);
    CHECK_NUMBER(pool_submit(pool, &queued.task), POOL_OK);
    submitter_start(&s, pool, UINT64_MAX);
    CHECK_EVENTUALLY(FIGURE(pool, waiting) == 1);
    CU_ASSERT(pool_cancel(pool, &queued.task));
    CHECK_NUMBER(submitter_finish(&s), POOL_OK);
    CHECK_NUMBER(pool_waiting(pool), 1); /* it is in the queue now */
    struct submitter grown;
    submitter_start(&grown, pool, UINT64_MAX);
    CHECK_EVENTUALLY(FIGURE(pool, waiting) == 1);
    CHECK_NUMBER(pool_reconfigure(pool, &(struct pool_config){.max = 1, .max_queue = 2}), POOL_OK);
    CHECK_NUMBER(submitter_finish(&grown), POOL_OK);
    latch_open(&hold);
    job_check_end(&s.job, POOL_TASK_DONE);
    job_check_end(&grown.job, POOL_TASK_DONE);
    pool_destroy(pool);
}

static void deadlines_pass(void)
{
    struct pool *pool = pool_of(0, 1, 0);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold), late = job_with(NULL);
    job_begin(pool, &running);
    uint64_t deadline = in_ms(30);
    CHECK_NUMBER(pool_submit_until(pool, &late.task, deadline), POOL_ETIMEDOUT);
    CU_ASSERT(clock_mono_us() >= deadline);
    CHECK_NUMBER(pool_submit_until(pool, &late.task, 1), POOL_ETIMEDOUT); /* long past */
    CHECK_NUMBER(pool_submit_until(pool, &late.task, 0), POOL_EOVERLOAD); /* that is a try */
    CHECK_NUMBER(FIGURE(pool, waiting), 0);
    CHECK_NUMBER(FIGURE(pool, submitted), 1);
    latch_open(&hold);
    job_check_end(&running, POOL_TASK_DONE);
    pool_settle(pool, 1);
    CHECK_NUMBER(pool_submit_until(pool, &late.task, 1), POOL_OK); /* with room no deadline is looked at */
    job_check_end(&late, POOL_TASK_DONE);
    CHECK_NUMBER(atomic_load(&late.started), 1);
    pool_destroy(pool);
}

static void blocked_submitters_are_bounded(void)
{
    struct pool_config config = {.max = 1, .max_queue = 1, .max_waiters = 1};
    struct pool *pool = pool_create(&config);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold), queued = job_with(NULL), refused = job_with(NULL);
    struct submitter s;
    job_begin(pool, &running);
    CHECK_NUMBER(pool_submit(pool, &queued.task), POOL_OK);
    submitter_start(&s, pool, UINT64_MAX);
    CHECK_EVENTUALLY(FIGURE(pool, waiting) == 1);
    CHECK_NUMBER(pool_submit_until(pool, &refused.task, in_ms(60000)), POOL_EOVERLOAD);
    latch_open(&hold);
    CHECK_NUMBER(submitter_finish(&s), POOL_OK);
    job_check_end(&s.job, POOL_TASK_DONE);
    pool_destroy(pool);
}

static void a_closed_pool_takes_nothing(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold), queued = job_with(NULL), refused = job_with(NULL);
    struct submitter s;
    job_begin(pool, &running);
    CHECK_NUMBER(pool_submit(pool, &queued.task), POOL_OK);
    submitter_start(&s, pool, UINT64_MAX);
    CHECK_EVENTUALLY(FIGURE(pool, waiting) == 1);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, in_ms(1)), POOL_ETIMEDOUT);
    CHECK_NUMBER(submitter_finish(&s), POOL_ECLOSED); /* woken, not left behind */
    CHECK_NUMBER(pool_submit(pool, &refused.task), POOL_ECLOSED);
    CHECK_NUMBER(pool_submit_until(pool, &refused.task, UINT64_MAX), POOL_ECLOSED);
    CHECK_NUMBER(FIGURE(pool, refused_closed), 3);
    latch_open(&hold);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    job_check_end(&queued, POOL_TASK_DONE);
    pool_destroy(pool);
}

static void run_submit_other(struct pool_task *t)
{
    struct job *j = job_of(t);
    job_run(t);
    atomic_store(&j->result, (int)pool_submit_until(j->pool, &j->other->task, UINT64_MAX));
}

static void own_threads_never_wait(void)
{
    struct pool *pool = pool_of(0, 1, 0);
    struct job outer = job_with(NULL), inner = job_with(NULL);
    outer.task.run = run_submit_other;
    outer.pool = pool;
    outer.other = &inner;
    CHECK_NUMBER(pool_submit(pool, &outer.task), POOL_OK);
    job_check_end(&outer, POOL_TASK_DONE);
    CHECK_NUMBER(atomic_load(&outer.result), POOL_OK);
    /* Queued beyond the bound, and run by the same thread afterwards. */
    job_check_end(&inner, POOL_TASK_DONE);
    pool_settle(pool, 1);
    CHECK_NUMBER(FIGURE(pool, spawned), 1);
    pool_destroy(pool);
}

static void done_submit_other(struct pool_task *t)
{
    struct job *j = job_of(t);
    if (j->other)
        atomic_store(&j->result, (int)pool_submit_until(j->pool, &j->other->task, UINT64_MAX));
    job_done(t);
}

static void callbacks_may_submit(void)
{
    struct pool *pool = pool_of(0, 1, 0);
    struct job jobs[20];
    for (int i = 0; i < 20; i++) {
        jobs[i] = job_with(NULL);
        jobs[i].task.done = done_submit_other;
        jobs[i].pool = pool;
        jobs[i].other = i < 19 ? &jobs[i + 1] : NULL;
    }
    CHECK_NUMBER(pool_submit(pool, &jobs[0].task), POOL_OK);
    for (int i = 0; i < 20; i++)
        job_check_end(&jobs[i], POOL_TASK_DONE);
    pool_destroy(pool);
}

static const struct check_case cases[] = {
    {"refuses bad configurations", refuses_bad_configurations},
    {"runs a task", runs_a_task},
    {"a task without run is invalid", a_task_without_run_is_invalid},
    {"a full queue is an overload", a_full_queue_is_an_overload},
    {"without a queue each task needs a thread", without_a_queue_each_task_needs_a_thread},
    {"an end makes room before it is reported", an_end_makes_room_before_it_is_reported},
    {"a queue may be without a bound", a_queue_may_be_without_a_bound},
    {"waits for room in the queue", waits_for_room_in_the_queue},
    {"waits for a thread without a queue", waits_for_a_thread_without_a_queue},
    {"a failing task makes room too", a_failing_task_makes_room_too},
    {"giving a task up makes room too", giving_a_task_up_makes_room_too},
    {"cancelling and growing make room", cancelling_and_growing_make_room},
    {"deadlines pass", deadlines_pass},
    {"blocked submitters are bounded", blocked_submitters_are_bounded},
    {"a closed pool takes nothing", a_closed_pool_takes_nothing},
    {"own threads never wait", own_threads_never_wait},
    {"callbacks may submit", callbacks_may_submit},
};

CHECK_MAIN("pool/submit", cases)
