/*
 * http/h2/response.c - a response on its way from its source to a client of HTTP/2.
 */
#include "http/h2/response.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/client/connection.h"
#include "http/client/output.h"
#include "http/filters/headers.h"
#include "http/h2/concurrency.h"
#include "http/h2/fields.h"
#include "http/h2/stream.h"
#include "http/h2/tunnel.h"
#include "http/request/exchange.h"
#include "http/request/filter.h"
#include "http/request/pace.h"
#include "http/request/source.h"
#include "http/serve/request.h"
#include "http/wire/response.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <unistd.h>

enum {
    FRAME_HEAD_BYTES = 9,
    /* Into the filters, as it may have to wait behind them. */
    FILTERED_AT_ONCE_BYTES = 16 << 10,
    /* Less than this in send_timeout is no progress: one byte now and then would hold a response for ever. */
    PROGRESS_BYTES = 1 << 10
};

/* --- the body's next bytes --- */

bool h2_take_filtered(struct http_exchange *ex, struct slice stretch)
{
    return buf_append_slice(&ex->stream->out, stretch);
}

static bool filter_next_stretch(struct h2_stream *st)
{
    static char bytes[FILTERED_AT_ONCE_BYTES];
    struct http_exchange *ex = st->ex;
    size_t n = st->piece.len < FILTERED_AT_ONCE_BYTES ? (size_t)st->piece.len : FILTERED_AT_ONCE_BYTES;
    struct slice stretch = {st->piece.data, n};
    if (st->piece.fd >= 0) {
        ssize_t got = pread(st->piece.fd, bytes, n, st->piece.offset);
        if (got <= 0)
            return false;
        stretch = (struct slice){bytes, (size_t)got};
    }
    if (!filter_stretch(ex, stretch))
        return false;
    ex->source->take(ex, stretch.len);
    return true;
}

/* The source has no more: what filters still hold, and trailers: its own, and add_trailer's. */
static bool finish_body(struct h2_stream *st)
{
    struct http_exchange *ex = st->ex;
    st->body_is_out = true;
    return (!ex->source->add_trailers || ex->source->add_trailers(ex, &st->trailers)) && filter_finish(ex) &&
           (ex->res.no_body || headers_add_trailers(ex, &st->trailers));
}

static bool flush_filters(struct http_exchange *ex)
{
    return !ex->source->is_live || !filter_is_pending(ex) || filter_flush(ex);
}

/* SOURCE_HAS: what goes out next lies in st->out, or is st->piece. */
static enum source_says look_at_source(struct h2_stream *st)
{
    struct http_exchange *ex = st->ex;
    while (buf_len(&st->out) == 0 && !st->body_is_out) {
        if (filter_is_full(ex)) {
            if (!filter_go_on(ex))
                return SOURCE_FAILED;
            continue;
        }
        st->piece = (struct http_piece){.fd = -1};
        enum source_says says = ex->source->look(ex, &st->piece);
        if (says == SOURCE_HAS && ex->res.no_body)
            ex->source->take(ex, (size_t)st->piece.len);
        else if (says == SOURCE_HAS && !ex->sent.filters)
            return says;
        else if (says == SOURCE_HAS && !filter_next_stretch(st))
            return SOURCE_FAILED;
        else if (says == SOURCE_END && !finish_body(st))
            return SOURCE_FAILED;
        else if (says == SOURCE_LATER && !flush_filters(ex))
            return SOURCE_FAILED;
        else if (says == SOURCE_LATER && buf_len(&st->out) == 0)
            return says;
        else if (says == SOURCE_FAILED || says == SOURCE_TUNNEL)
            return says;
    }
    return buf_len(&st->out) ? SOURCE_HAS : SOURCE_END;
}

/* A failure is said once, and looked for no more. */
static enum source_says look(struct h2_stream *st)
{
    enum source_says says = st->has_failed ? SOURCE_FAILED : look_at_source(st);
    st->has_failed = says == SOURCE_FAILED;
    return says;
}

/* --- the end --- */

/* All of the response is with nghttp2 or behind it. A client that still sends need not (RFC 9113 section 8.1). */
void h2_response_is_out(struct h2_stream *st)
{
    struct http_exchange *ex = st->ex;
    struct h2_session *s = st->session;
    assert(ex && ex->state == REQUEST_SEND);
    h2_stream_set_timer(st, 0);
    h2_concurrency_follow(st);
    ex->source->stop(ex);
    s->c->settings = ex->route.settings;
    st->ex = NULL;
    request_done(ex);
    if (!st->has_ended && !st->is_gone &&
        nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_NO_ERROR) != 0)
        s->is_over = true;
}

static bool submit_trailers(struct h2_stream *st)
{
    struct h2_fields f;
    return h2_fields_of_lines(&f, st->ex, buf_slice(&st->trailers)) &&
           nghttp2_submit_trailer(st->session->ng, st->id, f.list, f.count) == 0;
}

/* A frame without a byte that says so; or none does, and trailers follow, which are the end then. */
static ssize_t give_end(struct h2_stream *st, uint32_t *flags)
{
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    st->ex->sent.head += FRAME_HEAD_BYTES;
    if (buf_len(&st->trailers) == 0) {
        h2_response_is_out(st);
        return 0;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (submit_trailers(st))
        return 0;
    h2_stream_reset(st, NGHTTP2_INTERNAL_ERROR);
    return NGHTTP2_ERR_DEFERRED;
}

/* --- as nghttp2 asks for it --- */

static ssize_t put_off(struct h2_stream *st)
{
    st->is_deferred = true;
    return NGHTTP2_ERR_DEFERRED;
}

static ssize_t wait_for_source(struct h2_stream *st)
{
    struct http_exchange *ex = st->ex;
    /* A thread that reads from a disk has set its time by itself. */
    if (!ex->reading.at_work)
        h2_stream_set_timer(st, ex->source->time_left_ms ? ex->source->time_left_ms(ex, 0) : 0);
    return put_off(st);
}

static void end_pause(struct http_exchange *ex)
{
    assert(ex->throttled && ex->state == REQUEST_SEND);
    ex->throttled = false;
    h2_stream_ready(ex->stream);
}

static ssize_t wait_for_rate(struct h2_stream *st, int64_t wait_ms)
{
    st->ex->throttled = true;
    h2_stream_set_timer(st, 0);
    request_pause(st->ex, wait_ms, end_pause);
    return put_off(st);
}

static void set_send_timer(struct h2_stream *st)
{
    const struct http_exchange *ex = st->ex;
    int64_t timeout_ms = ex->route.settings->client.send_timeout_ms;
    if (ex->source->time_left_ms)
        timeout_ms = ex->source->time_left_ms(ex, timeout_ms);
    st->sent_at_timer = ex->sent.body;
    st->session_at_timer = st->session->sent_bytes;
    h2_stream_set_timer(st, timeout_ms);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Whether nothing follows these bytes: no other frame is needed to say so. */
static bool is_last(const struct h2_stream *st, size_t n)
{
    const struct http_exchange *ex = st->ex;
    if (buf_len(&st->out))
        return st->body_is_out && n == buf_len(&st->out) && buf_len(&st->trailers) == 0;
    return ex->res.content_length >= 0 && !st->has_trailers &&
           ex->sent.body + n == (uint64_t)ex->res.content_length;
}

static ssize_t give_stretch(struct h2_stream *st, size_t room, uint32_t *flags)
{
    struct http_exchange *ex = st->ex;
    int64_t wait_ms = 0;
    uint64_t there = buf_len(&st->out) ? buf_len(&st->out) : st->piece.len;
    uint64_t n = pace_allows(ex, &wait_ms);
    if (n == 0)
        return wait_for_rate(st, wait_ms);
    n = least(least(n, there), least(room, (uint64_t)ex->route.settings->http2.chunk_bytes));
    st->ends_with_this = is_last(st, (size_t)n);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY | (st->ends_with_this ? NGHTTP2_DATA_FLAG_EOF : 0);
    if (st->timer.deadline_ms == 0 && !st->ends_with_this)
        set_send_timer(st);
    return (ssize_t)n;
}

/* One call of nghttp2's goes on as long as there are bodies, whatever the socket takes. */
static bool has_enough(const struct h2_stream *st)
{
    return buf_len(connection_output(st->session->c)) >= OUTPUT_FLUSH_BYTES ||
           st->ex->worker->streamed_bytes >= SEND_AT_ONCE_BYTES;
}

static ssize_t give_body(nghttp2_session *ng, int32_t id, uint8_t *unused, size_t room, uint32_t *flags,
                         nghttp2_data_source *from, void *session)
{
    struct h2_stream *st = from->ptr;
    (void)ng;
    (void)id;
    (void)unused;
    (void)session;
    if (st->tunnel)
        return h2_tunnel_give(st, room, flags);
    if (!st->ex || st->ex->state != REQUEST_SEND)
        return NGHTTP2_ERR_DEFERRED;
    st->session->current = st;
    if (has_enough(st)) {
        st->session->is_paused = true;
        return NGHTTP2_ERR_PAUSE;
    }
    switch (look(st)) {
    case SOURCE_HAS:
        return give_stretch(st, room, flags);
    case SOURCE_LATER:
        return wait_for_source(st);
    case SOURCE_END:
        return give_end(st, flags);
    default:
        h2_stream_reset(st, NGHTTP2_INTERNAL_ERROR);
        return NGHTTP2_ERR_DEFERRED;
    }
}

/* Of a file, all of them. */
static bool read_piece(const struct http_piece *piece, char *to, size_t len)
{
    for (size_t had = 0; had < len;) {
        ssize_t n = pread(piece->fd, to + had, len - had, piece->offset + (off_t)had);
        if (n <= 0) {
            log_error("file is shorter than it was when its answer began; resetting its stream");
            return false;
        }
        had += (size_t)n;
    }
    return true;
}

int h2_write_body(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t len,
                  nghttp2_data_source *from, void *session)
{
    struct h2_stream *st = from->ptr;
    struct http_exchange *ex = st->ex;
    struct buf *out = connection_output(st->session->c);
    (void)ng;
    (void)session;
    (void)frame;
    assert((st->tunnel || (ex && ex->state == REQUEST_SEND)) && frame->data.padlen == 0);
    if (!buf_reserve(out, FRAME_HEAD_BYTES + len))
        return NGHTTP2_ERR_NOMEM;
    char *to = out->data + out->end;
    memcpy(to, head, FRAME_HEAD_BYTES);
    if (buf_len(&st->out)) {
        memcpy(to + FRAME_HEAD_BYTES, st->out.data + st->out.start, len);
        buf_consume(&st->out, len);
    } else {
        if (st->piece.fd < 0)
            memcpy(to + FRAME_HEAD_BYTES, st->piece.data, len);
        else if (!read_piece(&st->piece, to + FRAME_HEAD_BYTES, len))
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        ex->source->take(ex, len);
    }
    out->end += FRAME_HEAD_BYTES + len;
    connection_worker(st->session->c)->streamed_bytes += len;
    if (st->tunnel) {
        h2_stream_ready(st); /* there is room again */
        return 0;
    }
    ex->sent.body += len;
    ex->sent.head += FRAME_HEAD_BYTES;
    st->session->sent_bytes += len;
    if (st->ends_with_this)
        h2_response_is_out(st);
    return 0;
}

/* --- the head --- */

/*
 * A response without a body: once its source has ended, too, the head says that it is all. Clients of gRPC insist on that where an
 * upstream's head has said so.
 */
static bool ends_with_head(struct h2_stream *st)
{
    const struct http_exchange *ex = st->ex;
    bool may = ex->res.no_body || ex->source->is_live ||
               (ex->res.content_length == 0 && ex->source == &source_pieces);
    return may && !st->has_trailers && look(st) == SOURCE_END && buf_len(&st->trailers) == 0;
}

/* An upstream has changed to the protocol that was asked for: to the client that is a success (RFC 8441 section 5). */
static bool begin_tunnel(struct h2_stream *st)
{
    struct http_exchange *ex = st->ex;
    nghttp2_data_provider body = {.source.ptr = st, .read_callback = give_body};
    struct h2_fields f;
    ex->res.status = 200;
    ex->res.content_length = HTTP_LENGTH_UNKNOWN;
    http_drop_header(&ex->res, SLICE("Sec-WebSocket-Accept"));
    if (!h2_tunnel_open(st) || !h2_fields_of_response(&f, ex) ||
        nghttp2_submit_response(st->session->ng, st->id, f.list, f.count, &body) != 0)
        return false;
    ex->sent.head = FRAME_HEAD_BYTES;
    st->sends = true;
    h2_stream_ready(st);
    return true;
}

bool h2_respond(struct http_exchange *ex)
{
    struct h2_stream *st = ex->stream;
    nghttp2_data_provider body = {.source.ptr = st, .read_callback = give_body};
    struct h2_fields f;
    assert(ex->state == REQUEST_SEND && ex->source && ex->sent.head == 0 && st->ex == ex);
    if (st->is_gone) {
        /* Nobody is there to see it. */
        h2_response_is_out(st);
        return true;
    }
    if (ex->res.status == 101)
        return begin_tunnel(st);
    if (st->is_tunnel && ex->res.status < 300) {
        /* The client would take it for a tunnel. */
        h2_stream_reset(st, NGHTTP2_CONNECT_ERROR);
        return true;
    }
    http_settle_body(&ex->res, &ex->req);
    st->has_trailers = headers_want_trailers(ex);
    st->ends_with_head = ends_with_head(st);
    if (!h2_fields_of_response(&f, ex))
        return false;
    if (nghttp2_submit_response(st->session->ng, st->id, f.list, f.count,
                                st->ends_with_head ? NULL : &body) != 0)
        return false;
    ex->sent.head = FRAME_HEAD_BYTES;
    st->sends = true;
    set_send_timer(st);
    return true;
}

void h2_send_on(struct h2_stream *st)
{
    if (!st->is_deferred)
        return;
    st->is_deferred = false;
    set_send_timer(st);
    if (nghttp2_session_resume_data(st->session->ng, st->id) != 0)
        st->session->is_over = true;
}

/* The client takes what is sent, and this stream's turn has not come. */
static bool is_others_turn(const struct h2_stream *st)
{
    const struct h2_session *s = st->session;
    return s->sent_bytes - st->session_at_timer >= PROGRESS_BYTES &&
           nghttp2_session_get_stream_remote_window_size(s->ng, st->id) > 0;
}

void h2_response_on_time(struct h2_stream *st)
{
    const struct http_exchange *ex = st->ex;
    bool goes_on =
        !st->is_deferred && (ex->sent.body - st->sent_at_timer >= PROGRESS_BYTES || is_others_turn(st));
    int64_t source_ms = ex->source->time_left_ms ? ex->source->time_left_ms(ex, 0) : 0;
    if (goes_on && source_ms != 1) {
        set_send_timer(st);
        return;
    }
    http_log(st->ex, LOG_LEVEL_INFO,
             "client timed out (110: Connection timed out) while sending response to client");
    h2_stream_reset(st, NGHTTP2_CANCEL);
}
