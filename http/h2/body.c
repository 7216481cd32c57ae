/*
 * http/h2/body.c - a request's body: DATA frames, kept until the request wants them, and the windows that let more come.
 */
#include "http/h2/body.h"

#include "base/buf.h"
#include "http/h2/stream.h"
#include "http/request/aside.h"
#include "http/request/body.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/request/verdict.h"
#include "http/serve/serve.h"
#include "http/site/site.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

enum { READ_WINDOW_BYTES = 256 << 10, PASS_WINDOW_BYTES = 64 << 10 };

/* So much may come again, on the stream and on its connection. */
static void open_window(struct h2_stream *st, size_t bytes)
{
    if (bytes && nghttp2_session_consume(st->session->ng, st->id, bytes) != 0)
        st->session->is_over = true;
}

static bool is_at_work(const struct h2_stream *st)
{
    return st->ex && st->has_begun && st->ex->state != REQUEST_GONE;
}

static bool is_wanted(const struct h2_stream *st)
{
    if (st->discards || !st->ex || st->ex->state == REQUEST_GONE || st->body_error)
        return false;
    return !st->has_begun || st->is_tunnel || !http_own_body(st->ex)->whole;
}

static void keep(struct h2_stream *st, const char *data, size_t len)
{
    struct http_exchange *ex = st->ex;
    ex->body.begun = true;
    ex->request_bytes += len;
    if (ex->req.framing == HTTP_BODY_LENGTH) {
        /* nghttp2 lets no more come than was announced. */
        assert(len <= ex->body.left);
        ex->body.left -= len;
    }
    st->body_error = body_keep(ex, data, len, 0);
    open_window(st, len);
}

void h2_body_came(struct h2_stream *st, const char *data, size_t len)
{
    if (!is_wanted(st)) {
        open_window(st, len);
        return;
    }
    bool at_once = st->has_begun && st->ex->state == REQUEST_BODY && buf_len(&st->in) == 0;
    if (at_once)
        keep(st, data, len);
    else if (!buf_append(&st->in, data, len))
        h2_stream_reset(st, NGHTTP2_INTERNAL_ERROR);
    h2_stream_ready(st);
}

static void keep_what_came(struct h2_stream *st)
{
    if (buf_len(&st->in) == 0)
        return;
    keep(st, st->in.data + st->in.start, buf_len(&st->in));
    buf_free(&st->in);
}

static void refuse(struct h2_stream *st)
{
    struct http_exchange *ex = st->ex;
    int error = st->body_error;
    st->body_error = 0;
    if (ex->state == REQUEST_SEND) {
        h2_stream_reset(st, NGHTTP2_CANCEL);
        return;
    }
    if (http_passes_body(ex))
        ex->source->stop(ex); /* which may have put a copy in its place */
    if (st->ex)
        request_serve(st->ex, verdict_answer(error));
    else
        h2_stream_reset(st, NGHTTP2_INTERNAL_ERROR);
}

/* What comes goes to memory and then to a file, or on to an upstream, which says when it is full. */
static void want_more(struct h2_stream *st, int32_t window)
{
    struct http_exchange *ex = st->ex;
    const struct http2_settings *conf =
        &st->session->c->listener->listen->default_server->top->settings->http2;
    bool fits = ex->req.framing == HTTP_BODY_LENGTH && ex->body.left <= (uint64_t)conf->preread_bytes;
    if (st->is_wanted || st->has_ended)
        return;
    st->is_wanted = true;
    if (!fits && conf->preread_bytes < window &&
        nghttp2_session_set_local_window_size(st->session->ng, NGHTTP2_FLAG_NONE, st->id, window) != 0)
        st->session->is_over = true;
}

/* It is read whole before the request goes on. */
static void read_on(struct h2_stream *st)
{
    struct http_exchange *ex = st->ex;
    want_more(st, READ_WINDOW_BYTES);
    keep_what_came(st);
    if (st->body_error) {
        refuse(st);
    } else if (st->has_ended) {
        ex->body.whole = true;
        request_serve(ex, verdict_of(VERDICT_AGAIN));
    } else {
        h2_stream_set_timer(st, ex->route.settings->client.body_timeout_ms);
    }
}

/* It goes to an upstream or a handler while it comes. */
static void pass_on(struct h2_stream *st)
{
    struct http_exchange *ex = st->ex;
    want_more(st, PASS_WINDOW_BYTES);
    if (ex->source->body_is_full(ex) || (buf_len(&st->in) == 0 && !st->has_ended))
        return;
    keep_what_came(st);
    if (st->body_error) {
        refuse(st);
        return;
    }
    ex->body.whole = st->has_ended;
    ex->source->body_came(ex, st->has_ended);
}

static bool is_passed_on(const struct http_exchange *ex)
{
    return http_passes_body(ex) || (ex->state == REQUEST_SEND && source_takes_body(ex));
}

void h2_body_go_on(struct h2_stream *st)
{
    if (is_at_work(st) && st->ex->state == REQUEST_BODY)
        read_on(st);
    else if (is_at_work(st) && !st->ex->body.whole && is_passed_on(st->ex))
        pass_on(st);
}

void h2_drop_body(struct http_exchange *ex)
{
    struct h2_stream *st = ex->stream;
    /* What comes in a tunnel is none, and wanted where there is one. */
    if (st->is_tunnel && ex->res.status == 101)
        return;
    ex->body.whole = true;
    st->discards = true;
    st->body_error = 0;
    open_window(st, buf_len(&st->in));
    buf_free(&st->in);
}
