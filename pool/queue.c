/*
 * pool/queue.c - which waiting task runs next, and which ones have waited too long.
 *
 * codel: see base/codel.h.
 */
#include "base/clock.h"
#include "pool/internal.h"

#include <assert.h>

/* Takes before a lower priority is let through. */
enum { PASSED_OVER_MAX = 8 };

/* From the highest to the lowest. */
static const enum pool_priority ranks[POOL_PRIORITIES] = {POOL_HIGH, POOL_NORMAL, POOL_LOW};

/* A task may have been submitted after the taker looked at the clock. */
static uint64_t age_of(const struct pool_task *t, uint64_t now_us)
{
    return now_us > t->submitted_us ? now_us - t->submitted_us : 0;
}

static void unlink_task(struct pool *pool, struct pool_task *t)
{
    assert(pool_lock_is_held(&pool->lock));
    assert(task_state(t) == TASK_QUEUED && pool->queued > 0);
    task_list_unlink(&pool->queue[t->priority], t);
    pool->queued--;
    if (!pool->queue[t->priority].oldest)
        pool->passed_over[t->priority] = 0;
    if (t->priority != POOL_NORMAL)
        pool_note_mixture(pool);
}

static _Atomic uint64_t *counter_of(struct pool_figures *f, enum pool_outcome outcome)
{
    switch (outcome) {
    case POOL_TASK_CANCELLED:
        return &f->cancelled;
    case POOL_TASK_EXPIRED:
        return &f->expired;
    case POOL_TASK_SHED:
        return &f->shed;
    case POOL_TASK_LENT:
        return &f->lent;
    default:
        return &f->dropped;
    }
}

void pool_remove(struct pool *pool, struct pool_task *t, enum pool_outcome outcome)
{
    assert(outcome != POOL_TASK_DONE && outcome != POOL_TASK_FAILED); /* it has not run */
    unlink_task(pool, t);
    task_set_state(t, TASK_ENDED);
    t->outcome = (uint8_t)outcome;
    t->fail_reason = NULL;
    counter_add(counter_of(pool->figures, outcome), 1);
    pool_note_room(pool, 1);
}

/* Of all priorities. */
static uint64_t oldest_age(const struct pool *pool, uint64_t now_us)
{
    uint64_t most = 0;
    for (int p = 0; p < POOL_PRIORITIES; p++) {
        uint64_t age = pool->queue[p].oldest ? age_of(pool->queue[p].oldest, now_us) : 0;
        if (age > most)
            most = age;
    }
    return most;
}

/*
 * From the oldest on, what is older than the discipline or the age bound allows. The newest of the highest priority is not
 * shed, or it would go while a lower one is served.
 */
static void drop_old_tasks(struct pool *pool, uint64_t now_us, struct pool_task **rejects)
{
    uint64_t bound_us = pool->config.queue_timeout_ms ? pool->config.queue_timeout_ms * 1000ull : UINT64_MAX;
    bool shed = pool->config.discipline == POOL_CODEL && pool->codel.overloaded, spared = false;
    assert(pool_lock_is_held(&pool->lock));
    for (int r = 0; r < POOL_PRIORITIES; r++) {
        struct task_list *list = &pool->queue[ranks[r]];
        struct pool_task *t;
        while ((t = list->oldest)) {
            uint64_t age_us = age_of(t, now_us);
            bool old = age_us > bound_us;
            if (!old && !(shed && age_us > 2 * CODEL_TARGET_US && (spared || t != list->newest)))
                break;
            pool_remove(pool, t, old ? POOL_TASK_EXPIRED : POOL_TASK_SHED);
            if (!old)
                codel_note_shed(&pool->codel);
            t->next = *rejects;
            *rejects = t;
        }
        spared |= list->oldest != NULL;
    }
}

/* The priority whose turn it is. There is a task. */
static struct task_list *list_in_turn(struct pool *pool)
{
    int chosen = 0;
    assert(pool->queued > 0);
    if (!atomic_load_explicit(&pool->mixed, memory_order_relaxed))
        return &pool->queue[POOL_NORMAL];
    while (chosen < POOL_PRIORITIES - 1 && !pool->queue[ranks[chosen]].oldest)
        chosen++;
    for (int r = chosen + 1; r < POOL_PRIORITIES; r++)
        if (pool->queue[ranks[r]].oldest && pool->passed_over[ranks[r]] >= PASSED_OVER_MAX)
            chosen = r;
    for (int r = chosen + 1; r < POOL_PRIORITIES; r++)
        if (pool->queue[ranks[r]].oldest)
            pool->passed_over[ranks[r]]++;
    pool->passed_over[ranks[chosen]] = 0;
    assert(pool->queue[ranks[chosen]].oldest);
    return &pool->queue[ranks[chosen]];
}

struct pool_task *pool_take(struct pool *pool, uint64_t now_us, struct pool_task **rejects)
{
    bool codel = pool->config.discipline == POOL_CODEL;
    bool newest = pool->config.discipline == POOL_LIFO || (codel && pool->codel.overloaded);
    assert(pool_lock_is_held(&pool->lock) && pool->busy < pool->threads);
    if ((pool->queued == 0 || newest || atomic_load_explicit(&pool->urgent, memory_order_relaxed)) &&
        !pool_pull(pool))
        return NULL;
    if (codel) {
        codel_observe(&pool->codel, now_us, oldest_age(pool, now_us), CODEL_INTERVAL_US, CODEL_TARGET_US);
        newest = pool->codel.overloaded;
    }
    if (codel || pool->config.queue_timeout_ms) {
        drop_old_tasks(pool, now_us, rejects);
        if (pool->queued == 0)
            return NULL;
    }
    struct task_list *list = list_in_turn(pool);
    struct pool_task *t = newest ? list->newest : list->oldest;
    unlink_task(pool, t);
    t->started_us = now_us > t->submitted_us ? now_us : t->submitted_us;
    t->fail_reason = NULL;
    counter_add(&pool->figures->started, 1);
    hist_add(&pool->figures->queue_wait, t->started_us - t->submitted_us);
    return t;
}

void pool_expire(struct pool *pool)
{
    struct pool_task *rejects = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->queued > 0 || pool_pull(pool))
        drop_old_tasks(pool, clock_mono_us(), &rejects);
    /* Where starting a thread failed before, this is the next try. */
    pool_search(pool);
    pool_unlock(pool);
    if (rejects)
        pool_offer_room(pool);
    pool_end_all(pool, rejects);
}
