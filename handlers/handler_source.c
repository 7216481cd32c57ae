/*
 * handlers/handler_source.c - a handler's output as a response's body, and what becomes of a handler that nobody waits for.
 *
 * If the request must go on or go away before the handler has returned (time is over, the client left), the job keeps the
 * exchange, the connection gets a copy to answer and log with, and the rest is freed when the task ends at last.
 */
#include "handlers/job.h"
#include "handlers/lend.h"
#include "handlers/offload.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/spool.h"
#include "http/request/body.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/request/verdict.h"
#include "pool/pool.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

/* What the request has waited, and been at work, by now; of one that another worker runs nobody knows here. */
static void note_times_so_far(struct http_exchange *ex, const struct weir_request *job, bool has_begun)
{
    uint64_t submitted_us = job->task.task.submitted_us, now_us = clock_fast_us();
    uint64_t begun_us = has_begun ? atomic_load(&job->begun_us) : now_us;
    if (!begun_us || !submitted_us)
        return;
    ex->has_queued = true;
    ex->queue_us += begun_us > submitted_us ? begun_us - submitted_us : 0;
    if (!has_begun)
        return;
    ex->has_run = true;
    ex->handler_us += now_us > begun_us ? now_us - begun_us : 0;
}

/* Lets the job go its own way, with the exchange. Returns what goes on in its place; NULL: out of memory. */
static struct http_exchange *part_from_job(struct http_exchange *ex, bool at_once)
{
    struct worker *w = ex->worker;
    struct weir_request *job = ex->job;
    /* The job is with the pool. */
    assert(job->ex == ex && !job->ended && !job->orphaned && !job->given_up);
    struct http_exchange *copy = exchange_leave_to_job(ex);
    job_orphan(job);
    bool has_begun = !lend_cancel(w, job);
    if (copy)
        note_times_so_far(copy, job, has_begun);
    if (!has_begun) {
        if (copy)
            copy->ran_in = 0;
    } else {
        if (at_once)
            offload_give_up(w, job);
        else
            list_push_back(&w->orphans, &job->orphan);
    }
    return copy;
}

void handler_is_late(struct http_exchange *ex)
{
    struct http_exchange *old = ex;
    const char *name = ex->job->handler->name;
    bool asked = ex->aside != NULL;
    assert(ex->state == REQUEST_HANDLER && !ex->job->head_sent);
    ex = part_from_job(ex, true);
    if (!ex) {
        client_reset(old);
        return;
    }
    http_log(ex, LOG_LEVEL_ERROR, "handler \"%s\" timed out", name);
    if (asked)
        http_log(ex, LOG_LEVEL_ERROR, "auth request unexpected status: 504");
    request_resume(ex, verdict_answer(asked ? 500 : 504));
}

/* Nobody wants the handler's output any more. */
static void leave_job(struct http_exchange *ex)
{
    struct weir_request *job = ex->job;
    assert(job && job->ex == ex && !job->orphaned);
    /* The job has ended, and the request is the loop's again. */
    if (job->ended) {
        offload_end_job(ex);
        return;
    }
    int status = job->head_sent ? ex->res.status : 0;
    ex = part_from_job(ex, job->deadline_ms && ex->worker->now_ms >= job->deadline_ms);
    if (ex)
        ex->res.status = status;
}

/* --- its output as a body --- */

/* The handler has returned, and all that it has written is gone. */
static enum source_says look_at_end(struct http_exchange *ex)
{
    const struct weir_request *job = ex->job;
    bool done = job->task.task.outcome == POOL_TASK_DONE;
    if (done && job->result == 0)
        return SOURCE_END;
    if (done)
        http_log(ex, LOG_LEVEL_ERROR,
                 "handler \"%s\" returned %d after it had begun to answer; closing the connection",
                 job->handler->name, job->result);
    else
        http_log(ex, LOG_LEVEL_ERROR,
                 "handler \"%s\" failed after it had begun to answer: %s; closing the connection",
                 job->handler->name,
                 job->task.task.fail_reason ? job->task.task.fail_reason : "it was given up");
    return SOURCE_FAILED;
}

static enum source_says look_at_output(struct http_exchange *ex, struct http_piece *stretch)
{
    struct weir_request *job = ex->job;
    assert(job->head_sent && !job->orphaned && !job->answered);
    bool ended = job->ended; /* before its last output is looked for */
    if (buf_len(&job->taken) == 0) {
        buf_free(&job->taken);
        if (!job_take_output(job, &job->taken))
            return ended ? look_at_end(ex) : SOURCE_LATER;
        lend_taken(ex->worker, job, buf_len(&job->taken));
    }
    stretch->data = job->taken.data + job->taken.start;
    stretch->len = buf_len(&job->taken);
    return SOURCE_HAS;
}

static void take_output(struct http_exchange *ex, size_t n)
{
    assert(n <= buf_len(&ex->job->taken));
    buf_consume(&ex->job->taken, n);
    job_sent(ex->job, n);
}

/* --- a body that goes to it while it comes --- */

static void give_body(struct http_exchange *ex, bool whole)
{
    struct spool *kept = &ex->body.kept;
    assert(http_passes_body(ex) || whole);
    ex->body.taken = true;
    job_body_came(ex->job, buf_slice(&kept->memory), whole);
    kept->memory.start = kept->memory.end = 0;
    if (whole || job_body_is_full(ex->job))
        body_wait_over(ex);
    else
        body_wait(ex);
}

static bool body_is_full(const struct http_exchange *ex)
{
    return job_body_is_full(ex->job);
}

/* What is left of handler_timeout, but never 0 then. */
static int64_t job_time_left_ms(const struct http_exchange *ex, int64_t at_most_ms)
{
    if (ex->job->deadline_ms == 0)
        return at_most_ms;
    uint64_t now_ms = ex->worker->now_ms, deadline_ms = ex->job->deadline_ms;
    int64_t left_ms = deadline_ms > now_ms ? (int64_t)(deadline_ms - now_ms) : 1;
    return at_most_ms && at_most_ms < left_ms ? at_most_ms : left_ms;
}

const struct source source_handler = {.look = look_at_output,
                                      .take = take_output,
                                      .stop = leave_job,
                                      .time_left_ms = job_time_left_ms,
                                      .body_came = give_body,
                                      .body_is_full = body_is_full,
                                      .is_live = true};
