/*
 * pool/pool.c - the pool as a whole: making it, resizing it, shutting it down, and what can be read of it.
 */
#include "pool/pool.h"

#include "base/clock.h"
#include "pool/internal.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum { THREADS_MAX = 65536, RETRY_US = 20000 };

static bool valid(const struct pool_config *c)
{
    return c->min <= c->max && c->max >= 1 && c->max <= THREADS_MAX && c->discipline <= POOL_CODEL;
}

static unsigned count_cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/*
 * A kernel that hashes the futexes of each process apart (Linux 6.16) gives it a few slots for each processor, however
 * many threads sleep: to wake one of 10 000 it then walks past hundreds of others. Asks for a slot for each thread.
 * Where the kernel knows nothing of it, it has one large table for all processes, and nothing is lost.
 */
static void spread_futexes(unsigned threads)
{
    enum { FUTEX_HASH = 78, SET_SLOTS = 1, GET_SLOTS = 2 }; /* PR_FUTEX_HASH of linux/prctl.h */
    enum { SLOTS_USUAL = 16, SLOTS_MAX = 16384 };
    unsigned long slots = SLOTS_USUAL;
    while (slots < threads && slots < SLOTS_MAX)
        slots *= 2;
    int now = prctl(FUTEX_HASH, GET_SLOTS, 0ul, 0ul, 0ul);
    if (now >= 0 && (unsigned long)now < slots)
        prctl(FUTEX_HASH, SET_SLOTS, slots, 0ul, 0ul);
}

/* Sizes, bounds and times. Both locks held, or nobody else there. */
static void take_config(struct pool *pool, const struct pool_config *c)
{
    pool->config.min = c->min;
    pool->config.max = c->max;
    pool->config.max_queue = c->max_queue;
    pool->config.max_waiters = c->max_waiters;
    pool->config.idle_timeout_ms = c->idle_timeout_ms;
    pool->config.queue_timeout_ms = c->queue_timeout_ms;
    pool->config.stack_bytes = c->stack_bytes; /* of threads that start from now on */
    pool->config.discipline = c->discipline;
    atomic_store(&pool->limit, c->max_queue > UINT64_MAX - c->max ? UINT64_MAX : c->max_queue + c->max);
    counter_set(&pool->figures->min, c->min);
    counter_set(&pool->figures->max, c->max);
    counter_set(&pool->figures->queue_limit, c->max_queue);
}

static void init_locks(struct pool *pool)
{
    pthread_mutexattr_t lock;
    pthread_condattr_t cond;
    pthread_mutexattr_init(&lock);
    pthread_mutexattr_settype(&lock, PTHREAD_MUTEX_ADAPTIVE_NP); /* held for less than a switch costs */
    pthread_mutex_init(&pool->lock, &lock);
    pthread_mutex_init(&pool->inbox.lock, &lock);
    pthread_mutexattr_destroy(&lock);
    pthread_condattr_init(&cond);
    pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->inbox.room, &cond);
    pthread_cond_init(&pool->quiet, &cond);
    pthread_condattr_destroy(&cond);
}

const char *pool_version(void)
{
    return POOL_VERSION;
}

struct pool *pool_create(const struct pool_config *config)
{
    if (!valid(config)) {
        errno = EINVAL;
        return NULL;
    }
    struct pool *pool = aligned_alloc(_Alignof(struct pool), sizeof *pool);
    if (!pool)
        return NULL;
    memset(pool, 0, sizeof *pool);
    snprintf(pool->name, sizeof pool->name, "%s", config->name ? config->name : "default");
    snprintf(pool->title, sizeof pool->title, "pool %.10s", pool->name);
    pool->config.notify = config->notify;
    pool->config.notify_arg = config->notify_arg;
    pool->figures = config->figures ? config->figures : &pool->own_figures;
    pool->cpus = count_cpus();
    pool->inbox.call = true;
    pool->room_at = UINT64_MAX;
    init_locks(pool);
    spread_futexes(config->max);
    take_config(pool, config);
    pool_publish(pool);
    return pool;
}

void pool_destroy(struct pool *pool)
{
    if (!pool)
        return;
    pool_shutdown(pool, POOL_DROP, UINT64_MAX);
    assert(pool_is_quiet(pool) && !pool->dead && !pool->serving && !pool->hottest);
    pthread_cond_destroy(&pool->inbox.room);
    pthread_cond_destroy(&pool->quiet);
    pthread_mutex_destroy(&pool->inbox.lock);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

enum pool_result pool_prestart(struct pool *pool)
{
    bool started = true;
    pthread_mutex_lock(&pool->lock);
    while (started && !pool->closed && pool->threads - pool->leaving < pool->config.min)
        started = pool_spawn(pool);
    bool closed = pool->closed;
    pool_unlock(pool);
    return closed ? POOL_ECLOSED : started ? POOL_OK : POOL_EOVERLOAD;
}

enum pool_result pool_reconfigure(struct pool *pool, const struct pool_config *config)
{
    if (!valid(config))
        return POOL_EINVAL;
    spread_futexes(config->max);
    pthread_mutex_lock(&pool->lock);
    pthread_mutex_lock(&pool->inbox.lock);
    take_config(pool, config);
    pthread_mutex_unlock(&pool->inbox.lock);
    /* So that each looks at the new sizes and times. */
    pool_wake_all_idle(pool);
    pool_search(pool);
    pool_unlock(pool);
    pool_offer_room_slowly(pool); /* what submitters wait for has changed */
    return POOL_OK;
}

/* Oldest first. Lock held. */
static struct pool_task *drop_queue(struct pool *pool)
{
    struct pool_task *dropped = NULL, *t;
    for (int p = POOL_PRIORITIES - 1; p >= 0; p--)
        while ((t = pool->queue[p].newest)) {
            pool_remove(pool, t, POOL_TASK_DROPPED);
            t->next = dropped;
            dropped = t;
        }
    assert(pool->queued == 0);
    return dropped;
}

/* As pool_search, before the lock is given up by waiting for a condition, which would leave the chosen one asleep. */
static void search_at_once(struct pool *pool)
{
    pool_search(pool);
    pool_unlock(pool);
    pthread_mutex_lock(&pool->lock);
}

/*
 * Until nobody is inside any more; then the threads that have left are its caller's to bury. Where tasks wait and the
 * system refuses even one thread, it is asked again and again. Lock held.
 */
static bool wait_until_quiet(struct pool *pool, uint64_t restarts, uint64_t deadline_us,
                             struct pool_thread **dead)
{
    bool late = false;
    while (!pool_is_quiet(pool) && pool->restarts == restarts && !late) {
        uint64_t until_us = deadline_us;
        if (pool->threads == 0 && pool->queued > 0) {
            search_at_once(pool);
            if (clock_mono_us() + RETRY_US < until_us)
                until_us = clock_mono_us() + RETRY_US;
        }
        struct timespec until = {(time_t)(until_us / 1000000), (long)(until_us % 1000000) * 1000};
        if (until_us == UINT64_MAX)
            pthread_cond_wait(&pool->quiet, &pool->lock);
        else if (pthread_cond_timedwait(&pool->quiet, &pool->lock, &until) == ETIMEDOUT)
            late = until_us == deadline_us;
    }
    /* The pool has been quiet; its threads were another's to bury. */
    if (pool->restarts != restarts)
        return true;
    if (!pool_is_quiet(pool))
        return false;
    assert(!pool->serving && !pool->hottest && !pool->guard);
    *dead = pool->dead;
    pool->dead = NULL;
    pool->dead_count = 0;
    return true;
}

enum pool_result pool_shutdown(struct pool *pool, enum pool_shutdown_mode mode, uint64_t deadline_us)
{
    struct pool_thread *dead = NULL;
    pthread_mutex_lock(&pool->lock);
    pool_set_closed(pool, true);
    uint64_t restarts = pool->restarts;
    struct pool_task *dropped = mode == POOL_DROP ? drop_queue(pool) : NULL;
    pool_wake_all_idle(pool);
    pool_unlock(pool);
    pool_end_all(pool, dropped);
    pthread_mutex_lock(&pool->lock);
    search_at_once(pool);
    bool quiet = wait_until_quiet(pool, restarts, deadline_us, &dead);
    pool_unlock(pool);
    pool_bury(dead);
    return quiet ? POOL_OK : POOL_ETIMEDOUT;
}

enum pool_result pool_restart(struct pool *pool)
{
    enum pool_result result = POOL_EINVAL;
    pthread_mutex_lock(&pool->lock);
    if (pool->closed && pool_is_quiet(pool)) {
        pool_set_closed(pool, false);
        pool->restarts++;
        pool_pull_or_call(pool);
        result = POOL_OK;
    }
    pool_unlock(pool);
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

void pool_visit_running(struct pool *pool, bool (*visit)(const struct pool_running *running, void *arg),
                        void *arg)
{
    uint64_t now_us = clock_mono_us();
    bool on = true;
    pthread_mutex_lock(&pool->lock);
    for (struct pool_thread *th = pool->serving; on && th; th = th->next) {
        if (!th->task)
            continue;
        uint64_t started_us = th->task->started_us;
        struct pool_running r = {.task = th->task,
                                 .tid = th->tid,
                                 .age_us = now_us > started_us ? now_us - started_us : 0,
                                 .abandoned = task_state(th->task) == TASK_ABANDONED};
        on = visit(&r, arg);
    }
    pool_unlock(pool);
}

static bool note_age(const struct pool_running *r, void *age_us)
{
    uint64_t *most_us = age_us;
    if (r->age_us > *most_us)
        *most_us = r->age_us;
    return true;
}

uint64_t pool_oldest_running_us(struct pool *pool)
{
    uint64_t age_us = 0;
    pool_visit_running(pool, note_age, &age_us);
    return age_us;
}
