/*
 * pool/thread.c - the life of a pool's thread: start, tasks, idling, retiring, and failing in the middle of a task.
 *
 * A task may end its thread (pool_task_fail, pthread_exit, pthread_cancel): the cleanup handler around it then ends
 * the task as failed and takes the thread out of the books, and the pool starts another when it needs one.
 */
#include "base/clock.h"
#include "pool/internal.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    /* A thread that has idled so long will not get its next task at once. */
    TRIM_AFTER_US = 1000000,
    BURY_TOGETHER = 32
};

_Thread_local struct pool_thread *pool_current;

/* Threads that stay: neither given up nor on their way out. */
static unsigned staying(const struct pool *pool)
{
    assert(pool->leaving + pool->stuck <= pool->threads);
    return pool->threads - pool->leaving - pool->stuck;
}

static bool over_max(const struct pool *pool)
{
    return staying(pool) > pool->config.max;
}

static void begin_task(struct pool_thread *th, struct pool_task *t)
{
    struct pool *pool = th->pool;
    assert(pool_lock_is_held(&pool->lock));
    assert(!th->task && !th->idle && pool->busy < pool->threads);
    th->task = t;
    th->fail_reason = NULL;
    task_set_state(t, TASK_RUNNING);
    pool->last_start_us = t->started_us;
    pool->busy++;
}

/* Books the end of th's task; returns it. Lock held. */
static struct pool_task *finish_task(struct pool_thread *th, enum pool_outcome outcome, uint64_t now_us)
{
    struct pool *pool = th->pool;
    struct pool_task *t = th->task;
    uint64_t ran_us = now_us > t->started_us ? now_us - t->started_us : 0;
    assert(pool_lock_is_held(&pool->lock) && pool->busy > 0);
    assert(task_state(t) == TASK_RUNNING || (task_state(t) == TASK_ABANDONED && pool->stuck > 0));
    pool->busy--;
    pool->ended_count++;
    pool_note_run(pool, ran_us, now_us);
    if (task_state(t) == TASK_ABANDONED)
        pool->stuck--;
    else
        pool_note_room(pool, 1);
    t->ended_us = t->started_us + ran_us;
    t->outcome = (uint8_t)outcome;
    t->fail_reason = th->fail_reason;
    task_set_state(t, TASK_ENDED);
    th->task = NULL;
    struct pool_figures *f = pool->figures;
    if (outcome == POOL_TASK_DONE && t->declined == POOL_POSTPONED) {
        counter_set(&f->started, counter_get(&f->started) - 1); /* it waits again */
        return t;
    }
    counter_add(outcome != POOL_TASK_DONE ? &f->failed : t->declined ? &f->declined : &f->completed, 1);
    hist_add(&f->run_time, ran_us);
    return t;
}

/* Among the threads that pool_visit_running looks at. A task that starts or ends must not touch those of others: with
 * many threads they are in nobody's cache. Lock held. */
static void list_thread(struct pool_thread *th)
{
    assert(pool_lock_is_held(&th->pool->lock));
    th->next = th->pool->serving;
    if (th->next)
        th->next->prev = th;
    th->pool->serving = th;
}

static void unlist_thread(struct pool_thread *th)
{
    assert((th->prev ? th->prev->next : th->pool->serving) == th);
    *(th->prev ? &th->prev->next : &th->pool->serving) = th->next;
    if (th->next)
        th->next->prev = th->prev;
}

static void free_thread(struct pool_thread *th)
{
    assert(!th->task && !th->idle && !th->report);
    struct stack stack = th->stack; /* where *th itself is */
    sem_destroy(&th->wake);
    stack_free(&stack);
}

void pool_bury(struct pool_thread *dead)
{
    while (dead) {
        struct pool_thread *th = dead;
        dead = th->colder;
        pthread_join(th->id, NULL);
        free_thread(th);
    }
}

/*
 * Takes the thread out of the books for good. Lock held. Returns others that have left before, to be buried: many at
 * once, as threads that all wait for the one before them would end one after the other; and the last ones when the pool
 * comes to rest. What is left is buried by pool_shutdown.
 */
static struct pool_thread *leave_pool(struct pool_thread *th)
{
    struct pool *pool = th->pool;
    struct pool_thread *before = NULL;
    assert(pool_lock_is_held(&pool->lock));
    assert(!th->task && !th->idle && !th->searcher && !th->posted);
    /* A successor may start; this thread still counts, so that the pool outlives the search. */
    pool_search(pool);
    unlist_thread(th);
    assert(pool->leaving > 0 && pool->threads > 0);
    pool->leaving--;
    pool->threads--;
    if (pool->dead_count >= BURY_TOGETHER || (!pool->closed && pool->threads <= pool->config.min)) {
        before = pool->dead;
        pool->dead = NULL;
        pool->dead_count = 0;
    }
    th->colder = pool->dead;
    pool->dead = th;
    pool->dead_count++;
    counter_add(&pool->figures->retired, 1);
    pool_publish(pool);
    /* Quiet, or tasks wait for which no thread could be started: who waits asks again. */
    if (pool->threads == 0)
        pthread_cond_broadcast(&pool->quiet);
    return before;
}

bool pool_at_thread_end(struct pool_thread_end *end)
{
    struct pool_thread *th = pool_current;
    if (!th)
        return false;
    end->next = th->ends;
    th->ends = end;
    return true;
}

/* Registered by pool_at_thread_end. The thread is among those that leave, so that whoever waits for the pool's end waits for this. */
static void call_ends(struct pool_thread *th)
{
    struct pool *pool = th->pool;
    pthread_mutex_lock(&pool->lock);
    pool->ending++;
    pool_unlock(pool);
    while (th->ends) {
        struct pool_thread_end *end = th->ends;
        th->ends = end->next;
        end->call(end);
    }
    pthread_mutex_lock(&pool->lock);
    pool->ending--;
    pool_unlock(pool);
}

static void end_thread(struct pool_thread *th, struct pool_task *ended)
{
    struct pool *pool = th->pool;
    pool_offer_room(pool);
    if (ended)
        pool_end(pool, ended);
    if (th->ends)
        call_ends(th);
    pthread_mutex_lock(&pool->lock);
    struct pool_thread *before = leave_pool(th);
    pool_unlock(pool);
    pool_bury(before);
    pool_current = NULL;
}

/* Reports ends one by one: a callback may be where the thread is cancelled, and then on_task_exit reports the rest. */
static void report_ends(struct pool_thread *th)
{
    while (th->report) {
        struct pool_task *t = th->report;
        th->report = t->next;
        pool_end(th->pool, t);
    }
}

/* Runs when a task took its thread down with it. */
static void on_task_exit(void *arg)
{
    struct pool_thread *th = arg;
    struct pool *pool = th->pool;
    if (th->finished)
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    if (!th->fail_reason)
        th->fail_reason = "the task ended its thread";
    pthread_mutex_lock(&pool->lock);
    /* Without a task it ended in a done callback. */
    struct pool_task *t = th->task ? finish_task(th, POOL_TASK_FAILED, clock_fast_us()) : NULL;
    pool_searcher_set(th, false);
    pool->leaving++;
    pool_publish(pool);
    pool_unlock(pool);
    report_ends(th);
    end_thread(th, t);
}

_Noreturn void pool_task_fail(const char *reason)
{
    /* Called outside a task: a bug of the caller. */
    if (!pool_current || !pool_current->task)
        abort();
    pool_current->fail_reason = reason;
    pthread_exit(NULL);
}

/* How long an idle thread may sleep before it has something to do by itself; UINT64_MAX: for ever. */
static uint64_t sleep_until_us(const struct pool_thread *th, uint64_t idle_since_us)
{
    const struct pool *pool = th->pool;
    uint64_t until = UINT64_MAX;
    if (pool->config.idle_timeout_ms && staying(pool) > pool->config.min)
        until = idle_since_us + pool->config.idle_timeout_ms * 1000ull;
    if (!th->trimmed && idle_since_us + TRIM_AFTER_US < until)
        until = idle_since_us + TRIM_AFTER_US;
    return until;
}

/* Sleeps without the lock. False when the time was over and nobody has posted. */
static bool sleep_idle(struct pool_thread *th, uint64_t until_us)
{
    struct timespec until = {(time_t)(until_us / 1000000), (long)(until_us % 1000000) * 1000};
    int rc;
    assert(pool_lock_is_held(&th->pool->lock));
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pool_unlock(th->pool);
    do
        rc = until_us == UINT64_MAX ? sem_wait(&th->wake) : sem_clockwait(&th->wake, CLOCK_MONOTONIC, &until);
    while (rc != 0 && errno == EINTR);
    pthread_mutex_lock(&th->pool->lock);
    bool posted = th->posted;
    /* The post comes at once: each is consumed exactly once. */
    if (posted && rc != 0)
        while (sem_wait(&th->wake) != 0)
            ;
    th->posted = false;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    return posted;
}

/* What an idle thread does when nobody woke it in time. Returns false when it has to retire. */
static bool idle_duty(struct pool_thread *th, uint64_t idle_since_us)
{
    struct pool *pool = th->pool;
    uint64_t now_us = clock_fast_us();
    assert(th->idle && !th->posted);
    if (pool->guard == th) {
        pool_guard_look(pool);
        return true;
    }
    if (pool->config.idle_timeout_ms && staying(pool) > pool->config.min &&
        now_us >= idle_since_us + pool->config.idle_timeout_ms * 1000ull)
        return false;
    if (!th->trimmed && now_us >= idle_since_us + TRIM_AFTER_US) {
        th->trimmed = true;
        pool_unlock(pool);
        stack_trim(&th->stack);
        pthread_mutex_lock(&pool->lock);
    }
    return true;
}

/* Waits in the idle stack. Returns false when the thread has to retire. Lock held. */
static bool wait_for_work(struct pool_thread *th)
{
    struct pool *pool = th->pool;
    uint64_t since_us = clock_fast_us();
    pool_idle_push(th);
    th->trimmed = false;
    bool stays = true;
    while (stays && th->idle && !over_max(pool) && !pool->closed) {
        pool_search(pool);
        if (!th->idle)
            break; /* it has found itself */
        pool_publish(pool);
        bool guards = pool->guard == th;
        if (!sleep_idle(th, guards ? clock_fast_us() + GUARD_US : sleep_until_us(th, since_us)) && th->idle)
            stays = idle_duty(th, since_us);
    }
    bool chosen = !th->idle;
    if (!chosen)
        pool_idle_remove(th);
    /* Whoever posts is to be done with this thread's structure. */
    if (th->posted)
        sleep_idle(th, UINT64_MAX);
    return chosen || (pool->closed && pool->queued > 0);
}

/*
 * Runs a task. A cancellation that it leaves behind is its own; what it did to the thread's way of being cancelled is
 * undone. Cancellation stays enabled between tasks, as toggling it would cost a quarter of what a task costs: nothing
 * in the way from one to the next is a cancellation point but the done callback.
 */
static void run_task(struct pool_task *t)
{
    t->run(t);
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    pthread_testcancel();
}

/*
 * Books the end of the last task and takes the next one under one lock, then, without it, reports the first and runs
 * the second. Lock held on entry and on return; now_us is the time of both. *ended is the task that ended, in and out.
 * Returns false when there was nothing to do.
 */
static bool serve_step(struct pool_thread *th, struct pool_task **ended, uint64_t *now_us)
{
    struct pool *pool = th->pool;
    struct pool_task *rejects = NULL, *before = *ended, *t = NULL;
    assert(pool_lock_is_held(&pool->lock) && !th->task && !th->report);
    if (!pool_steps_aside(th, *now_us))
        t = pool_take(pool, *now_us, &rejects);
    bool arrives = th->searcher;
    pool_searcher_set(th, false);
    /* Without giving up the lock: see the note on waking. */
    if (!t && !rejects && !before)
        return false;
    th->report = before ? before : rejects;
    if (before)
        before->next = rejects;
    if (t)
        begin_task(th, t);
    else if (pool->searching == 0)
        pool_searcher_set(th, true); /* it comes back at once */
    pool_search(pool);
    if (t && arrives)
        pool_search_more(pool);
    pool_publish(pool);
    pool_unlock(pool);
    pool_offer_room(pool);
    report_ends(th);
    *ended = NULL;
    if (t)
        run_task(t);
    *now_us = clock_fast_us();
    pthread_mutex_lock(&pool->lock);
    if (t)
        *ended = finish_task(th, POOL_TASK_DONE, *now_us);
    return true;
}

/*
 * Gives way before it falls asleep, where short tasks have just run out and there is one processor only: the one who
 * submits them brings many more before this thread is back, and need not wake it for a few. It counts as a searcher
 * meanwhile. Lock held, and given up. Returns whether there is work.
 */
static bool give_way(struct pool_thread *th)
{
    struct pool *pool = th->pool;
    if (pool->cpus > 1 || pool->searching > 0 || pool->rush_run == 0)
        return false;
    pool_searcher_set(th, true);
    pool_unlock(pool);
    sched_yield();
    pthread_mutex_lock(&pool->lock);
    pool_searcher_set(th, false);
    return pool_pull(pool);
}

/* Until the thread has to go. Returns the last task's end if it has not been reported yet. */
static struct pool_task *serve(struct pool_thread *th)
{
    struct pool *pool = th->pool;
    struct pool_task *ended = NULL;
    uint64_t now_us = clock_fast_us();
    pthread_mutex_lock(&pool->lock);
    list_thread(th);
    /* By the thread, before its first task: the one who started it may be long in coming back. */
    counter_add(&pool->figures->spawned, 1);
    while (!over_max(pool)) {
        if (serve_step(th, &ended, &now_us))
            continue;
        if (pool->closed || (!give_way(th) && !wait_for_work(th)))
            break;
        now_us = clock_fast_us();
    }
    pool_searcher_set(th, false);
    assert(!th->task && !th->idle && !th->posted);
    th->finished = true;
    /* Counted at once, so that no more threads leave than must. */
    pool->leaving++;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pool_unlock(pool);
    return ended;
}

static void *thread_main(void *arg)
{
    struct pool_thread *th = arg;
    struct pool_task *ended;
    pool_current = th;
    th->id = pthread_self();
    th->tid = gettid();
    pthread_setname_np(th->id, th->pool->title);
    pthread_cleanup_push(on_task_exit, th);
    ended = serve(th);
    pthread_cleanup_pop(0);
    end_thread(th, ended);
    return NULL;
}

/* At the top of the thread's stack, next to what the C library keeps there: one page less to touch and to find. */
static struct pool_thread *new_thread(struct pool *pool, size_t stack_bytes)
{
    struct stack stack;
    if (!stack_alloc(&stack, stack_bytes))
        return NULL;
    struct pool_thread *th = stack_reserve(&stack, sizeof *th);
    th->stack = stack;
    th->pool = pool;
    th->searcher = true;
    sem_init(&th->wake, 0, 0);
    return th;
}

static const int own_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};

static int start_thread(struct pool_thread *th)
{
    pthread_attr_t attr;
    pthread_t id;
    sigset_t all, before;
    pthread_attr_init(&attr);
    int rc = pthread_attr_setstack(&attr, stack_base(&th->stack), th->stack.bytes);
    if (rc == 0) {
        /* All signals but those that the thread itself causes: blocked, they could not be handled. */
        sigfillset(&all);
        for (size_t i = 0; i < sizeof own_signals / sizeof own_signals[0]; i++)
            sigdelset(&all, own_signals[i]);
        /* Signals belong to the process's main thread. */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        rc = pthread_create(&id, &attr, thread_main, th);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attr);
    return rc;
}

bool pool_spawn(struct pool *pool)
{
    size_t stack_bytes = pool->config.stack_bytes;
    assert(pool_lock_is_held(&pool->lock));
    pool->threads++;
    pool->searching++;
    pool_unlock(pool);
    struct pool_thread *th = new_thread(pool, stack_bytes);
    bool started = th && start_thread(th) == 0;
    if (th && !started)
        free_thread(th);
    pthread_mutex_lock(&pool->lock);
    if (started) {
        pool->spawn_failed_us = 0;
        return true;
    }
    assert(pool->threads > 0 && pool->searching > 0);
    pool->threads--;
    pool->searching--;
    pool->spawn_failed_us = clock_fast_us();
    counter_add(&pool->figures->spawn_failures, 1);
    pool_call(pool); /* the next one who submits tries again */
    /* An idle thread fell asleep meanwhile, and took this start for a search. */
    if (pool->hottest)
        pool_search(pool);
    if (pool->threads == 0)
        pthread_cond_broadcast(&pool->quiet); /* who shuts down is to try again */
    return false;
}
