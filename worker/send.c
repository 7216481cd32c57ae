/*
 * worker/send.c - output: the buffers, and bodies that are too large for them.
 *
 * Output goes through the worker's buffer as long as the socket takes it; what the socket does not take moves to a
 * buffer of the connection's own.
 */
#include "worker/core.h"

#include "worker/filter.h"

#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <unistd.h>

enum {
    FILTERED_AT_ONCE_BYTES = 512 << 10,
    COPY_BYTES = 64 << 10,
    RATE_STEP_MS = 100 /* what limit_rate lets go at a time */
};

struct buf *send_buffer(struct http_exchange *ex)
{
    assert(ex->connection->out || ex->worker->driving == ex->connection);
    return ex->connection->out ? ex->connection->out : &ex->worker->output;
}

struct buf *send_own_buffer(struct connection *c)
{
    if (!c->out)
        c->out = calloc(1, sizeof *c->out);
    return c->out;
}

/* The socket failed: the client is gone. */
static bool send_failed(struct connection *c)
{
    if (errno == EAGAIN || errno == EINTR)
        return false;
    if (errno != EPIPE && errno != ECONNRESET)
        log_errno(LOG_LEVEL_INFO, errno, "send() failed");
    connection_close(c);
    return false;
}

/* Sends from b until it is empty. False when the socket takes no more, or failed. */
static bool send_buf(struct connection *c, struct buf *b, int flags)
{
    while (buf_len(b) > 0) {
        ssize_t n = send(c->io.fd, b->data + b->start, buf_len(b), MSG_NOSIGNAL | flags);
        if (n < 0)
            return send_failed(c);
        buf_consume(b, (size_t)n);
    }
    return true;
}

static bool keep_output(struct connection *c, struct buf *rest)
{
    if (send_own_buffer(c) && buf_append_slice(c->out, buf_slice(rest))) {
        rest->start = rest->end = 0;
        return true;
    }
    connection_close(c);
    return false;
}

static void set_send_timer(struct http_exchange *ex)
{
    if (ex->throttled)
        return; /* its timer says when to go on */
    if (ex && ex->state != REQUEST_SEND)
        return; /* it is an earlier answer; the timer is that of the request at work, which came pipelined */
    connection_set_timer(ex->connection,
                         offload_time_left_ms(ex, ex->route.location->settings->send_timeout_ms));
}

bool send_flush(struct connection *c, bool more_follows)
{
    struct worker *w = connection_worker(c);
    int flags = more_follows ? MSG_MORE : 0;
    if (c->out) {
        size_t before = buf_len(c->out);
        if (!send_buf(c, c->out, flags)) {
            if (!c->dead && buf_len(c->out) < before)
                set_send_timer(c->ex);
            return false;
        }
        connection_drop_output(c);
    }
    if (send_buf(c, &w->output, flags))
        return true;
    if (!c->dead && keep_output(c, &w->output))
        set_send_timer(c->ex);
    return false;
}

bool send_stretch(struct http_exchange *ex, struct slice stretch)
{
    return ex->sent.filters ? filter_stretch(ex, stretch) : send_framed(ex, stretch);
}

bool send_framed(struct http_exchange *ex, struct slice stretch)
{
    struct buf *out = send_buffer(ex);
    if (ex->res.no_body)
        return true;
    size_t before = buf_len(out);
    ex->worker->streamed_bytes += stretch.len;
    bool ok = ex->res.chunked ? buf_printf(out, "%zx\r\n", stretch.len) && buf_append_slice(out, stretch) &&
                                    buf_append(out, "\r\n", 2)
                              : buf_append_slice(out, stretch);
    ex->sent.body += buf_len(out) - before;
    return ok;
}

/* A file's bytes by way of memory: for `sendfile off`. */
static ssize_t copy_file(struct connection *c, const struct http_piece *p, size_t most)
{
    static char bytes[COPY_BYTES]; /* not the worker's input, where later requests may still stand */
    most = most < COPY_BYTES ? most : COPY_BYTES;
    ssize_t n = pread(p->fd, bytes, most, p->offset);
    return n <= 0 ? n : send(c->io.fd, bytes, (size_t)n, MSG_NOSIGNAL | (p->next ? MSG_MORE : 0));
}

/* sendfile_max_chunk: what a client gets of a body before it is the others' turn. */
static uint64_t send_share(struct http_exchange *ex)
{
    uint64_t chunk = (uint64_t)ex->route.location->settings->sendfile_max_chunk;
    return chunk && chunk < SEND_AT_ONCE_BYTES ? chunk : SEND_AT_ONCE_BYTES;
}

static ssize_t send_piece(struct http_exchange *ex, struct http_piece *p, uint64_t allowed)
{
    size_t most = p->len < send_share(ex) ? (size_t)p->len : send_share(ex);
    most = most < allowed ? most : (size_t)allowed;
    if (p->fd < 0)
        return send(ex->connection->io.fd, p->data, most, MSG_NOSIGNAL | (p->next ? MSG_MORE : 0));
    most = aio_limit(ex, p, most);
    if (!ex->route.location->settings->sendfile)
        return copy_file(ex->connection, p, most);
    off_t offset = p->offset;
    return sendfile(ex->connection->io.fd, p->fd, &offset, most);
}

uint64_t send_allowance(struct http_exchange *ex)
{
    if (ex->pace.rate == 0)
        return UINT64_MAX;
    uint64_t now_ms = ex->worker->now_ms, step = ex->pace.rate * RATE_STEP_MS / 1000;
    if (ex->pace.from_ms == 0)
        ex->pace.from_ms = now_ms;
    step = step ? step : 1;
    uint64_t allowed = ex->pace.after + (now_ms - ex->pace.from_ms) * ex->pace.rate / 1000 + step;
    if (allowed > ex->sent.body)
        return allowed - ex->sent.body;
    uint64_t wait_ms = (ex->sent.body - allowed + step) * 1000 / ex->pace.rate + 1;
    ex->throttled = true;
    connection_set_timer(ex->connection, 0);
    request_set_timer(ex, (int64_t)wait_ms);
    return 0;
}

/* The next bytes of the body's first piece: at most COPY_BYTES, and what limit_rate allows. Empty: the file is shorter than it was. */
static struct slice take_piece(struct http_exchange *ex, uint64_t allowed)
{
    static char bytes[COPY_BYTES];
    struct http_piece *p = ex->res.body;
    size_t most = p->len < COPY_BYTES ? (size_t)p->len : COPY_BYTES;
    most = most < allowed ? most : (size_t)allowed;
    struct slice stretch = {p->data, most};
    if (p->fd >= 0) {
        ssize_t n = pread(p->fd, bytes, aio_limit(ex, p, most), p->offset);
        stretch = (struct slice){bytes, n > 0 ? (size_t)n : 0};
    } else {
        p->data += most;
    }
    p->offset += (off_t)stretch.len;
    p->len -= stretch.len;
    if (p->len == 0)
        ex->res.body = p->next;
    return stretch;
}

bool send_end(struct http_exchange *ex, struct slice passed_on)
{
    struct buf *out = send_buffer(ex);
    if (!filter_finish(ex))
        return false;
    if (!ex->res.chunked || ex->res.no_body)
        return true;
    size_t before = buf_len(out);
    bool ok = buf_append(out, "0\r\n", 3) && buf_append_slice(out, passed_on) &&
              headers_add_trailers(ex, out) && buf_append(out, "\r\n", 2);
    ex->sent.body += buf_len(out) - before;
    return ok;
}

bool send_pieces(struct http_exchange *ex)
{
    uint64_t allowed = 0;
    if (ex->worker->streamed_bytes >= FILTERED_AT_ONCE_BYTES || (allowed = send_allowance(ex)) == 0)
        return false; /* the others' turn */
    bool full = filter_is_full(ex);
    if (ex->res.body && !full && !aio_ready(ex, ex->res.body))
        return false;
    struct slice stretch = ex->res.body && !full ? take_piece(ex, allowed) : (struct slice){0};
    bool ok = full ? filter_go_on(ex) : stretch.len ? send_stretch(ex, stretch) : !ex->res.body;
    ex->worker->streamed_bytes += stretch.len;
    set_send_timer(ex);
    if (ok && !ex->res.body && !filter_is_full(ex)) {
        ok = send_end(ex, (struct slice){0});
        if (ok)
            request_done(ex);
    }
    if (!ok)
        connection_close(ex->connection);
    return ok;
}

/* directio: but for what the socket may still hold. */
static void leave_cache(const struct http_piece *p, size_t sent)
{
    off_t end = p->offset + (off_t)sent - SEND_AT_ONCE_BYTES;
    if (sent == p->len)
        posix_fadvise(p->fd, 0, 0, POSIX_FADV_DONTNEED);
    else if (end > 0)
        posix_fadvise(p->fd, 0, end, POSIX_FADV_DONTNEED);
}

bool send_body(struct http_exchange *ex)
{
    if (ex->sent.filters || ex->res.chunked)
        return send_pieces(ex);
    uint64_t sent = 0;
    while (ex->res.body) {
        struct http_piece *p = ex->res.body;
        uint64_t allowed = send_allowance(ex);
        if (allowed == 0 || !aio_ready(ex, p))
            return false;
        ssize_t n = sent < send_share(ex) ? send_piece(ex, p, allowed) : -1;
        if (sent >= send_share(ex) || (n < 0 && errno == EAGAIN)) {
            set_send_timer(ex);
            return false; /* the others' turn; the socket says when to go on */
        }
        if (n == 0) {
            log_error("file is shorter than it was when its answer began; closing the connection");
            connection_close(ex->connection);
            return false;
        }
        if (n < 0)
            return errno == EINTR ? send_body(ex) : send_failed(ex->connection);
        if (p->fd < 0)
            p->data += n;
        else if (p->leaves_cache)
            leave_cache(p, (size_t)n);
        p->offset += n;
        p->len -= (uint64_t)n;
        sent += (uint64_t)n;
        ex->sent.body += (uint64_t)n;
        if (p->len == 0)
            ex->res.body = p->next;
    }
    request_done(ex);
    return true;
}
