/*
 * handlers/cancel.c - weir_on_cancel: a handler hears that nobody waits for its answer any more.
 *
 * What it wants called may block (a database's cancel request is a connection of its own), so neither the loop nor a thread of
 * a pool of the configuration makes the call: all of those may be what waits for it. A small pool does, made when it is wanted first.
 */
#include "handlers/cancel.h"

#include "base/list.h"
#include "handlers/job.h"
#include "pool/gate.h"
#include "pool/pool.h"

#include <assert.h>
#include <stdatomic.h>

enum { THREADS_MAX = 64, QUEUE_MAX = 1 << 20 };

static struct pool *_Atomic callers;

static bool open_callers(void)
{
    struct pool_config config = {.name = "cancel", .max = THREADS_MAX, .max_queue = QUEUE_MAX};
    struct pool *none = NULL, *made = atomic_load(&callers) ? NULL : pool_create(&config);
    if (made && !atomic_compare_exchange_strong(&callers, &none, made))
        pool_destroy(made); /* another thread was first */
    return atomic_load(&callers) != NULL;
}

static void make_call(struct pool_task *task)
{
    const struct job_cancel *c = (const struct job_cancel *)task; /* its first member */
    c->begun_call(c->arg);
}

/* Also where the call has ended its thread. */
static void on_call_done(struct pool_task *task)
{
    struct weir_request *job = container_of(task, struct weir_request, cancel.task);
    gate_lock(&job->gate);
    job->cancel.done = true;
    gate_wake(&job->gate);
    gate_unlock(&job->gate);
}

void cancel_begin(struct weir_request *job)
{
    struct job_cancel *c = &job->cancel;
    assert(job->gone);
    if (!c->call || c->begun)
        return;
    c->task = (struct pool_task){.run = make_call, .done = on_call_done};
    c->done = false;
    c->begun_call = c->call;
    c->begun = pool_submit(atomic_load(&callers), &c->task) == POOL_OK;
}

/* Also of one that waits for a thread: it is not made any more. */
void cancel_end(struct weir_request *job)
{
    struct job_cancel *c = &job->cancel;
    if (!c->is_asked_for)
        return;
    gate_lock(&job->gate);
    c->call = NULL; /* so that none begins from here on */
    bool waits = c->begun && !c->done;
    gate_unlock(&job->gate);
    if (waits)
        pool_cancel(atomic_load(&callers), &c->task);
    gate_lock(&job->gate);
    while (c->begun && !c->done)
        gate_wait(&job->gate);
    c->begun = false;
    gate_unlock(&job->gate);
}

void cancel_look_after(void)
{
    struct pool *pool = atomic_load(&callers);
    if (pool)
        pool_expire(pool);
}

int weir_on_cancel(weir_request *r, void (*cancelled)(void *arg), void *arg)
{
    cancel_end(r);
    if (!cancelled)
        return 0;
    if (!open_callers())
        return -1;
    r->cancel.is_asked_for = true;
    gate_lock(&r->gate);
    r->cancel.call = cancelled;
    r->cancel.arg = arg;
    if (r->gone)
        cancel_begin(r);
    gate_unlock(&r->gate);
    return 0;
}
