/*
 * http/h1/events.c - a client's socket can be read or written.
 */
#include "http/h1/events.h"

#include "base/buf.h"
#include "base/log.h"
#include "http/h1/body.h"
#include "http/h1/drive.h"
#include "http/h1/input.h"
#include "http/h1/linger.h"
#include "http/h1/settle.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/site/tls.h"
#include "http/wire/request.h"
#include "net/stream.h"
#include "net/tls.h"
#include "worker/loop/urgent.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { READ_AHEAD_BYTES = 4096 };

/*
 * listen ... ssl: the connection's first byte says whether its client knows that. What does not is answered in plain text, with 497.
 * False when it is not there yet, or the connection has ended.
 */
static bool begin_tls(struct connection *c)
{
    struct worker *w = connection_worker(c);
    const struct site_listen *listen = c->listener->listen;
    /* It is the first one, unless a header is in front of it. */
    size_t room = listen->proxy_protocol && !c->told ? INPUT_BYTES : 1;
    ssize_t n = net_stream_peek(&c->stream, w->input, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        h1_close_at_end(c, n < 0 ? errno : 0);
        return false;
    }
    size_t used = 0;
    if (listen->proxy_protocol && !c->told && !h1_take_proxy_header(c, w->input, (size_t)n, &used))
        return false;
    /* It is out of the way before TLS reads. */
    if (used && net_stream_read(&c->stream, w->input, used) != (ssize_t)used) {
        connection_close(c);
        return false;
    }
    if (used == (size_t)n)
        return false;
    c->has_begun = true;
    if (!net_tls_begins_with((unsigned char)w->input[used]))
        return true;
    if (tls_accept(&c->stream, w->loop, listen))
        return true;
    log_error("out of memory for a connection's TLS; closing it");
    connection_close(c);
    return false;
}

/* What is wrong with a handshake, in nginx's words. */
static void log_failed_handshake(const struct connection *c)
{
    if (net_tls_is_on(&c->stream) && !net_tls_is_ready(&c->stream))
        log_info("*%llu SSL_do_handshake() failed (SSL: %s) while SSL handshaking", (unsigned long long)c->id,
                 net_tls_why(&c->stream));
}

bool h1_read(struct connection *c)
{
    struct worker *w = connection_worker(c);
    struct http_scan fresh = {0};
    struct h1_input in = {w->input, 0, &fresh};
    ssize_t n;
    assert(!c->dead && c->state == CONNECTION_OPEN);
    if (c->listener->listen->tls && !c->has_begun && !begin_tls(c))
        return c->dead;
    if (c->in) {
        struct buf *b = &c->in->buf;
        if (!buf_reserve(b, buf_len(b) < READ_AHEAD_BYTES ? 1024 : buf_len(b))) {
            connection_close(c);
            return true;
        }
        n = net_stream_read(&c->stream, b->data + b->end, b->cap - b->end);
        b->end += n > 0 ? (size_t)n : 0;
        assert(b->end <= b->cap);
        in = h1_kept_input(c, &fresh);
    } else {
        n = net_stream_read(&c->stream, w->input, INPUT_BYTES);
        in.len = n > 0 ? (size_t)n : 0;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n > 0) {
        h1_drive_with(c, &in);
        return true;
    }
    if (n < 0)
        log_failed_handshake(c);
    h1_close_at_end(c, n < 0 ? errno : 0);
    return true;
}

/* The response's source ends with the client. */
static bool needs_client(const struct connection *c)
{
    return c->ex && c->ex->source && c->ex->source->needs_client;
}

/* While a handler runs or a response is being sent: later requests are kept, and a client that leaves is noticed. */
static void read_ahead(struct connection *c)
{
    struct worker *w = connection_worker(c);
    char *data = w->input;
    assert(c->ex || c->out);
    ssize_t n = net_stream_read(&c->stream, data, c->rest ? INPUT_BYTES : READ_AHEAD_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && c->rest) {
        size_t skipped = h1_skip_body(c, data, (size_t)n);
        data += skipped;
        n -= (ssize_t)skipped;
        if (n == 0)
            return;
    }
    if ((n == 0 || (n < 0 && connection_request_is(c, REQUEST_PROXY))) && connection_ignores_abort(c)) {
        c->eof = true;
        h1_watch(c);
        return;
    }
    /* The client may only have closed its sending side: it still gets its response. */
    if (n == 0 && !connection_has_request_at_work(c) && !needs_client(c)) {
        c->eof = true;
        h1_watch(c);
        return;
    }
    if (n > 0 && !c->in)
        c->in = calloc(1, sizeof *c->in);
    if (n <= 0 || !c->in || !buf_append(&c->in->buf, data, (size_t)n))
        connection_close(c);
    else
        h1_watch(c);
}

void h1_on_event(struct ev_loop *loop, ev_io *io, int events)
{
    struct connection *c = (struct connection *)io; /* its first member */
    struct worker *w = connection_worker(c);
    (void)loop;
    assert(!c->dead && !w->driving && c->state != CONNECTION_TUNNEL);
    /* With both, what can be read comes with the next turn. */
    if (events & EV_WRITE)
        h1_drive(c);
    else if (c->state == CONNECTION_LINGER)
        h1_linger(c);
    else if (!connection_passes_body(c) &&
             (connection_has_request_at_work(c) || connection_request_is(c, REQUEST_SEND) || c->out))
        read_ahead(c);
    else
        h1_read(c);
    w->served_in_turn++;
    if (++w->served_since_urgent >= URGENT_EVERY)
        worker_do_urgent(w);
}
