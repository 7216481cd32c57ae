/*
 * http/client/connection.c - a client's connection: its memory, its gauges, its timer, its place on the ready list, its end.
 *
 * Nothing here reads, writes or runs a request: that is its version's.
 */
#include "http/client/connection.h"

#include "base/buf.h"
#include "base/hist.h"
#include "base/list.h"
#include "base/log.h"
#include "base/wheel.h"
#include "http/client/version.h"
#include "http/request/exchange.h"
#include "net/stream.h"
#include "net/tls.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

/* The worker's own number is the true one: what stands in shared memory others can write. */
static void show_count(struct worker *w, unsigned state, int by)
{
    assert(state < SHM_CONNECTION_STATES && (by > 0 || w->shown[state] > 0));
    w->shown[state] += (unsigned)by;
    counter_set(&w->slot->connection_states[state], w->shown[state]);
}

void connection_show(struct connection *c, enum shm_connection_state state)
{
    struct worker *w = connection_worker(c);
    assert(!c->dead);
    if (c->shown_state == state)
        return;
    show_count(w, c->shown_state, -1);
    show_count(w, state, 1);
    c->shown_state = (uint8_t)state;
}

void connection_set_timer(struct connection *c, int64_t after_ms)
{
    struct worker *w = connection_worker(c);
    assert(!c->dead || after_ms <= 0);
    if (after_ms <= 0)
        wheel_clear(&c->timer);
    else
        wheel_set(&w->wheel, &c->timer, w->now_ms + (uint64_t)after_ms);
}

const struct settings *connection_settings(const struct connection *c)
{
    return c->ex ? c->ex->route.settings : c->settings;
}

void connection_ready(struct connection *c)
{
    struct worker *w = connection_worker(c);
    /* A connection that is being driven goes on until it has to wait. */
    if (c->is_ready || c->dead || w->driving == c)
        return;
    assert(!*w->ready_end);
    c->is_ready = true;
    c->next_ready = NULL;
    *w->ready_end = c;
    w->ready_end = &c->next_ready;
}

/* --- the beginning --- */

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

struct connection *connection_open(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    struct worker *w = l->worker;
    struct connection *c = calloc(1, sizeof *c);
    assert(fd >= 0);
    if (!c) {
        log_error("out of memory for a connection; closing it");
        close(fd);
        return NULL;
    }
    c->listener = l;
    c->version = w->http1;
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
    net_stream_init(&c->stream, fd, w->http1->on_event);
    net_stream_watch(&c->stream, w->loop, EV_READ);
    connection_set_timer(c, c->settings->client.header_timeout_ms);
    return c;
}

void connection_identify(const struct connection *c, struct http_client *client)
{
    client->protocol = c->version->protocol;
    client->http2 = c->session != NULL;
    client->connection_id = c->id;
    client->since_ms = c->since_ms;
    client->requests = c->requests;
    client->socket = c->stream.io.fd;
    client->listen = c->listener->listen;
    client->listen_address = &client->listen->address;
    client->listen_settings = client->listen->default_server->top->settings;
    client->tls = net_tls_is_on(&c->stream) ? &c->stream : NULL;
    client->plain_in_place_of_tls = client->listen->tls && !client->tls;
    client->remote_len = c->remote_len;
    memcpy(client->remote, c->remote, sizeof client->remote);
    if (c->told && c->told->address_len)
        client->told_header = c->told;
}

/* As in nginx a head may fill its first buffer, and after that the large ones; each line lies whole in one of them. */
struct http_head_limits connection_head_limits(const struct connection *c)
{
    const struct settings *s = c->listener->listen->default_server->top->settings;
    size_t first = (size_t)s->client.header_buffer_bytes, large = (size_t)s->client.large_header.bytes;
    return (struct http_head_limits){.line_bytes = first > large ? first : large,
                                     .head_bytes = first + large * (size_t)s->client.large_header.count};
}

/* --- the end --- */

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

void connection_close(struct connection *c)
{
    struct worker *w = connection_worker(c);
    if (c->dead)
        return;
    assert(w->connections > 0 && !list_empty(&c->link));
    c->dead = true;
    c->version->close(c);
    show_count(w, c->shown_state, -1);
    wheel_clear(&c->timer);
    list_remove(&c->link);
    connection_drop_input(c);
    connection_drop_output(c);
    free(c->told);
    c->told = NULL;
    /* What lies in the common output was this connection's. */
    if (w->driving == c)
        w->output.start = w->output.end = 0;
    net_stream_close(&c->stream, w->loop);
    counter_set(&w->slot->connections, --w->connections);
    list_push_back(&w->dead, &c->link);
}

void connection_reset(struct connection *c)
{
    assert(!c->dead);
    if (connection_settings(c)->client.reset_timedout && net_stream_reset_at_close(&c->stream) < 0)
        log_errno(LOG_LEVEL_ALERT, errno, "setsockopt(SO_LINGER) failed");
}
