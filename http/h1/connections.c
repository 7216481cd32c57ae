/*
 * http/h1/connections.c - what a worker does with its connections as a whole: new ones, timers, the ready list, making room,
 * draining.
 */
#include "http/h1/connections.h"

#include "base/list.h"
#include "base/wheel.h"
#include "http/h1/connection.h"
#include "http/h1/drive.h"
#include "http/h1/events.h"
#include "http/h1/handshake.h"
#include "http/h1/input.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/request/verdict.h"
#include "net/stream.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>

enum { IDLE_LOOKED_AT = 64, DRAIN_GRACE_MS = 200 };

void connection_new(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    struct connection *c = connection_open(l, fd, peer, h1_on_event);
    /* The first request is often there already, a handshake hardly ever. */
    if (c && !l->listen->tls)
        h1_read(c);
}

void connection_free_dead(struct worker *w)
{
    assert(!w->ready && !w->driving);
    while (!list_empty(&w->dead)) {
        struct connection *c = container_of(w->dead.next, struct connection, link);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it does not see that list_remove unlinks. */
        assert(c->dead && !c->is_ready && !c->in && !c->out && !c->rest && !c->told);
        assert(c->timer.deadline_ms == 0 && !ev_is_active(&c->stream.io));
        assert(!c->ex || c->ex->state == REQUEST_GONE);
        list_remove(&c->link);
        if (c->ex)
            exchange_recycle(w, c->ex);
        free(c);
    }
}

void connection_run_ready(struct worker *w)
{
    struct connection *c;
    assert(!w->driving);
    while ((c = w->ready)) {
        assert(c->is_ready);
        w->ready = c->next_ready;
        if (!w->ready)
            w->ready_end = &w->ready;
        c->is_ready = false;
        if (!c->dead)
            h1_drive(c);
    }
    assert(w->ready_end == &w->ready);
}

/* --- timers --- */

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
    ex->res.close = true;
    request_resume(ex, verdict_answer(408));
}

/* Between requests, or in a head. What came at the last moment is served. */
static void end_late_head(struct connection *c)
{
    bool is_before_tls = c->listener->listen->tls && !c->has_begun;
    if (c->rest || (c->in && is_before_tls)) {
        connection_close(c);
    } else if (!c->in) {
        if (!h1_read(c)) {
            h1_time_handshake_out(c);
            connection_close(c);
        }
    } else {
        connection_reset(c);
        h1_end_head(c, 408, "client timed out (110: Connection timed out)");
    }
}

void connection_on_timer(struct wheel_entry *e)
{
    struct connection *c = container_of(e, struct connection, timer);
    assert(!c->dead && c->timer.deadline_ms == 0);
    if (connection_request_is(c, REQUEST_BODY) || connection_request_is(c, REQUEST_PROXY))
        end_late_body(c);
    else if (connection_is_between(c) && !c->out)
        end_late_head(c);
    else
        close_late(c);
}

/* --- all of them --- */

bool connection_close_oldest_idle(struct worker *w)
{
    int looked_at = 0;
    for (struct list_node *n = w->idle.next; n != &w->idle && looked_at < IDLE_LOOKED_AT; n = n->next) {
        struct connection *c = container_of(n, struct connection, link);
        assert(!c->dead && !c->ex);
        looked_at++;
        /* keepalive_min_timeout */
        if (connection_is_between(c) && c->until_ms > w->now_ms)
            continue;
        connection_close(c);
        return true;
    }
    return false;
}

void connection_look_for_leavers(struct worker *w)
{
    struct list_node *next;
    for (struct list_node *n = w->busy.next; n != &w->busy; n = next) {
        struct connection *c = container_of(n, struct connection, link);
        assert(!c->dead);
        next = n->next;
        if (c->deaf && !connection_ignores_abort(c) && net_stream_has_ended(&c->stream))
            connection_close(c);
    }
}

void connection_drain(struct worker *w)
{
    assert(w->draining);
    for (struct list_node *n = w->idle.next; n != &w->idle; n = n->next) {
        struct connection *c = container_of(n, struct connection, link);
        assert(!c->dead && !c->ex);
        bool kept = connection_is_between(c) && c->until_ms > w->now_ms + DRAIN_GRACE_MS;
        connection_set_timer(c, kept ? (int64_t)(c->until_ms - w->now_ms) : DRAIN_GRACE_MS);
    }
    for (struct list_node *n = w->busy.next; n != &w->busy; n = n->next) {
        struct connection *c = container_of(n, struct connection, link);
        /* One that shakes hands, or just has, has begun: its own time is the bound. */
        if (connection_is_between(c) && c->requests == 0 && !c->in && !c->has_begun)
            connection_set_timer(c, DRAIN_GRACE_MS);
    }
}

const struct http_exchange *connection_at_work(const struct worker *w)
{
    return w->driving ? w->driving->ex : NULL;
}
