/*
 * worker/proxy_request.c - a request as its upstream sees it.
 */
#include "http/chars.h"
#include "http/uri.h"
#include "worker/proxy.h"

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
static bool is_named_by_connection(const struct http_request *req, struct slice name)
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

/* The path by proxy_pass's rules: with a URI it takes the place of the location's part; else the client's stays as it is. */
static bool append_target(struct http_exchange *ex, const struct location_proxy *to, struct buf *out)
{
    if (!to->uri.data && ex->internal_redirects == 0 && !ex->in_error_page)
        return buf_append_slice(out, ex->req.uri);
    struct slice rest =
        to->uri.data ? slice_from(ex->req.path, to->strip < ex->req.path.len ? to->strip : ex->req.path.len)
                     : ex->req.path;
    struct slice path = rest.len ? http_encode_path(&ex->arena, rest) : rest;
    bool ok = (!to->uri.data || buf_append_slice(out, to->uri)) &&
              (!rest.len || (path.data && buf_append_slice(out, path)));
    if (ok && ex->req.args.len)
        ok = buf_append(out, "?", 1) && buf_append_slice(out, ex->req.args);
    return ok;
}

/* A text with variables may hold what a client has made of it: a line end in it would be a header of the client's. */
static bool is_field_value(struct slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (!char_is(value.data[i], CHAR_FIELD))
            return false;
    return true;
}

/* 0, or a status for the client. */
static int append_configured(struct http_exchange *ex, const struct location_proxy *to, struct buf *out)
{
    for (int i = 0; i < to->header_count; i++) {
        struct slice name = to->headers[i].name, value = http_template_expand(to->headers[i].value, ex);
        if (value.len == 0 || slice_eq_nocase(name, SLICE("Content-Length")) ||
            slice_eq_nocase(name, SLICE("Transfer-Encoding")))
            continue; /* the framing is ours to say */
        if (!is_field_value(value)) {
            http_log(ex, LOG_LEVEL_ERROR,
                     "the value of \"proxy_set_header %.*s\" has a control character; request refused",
                     SLICE_ARGS(name));
            return 400;
        }
        if (!append_line(out, name, value))
            return 500;
    }
    return 0;
}

static bool append_clients(const struct http_exchange *ex, const struct location_proxy *to, struct buf *out)
{
    bool ok = true;
    for (int i = 0; ok && i < ex->req.header_count; i++) {
        const struct http_header *h = &ex->req.headers[i];
        if (!is_ours(h->name) && !is_replaced(to, h->name) && !is_named_by_connection(&ex->req, h->name))
            ok = append_line(out, h->name, h->value);
    }
    return ok;
}

int proxy_build_request(struct http_exchange *ex, const struct location *l, struct buf *out)
{
    struct slice body = {0}; /* what is in a file is sent from there */
    if (ex->body_fd < 0)
        body = buf_slice(&ex->body);
    uint64_t length = ex->body_fd >= 0 ? ex->body_len : body.len;
    struct slice method = ex->req.method_name;
    if (ex->in_error_page && ex->req.method == HTTP_GET)
        method = SLICE("GET"); /* whatever the request was */
    bool ok = buf_append_slice(out, method) && buf_append(out, " ", 1) && append_target(ex, l->proxy, out) &&
              buf_append(out, " HTTP/1.1\r\n", 11) &&
              (l->proxy->sets_host || append_line(out, SLICE("Host"), l->proxy->host));
    int status = ok ? append_configured(ex, l->proxy, out) : 500;
    if (status)
        return status;
    ok = append_clients(ex, l->proxy, out);
    if (ok && (length || ex->req.framing != HTTP_BODY_NONE))
        ok = buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)length);
    ok = ok && buf_append(out, "\r\n", 2) && (!body.len || buf_append_slice(out, body));
    return ok ? 0 : 500;
}
