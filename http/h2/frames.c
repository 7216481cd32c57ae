/*
 * http/h2/frames.c - what nghttp2 tells of frames: who is to hear of it.
 *
 * What a frame leads to is put on the ready list; it does not run within these calls.
 */
#include "http/h2/frames.h"

#include "base/log.h"
#include "base/slice.h"
#include "http/client/connection.h"
#include "http/h2/body.h"
#include "http/h2/concurrency.h"
#include "http/h2/defence.h"
#include "http/h2/head.h"
#include "http/h2/leave.h"
#include "http/h2/memory.h"
#include "http/h2/response.h"
#include "http/h2/stream.h"
#include "http/request/exchange.h"

enum {
    /* By a window that is smaller there is nothing to send. */
    TINY_WINDOW_BYTES = 256,
    STREAMS_UNLIMITED = 1 << 30,
    HEAD_SENT_MAX_BYTES = 1 << 20,
    HEADS_MAX_BYTES = 1 << 20,    /* of all streams that are open */
    CONTINUATIONS_MOST = 1 << 20, /* each is paid for */
    COST = 1                      /* tokens */
};

static struct h2_stream *stream_of(nghttp2_session *ng, int32_t id)
{
    return id ? nghttp2_session_get_stream_user_data(ng, id) : NULL;
}

/* --- heads --- */

static void tell_malformed(const struct h2_session *s, int32_t id)
{
    log_info("*%llu client sent malformed request on stream %d; resetting it", (unsigned long long)s->c->id,
             id);
}

static int refuse(struct h2_session *s, int32_t id, uint32_t code)
{
    if (code == NGHTTP2_PROTOCOL_ERROR)
        tell_malformed(s, id);
    h2_spend(s, COST);
    return nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, id, code) == 0
               ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
               : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *session)
{
    struct h2_session *s = session;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    s->last_id = frame->hd.stream_id;
    s->opened++;
    /* The client has been told, or is just being told, that this one is not served. */
    if (s->leave == H2_HAS_SAID)
        return refuse(s, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
    if (!h2_concurrency_has_room(s))
        return refuse(s, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
    struct h2_stream *st = h2_stream_new(s, frame->hd.stream_id);
    if (!st)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    h2_head_begin(s, st);
    return nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id, st) == 0
               ? 0
               : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *session)
{
    struct h2_session *s = session;
    nghttp2_vec n = nghttp2_rcbuf_get_buf(name), v = nghttp2_rcbuf_get_buf(value);
    (void)ng;
    (void)flags;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST && s->head_of)
        h2_head_add(s, (struct slice){(const char *)n.base, n.len},
                    (struct slice){(const char *)v.base, v.len});
    /* Nothing more of it is decompressed. */
    return s->is_flooded || s->memory.is_exceeded ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* A name or a value that none may be (RFC 9113 section 8.2.1). */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                             nghttp2_rcbuf *value, uint8_t flags, void *session)
{
    (void)ng;
    (void)name;
    (void)value;
    (void)flags;
    return refuse(session, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
}

/* --- whole frames --- */

static void end_of_stream(struct h2_stream *st)
{
    st->has_ended = true;
    h2_stream_ready(st);
}

static int on_headers(struct h2_session *s, const nghttp2_frame *frame, struct h2_stream *st)
{
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (!st)
        return 0;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        if (ends)
            end_of_stream(st);
        return 0;
    }
    /* Its heads would be more than a connection may hold: the client may ask again. */
    if (s->heads_bytes > HEADS_MAX_BYTES) {
        h2_spend(s, COST);
        s->head_of = NULL;
        h2_stream_reset(st, NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    if (!h2_head_end(s, st, !ends)) {
        h2_spend(s, COST);
        tell_malformed(s, st->id);
        h2_stream_reset(st, NGHTTP2_PROTOCOL_ERROR);
        return 0;
    }
    h2_stream_ready(st);
    return 0;
}

static void on_data(struct h2_session *s, const nghttp2_frame *frame, struct h2_stream *st)
{
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.length == 0 && !ends)
        h2_spend(s, COST);
    if (st && ends)
        end_of_stream(st);
}

/* Though it has just been opened. */
static bool has_tiny_window(nghttp2_session *ng, int32_t id)
{
    int32_t window = id ? nghttp2_session_get_stream_remote_window_size(ng, id)
                        : nghttp2_session_get_remote_window_size(ng);
    return window < TINY_WINDOW_BYTES;
}

static bool changes_windows(const nghttp2_settings *settings)
{
    for (size_t i = 0; i < settings->niv; i++)
        if (settings->iv[i].settings_id == NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE)
            return true;
    return false;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *session)
{
    struct h2_session *s = session;
    struct h2_stream *st = stream_of(ng, frame->hd.stream_id);
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        return on_headers(s, frame, st);
    case NGHTTP2_DATA:
        on_data(s, frame, st);
        return 0;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK && h2_is_leaving_ping(frame->ping.opaque_data))
            h2_leave_now(s);
        else
            h2_spend(s, COST);
        return 0;
    case NGHTTP2_WINDOW_UPDATE:
        if (has_tiny_window(ng, frame->hd.stream_id))
            h2_spend(s, COST);
        return 0;
    case NGHTTP2_PRIORITY:
        return 0; /* paid for when it began */
    case NGHTTP2_SETTINGS:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            h2_concurrency_is_known(s);
        else
            h2_spend(s, COST);
        s->windows_changed |= s->stream_count > 0 && changes_windows(&frame->settings);
        return 0;
    default:
        h2_spend(s, COST); /* RST_STREAM, PRIORITY, GOAWAY, ... */
        return 0;
    }
}

/* The library answers it with a reset, or with the end of the connection. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *session)
{
    struct h2_session *s = session;
    (void)ng;
    log_info("*%llu client broke HTTP/2 on stream %d: %s", (unsigned long long)s->c->id, frame->hd.stream_id,
             nghttp2_strerror(error));
    h2_spend(s, COST);
    return 0;
}

/* A head for a stream that was passed over (RFC 9113 section 5.1.1); of others it may be for one that has been reset. */
static bool goes_back(const struct h2_session *s, const nghttp2_frame_hd *hd)
{
    bool skipped = s->opened < ((unsigned)s->last_id + 1) / 2;
    return hd->type == NGHTTP2_HEADERS && skipped && hd->stream_id < s->last_id &&
           !stream_of(s->ng, hd->stream_id);
}

/*
 * What nghttp2 does not tell of otherwise, or lets pass: parts of heads, frames that nobody knows, and those of streams that are over
 * or have never been.
 */
static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *session)
{
    struct h2_session *s = session;
    bool is_lost =
        hd->type <= NGHTTP2_HEADERS && hd->stream_id <= s->last_id && !stream_of(ng, hd->stream_id);
    if (hd->type > NGHTTP2_WINDOW_UPDATE || hd->type == NGHTTP2_PRIORITY || is_lost)
        h2_spend(s, COST);
    bool is_wrong = (hd->type == NGHTTP2_PRIORITY && hd->stream_id == 0) || goes_back(s, hd);
    if (is_wrong)
        h2_terminate(s, NGHTTP2_PROTOCOL_ERROR);
    return s->memory.is_exceeded ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                         void *session)
{
    struct h2_stream *st = stream_of(ng, id);
    (void)flags;
    (void)session;
    if (st)
        h2_body_came(st, (const char *)data, len);
    else
        nghttp2_session_consume(ng, id, len);
    return 0;
}

/* Of a type that nobody knows: it has been paid for. */
static int unpack(nghttp2_session *ng, void **payload, const nghttp2_frame_hd *hd, void *session)
{
    (void)ng;
    (void)payload;
    (void)hd;
    (void)session;
    return NGHTTP2_ERR_CANCEL;
}

/* --- what goes out --- */

/* Interim ones come first. */
static void on_head_sent(struct h2_stream *st, const nghttp2_frame *frame)
{
    if (st->interims > 0) {
        st->interims--;
        return;
    }
    if (!st->sends || !st->ex || st->ex->state != REQUEST_SEND)
        return;
    st->ex->sent.head += frame->hd.length;
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        h2_response_is_out(st);
}

static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *session)
{
    struct h2_session *s = session;
    struct h2_stream *st = stream_of(ng, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
        h2_end_for(s, SHM_HTTP2_PROTOCOL);
    else if (frame->hd.type == NGHTTP2_GOAWAY && s->leave == H2_HAS_WARNED)
        h2_ask_whether_seen(s);
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
        h2_spend(s, COST);
    /* By SETTINGS that is no stream's error, but the connection's (RFC 9113 section 6.9.2). */
    if (frame->hd.type == NGHTTP2_RST_STREAM && s->windows_changed &&
        frame->rst_stream.error_code == NGHTTP2_FLOW_CONTROL_ERROR)
        h2_terminate(s, NGHTTP2_FLOW_CONTROL_ERROR);
    if (frame->hd.type == NGHTTP2_HEADERS && st)
        on_head_sent(st, frame);
    return 0;
}

/* nghttp2 does not send what is too large, or was submitted too late. */
static int on_not_sent(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *session)
{
    struct h2_stream *st = stream_of(ng, frame->hd.stream_id);
    (void)session;
    if (frame->hd.type != NGHTTP2_HEADERS || !st || !st->ex || st->ex->state == REQUEST_GONE)
        return 0;
    http_log(st->ex, LOG_LEVEL_ERROR, "response header could not be sent: %s; resetting its stream",
             nghttp2_strerror(error));
    h2_stream_reset(st, NGHTTP2_INTERNAL_ERROR);
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *session)
{
    struct h2_stream *st = stream_of(ng, id);
    (void)code;
    (void)session;
    if (st)
        h2_stream_leave(st);
    return 0;
}

/* --- opening --- */

static nghttp2_session_callbacks *the_callbacks(void)
{
    static nghttp2_session_callbacks *all;
    if (all || nghttp2_session_callbacks_new(&all) != 0)
        return all;
    nghttp2_session_callbacks_set_on_begin_headers_callback(all, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(all, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(all, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(all, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(all, on_invalid_frame);
    nghttp2_session_callbacks_set_on_begin_frame_callback(all, on_begin_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(all, on_data_chunk);
    nghttp2_session_callbacks_set_unpack_extension_callback(all, unpack);
    nghttp2_session_callbacks_set_on_frame_send_callback(all, on_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(all, on_not_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(all, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(all, h2_write_body);
    return all;
}

/* Resets are counted by http/h2/defence.c, and streams that are closed need not be remembered for priorities. */
static nghttp2_option *the_options(void)
{
    static nghttp2_option *all;
    if (all || nghttp2_option_new(&all) != 0)
        return all;
    nghttp2_option_set_no_auto_window_update(all, 1);
    nghttp2_option_set_no_closed_streams(all, 1);
    nghttp2_option_set_stream_reset_rate_limit(all, STREAMS_UNLIMITED, STREAMS_UNLIMITED);
    nghttp2_option_set_max_send_header_block_length(all, HEAD_SENT_MAX_BYTES);
    nghttp2_option_set_max_continuations(all, CONTINUATIONS_MOST);
    nghttp2_option_set_builtin_recv_extension_type(all, NGHTTP2_PRIORITY_UPDATE);
    /* Or nghttp2 passes over them without a word. */
    for (unsigned type = NGHTTP2_CONTINUATION + 1; type <= UINT8_MAX; type++)
        if (type != NGHTTP2_PRIORITY_UPDATE)
            nghttp2_option_set_user_recv_extension_type(all, (uint8_t)type);
    return all;
}

bool h2_frames_open(struct h2_session *s)
{
    nghttp2_session_callbacks *callbacks = the_callbacks();
    nghttp2_option *options = the_options();
    bool ok = callbacks && options && h2_memory_open(s) &&
              nghttp2_session_server_new3(&s->ng, callbacks, s, options, &s->allocator) == 0;
    h2_memory_is_made(s);
    return ok;
}
