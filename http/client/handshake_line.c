/*
 * http/client/handshake_line.c - the line before the pool "default": the oldest goes first; while the line stands the newest, which has still
 * a client, and who has waited too long is let go (base/codel.h has the rule).
 */
#include "http/client/handshake_line.h"

#include "base/clock.h"
#include "base/codel.h"
#include "pool/gate.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

/* Longer than for requests: a client has come a long way for a handshake, and a burst is none of overload. */
enum {
    INTERVAL_US = 250000,
    TARGET_US = 50000,
    SHED_AFTER_US = 1000000,
    /* Each takes the time of a close, and others wait meanwhile. */
    ENDED_IN_TURN = 8
};

static struct {
    struct loop_task runner; /* first: one task of the pool for all */
    struct pool_notice notice;
    struct worker *worker;
    bool is_open, runs; /* the runner is in the pool */
    /* The pool's, when the runner began; 0: none. */
    uint64_t queue_timeout_us;
    /* What both the loop and the thread have to do with. */
    struct gate gate;
    struct list_node waiting, over; /* oldest first */
    int64_t length;                 /* of waiting */
    struct codel codel;
    bool told; /* the loop of what is over */
} line;

static void open_line(void)
{
    list_init(&line.waiting);
    list_init(&line.over);
    gate_init(&line.gate);
    line.is_open = true;
}

static struct in_line *oldest(struct list_node *list)
{
    return list_empty(list) ? NULL : container_of(list->next, struct in_line, node);
}

/* --- with the gate --- */

static void take_out(struct in_line *in)
{
    assert(in->waits && line.length > 0);
    list_remove(&in->node);
    in->waits = false;
    line.length--;
}

static void put_over(struct in_line *in, enum pool_outcome outcome)
{
    in->outcome = outcome;
    list_push_back(&line.over, &in->node);
}

/* Who has waited longer than that. */
static void let_go(uint64_t now_us, uint64_t most_us, enum pool_outcome outcome)
{
    for (struct in_line *in = oldest(&line.waiting); in && now_us - in->since_us > most_us;
         in = oldest(&line.waiting)) {
        take_out(in);
        put_over(in, outcome);
        if (outcome == POOL_TASK_SHED)
            codel_note_shed(&line.codel);
    }
}

/* NULL: nobody waits. */
static struct in_line *next(uint64_t now_us)
{
    struct in_line *in = oldest(&line.waiting);
    codel_observe(&line.codel, now_us, in ? now_us - in->since_us : 0, INTERVAL_US, TARGET_US);
    if (line.queue_timeout_us)
        let_go(now_us, line.queue_timeout_us, POOL_TASK_EXPIRED);
    if (line.codel.overloaded)
        let_go(now_us, SHED_AFTER_US, POOL_TASK_SHED);
    in = oldest(&line.waiting);
    if (in && line.codel.overloaded)
        in = container_of(line.waiting.prev, struct in_line, node);
    if (in)
        take_out(in);
    return in;
}

/* --- the thread --- */

static void tell_loop(void)
{
    bool is_news = !line.told && !list_empty(&line.over);
    line.told |= is_news;
    gate_unlock(&line.gate);
    if (is_news)
        pools_notify(&line.notice);
}

static void run(struct pool_task *task)
{
    const struct worker_pool *p = &line.worker->pools[((struct loop_task *)(void *)task)->pool];
    struct in_line *in;
    do {
        gate_lock(&line.gate);
        in = next(clock_mono_us());
        tell_loop();
        if (!in)
            return;
        in->started_us = clock_mono_us();
        in->compute(in);
        gate_lock(&line.gate);
        put_over(in, POOL_TASK_DONE);
        tell_loop();
    } while (pool_figures_queued(pool_read_figures(p->pool)) == 0);
}

/* --- the loop --- */

static void end_some(struct worker *w)
{
    struct in_line *in;
    gate_lock(&line.gate);
    for (int n = 0; n < ENDED_IN_TURN && (in = oldest(&line.over)); n++) {
        list_remove(&in->node);
        gate_unlock(&line.gate);
        in->ended(w, in, in->outcome);
        gate_lock(&line.gate);
    }
    line.told = false;
    tell_loop();
}

static void hear(struct pool_notice *notice)
{
    (void)notice;
    end_some(line.worker);
}

static enum pool_result submit(struct worker *w);

/* Others may have joined meanwhile; where the pool has no room for them, they have to go, as if they had come now. */
static void on_ended(struct worker *w, struct loop_task *task)
{
    enum pool_outcome outcome = (enum pool_outcome)task->task.outcome;
    line.runs = false;
    gate_lock(&line.gate);
    if (outcome == POOL_TASK_EXPIRED)
        let_go(clock_mono_us(), line.queue_timeout_us, POOL_TASK_EXPIRED);
    bool waits = line.length > 0;
    gate_unlock(&line.gate);
    if (waits && (outcome == POOL_TASK_DROPPED || submit(w) != POOL_OK)) {
        gate_lock(&line.gate);
        let_go(UINT64_MAX, 0, POOL_TASK_DROPPED);
        gate_unlock(&line.gate);
    }
    gate_lock(&line.gate);
    tell_loop();
}

static enum pool_result submit(struct worker *w)
{
    assert(!line.runs);
    line.worker = w;
    line.notice.hear = hear;
    line.queue_timeout_us = (uint64_t)w->pools[pools_default(w)].conf->queue_timeout_ms * 1000;
    line.runner = (struct loop_task){.task.run = run, .ended = on_ended};
    enum pool_result result = pools_submit(w, pools_default(w), &line.runner);
    line.runs = result == POOL_OK;
    return result;
}

enum pool_result handshake_line_join(struct worker *w, struct in_line *in)
{
    if (!line.is_open)
        open_line();
    list_init(&in->node);
    in->since_us = clock_mono_us();
    gate_lock(&line.gate);
    bool is_full = line.length > 0 && line.length >= w->pools[pools_default(w)].conf->max_queue;
    if (!is_full) {
        in->waits = true;
        list_push_back(&line.waiting, &in->node);
        line.length++;
    }
    gate_unlock(&line.gate);
    enum pool_result result = is_full ? POOL_EOVERLOAD : line.runs ? POOL_OK : submit(w);
    if (result == POOL_OK || is_full)
        return result;
    gate_lock(&line.gate);
    take_out(in);
    gate_unlock(&line.gate);
    return result;
}

void handshake_line_leave(struct worker *w, struct in_line *in)
{
    gate_lock(&line.gate);
    bool waits = in->waits;
    if (waits)
        take_out(in);
    gate_unlock(&line.gate);
    if (waits)
        in->ended(w, in, POOL_TASK_CANCELLED);
}
