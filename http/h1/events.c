/*
 * http/h1/events.c - a client's socket can be read or written.
 */
#include "http/h1/events.h"

#include "base/buf.h"
#include "http/client/handshake.h"
#include "http/client/linger.h"
#include "http/h1/body.h"
#include "http/h1/drive.h"
#include "http/h1/input.h"
#include "http/h1/settle.h"
#include "http/h1/state.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/wire/request.h"
#include "net/stream.h"
#include "worker/loop/urgent.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { READ_AHEAD_BYTES = 4096 };

bool h1_read(struct connection *c)
{
    struct worker *w = connection_worker(c);
    struct http_scan fresh = {0};
    struct h1_input in = {w->input, 0, &fresh};
    ssize_t n;
    assert(!c->dead && c->state == CONNECTION_OPEN);
    if (c->listener->listen->tls && !c->has_begun && !connection_begin_tls(c))
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
    if (c->has_begun && !c->has_greeted)
        connection_note_handshake(c);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n > 0) {
        h1_drive_with(c, &in);
        return true;
    }
    connection_end_handshake(c, n);
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
    if ((n == 0 || (n < 0 && h1_request_is(c, REQUEST_PROXY))) && h1_ignores_abort(c)) {
        c->eof = true;
        h1_watch(c);
        return;
    }
    /* The client may only have closed its sending side: it still gets its response. */
    if (n == 0 && !h1_has_request_at_work(c) && !needs_client(c)) {
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
        connection_linger(c);
    else if (!h1_passes_body(c) && (h1_has_request_at_work(c) || h1_request_is(c, REQUEST_SEND) || c->out))
        read_ahead(c);
    else
        h1_read(c);
    w->served_in_turn++;
    if (++w->served_since_urgent >= URGENT_EVERY)
        worker_do_urgent(w);
}
