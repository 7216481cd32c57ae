/*
 * http/h1/input.c - what clients send: the PROXY protocol's header, heads, bodies, and what is kept for later.
 *
 * Input is read into one buffer of the worker; only what cannot be used yet gets memory of its own. So an idle connection
 * holds no buffer.
 */
#include "http/h1/input.h"

#include "base/buf.h"
#include "base/log.h"
#include "http/client/output.h"
#include "http/client/preface.h"
#include "http/client/proxy_header.h"
#include "http/h1/body.h"
#include "http/h1/head.h"
#include "http/h1/state.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/request/verdict.h"
#include "http/serve/serve.h"
#include "http/wire/request.h"
#include "net/address.h"
#include "net/proxy_protocol.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHOWN_ERROR_BYTES = 128 };

static void drop_front(struct h1_input *in, size_t len)
{
    assert(len <= in->len);
    in->data += len;
    in->len -= len;
}

static bool use_proxy_header(struct connection *c, struct h1_input *in)
{
    size_t used = 0;
    bool taken = connection_take_proxy_header(c, in->data, in->len, &used);
    if (taken)
        drop_front(in, used);
    return taken;
}

/* VERDICT_GONE: there is no request, as the connection is closed. */
static void serve_begun(struct connection *c, struct verdict v)
{
    assert(v.kind == VERDICT_GONE ? c->dead : c->ex != NULL);
    if (v.kind != VERDICT_GONE)
        request_serve(c->ex, v);
}

/* Looks for a head in the input. False when more is needed. */
static bool use_request_head(struct connection *c, struct h1_input *in)
{
    struct http_head_limits limits = connection_head_limits(c);
    struct http_error error;
    size_t head_len = 0;
    assert(connection_is_between(c) && !c->rest && !c->close_after);
    switch (http_scan_head(in->scan, &limits, in->data, in->len, &head_len, &error)) {
    case HTTP_SCAN_ERROR:
        serve_begun(c, h1_refuse(c, (struct slice){in->data, in->len}, in->scan->line_start, &error));
        in->len = 0;
        return true;
    case HTTP_SCAN_MORE:
        return false;
    default:
        break;
    }
    /* Empty lines before a head are nothing. */
    if (head_len > 2)
        serve_begun(c, h1_start(c, (struct slice){in->data, head_len}));
    /* The input may have been the connection's. */
    if (c->dead)
        return false;
    *in->scan = (struct http_scan){0};
    drop_front(in, head_len);
    return true;
}

/* Where the request was with a handler, a copy takes its place, or nothing. */
static void refuse_passing_body(struct connection *c, int error)
{
    struct http_exchange *ex = c->ex;
    c->linger_after = true;
    ex->source->stop(ex);
    ex = c->ex;
    if (!ex) {
        connection_close(c);
        return;
    }
    ex->res.close = true;
    request_serve(ex, verdict_answer(error));
}

/* A body that goes to an upstream or a handler while it comes. */
static bool use_passing_body(struct connection *c, struct h1_input *in)
{
    struct http_exchange *ex = c->ex;
    bool done = false;
    int error = 0;
    if (ex->source->body_is_full(ex))
        return false;
    size_t n = h1_take_body(ex, in->data, in->len, &done, &error);
    drop_front(in, n);
    if (error) {
        in->len = 0;
        refuse_passing_body(c, error);
        return true;
    }
    ex->body.whole = done;
    ex->source->body_came(ex, done);
    return in->len > 0;
}

static bool use_body(struct connection *c, struct h1_input *in)
{
    bool done = false;
    int error = 0;
    size_t n = h1_take_body(c->ex, in->data, in->len, &done, &error);
    drop_front(in, n);
    if (error) {
        in->len = 0;
        c->ex->res.close = c->linger_after = true;
        request_serve(c->ex, verdict_answer(error));
    } else if (done) {
        c->ex->body.whole = true;
        request_serve(c->ex, verdict_of(VERDICT_AGAIN));
    } else {
        connection_set_timer(c, connection_settings(c)->client.body_timeout_ms);
    }
    return error || done;
}

struct h1_input h1_kept_input(struct connection *c, struct http_scan *fresh)
{
    if (!c->in)
        return (struct h1_input){.scan = fresh};
    struct buf *b = &c->in->buf;
    return (struct h1_input){b->data + b->start, buf_len(b), &c->in->scan};
}

bool h1_use_input(struct connection *c, struct h1_input *in)
{
    if (c->dead || in->len == 0)
        return false;
    assert(connection_worker(c)->driving == c && c->state != CONNECTION_LINGER);
    if (c->rest) {
        size_t n = h1_skip_body(c, in->data, in->len);
        drop_front(in, n);
        return in->len > 0;
    }
    if (h1_output_waits(c))
        return false;
    if (connection_is_between(c) && c->listener->listen->proxy_protocol && !c->told)
        return use_proxy_header(c, in);
    if (connection_is_between(c) && c->requests == 0) {
        enum preface says = connection_preface(c, (struct slice){in->data, in->len});
        if (says == PREFACE_IS_HTTP2)
            c->version = connection_worker(c)->http2;
        if (says != PREFACE_NONE)
            return false;
    }
    if (connection_is_between(c))
        return use_request_head(c, in);
    if (h1_passes_body(c))
        return use_passing_body(c, in);
    return h1_request_is(c, REQUEST_BODY) && use_body(c, in);
}

bool h1_keep_input(struct connection *c, const struct h1_input *in)
{
    assert(!c->dead);
    if (c->in) {
        assert(in->len <= buf_len(&c->in->buf));
        /* What is left began to come now at the earliest. */
        if (in->len < buf_len(&c->in->buf))
            c->in->since_ms = connection_worker(c)->now_ms;
        buf_consume(&c->in->buf, buf_len(&c->in->buf) - in->len);
        if (in->len == 0)
            connection_drop_input(c);
        return true;
    }
    if (in->len == 0)
        return true;
    c->in = calloc(1, sizeof *c->in);
    if (!c->in)
        return false;
    const struct settings *s = c->listener->listen->default_server->top->settings;
    c->in->scan = *in->scan;
    c->in->since_ms = connection_worker(c)->now_ms;
    return buf_reserve(&c->in->buf, (size_t)s->client.header_buffer_bytes) &&
           buf_append(&c->in->buf, in->data, in->len);
}

bool h1_head_has_begun(const struct connection *c)
{
    struct slice in = c->in ? buf_slice(&c->in->buf) : (struct slice){0};
    size_t i = 0;
    while (i < in.len && (in.data[i] == '\r' || in.data[i] == '\n'))
        i++;
    return i < in.len;
}

void h1_end_head(struct connection *c, int status, const char *why)
{
    assert(connection_is_between(c) && !c->dead && !c->rest);
    if (!c->in || !h1_head_has_begun(c)) {
        connection_close(c);
        return;
    }
    struct slice head = buf_slice(&c->in->buf);
    if (c->listener->listen->proxy_protocol && !c->told) {
        connection_log_broken_header(c, head);
        connection_close(c);
        return;
    }
    h1_leave_unfinished(c, head, c->in->scan.line_start, status, why);
}

void h1_close_at_end(struct connection *c, int error)
{
    char why[SHOWN_ERROR_BYTES] = "client prematurely closed connection";
    assert(!c->dead);
    if (error)
        snprintf(why, sizeof why, "recv() failed (%d: %s)", error, strerror(error));
    if (connection_is_between(c) && !c->rest && !c->out) {
        h1_end_head(c, 400, why);
        return;
    }
    if (h1_request_is(c, REQUEST_BODY) || h1_passes_body(c))
        http_log(c->ex, LOG_LEVEL_INFO, "%s while reading client request body", why);
    connection_close(c);
}
