/*
 * worker/offload.c - the way of a request to a pool and back: the one place where the loop and threads meet.
 *
 * While a job is with the pool, its exchange belongs to the thread. The loop gets both back when the task has ended;
 * pools say so with one wake-up for many. If the connection must go on or go away before that (time is over, the
 * client left), the job keeps the exchange, the connection gets a copy to answer and log with, and the rest is freed
 * when the task ends at last.
 */
#include "worker/filter.h"

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
static void log_refusal(struct connection *c, struct worker_pool *p, const char *why)
{
    struct worker *w = connection_worker(c);
    if (p->logged_ms && w->now_ms < p->logged_ms + LOG_EVERY_MS) {
        p->silent++;
        return;
    }
    http_log(c->ex, LOG_LEVEL_ERROR, "thread pool \"%s\" %s; request refused", p->conf->name.data, why);
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
static void log_failure(struct connection *c, const struct ending *end)
{
    if (end->outcome == POOL_TASK_FAILED)
        http_log(c->ex, LOG_LEVEL_ERROR, "handler \"%s\" failed: %s", end->handler, end->fail_reason);
    else if (end->outcome != POOL_TASK_DONE)
        log_refusal(c, end->pool, why_not_run(end->outcome));
}

/* The answer of a job that did not stream. */
static struct verdict answer_job(struct connection *c, const struct ending *end)
{
    struct http_exchange *ex = c->ex;
    int result = end->outcome == POOL_TASK_DONE ? checked_result(ex, end) : 0;
    log_failure(c, end);
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

/* Its thread counts as stuck from now on, and nobody waits for it. */
static void give_up(struct worker *w, struct weir_request *job)
{
    pool_abandon(job->pool, &job->task);
    job->given_up = true;
    w->given_up++;
    limit_release(w, job->ex, false);
}

static void on_job_ended(struct worker *w, struct weir_request *job)
{
    struct connection *c = job->connection;
    struct http_exchange *ex = job->ex;
    assert(!job->given_up || w->given_up > 0);
    w->given_up -= job->given_up;
    if (job->handler != &auth_basic_handler && !ex->aside)
        limit_served(w, ex);
    if (!c) {
        job_release(job);
        exchange_free(w, ex);
        return;
    }
    ex->client.socket = c->io.fd;
    struct ending end = {job->task.outcome, job->task.fail_reason, job->handler->name, pool_of(w, job->pool),
                         job->result};
    if (job->handler == &auth_basic_handler) {
        c->job = NULL;
        job_release(job);
        log_failure(c, &end);
        request_resume(c, auth_answered(c, end.outcome == POOL_TASK_DONE, end.result));
    } else if (!job->head_sent) {
        c->job = NULL;
        buf_free(&ex->body.mem); /* the request's is not needed any more; the answer's takes its place */
        ex->body.mem = job->body;
        ex->body.len = 0;
        job->body = (struct buf){0};
        job_release(job);
        request_resume(c, answer_job(c, &end));
    } else {
        job->pool = NULL; /* marks the end for offload_pull */
        connection_ready(c);
    }
}

/* The first output of a streaming job: its head goes out. */
static void start_stream(struct connection *c, struct weir_request *job)
{
    job->head_sent = true;
    if (c->ex->res.status == 0)
        c->ex->res.status = 200;
    c->ex->res.content_length = HTTP_LENGTH_UNKNOWN;
    request_resume(c, verdict_answer(0));
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
        struct connection *c = job->connection;
        job_heard(job);
        if (c) {
            if (c->ex->aside) { /* only its status is of interest */
                struct buf unwanted;
                job_take_output(job, &unwanted);
                buf_free(&unwanted);
            } else if (!job->head_sent) {
                start_stream(c, job);
            } else {
                connection_ready(c);
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
        give_up(w, job);
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

static struct verdict refuse(struct connection *c, struct weir_request *job, enum pool_result result)
{
    struct worker_pool *p = pool_of(connection_worker(c), job->pool);
    char why[64] = "is being closed";
    if (result == POOL_EOVERLOAD)
        snprintf(why, sizeof why, "is full: %lld waiting", (long long)p->conf->max_queue);
    log_refusal(c, p, why);
    job_release(job);
    c->ex->client.socket = c->io.fd;
    c->ex->res.retry_after_s = RETRY_AFTER_S;
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

static struct verdict submit(struct connection *c, const struct weir_handler *handler, void *settings,
                             int pool, const struct slice *variables, int error)
{
    struct worker *w = connection_worker(c);
    struct http_exchange *ex = c->ex;
    int64_t timeout_ms = c->location->settings->handler_timeout_ms;
    struct weir_request *job = error ? NULL : arena_zalloc(&ex->arena, sizeof *job);
    if (!job)
        return verdict_answer(error ? error : 500);
    job_init(job, ex, handler, settings);
    job->connection = c;
    job->output = on_output;
    job->running = &w->slot->running;
    job->variables = variables;
    job->pool = w->pools[pool].pool;
    job->deadline_ms = timeout_ms > 0 ? w->now_ms + (uint64_t)timeout_ms : 0;
    ex->client.socket = -1; /* the thread must not ask a descriptor that may be another's by then */
    enum pool_result result = pool_submit(job->pool, &job->task);
    if (result != POOL_OK)
        return refuse(c, job, result);
    offload_count_job(w);
    c->job = job;
    c->state = CONNECTION_HANDLER;
    connection_set_timer(c, timeout_ms);
    return verdict_of(VERDICT_WAIT);
}

/* Before a thread has the exchange: maps, expressions and clocks are the loop's. */
static const struct slice *expand_variables(struct connection *c, int *error)
{
    const struct location *l = c->location;
    int count = 0;
    while (l->handler_variables && l->handler->variables[count])
        count++;
    struct slice *values = count ? arena_zalloc(&c->ex->arena, (size_t)count * sizeof *values) : NULL;
    for (int i = 0; values && i < count; i++) {
        struct slice value = http_template_expand(l->handler_variables[i], c->ex);
        values[i] = value.len ? arena_dup(&c->ex->arena, value) : (struct slice){0};
    }
    if (count && !values)
        *error = 500;
    return values;
}

struct verdict offload_start(struct connection *c)
{
    int error = !c->ex->body.whole ? 500 : body_finish(c); /* a handler never sees a part of a body */
    const struct slice *values = error ? NULL : expand_variables(c, &error);
    return submit(c, c->location->handler, c->location->handler_settings, c->location->pool, values, error);
}

struct verdict offload_ask(struct connection *c, const struct weir_handler *handler, void *settings)
{
    return submit(c, handler, settings, default_pool(connection_worker(c)), NULL, 0);
}

/* Lets the job go its own way. */
static void part(struct connection *c, bool at_once)
{
    struct weir_request *job = c->job;
    bool ended = job->pool == NULL;
    struct http_exchange *old = exchange_disown(c);
    c->job = NULL;
    c->location = auth_request_own_route(old)->location;
    job_orphan(job);
    if (ended) {
        job_release(job);
        exchange_free(connection_worker(c), old);
    } else if (!pool_cancel(job->pool, &job->task)) {
        if (at_once)
            give_up(connection_worker(c), job);
        else
            list_push_back(&connection_worker(c)->orphans, &job->orphan);
    }
}

void offload_timeout(struct connection *c)
{
    const char *name = c->job->handler->name;
    bool asked = c->ex->aside != NULL;
    part(c, true);
    if (!c->ex) {
        connection_close(c);
        return;
    }
    http_log(c->ex, LOG_LEVEL_ERROR, "handler \"%s\" timed out", name);
    c->ex->res.close = request_is_last(c);
    if (asked)
        http_log(c->ex, LOG_LEVEL_ERROR, "auth request unexpected status: 504");
    request_resume(c, verdict_answer(asked ? 500 : 504));
}

void offload_client_gone(struct connection *c)
{
    int status = c->job->head_sent ? c->ex->res.status : 0;
    part(c, c->job->deadline_ms && connection_worker(c)->now_ms >= c->job->deadline_ms);
    if (c->ex)
        c->ex->res.status = status;
}

int64_t offload_time_left_ms(const struct connection *c, int64_t at_most_ms)
{
    if (!c->job || c->job->deadline_ms == 0)
        return at_most_ms;
    uint64_t now_ms = connection_worker(c)->now_ms, deadline_ms = c->job->deadline_ms;
    int64_t left_ms = deadline_ms > now_ms ? (int64_t)(deadline_ms - now_ms) : 1;
    return at_most_ms && at_most_ms < left_ms ? at_most_ms : left_ms;
}

static bool end_stream(struct connection *c, struct weir_request *job)
{
    bool done = job->task.outcome == POOL_TASK_DONE, failed = !done || job->result != 0;
    if (failed && done)
        http_log(c->ex, LOG_LEVEL_ERROR,
                 "handler \"%s\" returned %d after it had begun to answer; closing the connection",
                 job->handler->name, job->result);
    else if (failed)
        http_log(c->ex, LOG_LEVEL_ERROR,
                 "handler \"%s\" failed after it had begun to answer: %s; closing the connection",
                 job->handler->name, job->task.fail_reason ? job->task.fail_reason : "it was given up");
    if (failed || !send_end(c, (struct slice){0})) {
        connection_close(c); /* cut off, so that the client knows */
        return false;
    }
    c->job = NULL;
    job_release(job);
    request_done(c);
    return true;
}

bool offload_pull(struct connection *c)
{
    struct weir_request *job = c->job;
    struct buf stretch;
    bool ended = job->pool == NULL;
    c->more_later = connection_worker(c)->streamed_bytes >= SEND_AT_ONCE_BYTES;
    if (c->more_later)
        return false; /* the others' turn; the socket says when to go on */
    if (send_allowance(c) == 0)
        return false; /* limit_rate: a timer brings us back */
    if (filter_is_full(c->ex)) {
        bool ok = filter_go_on(c);
        if (!ok)
            connection_close(c);
        return ok;
    }
    if (job_take_output(job, &stretch)) {
        bool ok = send_stretch(c, buf_slice(&stretch));
        buf_free(&stretch);
        if (!ok)
            connection_close(c);
        return ok;
    }
    if (ended)
        return end_stream(c, job);
    if (filter_is_pending(c->ex)) {
        bool ok = filter_flush(c);
        if (!ok)
            connection_close(c);
        return ok;
    }
    connection_set_timer(c, offload_time_left_ms(c, 0));
    return false;
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
