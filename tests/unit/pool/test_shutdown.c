/*
 * tests/unit/pool/test_shutdown.c - draining, dropping, deadlines, starting again, and destroying in any state.
 */
#include "tests/unit/pool/pool_help.h"

enum { QUEUED = 5 };

/* One job running, and QUEUED behind it. */
struct loaded {
    struct pool *pool;
    struct latch hold;
    struct job running, queued[QUEUED];
};

static void load(struct loaded *l)
{
    l->pool = pool_of(0, 1, QUEUED);
    l->hold = (struct latch)LATCH_CLOSED;
    l->running = job_with(&l->hold);
    job_begin(l->pool, &l->running);
    for (int i = 0; i < QUEUED; i++) {
        l->queued[i] = job_with(NULL);
        CHECK_NUMBER(pool_submit(l->pool, &l->queued[i].task), POOL_OK);
    }
}

static void an_unused_pool_closes_at_once(void)
{
    struct pool *pool = pool_of(2, 4, 1);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DROP, 1), POOL_OK); /* again, with a deadline long past */
    pool_destroy(pool);
}

static void draining_runs_the_queue(void)
{
    struct loaded l;
    load(&l);
    latch_open(&l.hold);
    CHECK_NUMBER(pool_shutdown(l.pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    for (int i = 0; i < QUEUED; i++) {
        CHECK_NUMBER(atomic_load(&l.queued[i].ended), 1); /* before the call returned */
        CHECK_NUMBER(l.queued[i].task.outcome, POOL_TASK_DONE);
    }
    CHECK_NUMBER(FIGURE(l.pool, spawned), FIGURE(l.pool, retired));
    CHECK_NUMBER(FIGURE(l.pool, idle), 0);
    pool_check_sums(l.pool);
    pool_destroy(l.pool);
}

static void idle_threads_end(void)
{
    struct pool *pool = pool_of(3, 3, 0);
    struct latch hold = LATCH_CLOSED;
    struct job jobs[3] = {job_with(&hold), job_with(&hold), job_with(&hold)};
    for (int i = 0; i < 3; i++)
        job_begin(pool, &jobs[i]);
    latch_open(&hold);
    pool_settle(pool, 3);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    CHECK_NUMBER(FIGURE(pool, retired), 3);
    pool_destroy(pool);
}

static void draining_stops_waiting_at_its_deadline(void)
{
    struct loaded l;
    load(&l);
    uint64_t deadline = in_ms(20);
    CHECK_NUMBER(pool_shutdown(l.pool, POOL_DRAIN, deadline), POOL_ETIMEDOUT);
    CU_ASSERT(clock_mono_us() >= deadline);
    CHECK_NUMBER(pool_waiting(l.pool), QUEUED);
    CHECK_NUMBER(pool_restart(l.pool), POOL_EINVAL); /* not while it is closing */
    CHECK_NUMBER(pool_shutdown(l.pool, POOL_DRAIN, 1), POOL_ETIMEDOUT);
    CHECK_NUMBER(pool_shutdown(l.pool, POOL_DROP, in_ms(1)),
                 POOL_ETIMEDOUT); /* patience is over: drop the rest */
    for (int i = 0; i < QUEUED; i++) {
        CHECK_NUMBER(atomic_load(&l.queued[i].ended), 1);
        CHECK_NUMBER(l.queued[i].task.outcome, POOL_TASK_DROPPED);
    }
    latch_open(&l.hold);
    CHECK_NUMBER(pool_shutdown(l.pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    job_check_end(&l.running, POOL_TASK_DONE);
    CHECK_NUMBER(FIGURE(l.pool, dropped), QUEUED);
    pool_check_sums(l.pool);
    pool_destroy(l.pool);
}

struct order {
    struct job job;
    struct latch *open;
    int place;
    enum pool_result again;
};

static atomic_int places;

static void done_note_order(struct pool_task *t)
{
    struct order *o = container_of(job_of(t), struct order, job);
    o->place = atomic_fetch_add(&places, 1);
    o->again = pool_submit_until(o->job.pool, t, UINT64_MAX); /* it is closed to callbacks too */
    if (o->open)
        latch_open(o->open);
    job_done(t);
}

static void dropping_reports_each_once_and_oldest_first(void)
{
    struct pool *pool = pool_of(0, 1, QUEUED);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold);
    struct order queued[QUEUED];
    atomic_store(&places, 0);
    job_begin(pool, &running);
    for (int i = 0; i < QUEUED; i++) {
        queued[i] = (struct order){.job = job_with(NULL), .open = i == QUEUED - 1 ? &hold : NULL};
        queued[i].job.pool = pool;
        queued[i].job.task.done = done_note_order;
        CHECK_NUMBER(pool_submit(pool, &queued[i].job.task), POOL_OK);
    }
    /* The last callback lets the running one go. */
    CHECK_NUMBER(pool_shutdown(pool, POOL_DROP, UINT64_MAX), POOL_OK);
    for (int i = 0; i < QUEUED; i++) {
        CHECK_NUMBER(atomic_load(&queued[i].job.ended), 1);
        CHECK_NUMBER(atomic_load(&queued[i].job.started), 0);
        CHECK_NUMBER(queued[i].job.task.outcome, POOL_TASK_DROPPED);
        CHECK_NUMBER(queued[i].place, i);
        CHECK_NUMBER(queued[i].again, POOL_ECLOSED);
    }
    CHECK_NUMBER(running.task.outcome, POOL_TASK_DONE);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void a_pool_starts_again(void)
{
    struct pool *pool = pool_of(1, 2, 1);
    CHECK_NUMBER(pool_restart(pool), POOL_EINVAL); /* it is open */
    for (int round = 1; round <= 20; round++) {
        struct job jobs[2] = {job_with(NULL), job_with(NULL)};
        for (int i = 0; i < 2; i++)
            CHECK_NUMBER(pool_submit(pool, &jobs[i].task), POOL_OK);
        CHECK_NUMBER(pool_shutdown(pool, round % 2 ? POOL_DRAIN : POOL_DROP, UINT64_MAX), POOL_OK);
        for (int i = 0; i < 2; i++)
            CHECK_NUMBER(atomic_load(&jobs[i].ended), 1);
        CHECK_NUMBER(pool_submit(pool, &jobs[0].task), POOL_ECLOSED);
        CHECK_NUMBER(pool_restart(pool), POOL_OK);
    }
    CHECK_NUMBER(FIGURE(pool, submitted), 40); /* the figures go on */
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void destroying_drops_what_waits(void)
{
    struct pool *pool = pool_of(0, 1, 1);
    struct latch hold = LATCH_CLOSED;
    struct job running = job_with(&hold);
    struct order queued = {.job = job_with(NULL), .open = &hold};
    queued.job.pool = pool;
    queued.job.task.done = done_note_order;
    job_begin(pool, &running);
    CHECK_NUMBER(pool_submit(pool, &queued.job.task), POOL_OK);
    /* Waits for the running one, which the dropped one lets go. */
    pool_destroy(pool);
    CHECK_NUMBER(atomic_load(&running.ended), 1);
    CHECK_NUMBER(running.task.outcome, POOL_TASK_DONE);
    CHECK_NUMBER(queued.job.task.outcome, POOL_TASK_DROPPED);
}

static void shutting_down_waits_for_what_was_given_up(void)
{
    struct loaded l;
    load(&l);
    CU_ASSERT(pool_abandon(l.pool, &l.running.task));
    for (int i = 0; i < QUEUED; i++)
        job_check_end(&l.queued[i], POOL_TASK_DONE);
    CHECK_NUMBER(pool_shutdown(l.pool, POOL_DRAIN, in_ms(10)), POOL_ETIMEDOUT);
    CHECK_NUMBER(FIGURE(l.pool, stuck), 1);
    latch_open(&l.hold);
    CHECK_NUMBER(pool_shutdown(l.pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    job_check_end(&l.running, POOL_TASK_DONE);
    pool_check_sums(l.pool);
    pool_destroy(l.pool);
}

static void *shut_down_too(void *pool)
{
    return pool_shutdown(pool, POOL_DRAIN, UINT64_MAX) == POOL_OK ? pool : NULL;
}

static void two_may_shut_down_at_a_time(void)
{
    for (int round = 0; round < 20; round++) {
        struct loaded l;
        pthread_t other;
        void *result;
        load(&l);
        if (pthread_create(&other, NULL, shut_down_too, l.pool) != 0)
            abort();
        latch_open(&l.hold);
        CHECK_NUMBER(pool_shutdown(l.pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
        pthread_join(other, &result);
        CU_ASSERT_PTR_EQUAL(result, l.pool);
        CHECK_NUMBER(FIGURE(l.pool, completed), QUEUED + 1);
        pool_destroy(l.pool);
    }
}

struct blocked {
    struct pool *pool;
    struct job job;
};

static void *submit_and_wait(void *arg)
{
    struct blocked *b = arg;
    return pool_submit_until(b->pool, &b->job.task, UINT64_MAX) == POOL_ECLOSED ? b : NULL;
}

/* Whoever still waits in a call when the pool is destroyed must be out of it before its memory goes. */
static void destroying_waits_for_blocked_submitters(void)
{
    enum { BLOCKED = 8 };
    for (int round = 0; round < 50; round++) {
        struct pool *pool = pool_of(0, 1, 1);
        struct latch hold = LATCH_CLOSED;
        struct job running = job_with(&hold);
        struct order queued = {.job = job_with(NULL),
                               .open = &hold}; /* its being dropped ends the running one */
        struct blocked blocked[BLOCKED];
        pthread_t threads[BLOCKED];
        queued.job.pool = pool;
        queued.job.task.done = done_note_order;
        job_begin(pool, &running);
        CHECK_NUMBER(pool_submit(pool, &queued.job.task), POOL_OK);
        for (int i = 0; i < BLOCKED; i++) {
            blocked[i] = (struct blocked){pool, job_with(NULL)};
            if (pthread_create(&threads[i], NULL, submit_and_wait, &blocked[i]) != 0)
                abort();
        }
        CHECK_EVENTUALLY(FIGURE(pool, waiting) == BLOCKED);
        pool_destroy(pool);
        for (int i = 0; i < BLOCKED; i++) {
            void *result;
            pthread_join(threads[i], &result);
            CU_ASSERT_PTR_EQUAL(result, &blocked[i]);
        }
    }
}

static const struct check_case cases[] = {
    {"an unused pool closes at once", an_unused_pool_closes_at_once},
    {"draining runs the queue", draining_runs_the_queue},
    {"idle threads end", idle_threads_end},
    {"draining stops waiting at its deadline", draining_stops_waiting_at_its_deadline},
    {"dropping reports each once and oldest first", dropping_reports_each_once_and_oldest_first},
    {"a pool starts again", a_pool_starts_again},
    {"destroying drops what waits", destroying_drops_what_waits},
    {"shutting down waits for what was given up", shutting_down_waits_for_what_was_given_up},
    {"two may shut down at a time", two_may_shut_down_at_a_time},
    {"destroying waits for blocked submitters", destroying_waits_for_blocked_submitters},
};

CHECK_MAIN("pool/shutdown", cases)
