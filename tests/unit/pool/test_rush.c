/*
 * tests/unit/pool/test_rush.c - rushes of the shortest tasks, and who else is there: submitters that wait for room, and
 * a shutdown.
 */
#include "tests/unit/pool/pool_help.h"

enum { FEED = 100000, LONG = 800, BOUND = 1000 };

static struct pool_task feed[FEED];
static struct pool_task *feed_tasks[FEED + LONG];
static struct job long_jobs[LONG];
static atomic_uint fed;

static void run_fed(struct pool_task *t)
{
    (void)t;
    atomic_fetch_add(&fed, 1);
}

static void done_nothing(struct pool_task *t)
{
    (void)t;
}

/* Submits from the pool's own thread, which may go beyond the bound: so the room comes all at once, at the end. */
static void run_feed(struct pool_task *t)
{
    job_run(t);
    (void)pool_submit_batch(job_of(t)->pool, feed_tasks, FEED + LONG, UINT64_MAX, NULL);
}

struct guest {
    pthread_t thread;
    struct pool *pool;
    struct job job;
    atomic_bool inside;
};

static void *enter(void *arg)
{
    struct guest *g = arg;
    (void)pool_submit_until(g->pool, &g->job.task, UINT64_MAX);
    atomic_store(&g->inside, true);
    return NULL;
}

/*
 * One began to wait for room before a rush, another one tries for a moment during it and gives up. When the rush ends,
 * all that is inside blocks, but there is room for two hundred: the first must not wait for more.
 */
static void a_rush_keeps_nobody_out_when_it_is_over(void)
{
    static struct job fill[BOUND];
    static struct guest guest;
    struct latch gate = LATCH_CLOSED, hold = LATCH_CLOSED;
    struct pool *pool = pool_of(0, 1, BOUND - 1);
    struct job feeder = job_with(&gate), hasty = job_with(NULL);
    for (int i = 0; i < FEED + LONG; i++) {
        if (i < FEED)
            feed[i] = (struct pool_task){.run = run_fed, .done = done_nothing};
        else
            long_jobs[i - FEED] = job_with(&hold);
        feed_tasks[i] = i < FEED ? &feed[i] : &long_jobs[i - FEED].task;
    }
    feeder.task.run = run_feed;
    feeder.pool = pool;
    atomic_store(&fed, 0);
    job_begin(pool, &feeder);
    for (int i = 0; i < BOUND - 1; i++) {
        fill[i] = job_with(NULL);
        CHECK_NUMBER(pool_submit(pool, &fill[i].task), POOL_OK);
    }
    guest = (struct guest){.pool = pool, .job = job_with(NULL)};
    CHECK_NUMBER(pthread_create(&guest.thread, NULL, enter, &guest), 0);
    CHECK_EVENTUALLY(FIGURE(pool, waiting) == 1);
    latch_open(&gate);
    enum pool_result tried = POOL_ETIMEDOUT;
    while (tried == POOL_ETIMEDOUT && atomic_load(&fed) < FEED / 5 * 4)
        tried = pool_submit_until(pool, &hasty.task, clock_mono_us() + 300);
    CHECK_EVENTUALLY(job_has_started(&long_jobs[0]));
    uint64_t end_ms = clock_mono_ms() + 1000;
    while (!atomic_load(&guest.inside) && clock_mono_ms() < end_ms)
        check_pause();
    CU_ASSERT(atomic_load(&guest.inside));
    latch_open(&hold);
    pthread_join(guest.thread, NULL);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    pool_check_sums(pool);
    pool_destroy(pool);
}

enum { CROWD = 6, SHORTS = 300, LONGS = 40 };

/* Submits many short jobs, and, once all of the crowd have done so, as many long ones as there is room for. */
struct one_of_crowd {
    pthread_t thread;
    pthread_barrier_t *all;
    struct pool *pool;
    struct latch *hold;
    struct job shorts[SHORTS], longs[LONGS];
    atomic_bool through;
};

static void *push(void *arg)
{
    struct one_of_crowd *c = arg;
    for (int i = 0; i < SHORTS; i++) {
        c->shorts[i] = job_with(NULL);
        (void)pool_submit_until(c->pool, &c->shorts[i].task, UINT64_MAX);
    }
    pthread_barrier_wait(c->all);
    for (int i = 0; i < LONGS; i++) {
        c->longs[i] = job_with(c->hold);
        (void)pool_submit_until(c->pool, &c->longs[i].task, UINT64_MAX);
    }
    atomic_store(&c->through, true);
    return NULL;
}

/* The room comes from the last short tasks before all threads block; it is enough, so that everybody gets in. */
static void a_crowd_gets_in_before_all_threads_block(void)
{
    static struct one_of_crowd crowd[CROWD];
    for (unsigned round = 0; round < 100; round++) {
        unsigned threads = 1 + round % 4;
        struct pool *pool = pool_of(0, threads, CROWD * LONGS + 10 - threads);
        struct latch hold = LATCH_CLOSED;
        pthread_barrier_t all;
        pthread_barrier_init(&all, NULL, CROWD);
        for (int i = 0; i < CROWD; i++) {
            crowd[i].all = &all;
            crowd[i].pool = pool;
            crowd[i].hold = &hold;
            atomic_store(&crowd[i].through, false);
            if (pthread_create(&crowd[i].thread, NULL, push, &crowd[i]) != 0)
                abort();
        }
        for (int i = 0; i < CROWD; i++)
            CHECK_EVENTUALLY(atomic_load(&crowd[i].through));
        latch_open(&hold);
        for (int i = 0; i < CROWD; i++)
            pthread_join(crowd[i].thread, NULL);
        CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
        CHECK_NUMBER(FIGURE(pool, completed), CROWD * (SHORTS + LONGS));
        pool_check_sums(pool);
        pool_destroy(pool);
        pthread_barrier_destroy(&all);
    }
}

static void done_count(struct pool_task *t)
{
    (void)t;
    atomic_fetch_add(&fed, 1);
}

/* A pool that is closed while it rushes needs no more threads than one that goes on. */
static void draining_a_rush_starts_no_more_threads(void)
{
    for (int round = 0; round < 5; round++) {
        struct pool *pool = pool_of(0, 4, FEED);
        atomic_store(&fed, 0);
        for (int i = 0; i < FEED; i++) {
            feed[i] = (struct pool_task){.run = done_nothing, .done = done_count};
            feed_tasks[i] = &feed[i];
        }
        CHECK_NUMBER(pool_submit_batch(pool, feed_tasks, FEED, UINT64_MAX, NULL), FEED);
        CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
        CHECK_NUMBER(atomic_load(&fed), FEED);
        CU_ASSERT(FIGURE(pool, spawned) <= 8);
        pool_destroy(pool);
    }
}

static const struct check_case cases[] = {
    {"a rush keeps nobody out when it is over", a_rush_keeps_nobody_out_when_it_is_over},
    {"a crowd gets in before all threads block", a_crowd_gets_in_before_all_threads_block},
    {"draining a rush starts no more threads", draining_a_rush_starts_no_more_threads},
};

CHECK_MAIN("pool/rush", cases)
