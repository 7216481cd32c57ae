/*
 * handlers/cancel.c - weir_on_cancel: a handler hears that nobody waits for its answer any more.
 *
 * What it wants called may block (a database's cancel request is a connection of its own), so neither the loop nor a thread of
 * a pool of the configuration makes the call: all of those may be what waits for it. A small pool does, made when it is wanted first.
 */
#include "handlers/cancel.h"

#include "handlers/job.h"
#include "pool/gate.h"
#include "pool/pool.h"

#include <assert.h>
#include <stdatomic.h>

enum { THREADS_MAX = 8, QUEUE_MAX = 1 << 20 };

struct job_cancel {
    struct pool_task task; /* first */
    struct weir_request *job;
    /* Under the job's gate. */
    void (*call)(void *arg); /* NULL: none is wanted */
    void *arg;
    bool begun, done;
};

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
    c->call(c->arg);
}

/* Also where the call has ended its thread. */
static void on_call_done(struct pool_task *task)
{
    struct job_cancel *c = (struct job_cancel *)task; /* its first member */
    struct gate *gate = &c->job->gate;
    gate_lock(gate);
    c->done = true;
    gate_wake(gate);
    gate_unlock(gate);
}

void cancel_begin(struct weir_request *job)
{
    struct job_cancel *c = job->cancel;
    assert(job->gone);
    if (!c || !c->call || c->begun)
        return;
    c->task = (struct pool_task){.run = make_call, .done = on_call_done};
    c->done = false;
    c->begun = pool_submit(atomic_load(&callers), &c->task) == POOL_OK;
}

void cancel_end(struct weir_request *job)
{
    struct job_cancel *c = job->cancel;
    if (!c)
        return;
    gate_lock(&job->gate);
    while (c->begun && !c->done)
        gate_wait(&job->gate);
    c->begun = false;
    c->call = NULL;
    gate_unlock(&job->gate);
}

int weir_on_cancel(weir_request *r, void (*cancelled)(void *arg), void *arg)
{
    cancel_end(r);
    if (!cancelled)
        return 0;
    if (!open_callers())
        return -1;
    if (!r->cancel) {
        struct job_cancel *c = weir_alloc(r, sizeof *c);
        *c = (struct job_cancel){.job = r};
        gate_lock(&r->gate);
        r->cancel = c;
        gate_unlock(&r->gate);
    }
    gate_lock(&r->gate);
    r->cancel->call = cancelled;
    r->cancel->arg = arg;
    if (r->gone)
        cancel_begin(r);
    gate_unlock(&r->gate);
    return 0;
}
