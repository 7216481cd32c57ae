/*
 * handlers/lend_back.c - what comes back of a request that was lent: output, its end, or nothing, where its worker has died.
 */
#include "handlers/lend_back.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "handlers/lend.h"
#include "handlers/lending.h"
#include "handlers/parcel.h"
#include "http/request/exchange.h"
#include "pool/gate.h"
#include "pool/pool.h"
#include "shm/shm.h"
#include "worker/loop/doors.h"
#include "worker/loop/worker_state.h"

/* Of a response's head: what a handler sets beyond is no answer. */
enum { HEAD_MAX = 16 << 20 };

/* --- its worker has died --- */

/* A method that may be sent twice (RFC 9110 section 9.2.1), or a question of ours. */
static bool may_run_twice(const struct weir_request *job)
{
    enum http_method m = job->ex->req.method;
    return job->answered || m == HTTP_GET || m == HTTP_HEAD || m == HTTP_OPTIONS || m == HTTP_TRACE;
}

/* Its worker has died over it. */
static void fail_lent(struct worker *w, struct weir_request *job)
{
    struct pool_task *t = &job->task.task;
    int slot = job->lent.to.slot;
    if (!job->orphaned)
        http_log(job->ex, LOG_LEVEL_ERROR, "worker %d has died while it ran handler \"%s\" for this request",
                 slot, job->handler->name);
    t->outcome = job->head_sent ? POOL_TASK_FAILED : POOL_TASK_DONE;
    t->fail_reason = "the worker that ran it has died";
    job->result = 502;
    lending_end(w, job);
}

static void lose(struct worker *w, struct weir_request *job)
{
    bool begun = !lending_take_back(w, job);
    if (job->orphaned || (begun && (job->head_sent || job->lent.has_begun || !may_run_twice(job)))) {
        fail_lent(w, job);
        return;
    }
    job->lent.has_begun = begun;
    /* Of a response that was not whole. */
    buf_free(&job->body);
    buf_free(&job->lent.head);
    job->lent.broken = false;
    lending_note_back(w, job);
    lend_again(w, job);
}

void lend_sibling_ended(struct worker *w, struct sibling dead)
{
    for (uint32_t i = 0; w->lending && i < SHM_LENT; i++)
        if (w->lending->jobs[i] && sibling_is(w->lending->jobs[i]->lent.to, dead))
            lose(w, w->lending->jobs[i]);
}

void lend_look_after(struct worker *w)
{
    for (uint32_t i = 0; w->lending && i < SHM_LENT; i++)
        if (w->lending->jobs[i] && !lending_is_alive(w, w->lending->jobs[i]->lent.to))
            lose(w, w->lending->jobs[i]);
}

/* --- output and end --- */

/* From the front of *bytes, which are the last part of it, and maybe the only one. */
static bool take_head(struct slice *bytes, struct weir_request *job)
{
    struct buf *head = &job->lent.head;
    if (buf_len(head) == 0)
        return parcel_unpack_head(bytes, &job->ex->res, &job->ex->arena);
    size_t before = buf_len(head);
    struct slice all;
    if (!buf_append_slice(head, *bytes))
        return false;
    all = buf_slice(head);
    if (!parcel_unpack_head(&all, &job->ex->res, &job->ex->arena) || all.len > buf_len(head) - before)
        return false;
    *bytes = (struct slice){bytes->data + bytes->len - all.len, all.len};
    return true;
}

/* Some of it is lost: the response cannot be whole. */
static void give_output_up(struct worker *w, struct weir_request *job)
{
    log_error("out of memory for the answer of a handler");
    job->lent.broken = true;
    lend_abandon(w, job);
}

/* As if a thread of ours had written it. */
static void take_in_output(struct worker *w, struct weir_request *job, struct slice bytes, bool is_stream)
{
    if (job->orphaned || job->lent.broken) {
        lend_taken(w, job, bytes.len);
        return;
    }
    if (!is_stream) {
        if (bytes.len && !buf_append_slice(&job->body, bytes))
            give_output_up(w, job);
        return;
    }
    gate_lock(&job->gate);
    bool ok = !bytes.len || buf_append_slice(&job->pending, bytes);
    job->announced = true;
    gate_unlock(&job->gate);
    if (!ok)
        give_output_up(w, job);
    else
        job->notice.hear(&job->notice);
}

static void hear_output_elsewhere(struct worker *w, struct door_message *m)
{
    struct parcel_output o;
    if (!parcel_take(&m->bytes, &o, sizeof o))
        return;
    struct weir_request *job = lending_find(w, m->from, &o.id);
    if (!job) {
        /* Whoever writes on must not wait for us. */
        struct parcel_leave leave = {o.id, PARCEL_GIVEN_UP};
        doors_say(w, m->from, DOOR_LEAVE, (struct slice){(const char *)&leave, sizeof leave});
        return;
    }
    /* A question has no output. */
    if (job->answered)
        return;
    if (o.part_of_head) {
        if (buf_len(&job->lent.head) > HEAD_MAX || !buf_append_slice(&job->lent.head, m->bytes))
            job->lent.broken = true;
        return;
    }
    if (o.has_head && !job->head_sent && !take_head(&m->bytes, job))
        job->lent.broken = true;
    take_in_output(w, job, m->bytes, o.is_stream);
}

static bool is_result(int result)
{
    return result == 0 || (result >= 400 && result <= 599);
}

static void take_end(struct worker *w, struct weir_request *job, const struct parcel_end *e,
                     struct slice bytes)
{
    struct pool_task *t = &job->task.task;
    struct slice reason = {bytes.data, e->reason_bytes};
    bytes = (struct slice){bytes.data + reason.len, bytes.len - reason.len};
    if (e->has_head && !job->head_sent && !job->answered && !take_head(&bytes, job))
        job->lent.broken = true;
    if (bytes.len && !job->answered)
        take_in_output(w, job, bytes, e->is_stream);
    bool broken = job->lent.broken || (job->answered && !is_result(e->result));
    t->outcome = broken ? POOL_TASK_FAILED : (uint8_t)e->outcome;
    t->fail_reason = reason.len ? arena_dup(&job->ex->arena, reason).data : NULL;
    if (!t->fail_reason)
        t->fail_reason = "its answer has not come whole from the worker that ran it";
    job->result = e->result;
    job->lent.waited_us = e->waited_us;
    job->lent.ran_us = e->ran_us;
    lending_end(w, job);
}

static void hear_end(struct worker *w, struct door_message *m)
{
    struct parcel_end e;
    struct weir_request *job = parcel_take(&m->bytes, &e, sizeof e) ? lending_find(w, m->from, &e.id) : NULL;
    struct lending_sibling *s = &w->lending->siblings[m->from.slot];
    if (!job || e.reason_bytes > m->bytes.len)
        return;
    s->distrust_ms = 0;
    s->distrusted_until_ms = 0;
    if (e.outcome == PARCEL_REFUSED && !job->orphaned && lending_take_back(w, job)) {
        lending_note_back(w, job);
        lend_again(w, job);
    } else if (e.outcome >= POOL_TASK_DONE && e.outcome <= POOL_TASK_DROPPED) {
        take_end(w, job, &e, m->bytes);
    } else {
        fail_lent(w, job);
    }
}

void lend_back_open(struct worker *w)
{
    doors_hear(w, DOOR_OUTPUT, hear_output_elsewhere);
    doors_hear(w, DOOR_ENDED, hear_end);
}
