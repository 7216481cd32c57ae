/*
 * handlers/body_stream.c - weir_read: a request's body, read by the handler's thread while the loop takes it from the client.
 *
 * The loop puts what has come under the gate, up to a bound; beyond, it reads no more of the client until the thread has taken
 * half of that.
 */
#include "handlers/job.h"

#include "base/buf.h"
#include "base/slice.h"
#include "pool/gate.h"

#include <assert.h>
#include <string.h>

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
    bool full = buf_len(&job->body_in.came) >= JOB_BODY_AHEAD_MAX;
    gate_unlock(&job->gate);
    return full;
}

void job_body_heard(struct weir_request *job)
{
    gate_lock(&job->gate);
    job->body_in.is_wanted = false;
    gate_unlock(&job->gate);
}

/* One that was there before the job began. */
static size_t read_whole(weir_request *r, void *buffer, size_t bytes)
{
    size_t len;
    const char *body = job_whole_body(r, &len);
    size_t left = len - r->body_in.read, n = left < bytes ? left : bytes;
    if (n)
        memcpy(buffer, body + r->body_in.read, n);
    r->body_in.read += n;
    return n;
}

/* What there is of it, under the gate. *wants: the loop is to be told that there is room again. */
static size_t take(struct job_body *b, void *buffer, size_t bytes, bool *wants)
{
    size_t before = buf_len(&b->came), n = before < bytes ? before : bytes;
    if (n == 0)
        return 0;
    memcpy(buffer, b->came.data + b->came.start, n);
    buf_consume(&b->came, n);
    bool has_room = buf_len(&b->came) <= JOB_BODY_AHEAD_MAX / 2;
    *wants = has_room && before > JOB_BODY_AHEAD_MAX / 2 && !b->over && !b->is_wanted;
    b->is_wanted |= *wants;
    return n;
}

ssize_t weir_read(weir_request *r, void *buffer, size_t bytes)
{
    struct job_body *b = &r->body_in;
    bool wants = false;
    if (!r->handler->streams_body || r->gone)
        return -1;
    if (!b->comes)
        return (ssize_t)read_whole(r, buffer, bytes);
    gate_lock(&r->gate);
    /* Once the answer has begun, the loop takes no more of the body. */
    while (buf_len(&b->came) == 0 && !b->over && !b->failed && !r->gone && !r->streaming)
        gate_wait(&r->gate);
    size_t n = r->gone ? 0 : take(b, buffer, bytes, &wants);
    bool is_end = b->over && !b->failed && !r->gone;
    gate_unlock(&r->gate);
    if (wants)
        r->want_body(r);
    return n > 0 || bytes == 0 || is_end ? (ssize_t)n : -1;
}
