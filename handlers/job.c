/*
 * handlers/job.c - running a handler on a thread, and handing its output to the loop.
 */
#include "handlers/job.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/slice.h"
#include "handlers/cancel.h"
#include "handlers/handler.h"
#include "handlers/thread_state.h"
#include "http/request/lead.h"
#include "http/wire/request.h"
#include "pool/gate.h"
#include "pool/guard.h"
#include "shm/running.h"

#include <assert.h>
#include <sys/mman.h>

enum { LATE_ARENA_BYTES = 1024, CANNOT_BEGIN = 500 };

void job_init(struct weir_request *job, struct http_exchange *ex, const struct weir_handler *handler,
              void *settings)
{
    assert(!job->ex && handler->run);
    job->ex = ex;
    job->handler = handler;
    job->settings = settings;
    job->task.task.run = job_run;
    gate_init(&job->gate);
    list_init(&job->orphan);
    list_init(&job->waits);
    list_init(&job->lent.link);
    arena_init(&job->late, LATE_ARENA_BYTES);
}

struct arena *job_arena(struct weir_request *job)
{
    return job->streaming ? &job->late : &job->ex->arena;
}

static _Thread_local struct running *current_record;

struct running *job_current_record(void)
{
    return current_record;
}

void job_describe(struct running *r, const struct http_exchange *ex)
{
    const struct slice *given =
        ex->request_id.data ? &ex->request_id : http_find_header(&ex->req, SLICE("X-Request-ID"));
    r->connection = ex->client.connection_id;
    r->remote_len = (uint8_t)ex->client.remote_len;
    memcpy(r->remote, ex->client.remote, sizeof r->remote);
    running_set(r->method, sizeof r->method, ex->req.method_name);
    running_set(r->uri, sizeof r->uri, ex->req.uri);
    if (given)
        running_set(r->id, sizeof r->id, *given);
}

static void record_job(struct weir_request *job)
{
    job->record = job->running ? running_begin(job->running, clock_mono_ms()) : NULL;
    if (!job->record)
        return;
    running_set(job->record->handler, sizeof job->record->handler, slice_of(job->handler->name));
    job_describe(job->record, job->ex);
}

static void run_handler(void *arg)
{
    struct weir_request *job = arg;
    job_body_begin(job);
    job->result = thread_state_prepare(job) ? job->handler->run(job) : CANNOT_BEGIN;
}

/* The handler ends its thread by itself: what it wanted called is over before the loop hears of that. */
static void leave_thread(void *arg)
{
    cancel_end(arg);
}

void job_run(struct pool_task *task)
{
    struct weir_request *job = (struct weir_request *)task; /* its first member */
    assert(!current_record && !job->record && !job->streaming);
    record_job(job);
    current_record = job->record;
    atomic_store_explicit(&job->begun_us, task->started_us, memory_order_relaxed);
    if (!job->gone)
        guard_run(run_handler, leave_thread, job);
    cancel_end(job);
    current_record = NULL;
    if (job->streaming && job->body.end > job->body.start)
        weir_flush(job);
}

void job_release(struct weir_request *job)
{
    /* Of the loop: no handler runs on its thread. */
    assert(!current_record);
    assert(!job->lent.is);
    assert(!job->cancel.begun);
    list_remove(&job->orphan);
    list_remove(&job->waits);
    if (job->record)
        running_end(job->running, job->record);
    job->record = NULL;
    if (job->mapped_body)
        munmap(job->mapped_body, job->mapped_bytes);
    job_sent(job, SIZE_MAX);
    http_lead_let_go(job->lead);
    job->lead = NULL;
    buf_free(&job->body);
    buf_free(&job->pending);
    buf_free(&job->body_in.came);
    buf_free(&job->taken);
    if (job->lent.head.data)
        buf_free(&job->lent.head);
    arena_free(&job->late);
    gate_destroy(&job->gate);
}

void job_orphan(struct weir_request *job)
{
    assert(!job->gone && !job->orphaned);
    job->gone = true;
    job->orphaned = true;
    gate_lock(&job->gate);
    cancel_begin(job);
    gate_wake(&job->gate);
    gate_unlock(&job->gate);
}

void job_heard(struct weir_request *job)
{
    gate_lock(&job->gate);
    job->announced = false;
    gate_unlock(&job->gate);
}

bool job_take_output(struct weir_request *job, struct buf *out)
{
    gate_lock(&job->gate);
    *out = job->pending;
    job->pending = (struct buf){0};
    gate_wake(&job->gate);
    gate_unlock(&job->gate);
    return buf_len(out) > 0;
}

void weir_fail(weir_request *r, const char *reason)
{
    /* Before what it was to be called with goes. */
    cancel_end(r);
    pool_task_fail(reason);
}

/* With others of its connection it may be ahead by as much as one alone; each may have something there. */
static bool is_too_far_ahead(const weir_request *r)
{
    size_t own = buf_len(&r->pending);
    return own > JOB_AHEAD_MAX || (own > 0 && r->lead && r->lead->bytes > JOB_AHEAD_MAX);
}

static void count_ahead(weir_request *r, size_t bytes)
{
    if (!r->lead)
        return;
    r->ahead += bytes;
    r->lead->bytes += bytes;
}

void job_sent(struct weir_request *job, size_t bytes)
{
    uint64_t ahead = job->ahead;
    if (!job->lead)
        return;
    uint64_t gone = bytes < ahead ? bytes : ahead;
    job->ahead -= gone;
    job->lead->bytes -= gone;
}

/* Moves what was written to the loop's side; waits while the loop is too far behind. */
static int hand_output_over(weir_request *r)
{
    /* The peer is made for weir_log, which must not make it any more. */
    if (!r->streaming)
        r->ex->client.peer(r->ex);
    r->streaming = true;
    gate_lock(&r->gate);
    while (!r->gone && is_too_far_ahead(r))
        gate_wait(&r->gate);
    assert(r->gone || buf_len(&r->pending) <= JOB_AHEAD_MAX);
    if (!r->gone)
        count_ahead(r, buf_len(&r->body));
    bool announce = !r->announced;
    bool ok = r->gone || buf_append_slice(&r->pending, buf_slice(&r->body));
    r->announced = true;
    gate_unlock(&r->gate);
    r->body.start = r->body.end = 0;
    if (!ok)
        weir_fail(r, "out of memory for the answer");
    if (r->gone)
        return -1;
    if (announce)
        r->output(r);
    return 0;
}

int weir_flush(weir_request *r)
{
    return r->gone ? -1 : hand_output_over(r);
}

int weir_write(weir_request *r, const void *data, size_t bytes)
{
    if (r->gone)
        return -1;
    if (!buf_append(&r->body, data, bytes))
        weir_fail(r, "out of memory for the answer");
    return buf_len(&r->body) > JOB_WHOLE_BODY_MAX ? hand_output_over(r) : 0;
}
