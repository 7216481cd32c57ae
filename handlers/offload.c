/*
 * handlers/offload.c - the way of a request to a pool and back.
 *
 * While a job is with the pool, its exchange belongs to the thread. The loop gets both back when the task has ended. If the connection must go on or go away before that (time is over, the
 * client left), the job keeps the exchange, the connection gets a copy to answer and log with, and the rest is freed
 * when the task ends at last.
 */
#include "handlers/offload.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/slice.h"
#include "handlers/guest.h"
#include "handlers/job.h"
#include "handlers/lend.h"
#include "handlers/lend_back.h"
#include "handlers/lending.h"
#include "http/request/body.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/lead.h"
#include "http/request/source.h"
#include "http/request/template.h"
#include "http/request/verdict.h"
#include "http/site/site.h"
#include "http/wire/response.h"
#include "pool/pool.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/pools.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdio.h>

enum { RETRY_AFTER_S = 1 };

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
        pools_log_refusal(ex, end->pool, why_not_run(end->outcome));
}

/* The response of a job that did not stream. */
static struct verdict answer_job(struct http_exchange *ex, const struct ending *end)
{
    int result = end->outcome == POOL_TASK_DONE ? checked_result(ex, end) : 0;
    log_failure(ex, end);
    if (end->outcome == POOL_TASK_DONE && result == 0) {
        if (ex->res.status == 0)
            ex->res.status = 200;
        bool ok = http_add_memory(&ex->res, &ex->arena, buf_slice(&ex->body.kept.memory).data,
                                  buf_len(&ex->body.kept.memory));
        return verdict_answer(ok ? 0 : 500);
    }
    http_response_reset(&ex->res);
    if (end->outcome == POOL_TASK_DONE)
        return verdict_answer(result);
    if (end->outcome == POOL_TASK_FAILED)
        return verdict_answer(500);
    ex->res.retry_after_s = RETRY_AFTER_S; /* the job never ran */
    return verdict_answer(503);
}

void offload_give_up(struct worker *w, struct weir_request *job)
{
    assert(!job->ended && job->orphaned && !job->given_up && w->given_up < w->jobs);
    lend_abandon(w, job);
    job->given_up = true;
    w->given_up++;
    if (job->ex->limits.let_go)
        job->ex->limits.let_go(job->ex);
}

void offload_end_job(struct http_exchange *ex)
{
    assert(ex->job && ex->job->ex == ex && !ex->job->orphaned && ex->source == &source_handler);
    job_release(ex->job);
    ex->job = NULL;
    ex->source = NULL;
}

/* It takes the place of the request's, which is not needed any more. Without a response an error page may want that. */
static void take_response_body(struct http_exchange *ex, struct weir_request *job)
{
    buf_free(&ex->body.kept.memory);
    ex->body.kept.memory = job->body;
    ex->body.len = 0;
    job->body = (struct buf){0};
}

/* It has not run. */
static bool end_is_early(const struct weir_request *job)
{
    return job->task.task.outcome != POOL_TASK_DONE && job->task.task.outcome != POOL_TASK_FAILED;
}

/* Until it began, here or elsewhere, or was given up; and from then on. */
static void note_times(struct http_exchange *ex, const struct weir_request *job)
{
    const struct pool_task *t = &job->task.task;
    bool ran_elsewhere = job->lent.waited_us || job->lent.ran_us, never_ran = end_is_early(job);
    uint64_t until_us = t->started_us ? t->started_us : never_ran ? clock_fast_us() : t->submitted_us;
    uint64_t waited_us = until_us > t->submitted_us ? until_us - t->submitted_us : 0;
    ex->has_queued = true;
    ex->queue_us += ran_elsewhere ? job->lent.waited_us : waited_us;
    if (never_ran)
        return;
    ex->has_run = true;
    ex->handler_us += ran_elsewhere ? job->lent.ran_us : t->ended_us - t->started_us;
}

static void on_job_ended(struct worker *w, struct loop_task *task)
{
    struct weir_request *job = (struct weir_request *)task; /* its first member */
    struct http_exchange *ex = job->ex;
    assert(!job->ended && (!job->given_up || (job->orphaned && w->given_up > 0)));
    assert(job->orphaned || ex->job == job);
    assert(job->orphaned || job->head_sent || ex->state == REQUEST_HANDLER);
    w->given_up -= job->given_up;
    lending_note_run(w, job);
    if (!job->orphaned)
        note_times(ex, job);
    if (end_is_early(job))
        ex->ran_in = 0;
    if (!job->answered && !ex->aside)
        http_served(ex);
    if (job->orphaned) {
        job_release(job);
        exchange_free(w, ex);
        return;
    }
    ex->client.socket = job->client_socket;
    struct ending end = {job->task.task.outcome, job->task.task.fail_reason, job->handler->name,
                         pools_find(w, job->pool), job->result};
    if (job->answered) {
        struct verdict (*answered)(struct http_exchange *, bool, int) = job->answered;
        offload_end_job(ex);
        log_failure(ex, &end);
        request_resume(ex, answered(ex, end.outcome == POOL_TASK_DONE, end.result));
    } else if (!job->head_sent) {
        if (end.outcome == POOL_TASK_DONE && end.result == 0)
            take_response_body(ex, job);
        offload_end_job(ex);
        request_resume(ex, answer_job(ex, &end));
    } else {
        job->ended = true;
        client_go_on(ex);
    }
}

/* The first output of a streaming job: its head goes out. */
static void start_job_stream(struct http_exchange *ex, struct weir_request *job)
{
    assert(ex->job == job && ex->state == REQUEST_HANDLER && !job->head_sent && !job->answered);
    job->head_sent = true;
    if (ex->res.status == 0)
        ex->res.status = 200;
    ex->res.content_length = HTTP_LENGTH_UNKNOWN;
    request_resume(ex, verdict_answer(0));
}

/* The thread has put out something new. */
static void hear_output(struct pool_notice *notice)
{
    struct weir_request *job = container_of(notice, struct weir_request, notice);
    struct http_exchange *ex = job->ex;
    job_heard(job);
    if (job->orphaned)
        return;
    if (ex->aside) { /* only its status is of interest */
        struct buf unwanted;
        job_take_output(job, &unwanted);
        lend_taken(ex->worker, job, buf_len(&unwanted));
        buf_free(&unwanted);
    } else if (!job->head_sent) {
        start_job_stream(ex, job);
    } else {
        client_go_on(ex);
    }
}

/* From a job's thread. */
static void on_output(struct weir_request *job)
{
    pools_notify(&job->notice);
}

/* The thread has room for more of the body. */
static void hear_want(struct pool_notice *notice)
{
    struct weir_request *job = container_of(notice, struct weir_request, body_in.notice);
    if (!job_body_heard(job) || job->orphaned || !http_passes_body(job->ex))
        return;
    body_wait(job->ex);
    client_go_on(job->ex);
}

/* From a job's thread. */
static void want_body(struct weir_request *job)
{
    pools_notify(&job->body_in.notice);
}

/* A handler whose client has left may end in its time; after that it is given up like any other. */
void offload_look_after_orphans(struct worker *w)
{
    struct list_node *next;
    for (struct list_node *n = w->orphans.next; n != &w->orphans; n = next) {
        struct weir_request *job = container_of(n, struct weir_request, orphan);
        assert(job->orphaned && !job->given_up && !job->ended);
        next = n->next;
        if (job->deadline_ms == 0 || w->now_ms < job->deadline_ms)
            continue;
        list_remove(n);
        offload_give_up(w, job);
    }
}

static struct verdict refuse_job(struct http_exchange *ex, struct weir_request *job, enum pool_result result)
{
    struct worker_pool *p = pools_find(ex->worker, job->pool);
    assert(result != POOL_OK && !ex->job);
    char why[64] = "is being closed";
    if (result == POOL_EOVERLOAD)
        snprintf(why, sizeof why, "is full: %lld waiting", (long long)p->conf->max_queue);
    pools_log_refusal(ex, p, why);
    ex->client.socket = job->client_socket;
    ex->ran_in = 0;
    job_release(job);
    ex->res.retry_after_s = RETRY_AFTER_S;
    return verdict_answer(503);
}

static int default_pool(const struct worker *w)
{
    int i = 0;
    while (i < w->pool_count - 1 && !slice_eq(w->pools[i].conf->name, SLICE("default")))
        i++;
    return i;
}

static struct verdict submit_job(struct http_exchange *ex, const struct weir_handler *handler, void *settings,
                                 int pool, const struct slice *variables,
                                 struct verdict (*answered)(struct http_exchange *ex, bool done, int result),
                                 int error)
{
    struct worker *w = ex->worker;
    int64_t timeout_ms = ex->route.settings->answers.handler_timeout_ms;
    assert(ex->state == REQUEST_RUNS && !ex->job && !ex->proxy && !ex->source);
    assert(pool >= 0 && pool < w->pool_count);
    struct weir_request *job = error ? NULL : arena_zalloc(&ex->arena, sizeof *job);
    if (!job)
        return verdict_answer(error ? error : 500);
    job_init(job, ex, handler, settings);
    job->task.ended = on_job_ended;
    job->notice.hear = hear_output;
    job->answered = answered;
    job->output = on_output;
    job->body_in.notice.hear = hear_want;
    job->want_body = want_body;
    job->body_in.comes = ex->body.to_handler && !answered;
    /* Both sides may still ask for it, and neither makes it then: the arena is the thread's. */
    ex->client.peer(ex);
    job->lent.never = !ex->body.whole && !answered; /* its body comes here */
    job->running = &w->slot->running;
    job->variables = variables;
    job->pool = w->pools[pool].pool;
    job->deadline_ms = timeout_ms > 0 ? w->now_ms + (uint64_t)timeout_ms : 0;
    job->lead = ex->client.lead ? http_lead_hold(ex->client.lead) : NULL;
    job->client_socket = ex->client.socket;
    /* The thread must not ask a descriptor that may be another client's by then. */
    ex->client.socket = -1;
    enum pool_result result = lend_submit(w, job, pool);
    if (result != POOL_OK)
        return refuse_job(ex, job, result);
    ex->job = job;
    ex->source = &source_handler;
    struct verdict v = request_wait(ex, REQUEST_HANDLER, timeout_ms, handler_is_late);
    if (http_passes_body(ex))
        body_wait(ex);
    return v;
}

/* Before a thread has the exchange: maps, expressions and clocks are the loop's. */
static const struct slice *expand_variables(struct http_exchange *ex, int *error)
{
    const struct location *l = ex->route.location;
    int count = job_count_variables(l->handler);
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
    const struct weir_handler *handler = ex->route.location->handler;
    bool streams = !ex->body.whole && handler->streams_body;
    struct verdict v = streams ? body_begin(ex) : verdict_of(VERDICT_NEXT);
    if (v.kind != VERDICT_NEXT)
        return v;
    /* Another handler never sees a part of a body. */
    int error = streams ? 0 : !ex->body.whole ? 500 : body_finish(ex);
    ex->body.to_handler = streams;
    const struct slice *values = error ? NULL : expand_variables(ex, &error);
    return submit_job(ex, handler, ex->route.location->handler_settings, ex->route.location->pool, values,
                      NULL, error);
}

struct verdict offload_ask(struct http_exchange *ex, const struct weir_handler *handler, void *settings,
                           struct verdict (*answered)(struct http_exchange *ex, bool done, int result))
{
    return submit_job(ex, handler, settings, default_pool(ex->worker), NULL, answered, 0);
}

bool offload_open(struct worker *w)
{
    if (!lending_open(w))
        return false;
    lend_open(w);
    lend_back_open(w);
    return guest_open(w);
}
