/*
 * worker/send.c - output: its buffers, and a response's body on its way from its source to the client.
 *
 * Output goes through the worker's buffer as long as the socket takes it; what the socket does not take moves to a
 * buffer of the connection's own.
 */
#include "worker/core.h"

#include "worker/filter.h"
#include "worker/source.h"

#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    FILTERED_AT_ONCE_BYTES = 512 << 10,
    WITH_HEAD_BYTES = 32 << 10, /* a body this short goes out with its head */
    SHORT_BYTES = 4096,         /* a stretch this short goes out with what is there, by one system call */
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
static bool send_buf(struct connection *c, struct buf *b, bool more_follows)
{
    while (buf_len(b) > 0) {
        ssize_t n = net_stream_write(&c->stream, b->data + b->start, buf_len(b), more_follows);
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

/* For as long as the client may take, and its source. */
static void set_send_timer(struct connection *c)
{
    const struct http_exchange *ex = c->ex;
    int64_t timeout_ms = connection_settings(c)->client.send_timeout_ms;
    if (ex && (ex->throttled || ex->state != REQUEST_SEND))
        return; /* another timer says when to go on; or what waits is of an earlier answer, and the request at work has its own */
    if (ex && ex->source->time_left_ms)
        timeout_ms = ex->source->time_left_ms(ex, timeout_ms);
    connection_set_timer(c, timeout_ms);
}

bool send_flush(struct connection *c, bool more_follows)
{
    struct worker *w = connection_worker(c);
    if (c->out) {
        size_t before = buf_len(c->out);
        if (!send_buf(c, c->out, more_follows)) {
            if (!c->dead && buf_len(c->out) < before)
                set_send_timer(c);
            return false;
        }
        connection_drop_output(c);
    }
    if (send_buf(c, &w->output, more_follows))
        return true;
    if (!c->dead && keep_output(c, &w->output))
        set_send_timer(c);
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

/* --- the body: from its source to the client --- */

/* The client takes no more for now, or has had its share of the turn. */
static bool wait_for_client(struct http_exchange *ex)
{
    ex->more_later = true;
    set_send_timer(ex->connection);
    return false;
}

/* What has come so far goes out, where that is all there will be for a while. */
static bool wait_for_source(struct http_exchange *ex)
{
    struct connection *c = ex->connection;
    if (ex->source->is_live && filter_is_pending(ex)) {
        bool ok = filter_flush(ex);
        if (!ok)
            connection_close(c);
        return ok;
    }
    if (ex->source->time_left_ms)
        connection_set_timer(c, ex->source->time_left_ms(ex, 0));
    return false;
}

/* The body is whole. */
static bool finish(struct http_exchange *ex)
{
    struct buf trailers = {0};
    bool ok = (!ex->source->add_trailers || ex->source->add_trailers(ex, &trailers)) &&
              send_end(ex, buf_slice(&trailers));
    buf_free(&trailers);
    if (!ok) {
        connection_close(ex->connection);
        return false;
    }
    ex->source->stop(ex);
    request_done(ex);
    return true;
}

static bool is_framed(const struct http_exchange *ex)
{
    return ex->sent.filters || ex->res.chunked || ex->res.no_body;
}

/* What a client gets of a body before it is the others' turn: sendfile_max_chunk, or less where each byte costs more. */
static uint64_t share_of(const struct http_exchange *ex, const struct http_piece *next)
{
    uint64_t chunk = (uint64_t)ex->route.location->settings->files.sendfile_max_chunk_bytes;
    uint64_t most = is_framed(ex) ? FILTERED_AT_ONCE_BYTES : SEND_AT_ONCE_BYTES;
    return next->fd >= 0 && chunk && chunk < most ? chunk : most;
}

static bool file_is_short(struct http_exchange *ex)
{
    log_error("file is shorter than it was when its answer began; closing the connection");
    connection_close(ex->connection);
    return false;
}

/* By way of the output, at most `most` bytes: for what is framed or short, or goes behind something that waits there. */
static bool copy(struct http_exchange *ex, const struct http_piece *next, uint64_t most)
{
    static char bytes[COPY_BYTES]; /* not the worker's input, where later requests may still stand */
    struct slice stretch = {next->data, (size_t)most};
    if (next->fd >= 0) {
        ssize_t n = pread(next->fd, bytes, most < COPY_BYTES ? (size_t)most : COPY_BYTES, next->offset);
        if (n <= 0)
            return file_is_short(ex);
        stretch = (struct slice){bytes, (size_t)n};
    }
    if (!send_stretch(ex, stretch)) {
        connection_close(ex->connection);
        return false;
    }
    ex->source->take(ex, stretch.len);
    return true;
}

/* A file's bytes by way of memory: for `sendfile off`. */
static ssize_t send_copied(struct connection *c, const struct http_piece *next, size_t most)
{
    static char bytes[COPY_BYTES];
    ssize_t n = pread(next->fd, bytes, most < COPY_BYTES ? most : COPY_BYTES, next->offset);
    return n <= 0 ? n : net_stream_write(&c->stream, bytes, (size_t)n, next->next != NULL);
}

/* To the socket, without a copy. */
static bool send_directly(struct http_exchange *ex, const struct http_piece *next, size_t most)
{
    struct connection *c = ex->connection;
    ssize_t n;
    if (next->fd < 0)
        n = net_stream_write(&c->stream, next->data, most, next->next != NULL);
    else if (ex->route.location->settings->files.sendfile)
        n = net_stream_send_file(&c->stream, next->fd, next->offset, most);
    else
        n = send_copied(c, next, most);
    if (n == 0)
        return file_is_short(ex);
    if (n < 0 && errno == EAGAIN)
        return wait_for_client(ex);
    if (n < 0 && errno != EINTR)
        return send_failed(c);
    if (n > 0) {
        ex->sent.body += (uint64_t)n;
        ex->worker->streamed_bytes += (uint64_t)n;
        ex->source->take(ex, (size_t)n);
    }
    return true;
}

static bool send_next(struct http_exchange *ex, const struct http_piece *next)
{
    uint64_t share = share_of(ex, next), had = ex->worker->streamed_bytes;
    if (had >= share)
        return wait_for_client(ex);
    uint64_t most = send_allowance(ex);
    if (most == 0)
        return false; /* limit_rate: a timer brings us back */
    most = most < next->len ? most : next->len;
    bool is_short = next->fd < 0 && next->len <= SHORT_BYTES;
    if (is_framed(ex) || is_short || buf_len(send_buffer(ex)) > 0)
        return copy(ex, next, most); /* whole: chunks are the same whatever else goes out in this turn */
    return send_directly(ex, next, (size_t)(most < share - had ? most : share - had));
}

/* What a filter has put off. */
static bool go_on_filtering(struct http_exchange *ex)
{
    if (ex->worker->streamed_bytes >= FILTERED_AT_ONCE_BYTES)
        return wait_for_client(ex);
    bool ok = filter_go_on(ex);
    if (!ok)
        connection_close(ex->connection);
    return ok;
}

bool send_body(struct http_exchange *ex)
{
    struct http_piece next = {.fd = -1};
    assert(ex->state == REQUEST_SEND && ex->worker->driving == ex->connection);
    ex->more_later = false;
    if (filter_is_full(ex))
        return go_on_filtering(ex);
    switch (ex->source->look(ex, &next)) {
    case SOURCE_HAS:
        return send_next(ex, &next);
    case SOURCE_LATER:
        return wait_for_source(ex);
    case SOURCE_END:
        return finish(ex);
    case SOURCE_FAILED:
        connection_close(ex->connection);
        return false;
    case SOURCE_TUNNEL:
        ex->connection->state = CONNECTION_TUNNEL;
        return false;
    }
    return false;
}

void send_with_head(struct http_exchange *ex)
{
    const struct connection *c = ex->connection;
    struct http_piece next = {.fd = -1};
    for (uint64_t left = WITH_HEAD_BYTES; c->ex == ex && ex->state == REQUEST_SEND; left -= next.len) {
        if (filter_is_full(ex))
            return;
        enum source_says says = ex->source->look(ex, &next);
        if (says == SOURCE_END)
            finish(ex);
        if (says == SOURCE_FAILED)
            connection_close(ex->connection);
        if (says != SOURCE_HAS || next.fd >= 0 || next.len > left || ex->pace.rate ||
            !copy(ex, &next, next.len))
            return;
    }
}
