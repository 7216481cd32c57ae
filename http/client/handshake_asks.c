/*
 * http/client/handshake_asks.c - questions to authorities, of which a bounded number has a thread each; the others wait in order.
 */
#include "http/client/handshake_asks.h"

#include "worker/loop/worker_state.h"

#include <assert.h>

static struct {
    struct list_node waiting;
    int64_t length, asking;
} line = {.waiting = {&line.waiting, &line.waiting}};

static int64_t bound(const struct worker *w, int pool)
{
    int64_t threads = w->pools[pool].conf->threads_max;
    return threads > 1 ? threads / 2 : 1;
}

enum pool_result handshake_asks_begin(struct worker *w, int pool, struct asks *a, struct loop_task *task)
{
    *a = (struct asks){.task = task};
    list_init(&a->node);
    task->pool = pool;
    if (line.asking < bound(w, pool)) {
        enum pool_result result = pools_submit(w, pool, task);
        line.asking += result == POOL_OK;
        return result;
    }
    if (line.length >= w->pools[pool].conf->max_queue)
        return POOL_EOVERLOAD;
    list_push_back(&line.waiting, &a->node);
    line.length++;
    a->waits = true;
    return POOL_OK;
}

void handshake_asks_leave(struct asks *a)
{
    assert(a->waits && line.length > 0);
    list_remove(&a->node);
    a->waits = false;
    line.length--;
}

void handshake_asks_ended(struct worker *w, asks_refused *refused)
{
    assert(line.asking > 0);
    line.asking--;
    while (!list_empty(&line.waiting)) {
        struct asks *a = container_of(line.waiting.next, struct asks, node);
        if (line.asking >= bound(w, a->task->pool))
            return;
        handshake_asks_leave(a);
        if (pools_submit(w, a->task->pool, a->task) == POOL_OK)
            line.asking++;
        else
            refused(w, a->task);
    }
}
