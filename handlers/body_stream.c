/*
 * handlers/body_stream.c - weir_read of a body that comes: it is read by the handler's thread while the loop takes it from the client.
 *
 * The loop puts what has come under the gate, up to a bound, which is client_body_buffer_size until the handler runs; beyond, it reads no
 * more of the client until the thread has taken half of it.
 */
#include "handlers/job.h"

#include "base/buf.h"
#include "base/slice.h"
#include "conf/settings.h"
#include "pool/gate.h"

#include <assert.h>
#include <string.h>

/* Under the gate. */
static size_t bound_of(const struct weir_request *job)
{
    size_t before = (size_t)job->ex->route.settings->client.body_buffer_bytes;
    return job->body_in.runs || before > JOB_BODY_AHEAD_MAX ? JOB_BODY_AHEAD_MAX : before;
}

/* Under the gate. */
static bool is_full(const struct weir_request *job)
{
    return buf_len(&job->body_in.came) >= bound_of(job);
}

void job_body_came(struct weir_request *job, struct slice bytes, bool whole)
{
    struct job_body *b = &job->body_in;
    assert(job->handler->streams_body && b->comes);
    gate_lock(&job->gate);
    assert(!b->over);
    b->failed = b->failed || (bytes.len && !buf_append_slice(&b->came, bytes));
    b->over = whole;
    gate_wake(&job->gate);
    gate_unlock(&job->gate);
}

bool job_body_is_full(struct weir_request *job)
{
    gate_lock(&job->gate);
    bool full = is_full(job);
    job->body_in.has_stopped |= full;
    gate_unlock(&job->gate);
    return full;
}

bool job_body_heard(struct weir_request *job)
{
    gate_lock(&job->gate);
    bool full = is_full(job);
    job->body_in.is_wanted = false;
    job->body_in.has_stopped = full;
    gate_unlock(&job->gate);
    return !full;
}

/* Where the loop has stopped and there is room: it is to be told. Under the gate. */
static bool wants_more(struct weir_request *job)
{
    struct job_body *b = &job->body_in;
    bool has_room = buf_len(&b->came) <= bound_of(job) / 2;
    bool wants = b->has_stopped && has_room && !b->over && !b->is_wanted;
    b->is_wanted |= wants;
    return wants;
}

void job_body_begin(struct weir_request *job)
{
    if (!job->body_in.comes)
        return;
    gate_lock(&job->gate);
    job->body_in.runs = true;
    bool wants = wants_more(job);
    gate_unlock(&job->gate);
    if (wants)
        job->want_body(job);
}

/* What there is of it, under the gate. */
static size_t take(struct job_body *b, void *buffer, size_t bytes)
{
    size_t there = buf_len(&b->came), n = there < bytes ? there : bytes;
    if (n == 0)
        return 0;
    memcpy(buffer, b->came.data + b->came.start, n);
    buf_consume(&b->came, n);
    return n;
}

ssize_t job_body_read(struct weir_request *job, void *buffer, size_t bytes)
{
    struct job_body *b = &job->body_in;
    assert(b->comes);
    gate_lock(&job->gate);
    /* Once the answer has begun, the loop takes no more of the body. */
    while (buf_len(&b->came) == 0 && !b->over && !b->failed && !job->gone && !job->streaming)
        gate_wait(&job->gate);
    size_t n = job->gone ? 0 : take(b, buffer, bytes);
    bool wants = n > 0 && wants_more(job), is_end = b->over && !b->failed && !job->gone;
    gate_unlock(&job->gate);
    if (wants)
        job->want_body(job);
    return n > 0 || bytes == 0 || is_end ? (ssize_t)n : -1;
}
