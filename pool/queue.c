/*
 * pool/queue.c - the disciplines: which waiting task runs next, and which ones have waited too long.
 *
 * codel is the controlled-delay discipline (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012) in the
 * form for servers of "Fail at Scale" (Maurer, ACM Queue 2015): interval 100 ms, target 5 ms; while even the smallest
 * delay of an interval exceeded the target, the newest task goes first and those older than twice the target are shed.
 */
#include "base/clock.h"
#include "pool/internal.h"

enum { CODEL_INTERVAL_US = 100000, CODEL_TARGET_US = 5000 };

/* A task may have been submitted after the taker looked at the clock. */
static uint64_t age_of(const struct pool_task *t, uint64_t now_us)
{
    return now_us > t->submitted_us ? now_us - t->submitted_us : 0;
}

static void codel_observe(struct codel *c, uint64_t now_us, uint64_t delay_us)
{
    if (now_us >= c->interval_end_us) {
        c->overloaded = c->interval_end_us != 0 && c->smallest_delay_us > CODEL_TARGET_US;
        c->interval_end_us = now_us + CODEL_INTERVAL_US;
        c->smallest_delay_us = delay_us;
    } else if (delay_us < c->smallest_delay_us) {
        c->smallest_delay_us = delay_us;
    }
}

static void reject(struct pool *pool, struct pool_task *t, enum pool_outcome outcome,
                   struct pool_task **rejects)
{
    pool_task_unlink(t);
    pool->queued--;
    t->state = TASK_ENDED;
    t->outcome = outcome;
    t->next = *rejects;
    *rejects = t;
    if (outcome == POOL_TASK_SHED)
        counter_add(&pool->figures->rejected[POOL_REJECT_CODEL], 1);
    else
        counter_add(&pool->figures->expired, 1);
}

/* From the oldest on, what is older than the discipline or the age bound allows. */
static void drop_old(struct pool *pool, uint64_t now_us, struct pool_task **rejects)
{
    uint64_t age_bound = pool->config.queue_timeout_ms ? pool->config.queue_timeout_ms * 1000ull : UINT64_MAX;
    bool shed = pool->config.discipline == POOL_CODEL && pool->codel.overloaded;
    while (pool->queued > 0) {
        struct pool_task *oldest = pool->queue.next;
        uint64_t age = age_of(oldest, now_us);
        if (age > age_bound)
            reject(pool, oldest, POOL_TASK_EXPIRED, rejects);
        else if (shed && age > 2 * CODEL_TARGET_US && pool->queued > 1)
            reject(pool, oldest, POOL_TASK_SHED, rejects);
        else
            return;
    }
}

struct pool_task *pool_take(struct pool *pool, uint64_t now_us, struct pool_task **rejects)
{
    if (pool->queued == 0)
        return NULL;
    if (pool->config.discipline == POOL_CODEL)
        codel_observe(&pool->codel, now_us, age_of(pool->queue.next, now_us));
    if (pool->config.queue_timeout_ms || pool->config.discipline == POOL_CODEL)
        drop_old(pool, now_us, rejects);
    if (pool->queued == 0)
        return NULL;
    bool newest = pool->config.discipline == POOL_LIFO ||
                  (pool->config.discipline == POOL_CODEL && pool->codel.overloaded);
    struct pool_task *t = newest ? pool->queue.prev : pool->queue.next;
    pool_task_unlink(t);
    pool->queued--;
    t->started_us = now_us > t->submitted_us ? now_us : t->submitted_us;
    hist_add(&pool->figures->queue_wait, age_of(t, now_us));
    return t;
}

void pool_expire(struct pool *pool)
{
    struct pool_task *rejects = NULL;
    pthread_mutex_lock(&pool->lock);
    drop_old(pool, clock_mono_us(), &rejects);
    pool_search(pool); /* where starting a thread failed before, this is the next try */
    pool_publish(pool);
    pthread_mutex_unlock(&pool->lock);
    pool_end_all(rejects);
}
