/*
 * http/h2/protocol.c - HTTP/2 as requests see it: what they may ask of their stream.
 */
#include "http/h2/protocol.h"

#include "base/slice.h"
#include "http/client/connection.h"
#include "http/h2/body.h"
#include "http/h2/fields.h"
#include "http/h2/response.h"
#include "http/h2/stream.h"
#include "http/h2/tunnel.h"
#include "http/request/exchange.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

static void make_ready(struct http_exchange *ex)
{
    h2_stream_ready(ex->stream);
}

static void reset_client(struct http_exchange *ex)
{
    struct h2_stream *st = ex->stream;
    if (h2_tunnel_is_whole(st))
        h2_stream_end_request(st);
    else
        h2_stream_reset(st, st->tunnel ? NGHTTP2_CONNECT_ERROR : NGHTTP2_INTERNAL_ERROR);
}

static void replace_request(struct http_exchange *ex, struct http_exchange *by)
{
    assert(ex->stream->ex == ex && (!by || by->stream == ex->stream));
    ex->stream->ex = by;
}

static bool send_interim(struct http_exchange *ex, int status, struct slice reason,
                         const struct http_header *fields, int count)
{
    struct h2_stream *st = ex->stream;
    struct h2_fields f;
    (void)reason;
    assert(status < 200 && ex->sent.head == 0);
    if (st->is_gone)
        return true;
    if (!h2_fields_of_interim(&f, ex, status, fields, count) ||
        nghttp2_submit_headers(st->session->ng, NGHTTP2_FLAG_NONE, st->id, NULL, f.list, f.count, NULL) < 0)
        return false;
    st->interims++;
    connection_ready(ex->connection);
    return true;
}

static bool ask_for_body(struct http_exchange *ex)
{
    return !ex->req.expect_continue || send_interim(ex, 100, (struct slice){0}, NULL, 0);
}

static void expect_of_client(struct http_exchange *ex, int64_t within_ms)
{
    h2_stream_set_timer(ex->stream, within_ms);
}

/* Another stream does not suffer for what this one has sent. */
static void make_last(struct http_exchange *ex, bool still_sends)
{
    (void)ex;
    (void)still_sends;
}

/* It would have been told to us. */
static bool has_left(struct http_exchange *ex)
{
    return ex->stream->ex != ex;
}

static bool is_behind(const struct http_exchange *ex)
{
    const struct h2_stream *st = ex->stream;
    return st->sends && !st->is_deferred;
}

static bool takes_trailers(const struct http_exchange *ex)
{
    (void)ex;
    return true;
}

static struct slice sent_field(const struct http_exchange *ex, struct slice name)
{
    (void)ex;
    (void)name;
    return (struct slice){0};
}

/* What has come early is read of the stream as all else. */
static struct net_stream *hand_over(struct http_exchange *ex, struct buf *early, bool *ended)
{
    struct h2_stream *st = ex->stream;
    (void)early;
    assert(st->tunnel);
    *ended = false;
    return &st->tunnel->stream;
}

const struct client_protocol h2_protocol = {.go_on = make_ready,
                                            .reset = reset_client,
                                            .cut_off = reset_client,
                                            .replace = replace_request,
                                            .interim = send_interim,
                                            .respond = h2_respond,
                                            .data = h2_take_filtered,
                                            .ask_for_body = ask_for_body,
                                            .drop_body = h2_drop_body,
                                            .expect = expect_of_client,
                                            .make_last = make_last,
                                            .has_left = has_left,
                                            .is_behind = is_behind,
                                            .takes_trailers = takes_trailers,
                                            .sent_field = sent_field,
                                            .hand_over = hand_over};
