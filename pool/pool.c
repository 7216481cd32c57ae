/*
 * pool/pool.c - the calls of pool.h: submitting, cancelling, resizing, shutting down.
 */
#include "pool/pool.h"

#include "base/clock.h"
#include "pool/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS_MAX = 65536 };

static bool valid(const struct pool_config *c)
{
    return c->min <= c->max && c->max >= 1 && c->max <= THREADS_MAX && c->discipline <= POOL_CODEL;
}

struct pool *pool_create(const struct pool_config *config)
{
    pthread_condattr_t attr;
    struct pool *pool = valid(config) ? calloc(1, sizeof *pool) : NULL;
    if (!pool) {
        errno = valid(config) ? ENOMEM : EINVAL;
        return NULL;
    }
    pool->config = *config;
    strncpy(pool->name, config->name ? config->name : "default", sizeof pool->name - 1);
    pool->config.name = pool->name;
    pool->figures = config->figures ? config->figures : &pool->own_figures;
    pool->queue.prev = pool->queue.next = &pool->queue;
    pool->running.prev_running = pool->running.next_running = &pool->running;
    pthread_mutexattr_t lock_attr;
    pthread_mutexattr_init(&lock_attr);
    pthread_mutexattr_settype(&lock_attr,
                              PTHREAD_MUTEX_ADAPTIVE_NP); /* it is held for less than a switch costs */
    pthread_mutex_init(&pool->lock, &lock_attr);
    pthread_mutexattr_destroy(&lock_attr);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->room, &attr);
    pthread_cond_init(&pool->quiet, &attr);
    pthread_condattr_destroy(&attr);
    pool_publish(pool);
    return pool;
}

void pool_destroy(struct pool *pool)
{
    if (!pool)
        return;
    pool_shutdown(pool, POOL_DROP, UINT64_MAX);
    pthread_cond_destroy(&pool->room);
    pthread_cond_destroy(&pool->quiet);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* Each thread that is free, or could be started, is room for a task beside the queue. Lock held. */
static bool has_room(const struct pool *pool)
{
    size_t used = pool->queued + pool->busy - pool->stuck;
    return used < pool->config.max || used - pool->config.max < pool->config.max_queue;
}

void pool_publish(struct pool *pool)
{
    struct pool_figures *f = pool->figures;
    counter_set(&f->min, pool->config.min);
    counter_set(&f->max, pool->config.max);
    counter_set(&f->idle, pool->idle);
    counter_set(&f->stuck, pool->stuck);
    counter_set(&f->running, pool->busy - pool->stuck);
    counter_set(&f->queued, pool->queued);
    counter_set(&f->queue_limit, pool->config.max_queue);
    counter_set(&f->waiting, pool->submitters_waiting);
    if (pool->submitters_waiting && has_room(pool))
        pthread_cond_signal(
            &pool->room); /* one at a time: what it does is published too, and wakes the next */
}

static void enqueue(struct pool *pool, struct pool_task *t)
{
    t->pool = pool;
    t->state = TASK_QUEUED;
    t->thread = NULL;
    t->fail_reason = NULL;
    t->submitted_us = clock_mono_us();
    t->next = &pool->queue;
    t->prev = pool->queue.prev;
    t->prev->next = t;
    pool->queue.prev = t;
    pool->queued++;
    counter_add(&pool->figures->submitted, 1);
    pool_search(pool);
    pool_publish(pool);
}

enum pool_result pool_submit(struct pool *pool, struct pool_task *task)
{
    return pool_submit_until(pool, task, 0);
}

/* Waits for room. Lock held. */
static enum pool_result wait_for_room(struct pool *pool, uint64_t deadline_us)
{
    struct timespec until = {(time_t)(deadline_us / 1000000), (long)(deadline_us % 1000000) * 1000};
    if (pool->config.max_waiters && pool->submitters_waiting >= pool->config.max_waiters)
        return POOL_EOVERLOAD;
    int rc = 0;
    pool->submitters_waiting++;
    pool_publish(pool);
    while (!pool->closed && !has_room(pool) && rc != ETIMEDOUT)
        rc = deadline_us == UINT64_MAX ? pthread_cond_wait(&pool->room, &pool->lock)
                                       : pthread_cond_timedwait(&pool->room, &pool->lock, &until);
    pool->submitters_waiting--;
    pool_publish(pool);
    if (pool_is_quiet(pool))
        pthread_cond_broadcast(&pool->quiet);
    return pool->closed || has_room(pool) ? POOL_OK : POOL_ETIMEDOUT;
}

enum pool_result pool_submit_until(struct pool *pool, struct pool_task *task, uint64_t deadline_us)
{
    if (!task->run)
        return POOL_EINVAL;
    enum pool_result result = POOL_OK;
    pthread_mutex_lock(&pool->lock);
    if (task->state != TASK_NEW && task->state != TASK_ENDED) { /* it is with a pool already */
        pthread_mutex_unlock(&pool->lock);
        return POOL_EINVAL;
    }
    if (!pool->closed && !has_room(pool)) {
        bool own = pool_current && pool_current->pool == pool;
        if (deadline_us == 0)
            result = POOL_EOVERLOAD;
        else if (!own)
            result = wait_for_room(pool, deadline_us);
    }
    if (pool->closed)
        result = POOL_ECLOSED;
    if (result == POOL_OK)
        enqueue(pool, task);
    else if (result != POOL_ETIMEDOUT)
        counter_add(
            &pool->figures->rejected[result == POOL_ECLOSED ? POOL_REJECT_CLOSED : POOL_REJECT_QUEUE_FULL],
            1);
    pthread_mutex_unlock(&pool->lock);
    return result;
}

void pool_end(struct pool_task *task)
{
    struct pool *pool = task->pool;
    if (task->done) {
        task->done(task);
        return;
    }
    struct pool_task *head = atomic_load_explicit(&pool->ended, memory_order_relaxed);
    do
        task->next = head;
    while (!atomic_compare_exchange_weak_explicit(&pool->ended, &head, task, memory_order_acq_rel,
                                                  memory_order_relaxed));
    if (!head && pool->config.notify)
        pool->config.notify(pool->config.notify_arg);
}

void pool_end_all(struct pool_task *list)
{
    while (list) {
        struct pool_task *next = list->next;
        pool_end(list);
        list = next;
    }
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

bool pool_cancel(struct pool_task *task)
{
    struct pool *pool = task->pool;
    if (!pool)
        return false;
    pthread_mutex_lock(&pool->lock);
    bool found = task->state == TASK_QUEUED;
    if (found) {
        pool_task_unlink(task);
        pool->queued--;
        task->state = TASK_ENDED;
        task->outcome = POOL_TASK_CANCELLED;
        counter_add(&pool->figures->cancelled, 1);
        pool_publish(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    if (found)
        pool_end(task);
    return found;
}

bool pool_abandon(struct pool_task *task)
{
    struct pool *pool = task->pool;
    if (!pool)
        return false;
    pthread_mutex_lock(&pool->lock);
    bool runs = task->state == TASK_RUNNING;
    if (runs) {
        task->state = TASK_ABANDONED;
        pool->stuck++;
        pool_search(pool);
        pool_publish(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    return runs;
}

static void wake_all_idle(struct pool *pool)
{
    for (struct pool_thread *th = pool->hottest; th; th = th->colder)
        pthread_cond_signal(&th->wake);
}

enum pool_result pool_reconfigure(struct pool *pool, const struct pool_config *config)
{
    if (!valid(config))
        return POOL_EINVAL;
    pthread_mutex_lock(&pool->lock);
    pool->config.min = config->min;
    pool->config.max = config->max;
    pool->config.max_queue = config->max_queue;
    pool->config.max_waiters = config->max_waiters;
    pool->config.idle_timeout_ms = config->idle_timeout_ms;
    pool->config.stack_bytes = config->stack_bytes; /* of threads that start from now on */
    pool->config.queue_timeout_ms = config->queue_timeout_ms;
    pool->config.discipline = config->discipline;
    wake_all_idle(pool); /* so that each looks at the new sizes and times */
    pool_search(pool);
    pool_publish(pool);
    pthread_mutex_unlock(&pool->lock);
    return POOL_OK;
}

static struct pool_task *drop_queue(struct pool *pool)
{
    struct pool_task *dropped = NULL;
    while (pool->queued > 0) {
        struct pool_task *t = pool->queue.prev; /* newest first, so that the list is oldest first */
        pool_task_unlink(t);
        pool->queued--;
        t->state = TASK_ENDED;
        t->outcome = POOL_TASK_DROPPED;
        t->next = dropped;
        dropped = t;
        counter_add(&pool->figures->dropped, 1);
    }
    return dropped;
}

enum pool_result pool_shutdown(struct pool *pool, enum pool_shutdown_mode mode, uint64_t deadline_us)
{
    struct timespec until = {(time_t)(deadline_us / 1000000), (long)(deadline_us % 1000000) * 1000};
    int rc = 0;
    pthread_mutex_lock(&pool->lock);
    pool->closed = true;
    struct pool_task *dropped = mode == POOL_DROP ? drop_queue(pool) : NULL;
    wake_all_idle(pool);
    pthread_cond_broadcast(&pool->room);
    pool_publish(pool);
    pthread_mutex_unlock(&pool->lock);
    pool_end_all(dropped);
    pthread_mutex_lock(&pool->lock);
    pool_search(pool);
    while (!pool_is_quiet(pool) && rc != ETIMEDOUT)
        rc = deadline_us == UINT64_MAX ? pthread_cond_wait(&pool->quiet, &pool->lock)
                                       : pthread_cond_timedwait(&pool->quiet, &pool->lock, &until);
    bool quiet = pool_is_quiet(pool);
    bool join = quiet && pool->has_last_dead;
    pthread_t last = pool->last_dead;
    if (join)
        pool->has_last_dead = false;
    pthread_mutex_unlock(&pool->lock);
    if (join)
        pthread_join(last, NULL);
    return quiet ? POOL_OK : POOL_ETIMEDOUT;
}

enum pool_result pool_restart(struct pool *pool)
{
    enum pool_result result = POOL_EINVAL;
    pthread_mutex_lock(&pool->lock);
    if (pool->closed && pool->threads == 0) {
        pool->closed = false;
        result = POOL_OK;
    }
    pthread_mutex_unlock(&pool->lock);
    return result;
}

const struct pool_figures *pool_read_figures(const struct pool *pool)
{
    return pool->figures;
}

const char *pool_name(const struct pool *pool)
{
    return pool->name;
}

uint64_t pool_oldest_running_us(struct pool *pool)
{
    uint64_t started = 0;
    pthread_mutex_lock(&pool->lock);
    if (pool->running.next_running != &pool->running)
        started = pool->running.next_running->task->started_us;
    pthread_mutex_unlock(&pool->lock);
    return started ? clock_mono_us() - started : 0;
}
