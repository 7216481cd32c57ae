/*
 * tests/unit/pool/pool_help.h - jobs that can be held, watched and counted, for the tests of the pool.
 *
 * A job is a task with a latch that its run waits at. Its `ended` is raised last, in its done callback: who has seen
 * it may read everything else, and the job is its owner's again.
 */
#ifndef WEIR_TESTS_UNIT_POOL_POOL_HELP_H
#define WEIR_TESTS_UNIT_POOL_POOL_HELP_H

#include "base/list.h"
#include "pool/pool.h"
#include "tests/unit/check.h"

#include <pthread.h>
#include <stdatomic.h>

struct latch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
};

#define LATCH_CLOSED                                               \
    {                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false \
    }

static inline void latch_set(struct latch *l, bool open)
{
    pthread_mutex_lock(&l->lock);
    l->open = open;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static inline void latch_open(struct latch *l)
{
    latch_set(l, true);
}

static inline void latch_unlock(void *lock)
{
    pthread_mutex_unlock(lock);
}

/* A cancellation point, as the waits of real tasks are. */
static inline void latch_wait(struct latch *l)
{
    pthread_mutex_lock(&l->lock);
    pthread_cleanup_push(latch_unlock, &l->lock);
    while (!l->open)
        pthread_cond_wait(&l->changed, &l->lock);
    pthread_cleanup_pop(1);
}

struct job {
    struct pool_task task;
    struct latch *hold; /* run waits here unless NULL */
    struct pool *pool;  /* for runs that submit */
    /* For runs and callbacks that do something with another job. */
    struct job *other;
    atomic_int started, ended;
    atomic_int result;        /* of what the run or the callback tried */
    _Atomic pthread_t thread; /* that ran it */
};

static inline struct job *job_of(struct pool_task *t)
{
    return container_of(t, struct job, task);
}

static inline void job_run(struct pool_task *t)
{
    struct job *j = job_of(t);
    atomic_store(&j->thread, pthread_self());
    atomic_fetch_add(&j->started, 1);
    if (j->hold)
        latch_wait(j->hold);
}

static inline void job_done(struct pool_task *t)
{
    atomic_fetch_add(&job_of(t)->ended, 1);
}

static inline struct job job_with(struct latch *hold)
{
    return (struct job){.task = {.run = job_run, .done = job_done}, .hold = hold};
}

static inline bool job_has_started(struct job *j)
{
    return atomic_load(&j->started) > 0;
}

static inline bool job_has_ended(struct job *j)
{
    return atomic_load(&j->ended) > 0;
}

/* Submits, and waits until it runs: from then on its thread is taken. */
static inline void job_begin(struct pool *pool, struct job *j)
{
    CHECK_NUMBER(pool_submit(pool, &j->task), POOL_OK);
    CHECK_EVENTUALLY(job_has_started(j));
}

/* Waits for the end, and checks which one it was, that it was the only one, and the times. */
static inline void job_check_end(struct job *j, enum pool_outcome outcome)
{
    CHECK_EVENTUALLY(job_has_ended(j));
    CHECK_NUMBER(atomic_load(&j->ended), 1);
    CHECK_NUMBER(j->task.outcome, outcome);
    if (outcome == POOL_TASK_DONE || outcome == POOL_TASK_FAILED) {
        CU_ASSERT(j->task.submitted_us <= j->task.started_us);
        CU_ASSERT(j->task.started_us <= j->task.ended_us);
    }
}

static inline struct pool *pool_of(unsigned min, unsigned max, size_t max_queue)
{
    struct pool_config config = {
        .name = "test", .min = min, .max = max, .max_queue = max_queue, .idle_timeout_ms = 60000};
    struct pool *pool = pool_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    return pool;
}

/* A figure of the pool by its field's name. */
#define FIGURE(pool, field) counter_get(&pool_read_figures(pool)->field)

/* Tasks that wait for a thread. */
static inline uint64_t pool_waiting(struct pool *pool)
{
    return pool_figures_queued(pool_read_figures(pool));
}

/* Waits until `idle` threads idle and nothing else goes on. */
static inline void pool_settle(struct pool *pool, unsigned idle)
{
    CHECK_EVENTUALLY(FIGURE(pool, running) == 0 && pool_waiting(pool) == 0 && FIGURE(pool, idle) == idle);
}

/* That every task submitted is accounted for, in a pool where nothing runs or waits. */
static inline void pool_check_sums(struct pool *pool)
{
    CHECK_NUMBER(FIGURE(pool, running), 0);
    CHECK_NUMBER(FIGURE(pool, stuck), 0);
    CHECK_NUMBER(pool_waiting(pool), 0);
    CHECK_NUMBER(FIGURE(pool, completed) + FIGURE(pool, failed) + FIGURE(pool, cancelled) +
                     FIGURE(pool, expired) + FIGURE(pool, dropped) + FIGURE(pool, shed) + FIGURE(pool, lent),
                 FIGURE(pool, submitted) + FIGURE(pool, borrowed));
    struct hist_sum waits = {0}, runs = {0};
    hist_collect(&pool_read_figures(pool)->queue_wait, &waits);
    hist_collect(&pool_read_figures(pool)->run_time, &runs);
    CHECK_NUMBER(runs.total, FIGURE(pool, completed) + FIGURE(pool, failed));
    CHECK_NUMBER(waits.total, runs.total);
}

static inline uint64_t in_ms(uint64_t ms)
{
    return clock_mono_us() + ms * 1000;
}

/* How many mappings this process has. */
static inline unsigned mappings(void)
{
    unsigned lines = 0;
    FILE *f = fopen("/proc/self/maps", "re");
    if (!f)
        abort();
    for (int c = getc(f); c != EOF; c = getc(f))
        lines += c == '\n';
    fclose(f);
    return lines;
}

/* Sanitizers have memory of their own, and need more address space than there is memory. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_SANITIZED true
#endif
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED false
#endif

/* So have programs that simulate the processor. */
static inline bool test_simulated(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload && strstr(preload, "vgpreload");
}

#endif
