/*
 * pool/thread.c - the life of a pool's thread: start, tasks, idling, retiring, and failing in the middle of a task.
 *
 * A task may end its thread (pool_task_fail, pthread_exit, pthread_cancel): the cleanup handler around it then ends
 * the task as failed and takes the thread out of the books, and the pool starts another when it needs one.
 */
#include "base/clock.h"
#include "pool/internal.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

_Thread_local struct pool_thread *pool_current;

/* Threads that stay: neither given up nor on their way out. */
static unsigned staying(const struct pool *pool)
{
    return pool->threads - pool->leaving - pool->stuck;
}

static bool over_max(const struct pool *pool)
{
    return staying(pool) > pool->config.max;
}

static void link_running(struct pool *pool, struct pool_thread *th)
{
    th->prev_running = pool->running.prev_running;
    th->next_running = &pool->running;
    th->prev_running->next_running = th;
    pool->running.prev_running = th;
    pool->busy++;
}

static void unlink_running(struct pool_thread *th)
{
    th->prev_running->next_running = th->next_running;
    th->next_running->prev_running = th->prev_running;
}

/* Books the end of th's task; returns it. Lock held. */
static struct pool_task *finish_task(struct pool_thread *th, enum pool_outcome outcome, uint64_t now_us)
{
    struct pool *pool = th->pool;
    struct pool_task *t = th->task;
    unlink_running(th);
    pool->busy--;
    if (t->state == TASK_ABANDONED)
        pool->stuck--;
    t->ended_us = now_us;
    t->outcome = outcome;
    t->fail_reason = th->fail_reason;
    t->state = TASK_ENDED;
    t->thread = NULL;
    th->task = NULL;
    counter_add(outcome == POOL_TASK_DONE ? &pool->figures->completed : &pool->figures->failed, 1);
    hist_add(&pool->figures->run_time, t->ended_us - t->started_us);
    return t;
}

/* Takes the thread out of the books for good. Lock held; returns whether *previous is to be joined. */
static bool leave(struct pool *pool, pthread_t *previous)
{
    pool_search(
        pool); /* a successor may start; this thread still counts, so that the pool outlives the search */
    pool->leaving--;
    bool join = pool->has_last_dead;
    *previous = pool->last_dead;
    pool->last_dead = pthread_self();
    pool->has_last_dead = true;
    pool->threads--;
    counter_add(&pool->figures->retired, 1);
    pool_publish(pool);
    if (pool_is_quiet(pool))
        pthread_cond_broadcast(&pool->quiet);
    return join;
}

static void end_thread(struct pool_thread *th, struct pool_task *ended)
{
    pthread_t previous;
    struct pool *pool = th->pool;
    if (ended)
        pool_end(ended);
    pthread_mutex_lock(&pool->lock);
    bool join = leave(pool, &previous);
    pthread_mutex_unlock(&pool->lock);
    if (join)
        pthread_join(previous, NULL);
    pthread_cond_destroy(&th->wake);
    free(th);
    pool_current = NULL;
}

/* Runs when a task took its thread down with it. */
static void on_task_exit(void *arg)
{
    struct pool_thread *th = arg;
    struct pool *pool = th->pool;
    if (th->finished)
        return;
    if (!th->fail_reason)
        th->fail_reason = "the task ended its thread";
    pthread_mutex_lock(&pool->lock);
    struct pool_task *t = finish_task(th, POOL_TASK_FAILED, clock_mono_us());
    pool->leaving++;
    pool_publish(pool);
    pthread_mutex_unlock(&pool->lock);
    end_thread(th, t);
}

_Noreturn void pool_task_fail(const char *reason)
{
    if (!pool_current || !pool_current->task)
        abort(); /* called outside a task: a bug of the caller */
    pool_current->fail_reason = reason;
    pthread_exit(NULL);
}

/* Waits in the idle stack. Returns false when the thread has to retire. Lock held. */
static bool wait_for_work(struct pool_thread *th)
{
    struct pool *pool = th->pool;
    struct timespec until;
    th->idle = true;
    th->colder = pool->hottest;
    pool->hottest = th;
    pool->idle++;
    pool_publish(pool);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(pool->config.idle_timeout_ms / 1000);
    until.tv_nsec += (long)(pool->config.idle_timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (th->idle && !pool->closed && !over_max(pool)) {
        if (pool->config.idle_timeout_ms == 0 || staying(pool) <= pool->config.min)
            pthread_cond_wait(&th->wake, &pool->lock);
        else if (pthread_cond_timedwait(&th->wake, &pool->lock, &until) == ETIMEDOUT &&
                 staying(pool) > pool->config.min)
            break;
    }
    if (!th->idle)
        return true; /* chosen as the searcher */
    struct pool_thread **link = &pool->hottest;
    while (*link != th)
        link = &(*link)->colder;
    *link = th->colder;
    th->idle = false;
    pool->idle--;
    return false;
}

/* A thread may be cancelled only while it runs a task; a cancellation that the task left behind is its own too. */
static void run_task(struct pool_task *t)
{
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
    t->run(t);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before); /* whatever the task left it at */
    pthread_testcancel();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
}

/*
 * Books the end of the last task and takes the next one under one lock, then, without it, reports the first and runs
 * the second. Lock held on entry and on return; now_us is the time of both. *ended is the task that ended, in and out.
 * Returns false when there was nothing to do.
 */
static bool step(struct pool_thread *th, struct pool_task **ended, uint64_t now_us)
{
    struct pool *pool = th->pool;
    struct pool_task *rejects = NULL, *before = *ended, *t = pool_take(pool, now_us, &rejects);
    if (!t && !rejects && !before)
        return false; /* without giving up the lock: see the note on waking */
    if (t) {
        th->task = t;
        th->fail_reason = NULL;
        t->thread = th;
        t->state = TASK_RUNNING;
        link_running(pool, th);
    }
    pool_search(pool);
    pool_publish(pool);
    pthread_mutex_unlock(&pool->lock);
    if (before)
        pool_end(before);
    pool_end_all(rejects);
    *ended = NULL;
    if (t)
        run_task(t);
    now_us = clock_mono_us();
    pthread_mutex_lock(&pool->lock);
    if (t)
        *ended = finish_task(th, POOL_TASK_DONE, now_us);
    return true;
}

/* Until the thread has to go. Returns the last task's end if it has not been reported yet. */
static struct pool_task *serve(struct pool_thread *th)
{
    struct pool *pool = th->pool;
    struct pool_task *ended = NULL;
    uint64_t now_us = clock_mono_us();
    pthread_mutex_lock(&pool->lock);
    pool->searching = false; /* the searcher has arrived */
    while (!over_max(pool)) {
        if (step(th, &ended, now_us)) {
            if (ended)
                now_us = ended->ended_us;
            continue;
        }
        if (pool->closed || !wait_for_work(th))
            break;
        pool->searching = false;
        now_us = clock_mono_us();
    }
    th->finished = true;
    pool->leaving++; /* at once, so that no more threads leave than must */
    pthread_mutex_unlock(&pool->lock);
    return ended;
}

static void *thread_main(void *arg)
{
    struct pool_thread *th = arg;
    struct pool_task *ended;
    char title[16];
    int before;
    pool_current = th;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    snprintf(title, sizeof title, "pool %.10s", th->pool->name);
    pthread_setname_np(pthread_self(), title);
    pthread_cleanup_push(on_task_exit, th);
    ended = serve(th);
    pthread_cleanup_pop(0);
    end_thread(th, ended);
    return NULL;
}

static struct pool_thread *new_thread(struct pool *pool)
{
    pthread_condattr_t attr;
    struct pool_thread *th = calloc(1, sizeof *th);
    if (!th)
        return NULL;
    th->pool = pool;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&th->wake, &attr);
    pthread_condattr_destroy(&attr);
    return th;
}

static int start_thread(struct pool_thread *th, size_t stack_bytes)
{
    pthread_attr_t attr;
    pthread_t id;
    sigset_t all, before;
    pthread_attr_init(&attr);
    if (stack_bytes)
        pthread_attr_setstacksize(&attr, stack_bytes < (size_t)PTHREAD_STACK_MIN ? (size_t)PTHREAD_STACK_MIN
                                                                                 : stack_bytes);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals belong to the process's main thread */
    int rc = pthread_create(&id, &attr, thread_main, th);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return rc;
}

/* Lock held, and given up around the start itself. A failure is counted; the next search tries again. */
static void spawn(struct pool *pool)
{
    size_t stack_bytes = pool->config.stack_bytes;
    pool->threads++;
    pthread_mutex_unlock(&pool->lock);
    struct pool_thread *th = new_thread(pool);
    int rc = th ? start_thread(th, stack_bytes) : ENOMEM;
    pthread_mutex_lock(&pool->lock);
    if (rc == 0) {
        counter_add(&pool->figures->spawned, 1);
        return;
    }
    if (th)
        pthread_cond_destroy(&th->wake);
    free(th);
    pool->threads--;
    pool->searching = false;
    counter_add(&pool->figures->spawn_failures, 1);
}

void pool_search(struct pool *pool)
{
    if (pool->queued == 0 || pool->searching)
        return;
    struct pool_thread *th = pool->hottest;
    if (th) {
        pool->hottest = th->colder;
        pool->idle--;
        th->idle = false;
        pool->searching = true;
        pthread_cond_signal(&th->wake);
        return;
    }
    unsigned replaced = pool->stuck < pool->config.max ? pool->stuck : pool->config.max;
    if (pool->threads - pool->leaving < pool->config.max + replaced) {
        pool->searching = true;
        spawn(pool);
    }
}
