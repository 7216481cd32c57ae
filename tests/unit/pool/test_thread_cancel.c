/*
 * tests/unit/pool/test_thread_cancel.c - pthread_cancel and the ways a task may leave its thread's cancellation in.
 *
 * It may hit a task anywhere, a callback, an idle thread, or a task that waits in a call of the pool: each task still
 * ends exactly once, the locks of the pool stay free, and the thread is replaced.
 */
#include "pool/group.h"
#include "tests/unit/pool/pool_help.h"

/* How its thread may be cancelled: as a task finds it, and as it leaves it. */
struct manners {
    struct job job;
    int state, type;             /* found */
    int leave_state, leave_type; /* left */
};

static void run_with_manners(struct pool_task *t)
{
    struct manners *m = container_of(job_of(t), struct manners, job);
    job_run(t);
    pthread_setcancelstate(m->leave_state, &m->state);
    pthread_setcanceltype(m->leave_type, &m->type);
}

static void bad_manners_stay_with_their_task(void)
{
    struct pool *pool = pool_of(0, 1, 10);
    struct latch hold = LATCH_CLOSED;
    struct manners m[5];
    for (int i = 0; i < 5; i++) {
        m[i] = (struct manners){.job = job_with(i ? NULL : &hold)};
        m[i].job.task.run = run_with_manners;
        m[i].leave_state = i % 2 ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE;
        m[i].leave_type = i < 2 ? PTHREAD_CANCEL_DEFERRED : PTHREAD_CANCEL_ASYNCHRONOUS;
        CHECK_NUMBER(pool_submit(pool, &m[i].job.task), POOL_OK);
    }
    /* One after the other, and once more after idling. */
    latch_open(&hold);
    for (int i = 0; i < 5; i++)
        job_check_end(&m[i].job, POOL_TASK_DONE);
    pool_settle(pool, 1);
    struct manners last = m[0];
    last.job = job_with(NULL);
    last.job.task.run = run_with_manners;
    CHECK_NUMBER(pool_submit(pool, &last.job.task), POOL_OK);
    job_check_end(&last.job, POOL_TASK_DONE);
    m[0] = last;
    for (int i = 0; i < 5; i++) {
        CHECK_NUMBER(m[i].state, PTHREAD_CANCEL_ENABLE);
        CHECK_NUMBER(m[i].type, PTHREAD_CANCEL_DEFERRED);
    }
    CHECK_NUMBER(FIGURE(pool, spawned), 1);
    pool_destroy(pool);
}

static void run_spin_until_cancelled(struct pool_task *t)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    job_run(t);
    for (volatile bool on = true; on;)
        ;
}

/* Without a cancellation point. */
static void a_task_may_be_cancelled_anywhere(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct job bad = job_with(NULL), good = job_with(NULL);
    bad.task.run = run_spin_until_cancelled;
    job_begin(pool, &bad);
    CHECK_NUMBER(pool_submit(pool, &good.task), POOL_OK);
    pthread_cancel(atomic_load(&bad.thread));
    job_check_end(&bad, POOL_TASK_FAILED);
    job_check_end(&good, POOL_TASK_DONE);
    pool_settle(pool, 1);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void cancelling_an_idle_thread_fails_its_next_task(void)
{
    struct pool *pool = pool_of(0, 1, 10);
    struct job first = job_with(NULL), next = job_with(NULL), last = job_with(NULL);
    job_begin(pool, &first);
    job_check_end(&first, POOL_TASK_DONE);
    pool_settle(pool, 1);
    pthread_cancel(atomic_load(&first.thread));
    CHECK_STAYS(FIGURE(pool, idle) == 1, 20); /* the pool itself does not notice */
    CHECK_NUMBER(pool_submit(pool, &next.task), POOL_OK);
    CHECK_NUMBER(pool_submit(pool, &last.task), POOL_OK);
    job_check_end(&next, POOL_TASK_FAILED);
    job_check_end(&last, POOL_TASK_DONE);
    pool_settle(pool, 1);
    CHECK_NUMBER(FIGURE(pool, spawned), 2);
    pool_check_sums(pool);
    pool_destroy(pool);
}

/* A callback with a cancellation point: it waits, after it has counted. */
static void done_wait(struct pool_task *t)
{
    struct job *j = job_of(t);
    struct latch *hold = j->other->hold;
    job_done(t);
    latch_wait(hold);
}

/* Whether or not another task is to follow, which then takes the blame. */
static void a_cancellation_may_hit_a_callback(void)
{
    for (int more = 0; more <= 3; more++) {
        struct pool *pool = pool_of(0, 1, 10);
        struct latch hold = LATCH_CLOSED, never = LATCH_CLOSED;
        struct job bad = job_with(&hold), other = job_with(&never), behind[3], last = job_with(NULL);
        bad.task.done = done_wait;
        bad.other = &other;
        job_begin(pool, &bad);
        for (int i = 0; i < more; i++) {
            behind[i] = job_with(NULL);
            CHECK_NUMBER(pool_submit(pool, &behind[i].task), POOL_OK);
        }
        latch_open(&hold);
        CHECK_EVENTUALLY(job_has_ended(&bad));
        pthread_cancel(atomic_load(&bad.thread));
        for (int i = 0; i < more; i++)
            job_check_end(&behind[i], i == 0 ? POOL_TASK_FAILED : POOL_TASK_DONE);
        if (more > 0)
            CHECK_NUMBER(atomic_load(&behind[0].started), 0);
        CHECK_NUMBER(pool_submit(pool, &last.task), POOL_OK);
        job_check_end(&last, POOL_TASK_DONE);
        job_check_end(&bad, POOL_TASK_DONE);
        pool_settle(pool, 1);
        CHECK_NUMBER(FIGURE(pool, spawned), 2);
        pool_check_sums(pool);
        CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, in_ms(CHECK_PATIENCE_MS)), POOL_OK);
        pool_destroy(pool);
    }
}

static void done_cancel_itself(struct pool_task *t)
{
    job_done(t);
    pthread_cancel(pthread_self());
    pthread_testcancel();
}

/*
 * A thread that ends a task finds others that have waited too long: each of their ends is reported, although one of
 * the callbacks before theirs ends the thread.
 */
static void no_expired_task_is_lost_with_a_thread(void)
{
    enum { OLD = 5 };
    static struct job jobs[OLD + 1];
    for (int bad = 0; bad <= OLD; bad++) {
        struct pool *pool = pool_of(0, 1, OLD);
        struct latch hold = LATCH_CLOSED;
        for (int i = 0; i <= OLD; i++)
            jobs[i] = job_with(i == 0 ? &hold : NULL);
        jobs[bad].task.done = done_cancel_itself;
        job_begin(pool, &jobs[0]);
        for (int i = 1; i <= OLD; i++)
            CHECK_NUMBER(pool_submit(pool, &jobs[i].task), POOL_OK);
        CHECK_NUMBER(pool_reconfigure(pool, &(struct pool_config){.max = 1, .queue_timeout_ms = 1}), POOL_OK);
        CHECK_EVENTUALLY(clock_mono_us() > jobs[OLD].task.submitted_us + 2000);
        latch_open(&hold);
        CHECK_EVENTUALLY(FIGURE(pool, expired) == OLD && FIGURE(pool, idle) + FIGURE(pool, retired) > 0);
        uint64_t end_ms = clock_mono_ms() + 500;
        int ended = 0;
        while (ended <= OLD && clock_mono_ms() < end_ms) {
            ended = 0;
            for (int i = 0; i <= OLD; i++)
                ended += atomic_load(&jobs[i].ended);
            check_pause();
        }
        CHECK_NUMBER(ended, OLD + 1);
        pool_destroy(pool);
    }
}

/* A job that waits for something of another pool, and then gives its cancellation a point. */
struct patient {
    struct job job;
    struct pool_group group;
    int state; /* of cancellation, when it had come back */
};

static void run_wait_for_room(struct pool_task *t)
{
    struct patient *p = container_of(job_of(t), struct patient, job);
    job_run(t);
    atomic_store(&p->job.result, (int)pool_submit_until(p->job.pool, &p->job.other->task, UINT64_MAX));
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &p->state);
    pthread_testcancel();
}

static void cancelled_while_it_waits_for_room_elsewhere(void)
{
    struct pool *pool = pool_of(0, 1, 1), *full = pool_of(0, 1, 0);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold), inner = job_with(NULL), good = job_with(NULL);
    struct patient p = {.job = job_with(NULL)};
    p.job.task.run = run_wait_for_room;
    p.job.pool = full;
    p.job.other = &inner;
    atomic_store(&p.job.result, -1);
    job_begin(full, &running);
    job_begin(pool, &p.job);
    CHECK_EVENTUALLY(FIGURE(full, waiting) == 1);
    pthread_cancel(atomic_load(&p.job.thread));
    CHECK_STAYS(!job_has_ended(&p.job) && FIGURE(full, waiting) == 1, 20);
    latch_open(&hold);
    job_check_end(&p.job, POOL_TASK_FAILED);
    CHECK_NUMBER(atomic_load(&p.job.result), POOL_OK);
    CHECK_NUMBER(p.state, PTHREAD_CANCEL_ENABLE);
    job_check_end(&inner, POOL_TASK_DONE);
    CHECK_NUMBER(FIGURE(full, waiting), 0);
    CHECK_NUMBER(pool_submit_until(full, &good.task, UINT64_MAX), POOL_OK); /* its locks are free */
    job_check_end(&good, POOL_TASK_DONE);
    pool_settle(full, 1);
    pool_check_sums(full);
    pool_destroy(pool);
    pool_destroy(full);
}

static void run_wait_for_group(struct pool_task *t)
{
    struct patient *p = container_of(job_of(t), struct patient, job);
    job_run(t);
    atomic_store(&p->job.result, pool_group_wait(&p->group, UINT64_MAX));
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &p->state);
    pthread_testcancel();
}

static void cancelled_while_it_waits_for_a_group(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct patient p = {.job = job_with(NULL)};
    p.job.task.run = run_wait_for_group;
    pool_group_init(&p.group);
    pool_group_add(&p.group, 1);
    job_begin(pool, &p.job);
    pthread_cancel(atomic_load(&p.job.thread));
    CHECK_STAYS(!job_has_ended(&p.job), 20);
    CU_ASSERT(!pool_group_wait(&p.group, in_ms(1))); /* its lock is free */
    pool_group_done(&p.group);
    job_check_end(&p.job, POOL_TASK_FAILED);
    CHECK_NUMBER(atomic_load(&p.job.result), true);
    CHECK_NUMBER(p.state, PTHREAD_CANCEL_ENABLE);
    pool_settle(pool, 0);
    pool_destroy(pool);
    pool_group_destroy(&p.group);
}

static const struct check_case cases[] = {
    {"bad manners stay with their task", bad_manners_stay_with_their_task},
    {"a task may be cancelled anywhere", a_task_may_be_cancelled_anywhere},
    {"cancelling an idle thread fails its next task", cancelling_an_idle_thread_fails_its_next_task},
    {"a cancellation may hit a callback", a_cancellation_may_hit_a_callback},
    {"no expired task is lost with a thread", no_expired_task_is_lost_with_a_thread},
    {"cancelled while it waits for room elsewhere", cancelled_while_it_waits_for_room_elsewhere},
    {"cancelled while it waits for a group", cancelled_while_it_waits_for_a_group},
};

CHECK_MAIN("pool/thread cancel", cases)
