/*
 * http/h1/handshake_line.c - the line before the pool "default": the oldest goes first, and under overload the newest, which may still have
 * a client (Maurer, "Fail at Scale", ACM Queue 2015).
 */
#include "http/h1/handshake_line.h"

#include "base/clock.h"
#include "base/codel.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

static struct {
    struct list_node waiting; /* oldest first */
    int64_t length;
    bool runs; /* one is in the pool */
    struct codel codel;
} line = {.waiting = {&line.waiting, &line.waiting}};

static const struct conf_pool *rules(const struct worker *w)
{
    return w->pools[pools_default(w)].conf;
}

enum pool_result handshake_line_join(struct worker *w, struct in_line *in, struct loop_task *task)
{
    list_init(&in->node);
    in->task = task;
    in->since_us = clock_mono_us();
    if (!line.runs) {
        enum pool_result result = pools_submit(w, pools_default(w), task);
        line.runs = result == POOL_OK;
        return result;
    }
    if (line.length >= rules(w)->max_queue)
        return POOL_EOVERLOAD;
    list_push_back(&line.waiting, &in->node);
    in->waits = true;
    line.length++;
    return POOL_OK;
}

void handshake_line_leave(struct in_line *in)
{
    assert(in->waits && line.length > 0);
    list_remove(&in->node);
    in->waits = false;
    line.length--;
}

static struct in_line *oldest(void)
{
    return list_empty(&line.waiting) ? NULL : container_of(line.waiting.next, struct in_line, node);
}

static void expire(struct worker *w, uint64_t now_us, const struct line_ends *ends)
{
    uint64_t most_us = (uint64_t)rules(w)->queue_timeout_ms * 1000;
    for (struct in_line *in = oldest(); most_us && in && now_us - in->since_us > most_us; in = oldest()) {
        handshake_line_leave(in);
        ends->refuse(w, in->task, POOL_ETIMEDOUT);
    }
}

void handshake_line_go_on(struct worker *w, const struct line_ends *ends)
{
    uint64_t now_us = clock_mono_us();
    assert(line.runs);
    line.runs = false;
    expire(w, now_us, ends);
    for (struct in_line *in = oldest(); in && !line.runs; in = oldest()) {
        codel_observe(&line.codel, now_us, now_us - in->since_us, CODEL_INTERVAL_US, CODEL_TARGET_US);
        if (line.codel.overloaded)
            in = container_of(line.waiting.prev, struct in_line, node);
        handshake_line_leave(in);
        enum pool_result result = pools_submit(w, pools_default(w), in->task);
        line.runs = result == POOL_OK;
        if (!line.runs)
            ends->refuse(w, in->task, result);
    }
    if (!oldest())
        codel_observe(&line.codel, now_us, 0, CODEL_INTERVAL_US, CODEL_TARGET_US);
}
