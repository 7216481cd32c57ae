/*
 * http/h1/protocol.c - HTTP/1 as requests see it: what they may ask of their connection.
 */
#include "http/h1/protocol.h"

#include "base/buf.h"
#include "base/slice.h"
#include "http/client/connection.h"
#include "http/client/output.h"
#include "http/h1/body.h"
#include "http/h1/flush.h"
#include "http/h1/head.h"
#include "http/h1/response.h"
#include "http/request/exchange.h"
#include "http/serve/request.h"
#include "net/stream.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

static void make_ready(struct http_exchange *ex)
{
    connection_ready(ex->connection);
}

static void reset_client(struct http_exchange *ex)
{
    connection_close(ex->connection);
}

/* The client takes them slowly: the connection ends behind them, and the request now. */
static void end_behind_earlier(struct http_exchange *ex)
{
    struct connection *c = ex->connection;
    assert(c->out && c->ex == ex);
    c->close_after = true;
    c->settings = ex->route.settings;
    c->ex = NULL;
    request_gone(ex);
    exchange_recycle(ex->worker, ex);
    h1_set_send_timer(c);
}

static void cut_client_off(struct http_exchange *ex)
{
    struct connection *c = ex->connection;
    if (!h1_flush(c, false) && !c->dead) {
        end_behind_earlier(ex);
        return;
    }
    if (!c->dead)
        connection_reset(c);
    connection_close(c);
}

static void replace_request(struct http_exchange *ex, struct http_exchange *by)
{
    assert(ex->connection->ex == ex && (!by || by->connection == ex->connection));
    ex->connection->ex = by;
    if (by)
        by->res.close = h1_is_last(by);
}

static bool send_interim(struct http_exchange *ex, int status, struct slice reason,
                         const struct http_header *fields, int count)
{
    /* The connection's own buffer goes before what is in the common one. */
    assert(status < 200 && ex->worker->driving != ex->connection && ex->sent.head == 0);
    if (ex->req.minor_version == 0)
        return true;
    struct buf *out = connection_own_output(ex->connection);
    bool ok = out &&
              buf_printf(out, "HTTP/1.1 %d %.*s\r\n", status, (int)reason.len, reason.len ? reason.data : "");
    for (int i = 0; ok && i < count; i++) {
        const struct http_header *h = &fields[i];
        ok = buf_append_slice(out, h->name) && buf_append(out, ": ", 2) &&
             (!h->value.len || buf_append_slice(out, h->value)) && buf_append(out, "\r\n", 2);
    }
    return ok && buf_append(out, "\r\n", 2);
}

static bool ask_for_body(struct http_exchange *ex)
{
    return !ex->req.expect_continue ||
           buf_append_slice(connection_output(ex->connection), SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
}

static void expect_of_client(struct http_exchange *ex, int64_t within_ms)
{
    connection_set_timer(ex->connection, within_ms);
}

static void make_last(struct http_exchange *ex, bool still_sends)
{
    ex->res.close = true;
    ex->connection->linger_after |= still_sends;
}

static bool has_left(struct http_exchange *ex)
{
    char byte;
    return net_stream_peek(&ex->connection->stream, &byte, 1) == 0;
}

static bool is_behind(const struct http_exchange *ex)
{
    return ex->connection->out != NULL;
}

static bool takes_trailers(const struct http_exchange *ex)
{
    return ex->req.minor_version > 0 && ex->route.settings->answers.chunked;
}

static struct slice sent_field(const struct http_exchange *ex, struct slice name)
{
    if (slice_eq_nocase(name, SLICE("connection")))
        return ex->res.status == 101 ? SLICE("upgrade")
               : ex->res.close       ? SLICE("close")
                                     : SLICE("keep-alive");
    if (slice_eq_nocase(name, SLICE("transfer_encoding")) && ex->res.chunked)
        return SLICE("chunked");
    return (struct slice){0};
}

static struct net_stream *hand_stream_over(struct http_exchange *ex, struct buf *early, bool *ended)
{
    struct connection *c = ex->connection;
    assert(c->state == CONNECTION_TUNNEL && c->ex == ex && !c->out && !c->rest);
    *ended = c->eof;
    if (c->in && !buf_append_slice(early, buf_slice(&c->in->buf)))
        return NULL;
    connection_drop_input(c);
    return &c->stream;
}

const struct client_protocol h1_protocol = {.go_on = make_ready,
                                            .reset = reset_client,
                                            .cut_off = cut_client_off,
                                            .replace = replace_request,
                                            .interim = send_interim,
                                            .respond = h1_respond,
                                            .data = h1_send_framed,
                                            .ask_for_body = ask_for_body,
                                            .drop_body = h1_drop_body,
                                            .expect = expect_of_client,
                                            .make_last = make_last,
                                            .has_left = has_left,
                                            .is_behind = is_behind,
                                            .takes_trailers = takes_trailers,
                                            .sent_field = sent_field,
                                            .hand_over = hand_stream_over};
