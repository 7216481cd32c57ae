/*
 * http/h2/frames.c - what nghttp2 tells of frames: who is to hear of it.
 *
 * What a frame leads to is put on the ready list; it does not run within these calls.
 */
#include "http/h2/frames.h"

#include "base/slice.h"
#include "http/client/connection.h"
#include "http/h2/body.h"
#include "http/h2/defence.h"
#include "http/h2/head.h"
#include "http/h2/leave.h"
#include "http/h2/response.h"
#include "http/h2/stream.h"
#include "http/request/exchange.h"

#include <assert.h>
#include <stdlib.h>

enum {
    TINY_WINDOW_BYTES = 256, /* a smaller one than this is nothing to send by */
    STREAMS_UNLIMITED = 1 << 30,
    COST = 1 /* tokens */
};

static struct h2_stream *stream_of(nghttp2_session *ng, int32_t id)
{
    return id ? nghttp2_session_get_stream_user_data(ng, id) : NULL;
}

/* --- heads --- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *session)
{
    struct h2_session *s = session;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
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
    return 0;
}

static int refuse_malformed(struct h2_session *s, int32_t id)
{
    h2_spend(s, COST);
    return nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_PROTOCOL_ERROR) == 0
               ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
               : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* A name or a value that none may be (RFC 9113 section 8.2.1). */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                             nghttp2_rcbuf *value, uint8_t flags, void *session)
{
    (void)ng;
    (void)name;
    (void)value;
    (void)flags;
    return refuse_malformed(session, frame->hd.stream_id);
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
    if (!h2_head_end(s, st, !ends)) {
        h2_spend(s, COST);
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
        if (frame->window_update.window_size_increment < TINY_WINDOW_BYTES)
            h2_spend(s, COST);
        return 0;
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            h2_spend(s, COST);
        return 0;
    default:
        h2_spend(s, COST); /* RST_STREAM, PRIORITY, GOAWAY, ... */
        return 0;
    }
}

/* The library answers it with a reset, or with the end of the connection. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *session)
{
    (void)ng;
    (void)frame;
    (void)error;
    h2_spend(session, COST);
    return 0;
}

/* Those that nghttp2 does not tell of otherwise: parts of heads, and frames that nobody knows. */
static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *session)
{
    (void)ng;
    if (hd->type > NGHTTP2_WINDOW_UPDATE)
        h2_spend(session, COST);
    return 0;
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

/* --- what goes out --- */

static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *session)
{
    struct h2_session *s = session;
    struct h2_stream *st = stream_of(ng, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
        h2_end_for(s, SHM_HTTP2_PROTOCOL);
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
        h2_spend(s, COST);
    if (frame->hd.type != NGHTTP2_HEADERS || !st || !st->sends || !st->ex || st->ex->state != REQUEST_SEND)
        return 0;
    st->ex->sent.head += frame->hd.length;
    if (st->ends_with_head)
        h2_response_is_out(st);
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *session)
{
    struct h2_stream *st = stream_of(ng, id);
    (void)code;
    (void)session;
    if (st)
        h2_stream_free(st);
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
    nghttp2_session_callbacks_set_on_frame_send_callback(all, on_sent);
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
    nghttp2_option_set_builtin_recv_extension_type(all, NGHTTP2_PRIORITY_UPDATE);
    return all;
}

bool h2_frames_open(struct h2_session *s)
{
    nghttp2_session_callbacks *callbacks = the_callbacks();
    nghttp2_option *options = the_options();
    return callbacks && options &&
           nghttp2_session_server_new3(&s->ng, callbacks, s, options, &s->memory) == 0;
}
