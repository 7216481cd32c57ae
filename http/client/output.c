/*
 * http/client/output.c - what waits to be sent: its buffers, and how they go.
 *
 * Output goes through the worker's buffer as long as the socket takes it; what the socket does not take moves to a
 * buffer of the connection's own, and what follows is put behind it there.
 */
#include "http/client/output.h"

#include "base/buf.h"
#include "base/log.h"
#include "http/request/exchange.h"
#include "net/stream.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct buf *connection_output(struct connection *c)
{
    struct worker *w = connection_worker(c);
    assert(c->out || w->driving == c);
    return c->out ? c->out : &w->output;
}

struct buf *connection_own_output(struct connection *c)
{
    assert(!c->dead);
    if (!c->out)
        c->out = calloc(1, sizeof *c->out);
    return c->out;
}

bool connection_send_failed(struct connection *c)
{
    if (errno == EAGAIN || errno == EINTR)
        return false;
    if (errno != EPIPE && errno != ECONNRESET)
        log_errno(LOG_LEVEL_INFO, errno, "send() failed");
    connection_close(c);
    return false;
}

/* Sends from b until it is empty. False when the socket takes no more, or failed. */
static bool send_buf(struct connection *c, struct buf *b, bool more_follows)
{
    while (buf_len(b) > 0) {
        ssize_t n = net_stream_write(&c->stream, b->data + b->start, buf_len(b), more_follows);
        if (n < 0)
            return connection_send_failed(c);
        assert((size_t)n <= buf_len(b));
        buf_consume(b, (size_t)n);
    }
    return true;
}

/* What the socket does not take moves to a buffer of the connection's own. False: out of memory, and the connection is dead. */
static bool keep_output(struct connection *c, struct buf *rest)
{
    assert(!c->out && buf_len(rest) > 0);
    if (connection_own_output(c) && buf_append_slice(c->out, buf_slice(rest))) {
        rest->start = rest->end = 0;
        return true;
    }
    connection_close(c);
    return false;
}

bool connection_flush(struct connection *c, bool more_follows, bool *moved)
{
    struct worker *w = connection_worker(c);
    assert(!c->dead && w->driving == c);
    /* Two buffers would not say which goes first. */
    assert(!c->out || buf_len(&w->output) == 0);
    *moved = false;
    if (c->out) {
        size_t before = buf_len(c->out);
        if (!send_buf(c, c->out, more_follows)) {
            *moved = !c->dead && buf_len(c->out) < before;
            return false;
        }
        connection_drop_output(c);
    }
    if (send_buf(c, &w->output, more_follows))
        return true;
    *moved = !c->dead && keep_output(c, &w->output);
    return false;
}
