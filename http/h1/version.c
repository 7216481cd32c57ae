/*
 * http/h1/version.c - HTTP/1 as a client's connection sees it: its time is over, the worker stops, the client has left, the end.
 */
#include "http/h1/version.h"

#include "base/list.h"
#include "base/log.h"
#include "base/wheel.h"
#include "http/access/limit.h"
#include "http/client/connection.h"
#include "http/client/handshake.h"
#include "http/h1/drive.h"
#include "http/h1/events.h"
#include "http/h1/input.h"
#include "http/h1/protocol.h"
#include "http/h1/state.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/request/verdict.h"
#include "http/serve/request.h"
#include "net/stream.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>

enum { DRAIN_GRACE_MS = 200 };

/* reset_timedout_connection */
static void close_late(struct connection *c)
{
    connection_reset(c);
    connection_close(c);
}

/* The client has not gone on sending the request's body. */
static void end_late_body(struct connection *c)
{
    struct http_exchange *ex = c->ex;
    assert(!ex->body.whole);
    http_log(ex, LOG_LEVEL_INFO,
             "client timed out (110: Connection timed out) while reading client request body");
    /* The body was sent on while it came. */
    if (ex->source)
        ex->source->stop(ex);
    c->linger_after = true;
    if (!c->ex) {
        connection_close(c);
        return;
    }
    c->ex->res.close = true;
    request_resume(c->ex, verdict_answer(408));
}

/* Between requests, or in a head. What came at the last moment is served. */
static void end_late_head(struct connection *c)
{
    bool is_before_tls = c->listener->listen->tls && !c->has_begun;
    if (c->rest || (c->in && is_before_tls)) {
        connection_close(c);
    } else if (!c->in) {
        if (!h1_read(c)) {
            connection_time_handshake_out(c);
            connection_close(c);
        }
    } else {
        connection_reset(c);
        h1_end_head(c, 408, "client timed out (110: Connection timed out)");
    }
}

static void on_time(struct connection *c)
{
    if (h1_request_is(c, REQUEST_BODY) || h1_passes_body(c))
        end_late_body(c);
    else if (connection_is_between(c) && !c->out)
        end_late_head(c);
    else
        close_late(c);
}

void h1_look_for_leavers(struct worker *w)
{
    struct list_node *next;
    for (struct list_node *n = w->busy.next; n != &w->busy; n = next) {
        struct connection *c = container_of(n, struct connection, link);
        assert(!c->dead);
        next = n->next;
        if (c->deaf && !h1_ignores_abort(c) && net_stream_has_ended(&c->stream))
            connection_close(c);
    }
}

/* Idle clients get a moment for a request that is just on its way. */
static void drain(struct connection *c)
{
    struct worker *w = connection_worker(c);
    if (c->shown_state == SHM_CONNECTION_WAITING || c->state == CONNECTION_LINGER) {
        assert(!c->ex);
        bool kept = connection_is_between(c) && c->until_ms > w->now_ms + DRAIN_GRACE_MS;
        connection_set_timer(c, kept ? (int64_t)(c->until_ms - w->now_ms) : DRAIN_GRACE_MS);
        return;
    }
    /* One that shakes hands, or just has, has begun: its own time is the bound. */
    if (connection_is_between(c) && c->requests == 0 && !c->in && !c->has_begun)
        connection_set_timer(c, DRAIN_GRACE_MS);
}

/*
 * The request ends where it stands: whatever works for it is told. Once its source has stopped, a copy may stand in the
 * request's place, or nothing.
 */
static void end_request_of_client_gone(struct connection *c)
{
    if (c->ex->source)
        c->ex->source->stop(c->ex);
    if (!c->ex)
        return;
    if (c->ex->state == REQUEST_QUEUED)
        limit_client_gone(c->ex);
    request_gone(c->ex);
    assert(c->ex->state == REQUEST_GONE);
}

static void end(struct connection *c)
{
    assert(!c->ex || c->ex->connection == c);
    if (c->ex)
        end_request_of_client_gone(c);
    free(c->rest);
    c->rest = NULL;
}

static const struct http_exchange *at_work(const struct connection *c)
{
    return c->ex;
}

const struct connection_version h1_version = {.protocol = &h1_protocol,
                                              .on_event = h1_on_event,
                                              .read = h1_read,
                                              .drive = h1_drive,
                                              .on_time = on_time,
                                              .at_end = h1_close_at_end,
                                              .drain = drain,
                                              .close = end,
                                              .at_work = at_work};
