/*
 * worker/loop/urgent.c - what must not wait for the rest of a turn: responses of handlers, and requests that have got their permit.
 */
#include "worker/loop/urgent.h"

#include "worker/loop/pools.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <sched.h>

enum { REFUSALS_IN_A_ROW = 16 };

/*
 * Under overload this thread would use up all of its time slices with refusals, and threads that are to finish what was
 * admitted would wait for a processor behind it: so it gives its own away now and then.
 */
static void let_threads_run(struct worker *w)
{
    if (w->refused < REFUSALS_IN_A_ROW || w->jobs == 0)
        return;
    w->refused = 0;
    sched_yield();
}

void worker_do_urgent(struct worker *w)
{
    assert(!w->driving);
    w->served_since_urgent = 0;
    let_threads_run(w);
    pools_collect(w);
    w->hooks.settle_limits(w);
    w->hooks.run_ready(w);
}
