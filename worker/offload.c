/*
 * worker/offload.c - the way of a request to a pool and back: the one place where the loop and threads meet.
 *
 * While a job is with the pool, its exchange belongs to the thread. The loop gets both back when the task has ended;
 * pools say so with one wake-up for many. If the connection must go on or go away before that (time is over, the
 * client left), the job keeps the exchange, the connection gets a copy to answer and log with, and the rest is freed
 * when the task ends at last.
 */
#include "worker/client.h"
#include "worker/core.h"
#include "worker/source.h"

#include "base/clock.h"
#include "base/log.h"
#include "handlers/auth_basic.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

enum { RETRY_AFTER_S = 1, THREADS_END_WITHIN_US = 500000, LOG_EVERY_MS = 1000 };

static const double EXPIRE_EVERY_S = 0.05;

static struct worker *the_worker; /* for callbacks from threads; a process has one */

static void wake_loop(void *arg)
{
    struct worker *w = arg;
    ev_async_send(w->loop, &w->pool_wake);
}

/* From a job's thread. */
static void on_output(struct weir_request *job)
{
    struct weir_request *head = atomic_load_explicit(&the_worker->outputs, memory_order_relaxed);
    do
        job->next_output = head;
    while (!atomic_compare_exchange_weak_explicit(&the_worker->outputs, &head, job, memory_order_acq_rel,
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
static void log_refusal(struct http_exchange *ex, struct worker_pool *p, const char *why)
{
    struct worker *w = ex->worker;
    if (p->logged_ms && w->now_ms < p->logged_ms + LOG_EVERY_MS) {
        p->silent++;
        return;
    }
    http_log(ex, LOG_LEVEL_ERROR, "thread pool \"%s\" %s; request refused", p->conf->name.data, why);
    p->logged_ms = w->now_ms;
}

void offload_log_silent(struct worker *w)
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

static struct worker_pool *pool_of(struct worker *w, const struct pool *pool)
{
    struct worker_pool *p = w->pools;
    while (p->pool != pool)
        p++;
    return p;
}

/* Why a task that nobody cancelled has never run. */
static const char *why_not_run(enum pool_outcome outcome)
{
    return outcome == POOL_TASK_EXPIRED ? "has kept a request waiting for its whole queue_timeout"
           : outcome == POOL_TASK_SHED  ? "has a standing queue, and the request is among the oldest"
                                        : "is being closed";
}

/* How a job ended; taken from it before its memory goes away with the exchange. */
struct ending {
    enum pool_outcome outcome;
    const char *fail_reason, *handler;
    struct worker_pool *pool;
    int result;
};

static bool is_error_status(int result)
{
    return result >= 400 && result <= 599;
}

/* What run returned, where that is nothing that <weir/handler.h> gives a meaning to: 500. */
static int checked_result(struct http_exchange *ex, const struct ending *end)
{
    if (end->result == 0 || is_error_status(end->result))
        return end->result;
    http_log(
        ex, LOG_LEVEL_ERROR,
        "handler \"%s\" returned %d, which means nothing; it may return 0 when it has answered, or 400 to 599 "
        "for an error page",
        end->handler, end->result);
    return 500;
}

/* A job that did not come to its return. */
static void log_failure(struct http_exchange *ex, const struct ending *end)
{
    if (end->outcome == POOL_TASK_FAILED)
        http_log(ex, LOG_LEVEL_ERROR, "handler \"%s\" failed: %s", end->handler, end->fail_reason);
    else if (end->outcome != POOL_TASK_DONE)
        log_refusal(ex, end->pool, why_not_run(end->outcome));
}

/* The answer of a job that did not stream. */
static struct verdict answer_job(struct http_exchange *ex, const struct ending *end)
{
    int result = end->outcome == POOL_TASK_DONE ? checked_result(ex, end) : 0;
    log_failure(ex, end);
    if (end->outcome == POOL_TASK_DONE && result == 0) {
        if (ex->res.status == 0)
            ex->res.status = 200;
        bool ok =
            http_add_memory(&ex->res, &ex->arena, buf_slice(&ex->body.mem).data, buf_len(&ex->body.mem));
        return verdict_answer(ok ? 0 : 500);
    }
    http_response_reset(&ex->res);
    if (end->outcome == POOL_TASK_DONE)
        return verdict_answer(result);
    if (end->outcome == POOL_TASK_FAILED)
        return verdict_answer(500);
    ex->res.retry_after_s = RETRY_AFTER_S; /* it never ran */
    return verdict_answer(503);
}

void offload_give_up(struct worker *w, struct weir_request *job)
{
    pool_abandon(job->pool, &job->task);
    job->given_up = true;
    w->given_up++;
    if (job->ex->limits.let_go)
        job->ex->limits.let_go(job->ex);
}

void offload_end_job(struct http_exchange *ex)
{
    job_release(ex->job);
    ex->job = NULL;
    ex->source = NULL;
}

static void on_job_ended(struct worker *w, struct weir_request *job)
{
    struct http_exchange *ex = job->ex;
    assert(!job->given_up || w->given_up > 0);
    w->given_up -= job->given_up;
    if (job->handler != &auth_basic_handler && !ex->aside)
        http_served(ex);
    if (job->orphaned) {
        job_release(job);
        exchange_free(w, ex);
        return;
    }
    ex->client.socket = job->client_socket;
    struct ending end = {job->task.outcome, job->task.fail_reason, job->handler->name, pool_of(w, job->pool),
                         job->result};
    if (job->handler == &auth_basic_handler) {
        offload_end_job(ex);
        log_failure(ex, &end);
        request_resume(ex, auth_answered(ex, end.outcome == POOL_TASK_DONE, end.result));
    } else if (!job->head_sent) {
        buf_free(&ex->body.mem); /* the request's is not needed any more; the answer's takes its place */
        ex->body.mem = job->body;
        ex->body.len = 0;
        job->body = (struct buf){0};
        offload_end_job(ex);
        request_resume(ex, answer_job(ex, &end));
    } else {
        job->pool = NULL; /* marks the end */
        client_go_on(ex);
    }
}

/* The first output of a streaming job: its head goes out. */
static void start_stream(struct http_exchange *ex, struct weir_request *job)
{
    job->head_sent = true;
    if (ex->res.status == 0)
        ex->res.status = 200;
    ex->res.content_length = HTTP_LENGTH_UNKNOWN;
    request_resume(ex, verdict_answer(0));
}

void offload_collect(struct worker *w)
{
    struct pool_task *ended[POOLS_MAX] = {0};
    bool any = atomic_load_explicit(&w->outputs, memory_order_relaxed) != NULL;
    for (int i = 0; i < w->pool_count; i++)
        any |= pool_any_ended(w->pools[i].pool);
    if (!any)
        return;
    for (int i = 0; i < w->pool_count; i++)
        ended[i] = pool_collect(w->pools[i].pool);
    /* Jobs that ended have announced their output before: so none in this list is freed before it is looked at. */
    struct weir_request *job = atomic_exchange_explicit(&w->outputs, NULL, memory_order_acquire);
    while (job) {
        struct weir_request *next = job->next_output;
        struct http_exchange *ex = job->ex;
        job_heard(job);
        if (!job->orphaned) {
            if (ex->aside) { /* only its status is of interest */
                struct buf unwanted;
                job_take_output(job, &unwanted);
                buf_free(&unwanted);
            } else if (!job->head_sent) {
                start_stream(ex, job);
            } else {
                client_go_on(ex);
            }
        }
        job = next;
    }
    for (int i = 0; i < w->pool_count; i++) {
        for (struct pool_task *t = ended[i], *next; t; t = next) {
            next = t->next;
            w->jobs--;
            if (t->run == aio_run)
                aio_ended(t);
            else
                on_job_ended(w, (struct weir_request *)t); /* its first member */
        }
    }
}

static void on_wake(struct ev_loop *loop, ev_async *async, int events)
{
    (void)loop;
    (void)events;
    worker_do_urgent(async->data);
}

/* A handler whose client has left may end in its time; after that it is given up like any other. */
static void give_up_orphans(struct worker *w)
{
    struct list_node *next;
    for (struct list_node *n = w->orphans.next; n != &w->orphans; n = next) {
        struct weir_request *job = container_of(n, struct weir_request, orphan);
        next = n->next;
        if (job->deadline_ms == 0 || w->now_ms < job->deadline_ms)
            continue;
        list_remove(n);
        offload_give_up(w, job);
    }
}

/* Tasks whose time in the queue is over are ended also when no thread comes by. Runs only while there are jobs. */
static void on_expire(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *w = timer->data;
    (void)events;
    for (int i = 0; i < w->pool_count; i++)
        pool_expire(w->pools[i].pool);
    give_up_orphans(w);
    if (w->jobs == 0)
        ev_timer_stop(loop, timer);
}

_Static_assert((int)CONF_POOLS_MAX == (int)SHM_POOLS, "each pool has a place for its figures");

bool offload_open_pools(struct worker *w)
{
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
        w->pools[w->pool_count] = (struct worker_pool){.pool = pool_create(&config), .conf = p};
        if (!w->pools[w->pool_count].pool) {
            log_errno(LOG_LEVEL_EMERG, errno, "cannot create thread pool \"%s\"", p->name.data);
            return false;
        }
        w->pool_count++;
    }
    return true;
}

void offload_reconfigure(struct worker *w)
{
    for (int i = 0; i < w->pool_count; i++) {
        struct pool_config config = config_of(w->pools[i].conf);
        pool_reconfigure(w->pools[i].pool, &config);
    }
}

static struct verdict refuse(struct http_exchange *ex, struct weir_request *job, enum pool_result result)
{
    struct worker_pool *p = pool_of(ex->worker, job->pool);
    char why[64] = "is being closed";
    if (result == POOL_EOVERLOAD)
        snprintf(why, sizeof why, "is full: %lld waiting", (long long)p->conf->max_queue);
    log_refusal(ex, p, why);
    ex->client.socket = job->client_socket;
    job_release(job);
    ex->res.retry_after_s = RETRY_AFTER_S;
    return verdict_answer(503);
}

void offload_count_job(struct worker *w)
{
    if (w->jobs++ == 0)
        ev_timer_start(w->loop, &w->expire);
}

static int default_pool(const struct worker *w)
{
    int i = 0;
    while (i < w->pool_count - 1 && !slice_eq(w->pools[i].conf->name, SLICE("default")))
        i++;
    return i;
}

static struct verdict submit(struct http_exchange *ex, const struct weir_handler *handler, void *settings,
                             int pool, const struct slice *variables, int error)
{
    struct worker *w = ex->worker;
    int64_t timeout_ms = ex->route.location->settings->answers.handler_timeout_ms;
    struct weir_request *job = error ? NULL : arena_zalloc(&ex->arena, sizeof *job);
    if (!job)
        return verdict_answer(error ? error : 500);
    job_init(job, ex, handler, settings);
    job->output = on_output;
    job->running = &w->slot->running;
    job->variables = variables;
    job->pool = w->pools[pool].pool;
    job->deadline_ms = timeout_ms > 0 ? w->now_ms + (uint64_t)timeout_ms : 0;
    job->client_socket = ex->client.socket;
    ex->client.socket = -1; /* the thread must not ask a descriptor that may be another's by then */
    enum pool_result result = pool_submit(job->pool, &job->task);
    if (result != POOL_OK)
        return refuse(ex, job, result);
    offload_count_job(w);
    ex->job = job;
    ex->source = &source_handler;
    return request_wait(ex, REQUEST_HANDLER, timeout_ms, handler_is_late);
}

/* Before a thread has the exchange: maps, expressions and clocks are the loop's. */
static const struct slice *expand_variables(struct http_exchange *ex, int *error)
{
    const struct location *l = ex->route.location;
    int count = 0;
    while (l->handler_variables && l->handler->variables[count])
        count++;
    struct slice *values = count ? arena_zalloc(&ex->arena, (size_t)count * sizeof *values) : NULL;
    for (int i = 0; values && i < count; i++) {
        struct slice value = http_template_expand(l->handler_variables[i], ex);
        values[i] = value.len ? arena_dup(&ex->arena, value) : (struct slice){0};
    }
    if (count && !values)
        *error = 500;
    return values;
}

struct verdict offload_start(struct http_exchange *ex)
{
    int error = !ex->body.whole ? 500 : body_finish(ex); /* a handler never sees a part of a body */
    const struct slice *values = error ? NULL : expand_variables(ex, &error);
    return submit(ex, ex->route.location->handler, ex->route.location->handler_settings,
                  ex->route.location->pool, values, error);
}

struct verdict offload_ask(struct http_exchange *ex, const struct weir_handler *handler, void *settings)
{
    return submit(ex, handler, settings, default_pool(ex->worker), NULL, 0);
}

bool offload_close_pools(struct worker *w)
{
    bool quiet = true;
    uint64_t deadline_us =
        w->jobs ? 0 : clock_mono_us() + THREADS_END_WITHIN_US; /* idle threads only have to wake */
    for (int i = 0; i < w->pool_count; i++)
        quiet &= pool_shutdown(w->pools[i].pool, POOL_DROP, deadline_us) == POOL_OK;
    return quiet;
}
