/*
 * pool/wake.c - who looks after the work: the note on waking in internal.h, as code.
 */
#include "base/clock.h"
#include "pool/internal.h"

enum { SPAWN_RETRY_US = 10000 }; /* a system that has refused a thread is left alone for this long */

static void post(struct pool *pool, struct pool_thread *th)
{
    if (th->posted)
        return; /* it is on its way, and will see for what */
    th->posted = true;
    pool->to_wake[pool->to_wake[0] != NULL] = th;
}

void pool_unlock(struct pool *pool)
{
    struct pool_thread *first = pool->to_wake[0], *second = pool->to_wake[1];
    pool->to_wake[0] = pool->to_wake[1] = NULL;
    pthread_mutex_unlock(&pool->lock); /* before waking: who is woken wants the lock */
    if (first)
        sem_post(&first->wake);
    if (second)
        sem_post(&second->wake);
}

void pool_idle_push(struct pool_thread *th)
{
    struct pool *pool = th->pool;
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
    for (struct pool_thread *th = pool->hottest; th; th = th->colder)
        if (!th->posted) {
            th->posted = true;
            sem_post(&th->wake);
        }
}

static bool may_start(const struct pool *pool)
{
    unsigned replaced = pool->stuck < pool->config.max ? pool->stuck : pool->config.max;
    unsigned staying = pool->threads - pool->leaving;
    if (staying >= pool->config.max + replaced)
        return false;
    return staying == 0 || pool->spawn_failed_us == 0 ||
           clock_mono_us() > pool->spawn_failed_us + SPAWN_RETRY_US;
}

static void wake_or_start(struct pool *pool)
{
    struct pool_thread *th = pool->hottest;
    if (th && th == pool->guard && th->colder)
        th = th->colder;
    if (!th) {
        pool_spawn(pool);
        return;
    }
    pool_idle_remove(th);
    th->searcher = pool->searching = true;
    post(pool, th);
}

void pool_note_pause(struct pool *pool)
{
    pool->quick_run = 0;
    pool->rushing = false;
    if (atomic_load_explicit(&pool->is_quick, memory_order_relaxed))
        atomic_store_explicit(&pool->is_quick, false, memory_order_relaxed);
}

void pool_note_run(struct pool *pool, uint64_t ran_us, uint64_t now_us)
{
    if (ran_us > QUICK_US) {
        pool_note_pause(pool);
        return;
    }
    if (++pool->quick_run == QUICK_TASKS)
        atomic_store_explicit(&pool->is_quick, true, memory_order_relaxed);
    if (pool->quick_run % RUSH_TASKS == 0) {
        pool->rushing = now_us - pool->rush_since_us < RUSH_US;
        pool->rush_since_us = now_us;
    }
}

bool pool_steps_aside(const struct pool_thread *th, uint64_t now_us)
{
    const struct pool *pool = th->pool;
    return pool->rushing && pool->busy > 0 &&
           pool->running.prev_running->task->started_us + GUARD_US / 4 > now_us;
}

/* Whether short tasks end one after the other, with an idle thread that watches it. */
static bool quick(struct pool *pool)
{
    if (pool->quick_run < QUICK_TASKS || pool->busy == 0)
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
    if (pool->searching || (!pool->hottest && !may_start(pool)) || quick(pool))
        return;
    if (pool->queued > 0 || pool_pull_or_call(pool))
        wake_or_start(pool);
}

/* Threads that have begun a task since the guard looked last, as far as there are processors for them. */
static unsigned active(const struct pool *pool)
{
    unsigned n = 0;
    for (const struct pool_thread *th = pool->running.prev_running;
         th != &pool->running && n < pool->cpus && th->task->started_us >= pool->guard_us;
         th = th->prev_running)
        n++;
    return n;
}

void pool_guard_look(struct pool *pool, uint64_t now_us)
{
    uint64_t ends = pool->ended_count - pool->guard_seen;
    pool->guard_seen = pool->ended_count;
    if (ends < QUICK_TASKS) {
        pool_note_pause(pool);
        pool->guard = NULL;
        pool_search(pool);
    } else if (!pool->rushing && active(pool) < pool->cpus && !pool->searching &&
               (pool->queued > 0 || pool_pull(pool))) {
        wake_or_start(pool);
    }
    pool->guard_us = now_us;
}
