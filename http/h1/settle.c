/*
 * http/h1/settle.c - what a connection waits for once nothing goes on any more: its list, its gauge, its timer and its events.
 */
#include "http/h1/settle.h"

#include "base/buf.h"
#include "base/list.h"
#include "http/h1/input.h"
#include "http/h1/state.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "net/stream.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

enum { PIPELINE_MAX_BYTES = 64 << 10 };

/* Answered, while a body that nobody wants still comes: for as long as a lingering close would wait. */
static void settle_rest(struct connection *c)
{
    uint64_t now_ms = connection_worker(c)->now_ms;
    int64_t silence_ms = connection_settings(c)->client.lingering_timeout_ms;
    int64_t left_ms = c->rest->until_ms > now_ms ? (int64_t)(c->rest->until_ms - now_ms) : 1;
    list_remove(&c->link);
    list_push_back(&connection_worker(c)->busy, &c->link);
    connection_show(c, SHM_CONNECTION_READING);
    connection_set_timer(c, silence_ms && silence_ms < left_ms ? silence_ms : left_ms);
}

/* A head has begun to arrive, or the client's first one is awaited. */
static void settle_head(struct connection *c)
{
    list_remove(&c->link);
    list_push_back(&connection_worker(c)->busy, &c->link);
    /* From the head's first byte on; a first head's time runs from accept. */
    if (c->shown_state != SHM_CONNECTION_READING)
        connection_set_timer(c, connection_settings(c)->client.header_timeout_ms);
    connection_show(c, SHM_CONNECTION_READING);
}

static void settle_idle(struct connection *c)
{
    struct worker *w = connection_worker(c);
    const struct settings *s = connection_settings(c);
    int64_t timeout_ms = s->client.keepalive.timeout_ms, least_ms = s->client.keepalive_min_timeout_ms;
    list_remove(&c->link);
    list_push_back(&w->idle, &c->link);
    connection_show(c, SHM_CONNECTION_WAITING);
    c->until_ms = w->now_ms + (uint64_t)(least_ms < timeout_ms ? least_ms : timeout_ms);
    connection_set_timer(c, timeout_ms);
}

/* No request is at work, and no output waits. */
static void settle_between(struct connection *c)
{
    /* All that came before the end has its response. */
    if (c->eof) {
        h1_close_at_end(c, 0);
        return;
    }
    if (c->rest) {
        settle_rest(c);
        return;
    }
    bool reads = c->requests == 0 || h1_head_has_begun(c), draining = connection_worker(c)->draining;
    bool as_before = c->shown_state == (reads ? SHM_CONNECTION_READING : SHM_CONNECTION_WAITING);
    /* The time was over, and what came late was not enough. */
    if (as_before && c->timer.deadline_ms == 0)
        h1_end_head(c, 408, "client timed out (110: Connection timed out)");
    else if (reads)
        settle_head(c);
    else if (draining)
        connection_close(c);
    /* Idle as before: empty lines win no time, and no place. */
    else if (!as_before)
        settle_idle(c);
}

/* A request is none of those that are closed first when connections run out or the worker drains. */
static void become_busy(struct connection *c)
{
    list_remove(&c->link);
    list_push_back(&connection_worker(c)->busy, &c->link);
}

void h1_settle(struct connection *c)
{
    assert(!c->dead && !list_empty(&c->link));
    if (connection_is_between(c) && !c->out)
        settle_between(c);
    else if (c->state != CONNECTION_LINGER)
        become_busy(c);
    assert(!list_empty(&c->link));
}

void h1_watch(struct connection *c)
{
    const struct http_exchange *ex = c->ex;
    assert(!c->dead && c->state != CONNECTION_TUNNEL);
    /* A head and a body have limits of their own. */
    bool bounded = h1_request_is(c, REQUEST_BODY) || (connection_is_between(c) && !c->out);
    bool full = c->in && buf_len(&c->in->buf) >= PIPELINE_MAX_BYTES && !bounded;
    full |= h1_passes_body(c) && ex->source->body_is_full(ex);
    c->deaf = full && h1_has_request_at_work(c);
    bool want_write = c->out || (h1_request_is(c, REQUEST_SEND) && ex->more_later);
    /* limit_rate, or a thread that reads from a disk. */
    bool is_held_back = ex && (ex->throttled || ex->reading.at_work);
    int events = (full || c->eof ? 0 : EV_READ) | (want_write && !is_held_back ? EV_WRITE : 0);
    net_stream_watch(&c->stream, connection_worker(c)->loop, events);
}
