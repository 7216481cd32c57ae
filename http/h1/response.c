/*
 * http/h1/response.c - a response on its way from its source to a client of HTTP/1: head, body, end.
 *
 * Short bodies go out with their heads. Of others the source is asked stretch by stretch: what is framed or short is copied
 * into the output, the rest goes to the socket as it is.
 */
#include "http/h1/response.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/client/output.h"
#include "http/filters/headers.h"
#include "http/h1/flush.h"
#include "http/request/exchange.h"
#include "http/request/filter.h"
#include "http/request/pace.h"
#include "http/request/source.h"
#include "http/serve/request.h"
#include "http/wire/response.h"
#include "net/stream.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

enum {
    FILTERED_AT_ONCE_BYTES = 512 << 10,
    WITH_HEAD_BYTES = 32 << 10, /* a body this short goes out with its head */
    /* A stretch this short goes out with what is there, by one system call. */
    SHORT_BYTES = 4096,
    COPY_BYTES = 64 << 10
};

bool h1_send_framed(struct http_exchange *ex, struct slice stretch)
{
    struct buf *out = connection_output(ex->connection);
    assert(ex->state == REQUEST_SEND && ex->connection->ex == ex);
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

/* limit_rate lets it go on. */
static void end_pause(struct http_exchange *ex)
{
    assert(ex->throttled && ex->state == REQUEST_SEND);
    ex->throttled = false;
    connection_ready(ex->connection);
}

/* How much of the body may be sent now by limit_rate; 0: none, and the request goes on when there is more. */
static uint64_t rate_allowance(struct http_exchange *ex)
{
    int64_t wait_ms = 0;
    uint64_t allowed = pace_allows(ex, &wait_ms);
    if (allowed)
        return allowed;
    ex->throttled = true;
    connection_set_timer(ex->connection, 0);
    request_pause(ex, wait_ms, end_pause);
    return 0;
}

/* The body's end: what filters still hold, and, in chunks, trailers: those of its source, and add_trailer's. */
static bool send_end(struct http_exchange *ex, struct slice passed_on)
{
    struct buf *out = connection_output(ex->connection);
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
    h1_set_send_timer(ex->connection);
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

/* The connection is for another request, or is closed once all is sent. */
static void end_request(struct http_exchange *ex)
{
    struct connection *c = ex->connection;
    assert(c->ex == ex && ex->state == REQUEST_SEND && !c->dead && !c->close_after);
    c->close_after |= ex->res.close;
    c->settings = ex->route.settings;
    c->ex = NULL;
    request_done(ex);
}

/* The body is whole. */
static bool finish_body(struct http_exchange *ex)
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
    end_request(ex);
    return true;
}

static bool is_framed(const struct http_exchange *ex)
{
    return ex->sent.filters || ex->res.chunked || ex->res.no_body;
}

/* What a client gets of a body before it is the others' turn: sendfile_max_chunk, or less where each byte costs more. */
static uint64_t share_of_turn(const struct http_exchange *ex, const struct http_piece *next)
{
    uint64_t chunk = (uint64_t)ex->route.settings->files.sendfile_max_chunk_bytes;
    uint64_t most = is_framed(ex) ? FILTERED_AT_ONCE_BYTES : SEND_AT_ONCE_BYTES;
    return next->fd >= 0 && chunk && chunk < most ? chunk : most;
}

static bool close_at_short_file(struct http_exchange *ex)
{
    log_error("file is shorter than it was when its answer began; closing the connection");
    connection_close(ex->connection);
    return false;
}

/* By way of the output, at most `most` bytes: for what is framed or short, or goes behind something that waits there. */
static bool copy_stretch(struct http_exchange *ex, const struct http_piece *next, uint64_t most)
{
    assert(most > 0 && most <= next->len);
    /* Not the worker's input, where later requests may still stand. */
    static char bytes[COPY_BYTES];
    struct slice stretch = {next->data, (size_t)most};
    if (next->fd >= 0) {
        ssize_t n = pread(next->fd, bytes, most < COPY_BYTES ? (size_t)most : COPY_BYTES, next->offset);
        if (n <= 0)
            return close_at_short_file(ex);
        stretch = (struct slice){bytes, (size_t)n};
    }
    if (!(ex->sent.filters ? filter_stretch(ex, stretch) : h1_send_framed(ex, stretch))) {
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
    /* Nothing may overtake what waits in the output. */
    assert(most > 0 && most <= next->len && !c->out && buf_len(&ex->worker->output) == 0);
    if (next->fd < 0)
        n = net_stream_write(&c->stream, next->data, most, next->next != NULL);
    else if (ex->route.settings->files.sendfile)
        n = net_stream_send_file(&c->stream, next->fd, next->offset, most);
    else
        n = send_copied(c, next, most);
    if (n == 0)
        return close_at_short_file(ex);
    if (n < 0 && errno == EAGAIN)
        return wait_for_client(ex);
    if (n < 0 && errno != EINTR)
        return connection_send_failed(c);
    if (n > 0) {
        assert((size_t)n <= most);
        ex->sent.body += (uint64_t)n;
        ex->worker->streamed_bytes += (uint64_t)n;
        ex->source->take(ex, (size_t)n);
    }
    return true;
}

static bool send_next(struct http_exchange *ex, const struct http_piece *next)
{
    uint64_t share = share_of_turn(ex, next), had = ex->worker->streamed_bytes;
    if (had >= share)
        return wait_for_client(ex);
    uint64_t most = rate_allowance(ex);
    if (most == 0)
        return false; /* limit_rate has set a timer */
    most = most < next->len ? most : next->len;
    /* Copied whole: chunks are the same whatever else goes out in this turn. */
    bool is_short = next->fd < 0 && next->len <= SHORT_BYTES;
    if (is_framed(ex) || is_short || buf_len(connection_output(ex->connection)) > 0)
        return copy_stretch(ex, next, most);
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

/* The rest will never come: what there was before goes out, so that the client sees a response that is not whole. */
static void cut_off(struct connection *c)
{
    h1_flush(c, false);
    if (!c->dead)
        connection_close(c);
}

bool h1_send_body(struct http_exchange *ex)
{
    struct http_piece next = {.fd = -1};
    assert(ex->state == REQUEST_SEND && ex->worker->driving == ex->connection && ex->connection->ex == ex);
    ex->more_later = false;
    if (filter_is_full(ex))
        return go_on_filtering(ex);
    switch (ex->source->look(ex, &next)) {
    case SOURCE_HAS:
        return send_next(ex, &next);
    case SOURCE_LATER:
        return wait_for_source(ex);
    case SOURCE_END:
        return finish_body(ex);
    case SOURCE_FAILED:
        cut_off(ex->connection);
        return false;
    case SOURCE_TUNNEL:
        ex->connection->state = CONNECTION_TUNNEL;
        return false;
    }
    return false;
}

/* The head is in the output: a short body that is there already goes out with it. */
static void send_with_head(struct http_exchange *ex)
{
    const struct connection *c = ex->connection;
    struct http_piece next = {.fd = -1};
    for (uint64_t left = WITH_HEAD_BYTES; c->ex == ex && ex->state == REQUEST_SEND; left -= next.len) {
        if (filter_is_full(ex))
            return;
        enum source_says says = ex->source->look(ex, &next);
        if (says == SOURCE_END)
            finish_body(ex);
        if (says == SOURCE_FAILED)
            cut_off(ex->connection);
        if (says != SOURCE_HAS || next.fd >= 0 || next.len > left || ex->pace.rate ||
            !copy_stretch(ex, &next, next.len))
            return;
    }
}

/* --- the head --- */

static bool write_head(struct http_exchange *ex)
{
    struct worker *w = ex->worker;
    const struct settings *s = ex->route.settings;
    struct buf *out = connection_output(ex->connection);
    size_t before = buf_len(out);
    struct http_head_options options = {&w->stamps[s->answers.server_tokens != 0],
                                        s->client.keepalive.header_s, !s->answers.chunked};
    if (!http_write_head(&ex->res, &ex->req, &options, out))
        return false;
    ex->sent.head = buf_len(out) - before;
    return true;
}

bool h1_respond(struct http_exchange *ex)
{
    struct connection *c = ex->connection;
    assert(c->ex == ex && ex->worker->driving == c && !c->dead);
    assert(ex->state == REQUEST_SEND && ex->source && ex->sent.head == 0);
    ex->res.close |= ex->worker->draining;
    /* Of earlier responses: the client has to take it within its time. */
    if (c->out)
        h1_set_send_timer(c);
    if (headers_want_trailers(ex))
        ex->res.content_length = HTTP_LENGTH_UNKNOWN;
    if (!write_head(ex))
        return false;
    send_with_head(ex);
    return true;
}
