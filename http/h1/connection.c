/*
 * http/h1/connection.c - a client's connection from accept to close: its memory, gauges, timer and end.
 *
 * How it moves in between is in http/h1/drive.c.
 */
#include "http/h1/connections.h"
#include "http/h1/h1.h"

#include "base/buf.h"
#include "base/hist.h"
#include "base/list.h"
#include "base/log.h"
#include "base/wheel.h"
#include "http/access/limit.h"
#include "http/request/exchange.h"
#include "http/request/verdict.h"
#include "http/serve/request.h"
#include "http/site/site.h"
#include "net/stream.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

enum { IDLE_LOOKED_AT = 64, DRAIN_GRACE_MS = 200 };

/* The worker's own number is the true one: what stands in shared memory others can write. */
static void show_count(struct worker *w, unsigned state, int by)
{
    w->shown[state] += (unsigned)by;
    counter_set(&w->slot->connection_states[state], w->shown[state]);
}

void connection_show(struct connection *c, enum shm_connection_state state)
{
    struct worker *w = connection_worker(c);
    if (c->shown_state == state)
        return;
    show_count(w, c->shown_state, -1);
    show_count(w, state, 1);
    c->shown_state = (uint8_t)state;
}

void connection_set_timer(struct connection *c, int64_t after_ms)
{
    struct worker *w = connection_worker(c);
    if (after_ms <= 0)
        wheel_clear(&c->timer);
    else
        wheel_set(&w->wheel, &c->timer, w->now_ms + (uint64_t)after_ms);
}

const struct settings *connection_settings(const struct connection *c)
{
    return c->ex ? c->ex->route.settings : c->settings;
}

static void remember_peer(struct connection *c, const struct sockaddr_storage *peer)
{
    if (peer->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)peer;
        memcpy(c->remote, &in->sin_addr, 4);
        memcpy(c->remote + 16, &in->sin_port, 2);
        c->remote_len = 4;
    } else if (peer->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)peer;
        memcpy(c->remote, &in->sin6_addr, 16);
        memcpy(c->remote + 16, &in->sin6_port, 2);
        c->remote_len = 16;
    }
}

void connection_new(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    struct worker *w = l->worker;
    struct connection *c = calloc(1, sizeof *c);
    if (!c) {
        log_error("out of memory for a connection; closing it");
        close(fd);
        return;
    }
    c->listener = l;
    c->settings = l->listen->default_server->top->settings;
    c->id = atomic_fetch_add_explicit(&w->shm->head->connections_made, 1, memory_order_relaxed) + 1;
    c->since_ms = w->now_ms;
    remember_peer(c, peer);
    wheel_entry_init(&c->timer);
    list_init(&c->link);
    list_push_back(&w->busy, &c->link);
    w->connections++;
    counter_add(&w->slot->handled, 1);
    counter_set(&w->slot->connections, w->connections);
    c->shown_state = SHM_CONNECTION_READING;
    show_count(w, SHM_CONNECTION_READING, 1);
    net_stream_init(&c->stream, fd, connection_on_event);
    net_stream_watch(&c->stream, w->loop, EV_READ);
    connection_set_timer(c, connection_settings(c)->client.header_timeout_ms);
    connection_try_read(c);
}

void connection_drop_input(struct connection *c)
{
    if (!c->in)
        return;
    buf_free(&c->in->buf);
    free(c->in);
    c->in = NULL;
}

void connection_drop_output(struct connection *c)
{
    if (!c->out)
        return;
    buf_free(c->out);
    free(c->out);
    c->out = NULL;
}

/*
 * The request ends where it stands: whatever works for it is told. Once its source has stopped, a copy may stand in the
 * request's place, or nothing.
 */
static void request_client_gone(struct connection *c)
{
    if (c->ex->source)
        c->ex->source->stop(c->ex);
    if (!c->ex)
        return;
    if (c->ex->state == REQUEST_QUEUED)
        limit_client_gone(c->ex);
    request_gone(c->ex);
}

void connection_close(struct connection *c)
{
    struct worker *w = connection_worker(c);
    if (c->dead)
        return;
    c->dead = true;
    if (c->ex)
        request_client_gone(c);
    show_count(w, c->shown_state, -1);
    wheel_clear(&c->timer);
    list_remove(&c->link);
    connection_drop_input(c);
    connection_drop_output(c);
    free(c->rest);
    free(c->told);
    if (w->driving == c)
        w->output.start = w->output.end = 0; /* it was this connection's */
    net_stream_close(&c->stream, w->loop);
    counter_set(&w->slot->connections, --w->connections);
    list_push_back(&w->dead, &c->link);
}

void connection_free_dead(struct worker *w)
{
    assert(!w->ready);
    while (!list_empty(&w->dead)) {
        struct connection *c = container_of(w->dead.next, struct connection, link);
        list_remove(&c->link);
        if (c->ex)
            exchange_recycle(w, c->ex);
        free(c);
    }
}

void connection_reset(struct connection *c)
{
    if (connection_settings(c)->client.reset_timedout && net_stream_reset_at_close(&c->stream) < 0)
        log_errno(LOG_LEVEL_ALERT, errno, "setsockopt(SO_LINGER) failed");
}

bool connection_close_oldest_idle(struct worker *w)
{
    int looked_at = 0;
    for (struct list_node *n = w->idle.next; n != &w->idle && looked_at < IDLE_LOOKED_AT; n = n->next) {
        struct connection *c = container_of(n, struct connection, link);
        looked_at++;
        if (connection_is_between(c) && c->until_ms > w->now_ms)
            continue; /* keepalive_min_timeout */
        connection_close(c);
        return true;
    }
    return false;
}

/* lingering_timeout, within what is left of lingering_time. */
void connection_set_linger_timer(struct connection *c)
{
    int64_t left = (int64_t)(c->until_ms - connection_worker(c)->now_ms);
    int64_t silence = connection_settings(c)->client.lingering_timeout_ms;
    connection_set_timer(c, silence < left ? silence : left);
}

/*
 * A connection that is closed while the client still sends would be reset, and the reset would take the answer away
 * from the client (RFC 9112 section 9.6): so the sending side is closed and what arrives is thrown away for a while.
 */
void connection_finish(struct connection *c)
{
    struct worker *w = connection_worker(c);
    const struct settings *s = connection_settings(c);
    bool wanted = s->client.lingering_close == CONF_LINGERING_ALWAYS ||
                  (s->client.lingering_close == CONF_LINGERING_ON && (c->linger_after || c->rest));
    if (!wanted || c->eof || s->client.lingering_time_ms == 0 || s->client.lingering_timeout_ms == 0) {
        connection_close(c);
        return;
    }
    net_stream_end_writing(&c->stream);
    c->state = CONNECTION_LINGER;
    c->close_after = false;
    connection_drop_input(c);
    list_remove(&c->link);
    /* The first to make room when connections run out. */
    list_push_back(&w->idle, &c->link);
    c->until_ms = w->now_ms + (uint64_t)s->client.lingering_time_ms;
    connection_set_linger_timer(c);
}

/* Its time is over: reset_timedout_connection. */
static void close_late(struct connection *c)
{
    connection_reset(c);
    connection_close(c);
}

/* The client has not gone on sending the request's body. */
static void end_late_body(struct connection *c)
{
    struct http_exchange *ex = c->ex;
    http_log(ex, LOG_LEVEL_INFO,
             "client timed out (110: Connection timed out) while reading client request body");
    if (ex->source) /* it was sent on while it came */
        ex->source->stop(ex);
    c->linger_after = true;
    ex->res.close = true;
    request_resume(ex, verdict_answer(408));
}

/* Between requests, or in a head. */
static void end_late_head(struct connection *c)
{
    if (c->rest) {
        connection_close(c);
    } else if (!c->in) {
        connection_expire(c);
    } else {
        connection_reset(c);
        connection_end_head(c, 408, "client timed out (110: Connection timed out)");
    }
}

void connection_on_timer(struct wheel_entry *e)
{
    struct connection *c = container_of(e, struct connection, timer);
    if (request_is(c, REQUEST_BODY) || request_is(c, REQUEST_PROXY))
        end_late_body(c);
    else if (connection_is_between(c) && !c->out)
        end_late_head(c);
    else
        close_late(c);
}

void connection_drain(struct worker *w)
{
    for (struct list_node *n = w->idle.next; n != &w->idle; n = n->next) {
        struct connection *c = container_of(n, struct connection, link);
        bool kept = connection_is_between(c) && c->until_ms > w->now_ms + DRAIN_GRACE_MS;
        connection_set_timer(c, kept ? (int64_t)(c->until_ms - w->now_ms) : DRAIN_GRACE_MS);
    }
    for (struct list_node *n = w->busy.next; n != &w->busy; n = n->next) {
        struct connection *c = container_of(n, struct connection, link);
        if (connection_is_between(c) && c->requests == 0 && !c->in)
            connection_set_timer(c, DRAIN_GRACE_MS);
    }
}

const struct http_exchange *connection_at_work(const struct worker *w)
{
    return w->driving ? w->driving->ex : NULL;
}
