/*
 * worker/loop/pools.c - the worker's thread pools on the side of the loop: the one place where the loop and threads meet.
 *
 * A task that has ended, and whatever else a thread wants to be heard of, is told on the loop; pools say so with one wake-up
 * for many.
 */
#include "worker/loop/pools.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/request/exchange.h"
#include "pool/internal.h"
#include "pool/pool.h"
#include "shm/shm.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>

enum { THREADS_END_WITHIN_US = 500000, LOG_EVERY_MS = 1000 };

static const double EXPIRE_EVERY_S = 0.05;

static struct worker *the_worker; /* for callbacks from threads */

static void wake_loop(void *arg)
{
    struct worker *w = arg;
    ev_async_send(w->loop, &w->pool_wake);
}

void pools_notify(struct pool_notice *notice)
{
    assert(the_worker && notice->hear);
    struct pool_notice *head = atomic_load_explicit(&the_worker->notices, memory_order_relaxed);
    do
        notice->next = head;
    while (!atomic_compare_exchange_weak_explicit(&the_worker->notices, &head, notice, memory_order_acq_rel,
                                                  memory_order_relaxed));
    if (!head)
        wake_loop(the_worker);
}

static struct pool_config config_of(const struct conf_pool *p)
{
    return (struct pool_config){.name = p->name.data,
                                .min = (unsigned)p->threads_min,
                                .max = (unsigned)p->threads_max,
                                .max_queue = (size_t)p->max_queue,
                                .idle_timeout_ms = (unsigned)p->idle_timeout_ms,
                                .queue_timeout_ms = (unsigned)p->queue_timeout_ms,
                                .stack_bytes = (size_t)p->stack_bytes,
                                .discipline = (enum pool_discipline)p->discipline};
}

/* One line a second for each pool; the others are counted. */
void pools_log_refusal(struct http_exchange *ex, struct worker_pool *p, const char *why)
{
    struct worker *w = ex->worker;
    if (p->logged_ms && w->now_ms < p->logged_ms + LOG_EVERY_MS) {
        p->silent++;
        return;
    }
    http_log(ex, LOG_LEVEL_ERROR, "thread pool \"%s\" %s; request refused", p->conf->name.data, why);
    p->logged_ms = w->now_ms;
}

void pools_log_silent(struct worker *w)
{
    for (int i = 0; i < w->pool_count; i++) {
        struct worker_pool *p = &w->pools[i];
        if (p->silent == 0 || (!w->draining && w->now_ms < p->logged_ms + LOG_EVERY_MS))
            continue;
        log_error("thread pool \"%s\": %llu more requests refused", p->conf->name.data,
                  (unsigned long long)p->silent);
        p->silent = 0;
        p->logged_ms = w->now_ms;
    }
}

int pools_default(const struct worker *w)
{
    int number = 0;
    while (!slice_eq(w->pools[number].conf->name, SLICE("default"))) {
        number++;
        assert(number < w->pool_count);
    }
    return number;
}

struct worker_pool *pools_find(struct worker *w, const struct pool *pool)
{
    struct worker_pool *p = w->pools;
    while (p->pool != pool) {
        p++;
        assert(p < w->pools + w->pool_count);
    }
    return p;
}

int64_t pools_free(const struct worker *w, int pool)
{
    const struct worker_pool *p = &w->pools[pool];
    assert(p->given_up <= p->tasks);
    return (int64_t)p->conf->threads_max - (int64_t)(p->tasks - p->given_up);
}

void pools_offer(struct worker *w, int pool)
{
    int64_t some = w->draining ? 0 : pools_free(w, pool);
    atomic_store_explicit(&w->pools[pool].place->offers, some > 0 ? some : 0, memory_order_relaxed);
}

void pools_hold(struct worker *w)
{
    assert(w->given_up <= w->jobs && w->jobs < UINT_MAX);
    if (w->jobs++ == 0)
        ev_timer_start(w->loop, &w->expire);
}

void pools_let_go(struct worker *w)
{
    assert(w->jobs > 0);
    w->jobs--;
}

enum pool_result pools_submit(struct worker *w, int pool, struct loop_task *task)
{
    assert(pool >= 0 && pool < w->pool_count);
    struct worker_pool *p = &w->pools[pool];
    /* Its thread may look at it before we are back. */
    task->pool = pool;
    task->given_up = false;
    enum pool_result result = pool_submit(p->pool, &task->task);
    if (result != POOL_OK)
        return result;
    p->tasks++;
    pools_hold(w);
    pools_offer(w, pool);
    return POOL_OK;
}

/* The pool has the task no longer. */
static void count_out(struct worker *w, struct loop_task *task)
{
    struct worker_pool *p = &w->pools[task->pool];
    assert(p->tasks > 0 && (!task->given_up || p->given_up > 0));
    p->tasks--;
    p->given_up -= task->given_up;
    pools_let_go(w);
}

void pools_cancel(struct worker *w, struct loop_task *task)
{
    pool_cancel(w->pools[task->pool].pool, &task->task);
}

bool pools_take_back(struct worker *w, struct loop_task *task)
{
    if (!pool_take_back(w->pools[task->pool].pool, &task->task))
        return false;
    count_out(w, task);
    pools_offer(w, task->pool);
    return true;
}

void pools_abandon(struct worker *w, struct loop_task *task)
{
    struct worker_pool *p = &w->pools[task->pool];
    assert(!task->given_up);
    /* More threads than the pool has are not replaced. */
    if (!pool_abandon(p->pool, &task->task) || p->given_up >= (unsigned)p->conf->threads_max)
        return;
    task->given_up = true;
    p->given_up++;
    pools_offer(w, task->pool);
}

void pools_collect(struct worker *w)
{
    struct pool_task *ended[POOLS_MAX] = {0};
    bool any = atomic_load_explicit(&w->notices, memory_order_relaxed) != NULL;
    for (int i = 0; i < w->pool_count; i++)
        any |= pool_any_ended(w->pools[i].pool);
    if (!any)
        return;
    for (int i = 0; i < w->pool_count; i++)
        ended[i] = pool_collect(w->pools[i].pool);
    /* Tasks that ended have given notice before: so none in this list is freed before it is heard. */
    struct pool_notice *notice = atomic_exchange_explicit(&w->notices, NULL, memory_order_acquire);
    while (notice) {
        struct pool_notice *next = notice->next;
        notice->hear(notice);
        notice = next;
    }
    for (int i = 0; i < w->pool_count; i++) {
        for (struct pool_task *t = ended[i], *next; t; t = next) {
            struct loop_task *task = (struct loop_task *)t; /* its first member */
            next = t->next;
            assert(w->jobs > 0 && task->ended);
            count_out(w, task);
            /* Before its client is answered, who may ask again at once. */
            pools_offer(w, i);
            task->ended(w, task);
        }
    }
    w->hooks.collected(w);
}

static void on_wake(struct ev_loop *loop, ev_async *async, int events)
{
    (void)loop;
    (void)events;
    struct worker *w = async->data;
    assert(!w->driving);
    w->hooks.woken(w);
}

/* Tasks whose time in the queue is over are ended also when no thread comes by. Runs only while there are jobs. */
static void on_expire(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *w = timer->data;
    (void)events;
    for (int i = 0; i < w->pool_count; i++)
        pool_expire(w->pools[i].pool);
    w->look_after_orphans(w);
    assert(w->given_up <= w->jobs);
    if (w->jobs == 0)
        ev_timer_stop(loop, timer);
}

_Static_assert((int)CONF_POOLS_MAX == (int)SHM_POOLS, "each pool has a place for its figures");

bool pools_open(struct worker *w)
{
    assert(w->pool_count == 0);
    the_worker = w;
    ev_async_init(&w->pool_wake, on_wake);
    ev_set_priority(&w->pool_wake, URGENT_PRIORITY);
    w->pool_wake.data = w;
    ev_async_start(w->loop, &w->pool_wake);
    ev_timer_init(&w->expire, on_expire, EXPIRE_EVERY_S, EXPIRE_EVERY_S);
    w->expire.data = w;
    const char *wanted[POOLS_MAX + 1] = {0};
    int count = 0;
    for (const struct conf_pool *p = w->conf->pools; p && count < POOLS_MAX; p = p->next)
        wanted[count++] = p->name.data;
    for (const struct conf_pool *p = w->conf->pools; p; p = p->next) {
        struct shm_pool *place =
            w->pool_count < POOLS_MAX ? shm_slot_pool(w->slot, p->name.data, wanted) : NULL;
        if (!place) {
            log_emerg("more than %d thread pools; remove some", POOLS_MAX);
            return false;
        }
        struct pool_config config = config_of(p);
        config.figures = (struct pool_figures *)place->figures;
        config.notify = wake_loop;
        config.notify_arg = w;
        w->pools[w->pool_count] =
            (struct worker_pool){.pool = pool_create(&config), .conf = p, .place = place};
        if (!w->pools[w->pool_count].pool) {
            log_errno(LOG_LEVEL_EMERG, errno, "cannot create thread pool \"%s\"", p->name.data);
            return false;
        }
        pools_offer(w, w->pool_count++);
    }
    return true;
}

void pools_reconfigure(struct worker *w)
{
    for (int i = 0; i < w->pool_count; i++) {
        struct pool_config config = config_of(w->pools[i].conf);
        pool_reconfigure(w->pools[i].pool, &config);
        pools_offer(w, i);
    }
}

bool pools_close(struct worker *w)
{
    bool quiet = true;
    /* Idle threads only have to wake. */
    uint64_t deadline_us = w->jobs ? 0 : clock_mono_us() + THREADS_END_WITHIN_US;
    for (int i = 0; i < w->pool_count; i++)
        quiet &= pool_shutdown(w->pools[i].pool, POOL_DROP, deadline_us) == POOL_OK;
    return quiet;
}
