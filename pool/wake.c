/*
 * pool/wake.c - who looks after the work: the note on waking in internal.h, as code.
 */
#include "base/clock.h"
#include "pool/internal.h"

#include <assert.h>

/* A system that has refused a thread is left alone for this long. */
enum { SPAWN_RETRY_US = 10000 };

static void post(struct pool *pool, struct pool_thread *th)
{
    assert(pool_lock_is_held(&pool->lock));
    if (th->posted)
        return; /* it is on its way, and will see for what */
    assert(pool->wakes < WAKES_MAX);
    th->posted = true;
    pool->to_wake[pool->wakes++] = th;
}

void pool_unlock(struct pool *pool)
{
    struct pool_thread *to_wake[WAKES_MAX];
    unsigned wakes = pool->wakes;
    assert(pool_lock_is_held(&pool->lock) && wakes <= WAKES_MAX);
    for (unsigned i = 0; i < wakes; i++)
        to_wake[i] = pool->to_wake[i];
    pool->wakes = 0;
    /* Before waking: who is woken wants the lock. */
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < wakes; i++)
        sem_post(&to_wake[i]->wake);
}

void pool_idle_push(struct pool_thread *th)
{
    struct pool *pool = th->pool;
    assert(pool_lock_is_held(&pool->lock));
    assert(!th->idle && !th->task && !th->searcher);
    th->hotter = NULL;
    th->colder = pool->hottest;
    if (pool->hottest)
        pool->hottest->hotter = th;
    pool->hottest = th;
    th->idle = true;
    pool->idle++;
}

void pool_idle_remove(struct pool_thread *th)
{
    struct pool *pool = th->pool;
    assert(pool_lock_is_held(&pool->lock));
    assert(th->idle && pool->idle > 0 && (th->hotter ? th->hotter->colder : pool->hottest) == th);
    *(th->hotter ? &th->hotter->colder : &pool->hottest) = th->colder;
    if (th->colder)
        th->colder->hotter = th->hotter;
    th->idle = false;
    pool->idle--;
    if (pool->guard == th)
        pool->guard = NULL;
}

void pool_wake_all_idle(struct pool *pool)
{
    assert(pool_lock_is_held(&pool->lock));
    for (struct pool_thread *th = pool->hottest; th; th = th->colder)
        if (!th->posted) {
            th->posted = true;
            sem_post(&th->wake);
        }
}

static bool may_start(const struct pool *pool)
{
    unsigned replaced = pool->stuck < pool->config.max ? pool->stuck : pool->config.max;
    assert(pool->leaving <= pool->threads);
    unsigned staying = pool->threads - pool->leaving;
    /* No more than `max` of them are replaced, either. */
    if (staying >= pool->config.max + replaced || pool->ending >= pool->config.max)
        return false;
    return staying == 0 || pool->spawn_failed_us == 0 ||
           clock_mono_us() > pool->spawn_failed_us + SPAWN_RETRY_US;
}

static void wake_or_start(struct pool *pool)
{
    struct pool_thread *th = pool->hottest;
    assert(pool->queued > 0);
    if (th && th == pool->guard && th->colder)
        th = th->colder;
    if (!th) {
        pool_spawn(pool);
        return;
    }
    pool_idle_remove(th);
    pool_searcher_set(th, true);
    post(pool, th);
}

void pool_note_pause(struct pool *pool)
{
    pool->rush_run = 0;
    pool->rushing = false;
}

void pool_note_run(struct pool *pool, uint64_t ran_us, uint64_t now_us)
{
    assert(pool_lock_is_held(&pool->lock) && pool->rush_run < RUSH_TASKS);
    if (ran_us > RUSH_US) {
        pool_note_pause(pool);
    } else if (++pool->rush_run == RUSH_TASKS) {
        pool->rushing = now_us - pool->rush_since_us < RUSH_US;
        pool->rush_run = 0;
        pool->rush_since_us = now_us;
    }
}

bool pool_steps_aside(const struct pool_thread *th, uint64_t now_us)
{
    const struct pool *pool = th->pool;
    return pool->rushing && !pool->closed && pool->busy > 0 && pool->last_start_us + GUARD_US / 4 > now_us;
}

/* Whether the pool rushes, with an idle thread that watches it. */
static bool guarded(struct pool *pool)
{
    if (!pool->rushing || pool->busy == 0)
        return false;
    if (!pool->guard && pool->hottest) {
        pool->guard = pool->hottest;
        pool->guard_seen = pool->ended_count;
        post(pool, pool->guard);
    }
    return pool->guard != NULL;
}

void pool_search(struct pool *pool)
{
    assert(pool_lock_is_held(&pool->lock));
    if (pool->searching > 0 || (!pool->hottest && !may_start(pool)) || guarded(pool))
        return;
    if (pool->queued > 0 || pool_pull_or_call(pool))
        wake_or_start(pool);
}

void pool_search_more(struct pool *pool)
{
    assert(pool_lock_is_held(&pool->lock));
    for (int i = 0; i < 2; i++)
        if (pool->queued > pool->searching && (pool->hottest || may_start(pool)) && !guarded(pool))
            wake_or_start(pool);
}

void pool_answer(struct pool *pool)
{
    assert(pool_lock_is_held(&pool->lock));
    if (pool->searching == 0)
        pool_search(pool);
    else if ((pool->hottest || may_start(pool)) && !guarded(pool) && pool_pull(pool) &&
             pool->queued > pool->searching)
        wake_or_start(pool);
    if (pool->searching == 0 && pool->spawn_failed_us)
        pool_call(pool); /* the next one tries again */
}

void pool_guard_look(struct pool *pool)
{
    assert(pool_lock_is_held(&pool->lock));
    assert(pool->guard && pool->guard->idle && pool->ended_count >= pool->guard_seen);
    if (pool->ended_count - pool->guard_seen < RUSH_TASKS) {
        pool_note_pause(pool);
        pool->guard = NULL;
        pool_search(pool);
    }
    pool->guard_seen = pool->ended_count;
}
