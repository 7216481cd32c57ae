/*
 * proxy/tunnel.c - a connection that has changed to another protocol (101): bytes go both ways as they come.
 *
 * Bytes pass through one buffer of the worker; only what the other side does not take at once gets memory, and then its
 * source is not read until that has gone. A side that ends is told to the other by closing its sending half; when both have
 * ended, or one breaks, the tunnel is closed.
 */
#include "proxy/internal.h"
#include "proxy/upstream.h"

#include "base/buf.h"
#include "http/request/client.h"
#include "net/stream.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>

enum { AT_ONCE_BYTES = 256 << 10 };

/* One direction. */
struct way {
    struct proxy *p;
    struct net_stream *from, *to;
    struct buf *rest; /* taken, and not yet given on */
    bool *ended;      /* the source has said its last */
    bool to_client;
};

static struct way tunnel_down(struct proxy *p)
{
    return (struct way){p,   &p->uc->stream, p->tunnel.client, &p->kept.memory, &p->tunnel.upstream_ended,
                        true};
}

static struct way tunnel_up(struct proxy *p)
{
    return (struct way){p, p->tunnel.client, &p->uc->stream, &p->request, &p->tunnel.client_ended, false};
}

static void tunnel_count(const struct way *way, size_t n)
{
    if (way->to_client)
        way->p->ex->sent.body += n;
    else
        way->p->try->sent += n;
}

static bool is_later(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* False: that side is broken. */
static bool tunnel_give(const struct way *way, const char *data, size_t len, size_t *gone)
{
    *gone = 0;
    while (*gone < len) {
        ssize_t n = net_stream_write(way->to, data + *gone, len - *gone, false);
        if (is_later(n))
            return true;
        if (n < 0)
            return false;
        *gone += (size_t)n;
        tunnel_count(way, (size_t)n);
    }
    return true;
}

static bool tunnel_give_rest(const struct way *way)
{
    size_t gone;
    assert(way->p->state == PROXY_TUNNEL);
    if (buf_len(way->rest) == 0)
        return true;
    bool ok = tunnel_give(way, way->rest->data + way->rest->start, buf_len(way->rest), &gone);
    buf_consume(way->rest, gone);
    if (ok && buf_len(way->rest) == 0) {
        buf_free(way->rest); /* an idle tunnel holds no buffers */
        if (*way->ended)
            net_stream_end_writing(way->to);
    }
    return ok;
}

/* Reads until there is nothing, or the other side takes no more. False: broken. */
static bool tunnel_pass(const struct way *way)
{
    struct worker *w = proxy_worker(way->p);
    for (size_t total = 0; total < AT_ONCE_BYTES && buf_len(way->rest) == 0 && !*way->ended;) {
        size_t gone;
        ssize_t n = net_stream_read(way->from, w->input, INPUT_BYTES);
        if (is_later(n))
            return true;
        if (n < 0)
            return false;
        if (n == 0) {
            *way->ended = true;
            net_stream_end_writing(way->to);
            return true;
        }
        total += (size_t)n;
        if (way->to_client)
            way->p->try->received += (uint64_t)n;
        else
            way->p->ex->request_bytes += (uint64_t)n;
        if (!tunnel_give(way, w->input, (size_t)n, &gone) ||
            (gone < (size_t)n && !buf_append(way->rest, w->input + gone, (size_t)n - gone)))
            return false;
        if (n < INPUT_BYTES)
            return true; /* most likely that was all */
    }
    return true;
}

static void tunnel_go_on(struct proxy *p, bool read_client, bool read_upstream);

static void tunnel_watch(struct http_exchange *ex)
{
    struct proxy *p = ex->proxy;
    bool to_client = buf_len(&p->kept.memory) > 0, to_upstream = buf_len(&p->request) > 0;
    net_stream_watch(p->tunnel.client, ex->worker->loop,
                     (p->tunnel.client_ended || to_upstream ? 0 : EV_READ) | (to_client ? EV_WRITE : 0));
    proxy_watch(p, (p->tunnel.upstream_ended || to_client ? 0 : EV_READ) | (to_upstream ? EV_WRITE : 0));
    proxy_set_timer(p, to_client || to_upstream ? proxy_how(p)->upstream.send_timeout_ms
                                                : proxy_how(p)->upstream.read_timeout_ms);
    client_expect(ex, 0);
}

static void on_client_event(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    tunnel_go_on(io->data, events & EV_READ, false);
}

/* The protocol has just changed: what came early from either side goes first. False: broken. */
static bool tunnel_take_over(struct proxy *p)
{
    buf_free(&p->request); /* the request's head: it is sent */
    if (buf_len(&p->kept.memory) == 0)
        buf_free(&p->kept.memory);
    p->tunnel.client = p->ex->client.protocol->hand_over(p->ex, &p->request, &p->tunnel.client_ended);
    if (!p->tunnel.client)
        return false;
    net_stream_set_user(p->tunnel.client, p, on_client_event);
    /* The client may have left meanwhile (proxy_ignore_client_abort). */
    if (p->tunnel.client_ended && buf_len(&p->request) == 0)
        net_stream_end_writing(&p->uc->stream);
    return true;
}

static void tunnel_go_on(struct proxy *p, bool read_client, bool read_upstream)
{
    struct http_exchange *ex = p->ex;
    bool begun = p->tunnel.client || tunnel_take_over(p);
    struct way downwards = tunnel_down(p), upwards = tunnel_up(p);
    bool ok = begun && tunnel_give_rest(&downwards) && tunnel_give_rest(&upwards) &&
              (!read_upstream || tunnel_pass(&downwards)) && (!read_client || tunnel_pass(&upwards));
    bool over = p->tunnel.upstream_ended && p->tunnel.client_ended && buf_len(&p->kept.memory) == 0 &&
                buf_len(&p->request) == 0;
    if (ok && !over) {
        tunnel_watch(ex);
        return;
    }
    /* Whichever side has ended the tunnel, and how, it is whole: nginx does not ask either. */
    ex->sent.whole = true;
    proxy_end_try(p, UPSTREAM_SERVED, 101, false);
    client_reset(ex);
}

void tunnel_on_upstream(struct proxy *p, int events)
{
    /* Without it the response's head is still on its way. */
    if (p->tunnel.client)
        tunnel_go_on(p, false, events & EV_READ);
}

void tunnel_begin(struct http_exchange *ex)
{
    tunnel_go_on(ex->proxy, false, false);
}
