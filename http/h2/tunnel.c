/*
 * http/h2/tunnel.c - a stream that has become a way to another protocol: extended CONNECT (RFC 8441), for WebSocket.
 */
#include "http/h2/tunnel.h"

#include "base/buf.h"
#include "http/client/connection.h"
#include "http/h2/stream.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { AHEAD_BYTES = 64 << 10 /* written, and not taken by the client */ };

static struct h2_tunnel *tunnel_of(struct net_stream *s)
{
    return (struct h2_tunnel *)s; /* its first member */
}

static ssize_t fail(int error)
{
    errno = error;
    return -1;
}

static ssize_t peek(struct net_stream *s, void *data, size_t room)
{
    struct h2_stream *st = tunnel_of(s)->st;
    size_t n = buf_len(&st->in) < room ? buf_len(&st->in) : room;
    if (n)
        memcpy(data, st->in.data + st->in.start, n);
    return n || st->has_ended ? (ssize_t)n : fail(EAGAIN);
}

static ssize_t take(struct net_stream *s, void *data, size_t room)
{
    struct h2_stream *st = tunnel_of(s)->st;
    ssize_t n = peek(s, data, room);
    if (n <= 0)
        return n;
    buf_consume(&st->in, (size_t)n);
    if (buf_len(&st->in) == 0)
        buf_free(&st->in);
    if (nghttp2_session_consume(st->session->ng, st->id, (size_t)n) != 0)
        st->session->is_over = true;
    connection_ready(st->session->c);
    return n;
}

/* There is something to send, where there was nothing. */
static void wake_sending(struct h2_stream *st)
{
    if (st->is_deferred && nghttp2_session_resume_data(st->session->ng, st->id) != 0)
        st->session->is_over = true;
    st->is_deferred = false;
    connection_ready(st->session->c);
}

static size_t room_in(const struct h2_stream *st)
{
    return buf_len(&st->out) < AHEAD_BYTES ? AHEAD_BYTES - buf_len(&st->out) : 0;
}

static ssize_t put(struct net_stream *s, const void *data, size_t len, bool more_follows)
{
    struct h2_stream *st = tunnel_of(s)->st;
    size_t n = room_in(st) < len ? room_in(st) : len;
    (void)more_follows;
    if (tunnel_of(s)->has_ended)
        return fail(EPIPE);
    if (n == 0)
        return fail(EAGAIN);
    if (!buf_append(&st->out, data, n))
        return fail(ENOMEM);
    wake_sending(st);
    return (ssize_t)n;
}

/* Nobody sends files through tunnels. */
static ssize_t put_file(struct net_stream *s, int fd, off_t offset, size_t len)
{
    (void)s;
    (void)fd;
    (void)offset;
    (void)len;
    return fail(ENOTSUP);
}

static int end_writing(struct net_stream *s)
{
    tunnel_of(s)->has_ended = true;
    wake_sending(tunnel_of(s)->st);
    return 0;
}

static int events_of(const struct h2_stream *st)
{
    bool can_read = buf_len(&st->in) > 0 || st->has_ended;
    return (can_read ? EV_READ : 0) | (room_in(st) > 0 ? EV_WRITE : 0);
}

static void watch(struct net_stream *s, struct ev_loop *loop, int events)
{
    struct h2_tunnel *t = tunnel_of(s);
    (void)loop;
    t->events = events;
    if (events & events_of(t->st))
        h2_stream_ready(t->st);
}

static void set_user(struct net_stream *s, net_on_event *on_event)
{
    tunnel_of(s)->on_event = on_event;
}

static void forget(struct net_stream *s)
{
    (void)s;
}

static const struct net_layer layer = {.read = take,
                                       .peek = peek,
                                       .write = put,
                                       .send_file = put_file,
                                       .end_writing = end_writing,
                                       .watch = watch,
                                       .set_user = set_user,
                                       .close = forget};

bool h2_tunnel_open(struct h2_stream *st)
{
    struct h2_tunnel *t = calloc(1, sizeof *t);
    assert(st->is_tunnel && !st->tunnel);
    if (!t)
        return false;
    net_stream_init(&t->stream, -1, NULL);
    t->stream.layer = &layer;
    t->st = st;
    st->tunnel = t;
    return true;
}

void h2_tunnel_go_on(struct h2_stream *st)
{
    struct h2_tunnel *t = st->tunnel;
    struct http_exchange *ex = st->ex;
    if (!ex || ex->state != REQUEST_SEND)
        return;
    if (!t->has_begun) {
        t->has_begun = true;
        ex->source->tunnel(ex);
        return;
    }
    int events = t->events & events_of(st);
    if (events && t->on_event)
        t->on_event(connection_worker(st->session->c)->loop, &t->stream.io, events);
}

ssize_t h2_tunnel_give(struct h2_stream *st, size_t room, uint32_t *flags)
{
    const struct h2_tunnel *t = st->tunnel;
    size_t n = buf_len(&st->out) < room ? buf_len(&st->out) : room;
    st->ends_with_this = t->has_ended && n == buf_len(&st->out);
    if (st->ends_with_this)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (n)
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n || st->ends_with_this)
        return (ssize_t)n;
    st->is_deferred = true;
    return NGHTTP2_ERR_DEFERRED;
}

bool h2_tunnel_is_whole(const struct h2_stream *st)
{
    return st->tunnel && st->tunnel->has_ended && st->has_ended;
}
