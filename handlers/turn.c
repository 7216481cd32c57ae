/*
 * handlers/turn.c - requests that wait are taken oldest first over all workers.
 *
 * A queue is one worker's, and its threads take from it what is oldest there. Whoever takes a request looks at what the
 * siblings say of theirs; where one of those has waited clearly longer, it has its loop ask for that one, and gives its own back to the
 * front of the queue when that has come. So the order does not depend on where clients are connected. It waits
 * for a moment only: a sibling that is stopped or has served its own by then costs no more than that.
 */
#include "handlers/turn.h"

#include "base/list.h"
#include "handlers/lending.h"
#include "pool/gate.h"
#include "worker/loop/pools.h"
#include "worker/loop/worker_state.h"

enum { LOOK_EVERY_US = 300, LOOKS_MAX = 5 };

bool turn_waits_for_elder(struct worker *w, int pool)
{
    struct lending_pool *p = &w->lending->pools[pool];
    gate_lock(&p->turn);
    bool waits = p->waiting > p->handed;
    gate_unlock(&p->turn);
    return waits;
}

void turn_elder_came(struct worker *w, int pool)
{
    struct lending_pool *p = &w->lending->pools[pool];
    gate_lock(&p->turn);
    if (p->waiting > p->handed)
        p->handed++;
    gate_wake(&p->turn);
    gate_unlock(&p->turn);
}

void turn_no_elder(struct worker *w, int pool)
{
    struct lending_pool *p = &w->lending->pools[pool];
    gate_lock(&p->turn);
    p->in_vain++;
    gate_wake(&p->turn);
    gate_unlock(&p->turn);
}

static void hear(struct pool_notice *notice)
{
    struct weir_request *job = container_of(notice, struct weir_request, lent.turn);
    struct worker *w = job->ex->worker;
    if (!w->lending->ask_for_elder(w, job))
        turn_no_elder(w, job->task.pool);
}

/* On the thread. True: an older one is in the pool now. */
static bool wait_for_elder(const struct worker *w, struct weir_request *job)
{
    struct lending_pool *p = &w->lending->pools[job->task.pool];
    gate_lock(&p->turn);
    uint64_t in_vain = p->in_vain;
    p->waiting++;
    gate_unlock(&p->turn);
    job->lent.turn.hear = hear;
    pools_notify(&job->lent.turn);
    gate_lock(&p->turn);
    for (int i = 0; i < LOOKS_MAX && p->handed == 0 && p->in_vain == in_vain; i++)
        gate_wait_for(&p->turn, LOOK_EVERY_US);
    bool has_come = p->handed > 0;
    p->handed -= has_come;
    p->waiting--;
    gate_unlock(&p->turn);
    return has_come;
}

static void run(struct pool_task *task)
{
    struct weir_request *job = (struct weir_request *)task; /* its first member */
    const struct worker *w = job->ex->worker;
    bool elder_waits = !job->gone && lending_elder_waits(w, job->task.pool, task->submitted_us);
    if (elder_waits && wait_for_elder(w, job))
        task->declined = POOL_POSTPONED;
    else
        job_run(task);
}

static void on_ended(struct worker *w, struct loop_task *task)
{
    struct weir_request *job = (struct weir_request *)task; /* its first member */
    if (task->task.outcome != POOL_TASK_DONE || task->task.declined != POOL_POSTPONED) {
        job->lent.ended(w, task);
        return;
    }
    list_remove(&job->waits);
    w->lending->submit_first(w, job);
}

void turn_begin(struct weir_request *job)
{
    job->task.task.run = run;
    if (job->lent.ended)
        return;
    job->lent.ended = job->task.ended;
    job->task.ended = on_ended;
}
