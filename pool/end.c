/*
 * pool/end.c - how tasks end and how that is reported: to their callback, or to who collects them; taking one back
 * and giving one up.
 */
#include "pool/internal.h"

#include <assert.h>

void pool_end(struct pool *pool, struct pool_task *task)
{
    assert(task_state(task) == TASK_ENDED);
    if (task->done) {
        task->done(task);
        return;
    }
    struct pool_task *head = atomic_load_explicit(&pool->ended, memory_order_relaxed);
    do
        task->next = head;
    while (!atomic_compare_exchange_weak_explicit(&pool->ended, &head, task, memory_order_acq_rel,
                                                  memory_order_relaxed));
    if (!head && pool->config.notify) {
        int cancel;
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* a wake-up must not get lost */
        pool->config.notify(pool->config.notify_arg);
        pthread_setcancelstate(cancel, NULL);
    }
}

void pool_end_all(struct pool *pool, struct pool_task *list)
{
    while (list) {
        struct pool_task *next = list->next;
        pool_end(pool, list);
        list = next;
    }
}

bool pool_any_ended(const struct pool *pool)
{
    return atomic_load_explicit(&pool->ended, memory_order_relaxed) != NULL;
}

struct pool_task *pool_collect(struct pool *pool)
{
    struct pool_task *newest = atomic_exchange_explicit(&pool->ended, NULL, memory_order_acquire),
                     *list = NULL;
    while (newest) {
        struct pool_task *older = newest->next;
        newest->next = list;
        list = newest;
        newest = older;
    }
    return list;
}

/* Out of the queue, as long as it waits there. No lock held. */
static bool take_out(struct pool *pool, struct pool_task *task, enum pool_outcome outcome)
{
    pthread_mutex_lock(&pool->lock);
    bool waits = task_state(task) == TASK_QUEUED;
    if (waits) {
        pool_pull(pool); /* it may be in the inbox still */
        pool_remove(pool, task, outcome);
    }
    pool_unlock(pool);
    if (waits)
        pool_offer_room(pool);
    return waits;
}

bool pool_cancel(struct pool *pool, struct pool_task *task)
{
    bool waits = take_out(pool, task, POOL_TASK_CANCELLED);
    if (waits)
        pool_end(pool, task);
    return waits;
}

bool pool_take_back(struct pool *pool, struct pool_task *task)
{
    return take_out(pool, task, POOL_TASK_LENT);
}

void pool_note_lent(struct pool *pool, const struct pool_task *task)
{
    pthread_mutex_lock(&pool->lock);
    pthread_mutex_lock(&pool->inbox.lock);
    counter_add(task->borrowed ? &pool->figures->borrowed : &pool->figures->submitted, 1);
    pthread_mutex_unlock(&pool->inbox.lock);
    counter_add(&pool->figures->lent, 1);
    pthread_mutex_unlock(&pool->lock);
}

bool pool_task_waits(const struct pool_task *task)
{
    return task_state(task) == TASK_QUEUED;
}

bool pool_abandon(struct pool *pool, struct pool_task *task)
{
    pthread_mutex_lock(&pool->lock);
    bool runs = task_state(task) == TASK_RUNNING;
    if (runs) {
        task_set_state(task, TASK_ABANDONED);
        pool->stuck++;
        assert(pool->stuck <= pool->busy);
        pool_note_room(pool, 1);
        pool_publish(pool);
        pool_search(pool); /* a replacement */
    }
    pool_unlock(pool);
    if (runs)
        pool_offer_room(pool);
    return runs;
}
