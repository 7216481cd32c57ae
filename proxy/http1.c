/*
 * proxy/http1.c - HTTP/1 to upstreams: a request as its upstream sees it, and the response's framing.
 */
#include "proxy/protocol.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/site/site.h"
#include "http/wire/grpc.h"
#include "http/wire/hop_by_hop.h"
#include "http/wire/request.h"
#include "http/wire/uri.h"

#include <assert.h>

/* Headers that are ours to say: framing, and what is between two neighbours only (RFC 9110 section 7.6.1). */
static bool is_ours(struct slice name)
{
    static const char *const names[] = {
        "Host", "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding",
        "TE",   "Expect",     "Upgrade",    "Trailer",          "Content-Length"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_eq_nocase(name, slice_of(names[i])))
            return true;
    return false;
}

/* What the client's Connection header names is between it and us. */
static bool is_named_by_clients_connection(const struct http_request *req, struct slice name)
{
    for (int i = 0; i < req->header_count; i++) {
        struct slice list = req->headers[i].value, option;
        if (!slice_eq_nocase(req->headers[i].name, SLICE("Connection")))
            continue;
        while (slice_next_in_list(&list, &option))
            if (slice_eq_nocase(option, name))
                return true;
    }
    return false;
}

static bool is_replaced(const struct location_proxy *to, struct slice name)
{
    for (int i = 0; i < to->header_count; i++)
        if (slice_eq_nocase(to->headers[i].name, name))
            return true;
    return false;
}

static bool append_line(struct buf *out, struct slice name, struct slice value)
{
    return buf_append_slice(out, name) && buf_append(out, ": ", 2) &&
           (!value.len || buf_append_slice(out, value)) && buf_append(out, "\r\n", 2);
}

enum { URI_PARTS = 4 };

/* data NULL: out of memory. */
static struct slice http1_join(struct arena *arena, const struct slice parts[URI_PARTS])
{
    size_t len = 0, at = 0;
    for (int i = 0; i < URI_PARTS; i++)
        len += parts[i].len;
    char *text = arena_alloc(arena, len + 1);
    for (int i = 0; text && i < URI_PARTS; at += parts[i++].len)
        memcpy(text + at, parts[i].data, parts[i].len);
    return (struct slice){text, len};
}

/*
 * The path by proxy_pass's rules: with a URI it takes the place of the location's part; else the client's stays as it is. data
 * NULL: out of memory.
 */
static struct slice http1_uri_of(struct http_exchange *ex, const struct upstream_target *target)
{
    const struct location_proxy *to = target->to;
    bool replace = target->uri.data && !ex->route.path_is_final;
    if (to->target && target->uri.data) /* variables have made all of it */
        return target->uri;
    if (!replace && !ex->route.rewritten)
        return ex->req.uri;
    struct slice rest =
        replace ? slice_from(ex->req.path, to->strip < ex->req.path.len ? to->strip : ex->req.path.len)
                : ex->req.path;
    struct slice before = replace ? target->uri : SLICE("");
    struct slice path = rest.len ? http_encode_path(&ex->arena, rest) : SLICE("");
    struct slice mark = ex->req.args.len ? SLICE("?") : SLICE("");
    struct slice args = ex->req.args.len ? ex->req.args : SLICE("");
    return path.data ? http1_join(&ex->arena, (struct slice[URI_PARTS]){before, path, mark, args}) : path;
}

/* A text with variables may hold what a client has made of it: a blank in it would end the target. */
static bool is_one_target(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] <= ' ' || text.data[i] == 127)
            return false;
    return true;
}

static bool says_close(struct slice options)
{
    struct slice option;
    while (slice_next_in_list(&options, &option))
        if (slice_eq_nocase(option, SLICE("close")))
            return true;
    return false;
}

/* 0, or a status for the client. An empty value leaves the field out, but for what HTTP/1.1 cannot do without. */
static int append_configured(struct http_exchange *ex, const struct upstream_target *target, struct buf *out,
                             struct upstream_request *written)
{
    const struct location_proxy *to = target->to;
    for (int i = 0; i < to->header_count; i++) {
        struct slice name = to->headers[i].name, value = http_template_expand(to->headers[i].value, ex);
        if (value.len == 0 && target->how->http_version && slice_eq_nocase(name, SLICE("Host")))
            value = target->host; /* RFC 9112 section 3.2 */
        if (value.len == 0 || slice_eq_nocase(name, SLICE("Content-Length")) ||
            slice_eq_nocase(name, SLICE("Transfer-Encoding")))
            continue; /* the framing is ours to say */
        if (!http_make_field_value(&ex->arena, &value)) {
            /* It may hold what a client has made of it: a line end in it would be a header of the client's. */
            http_log(ex, LOG_LEVEL_ERROR,
                     "the value of \"%s_set_header %.*s\" has a control character; request refused",
                     conf_pass_prefix(to->kind), SLICE_ARGS(name));
            return 400;
        }
        written->asks_upgrade |= !ex->client.no_upgrade && target->how->http_version != PROXY_HTTP_2 &&
                                 slice_eq_nocase(name, SLICE("Upgrade"));
        written->is_last |= slice_eq_nocase(name, SLICE("Connection")) && says_close(value);
        if (!append_line(out, name, value))
            return 500;
    }
    return 0;
}

static bool append_clients(const struct http_exchange *ex, const struct upstream_target *target,
                           struct buf *out)
{
    const struct location_proxy *to = target->to;
    bool ok = true, ids = target->how->request_ids, has_deadline = target->left_ms > 0;
    for (int i = 0; ok && i < ex->req.header_count; i++) {
        const struct http_header *h = &ex->req.headers[i];
        if (ids && (slice_eq_nocase(h->name, SLICE("X-Request-ID")) ||
                    slice_eq_nocase(h->name, SLICE("traceparent"))))
            continue;
        if (has_deadline && slice_eq_nocase(h->name, SLICE("grpc-timeout")))
            continue;
        if (!is_ours(h->name) && !is_replaced(to, h->name) &&
            !is_named_by_clients_connection(&ex->req, h->name))
            ok = append_line(out, h->name, h->value);
    }
    return ok;
}

/* X-Request-ID, and traceparent (W3C Trace Context), for requests that have none yet. */
static bool append_ids(struct http_exchange *ex, const struct location_proxy *to, struct buf *out)
{
    static const struct slice id_name = {"X-Request-ID", 12}, trace_name = {"traceparent", 11};
    bool ok = true;
    /* The client's own id goes on, where it can do no harm. */
    if (!is_replaced(to, id_name))
        ok = append_line(out, id_name, http_request_id(ex));
    if (ok && !is_replaced(to, trace_name))
        ok = append_line(out, trace_name, http_traceparent(ex));
    return ok;
}

static bool append_framing(const struct http_exchange *ex, bool chunked, bool own_body, uint64_t length,
                           struct buf *out)
{
    if (chunked)
        return buf_append(out, "Transfer-Encoding: chunked\r\n", 28);
    if (!own_body && !length && ex->req.framing == HTTP_BODY_NONE)
        return true;
    return buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)length);
}

static struct slice method_of(struct http_exchange *ex, const struct location_proxy *to)
{
    if (to->method) {
        struct slice method = http_template_expand(to->method, ex);
        return http_is_token(method) ? method : ex->req.method_name;
    }
    return ex->req.method_name;
}

static bool append_request_line(struct http_exchange *ex, const struct upstream_target *target,
                                struct buf *out, struct upstream_request *written)
{
    struct slice method = method_of(ex, target->to);
    written->uri = http1_uri_of(ex, target);
    written->head_only = slice_eq(method, SLICE("HEAD"));
    return written->uri.data && buf_append_slice(out, method) && buf_append(out, " ", 1) &&
           buf_append_slice(out, written->uri) &&
           buf_append(out, target->how->http_version ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n", 11);
}

/* What gRPC's servers look for, and how long they have: what its client has said, less the time that has passed. */
static bool append_grpcs(const struct http_exchange *ex, const struct upstream_target *target,
                         struct buf *out)
{
    static const struct slice te = {"TE", 2}, timeout = {"grpc-timeout", 12};
    char text[GRPC_TIMEOUT_BYTES];
    bool trailers = !is_replaced(target->to, te) && http_accepts_trailers(&ex->req);
    bool deadline = target->left_ms > 0 && !is_replaced(target->to, timeout);
    return (!trailers || append_line(out, te, SLICE("trailers"))) &&
           (!deadline || append_line(out, timeout, grpc_print_timeout(text, target->left_ms)));
}

/* What the configuration does not say otherwise; behind that, as in nginx. */
static bool append_defaults(const struct upstream_target *target, struct buf *out)
{
    return (target->to->sets_host || append_line(out, SLICE("Host"), target->host)) &&
           (target->how->http_version || is_replaced(target->to, SLICE("Connection")) ||
            append_line(out, SLICE("Connection"), SLICE("close")));
}

/* What of the body goes with the head. What is in a file is sent from there, what is still to come when it comes. */
static struct slice body_at_once(struct http_exchange *ex, const struct upstream_target *target,
                                 uint64_t *length)
{
    struct slice none = {0};
    *length = 0;
    if (!target->to->body && !target->how->upstream.pass_request_body)
        return none;
    if (!target->to->body && !ex->body.whole) {
        *length = ex->req.content_length;
        return none;
    }
    if (!target->to->body && ex->body.kept.fd >= 0) {
        *length = ex->body.len;
        return none;
    }
    struct slice body =
        target->to->body ? http_template_expand(target->to->body, ex) : buf_slice(&ex->body.kept.memory);
    *length = body.len;
    return body;
}

static int http1_write_request(struct http_exchange *ex, const struct upstream_target *target,
                               struct buf *out, struct upstream_request *written)
{
    const struct proxy_settings *how = target->how;
    const struct location_proxy *to = target->to;
    uint64_t length;
    struct slice body = body_at_once(ex, target, &length);
    *written = (struct upstream_request){.chunked = target->streams && ex->req.framing == HTTP_BODY_CHUNKED,
                                         .is_last = !how->http_version};
    if (!is_one_target(target->uri) || !is_one_target(ex->req.args)) {
        http_log(ex, LOG_LEVEL_ERROR,
                 "the target for the upstream has a blank or a control character; request refused");
        return 400;
    }
    if (!append_request_line(ex, target, out, written))
        return 500;
    int status = append_configured(ex, target, out, written);
    if (status)
        return status;
    bool ok = append_defaults(target, out) &&
              append_framing(ex, written->chunked, to->body != NULL, length, out) &&
              (!how->upstream.pass_request_headers || append_clients(ex, target, out)) &&
              (to->kind != CONF_PASS_GRPC || append_grpcs(ex, target, out)) &&
              (!how->request_ids || append_ids(ex, to, out)) && buf_append(out, "\r\n", 2) &&
              (!body.len || buf_append_slice(out, body));
    return ok ? 0 : 500;
}

static bool http1_write_body(const struct upstream_request *written, struct slice part, bool is_last,
                             struct buf *out)
{
    if (!written->chunked)
        return !part.len || buf_append_slice(out, part);
    return (!part.len || (buf_printf(out, "%zx\r\n", part.len) && buf_append_slice(out, part) &&
                          buf_append(out, "\r\n", 2))) &&
           (!is_last || buf_append(out, "0\r\n\r\n", 5));
}

/* --- the response --- */

static enum http_response_head_result http1_read_head(const struct upstream_request *written,
                                                      struct http_response_head *head, const char *data,
                                                      size_t len, size_t *head_len, const char **why)
{
    return http_parse_response_head(head, data, len, written->head_only, head_len, why);
}

static void http1_begin_body(struct upstream_body *body, const struct http_response_head *head)
{
    *body = (struct upstream_body){
        .framing = head->framing, .left = head->content_length, .may_keep = head->keepalive};
    body->chunked.trailers = &body->trailers;
    body->chunked.any_extensions = true; /* ours go no further */
    body->is_whole =
        head->framing == HTTP_RESPONSE_EMPTY || (head->framing == HTTP_RESPONSE_LENGTH && body->left == 0);
}

static bool http1_decode(struct upstream_body *body, char *data, size_t len, size_t *body_len,
                         const char **why)
{
    size_t used = len;
    *body_len = body->is_whole ? 0 : len;
    if (body->is_whole) {
        used = 0;
    } else if (body->framing == HTTP_RESPONSE_CHUNKED) {
        enum http_chunked_result result = http_chunked_decode(&body->chunked, data, len, body_len, &used);
        if (result == HTTP_CHUNKED_ERROR) {
            *why = "upstream sent invalid chunked response";
            return false;
        }
        body->is_whole = result == HTTP_CHUNKED_DONE;
    } else if (body->framing == HTTP_RESPONSE_LENGTH) {
        if (*body_len > body->left)
            *body_len = (size_t)body->left;
        used = *body_len;
        body->left -= used;
        body->is_whole = body->left == 0;
    }
    body->seen += *body_len;
    body->may_keep &= used == len;
    assert(*body_len <= len);
    return true;
}

static void http1_on_close(struct upstream_body *body)
{
    body->may_keep = false;
    body->is_whole |= body->framing == HTTP_RESPONSE_UNTIL_CLOSE;
}

const struct upstream_protocol upstream_http1 = {.name = "HTTP/1",
                                                 .write_request = http1_write_request,
                                                 .write_body = http1_write_body,
                                                 .read_head = http1_read_head,
                                                 .begin_body = http1_begin_body,
                                                 .decode = http1_decode,
                                                 .on_close = http1_on_close};
