/*
 * worker/loop/wait.c - how a request waits for something other than its client, and goes on.
 */
#include "worker/loop/wait.h"

#include "base/list.h"
#include "base/wheel.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/verdict.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

void request_pause(struct http_exchange *ex, int64_t after_ms, void (*over)(struct http_exchange *ex))
{
    assert(after_ms <= 0 || (over && ex->state != REQUEST_GONE));
    ex->on_time = over;
    if (after_ms <= 0)
        wheel_clear(&ex->timer);
    else
        wheel_set(&ex->worker->wheel, &ex->timer, ex->worker->now_ms + (uint64_t)after_ms);
}

struct verdict request_wait(struct http_exchange *ex, enum request_state state, int64_t after_ms,
                            void (*late)(struct http_exchange *ex))
{
    assert(ex->state == REQUEST_RUNS || ex->state == REQUEST_READY);
    assert(state == REQUEST_DELAYED || state == REQUEST_QUEUED || state == REQUEST_HANDLER);
    assert(ex->resumed.kind == VERDICT_NEXT && ex->timer.deadline_ms == 0);
    ex->state = state;
    client_expect(ex, 0);
    request_pause(ex, after_ms, late);
    return verdict_of(VERDICT_WAIT);
}

void request_resume(struct http_exchange *ex, struct verdict v)
{
    /* With REQUEST_SEND it would be answered twice. */
    assert(ex->state != REQUEST_GONE && ex->state != REQUEST_SEND && ex->state != REQUEST_RUNS);
    if (v.kind == VERDICT_WAIT)
        return;
    assert(ex->resumed.kind == VERDICT_NEXT && v.kind != VERDICT_GONE);
    ex->resumed = v;
    ex->state = REQUEST_READY;
    wheel_clear(&ex->timer);
    client_expect(ex, 0);
    client_go_on(ex);
}

void request_on_timer(struct wheel_entry *e)
{
    struct http_exchange *ex = container_of(e, struct http_exchange, timer);
    assert(ex->on_time && ex->state != REQUEST_GONE && ex->timer.deadline_ms == 0);
    ex->on_time(ex);
}
