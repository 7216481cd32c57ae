/*
 * proxy/fastcgi.c - FastCGI to upstreams: a request as parameters and a stream, and a response that a script has written (RFC 3875).
 */
#include "proxy/protocol.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/site/site.h"
#include "proxy/script.h"

#include <assert.h>

/* --- the request --- */

static bool is_given(const struct location_proxy *to, struct slice name)
{
    for (int i = 0; i < to->header_count; i++)
        if (slice_eq(to->headers[i].name, name))
            return true;
    return false;
}

static bool write_configured(struct http_exchange *ex, const struct location_proxy *to, struct buf *params)
{
    bool ok = true;
    for (int i = 0; ok && i < to->header_count; i++) {
        struct slice value = http_template_expand(to->headers[i].value, ex);
        if (value.len || !to->headers[i].if_not_empty)
            ok = fastcgi_write_pair(params, to->headers[i].name, value);
    }
    return ok;
}

/* "HTTP_" and the field's name in capitals, with "_" for "-" (RFC 3875 section 4.1.18). data NULL: out of memory. */
static struct slice param_name(struct arena *arena, struct slice field)
{
    static const char prefix[] = "HTTP_";
    size_t len = sizeof prefix - 1 + field.len;
    char *name = arena_alloc(arena, len + 1);
    if (!name)
        return (struct slice){0};
    memcpy(name, prefix, sizeof prefix - 1);
    for (size_t i = 0; i < field.len; i++) {
        char c = field.data[i];
        name[sizeof prefix - 1 + i] = c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    return (struct slice){name, len};
}

static bool has_come_before(const struct http_request *req, int at)
{
    for (int i = 0; i < at; i++)
        if (slice_eq_nocase(req->headers[i].name, req->headers[at].name))
            return true;
    return false;
}

/* Of all fields of that name, from the first one on: one value (RFC 3875 section 4.1.18). data NULL: out of memory. */
static struct slice joined_value(struct http_exchange *ex, int first)
{
    const struct http_header *h = ex->req.headers;
    const char *between = slice_eq_nocase(h[first].name, SLICE("Cookie")) ? "; " : ", ";
    struct slice all = h[first].value.len ? h[first].value : SLICE("");
    for (int i = first + 1; all.data && i < ex->req.header_count; i++)
        if (slice_eq_nocase(h[i].name, h[first].name))
            all = arena_printf(&ex->arena, "%.*s%s%.*s", SLICE_ARGS(all), between, SLICE_ARGS(h[i].value));
    return all;
}

static bool write_clients(struct http_exchange *ex, const struct location_proxy *to, struct buf *params)
{
    bool ok = true;
    for (int i = 0; ok && i < ex->req.header_count; i++) {
        struct slice field = ex->req.headers[i].name;
        /* Programs take HTTP_PROXY for where they are to send requests of their own (CVE-2016-5385). */
        if (slice_eq_nocase(field, SLICE("Proxy")) || has_come_before(&ex->req, i))
            continue;
        struct slice name = param_name(&ex->arena, field);
        if (name.data && is_given(to, name))
            continue;
        struct slice value = joined_value(ex, i);
        ok = name.data && value.data && fastcgi_write_pair(params, name, value);
    }
    return ok;
}

static bool write_params(struct http_exchange *ex, const struct upstream_target *target, struct buf *out)
{
    struct buf params = {0};
    bool ok = write_configured(ex, target->to, &params) &&
              (!target->how->upstream.pass_request_headers || write_clients(ex, target->to, &params)) &&
              fastcgi_write_stream(out, FASTCGI_PARAMS, buf_slice(&params)) &&
              fastcgi_write_end(out, FASTCGI_PARAMS);
    buf_free(&params);
    return ok;
}

static bool fastcgi_write_body(const struct upstream_request *written, struct slice part, bool is_last,
                               struct buf *out)
{
    (void)written;
    return fastcgi_write_stream(out, FASTCGI_STDIN, part) &&
           (!is_last || fastcgi_write_end(out, FASTCGI_STDIN));
}

static int fastcgi_write_request(struct http_exchange *ex, const struct upstream_target *target,
                                 struct buf *out, struct upstream_request *written)
{
    bool keep = fastcgi_keeps(ex->route.settings);
    bool is_passed = target->how->upstream.pass_request_body;
    /* What is in a file comes from there, and what is still to come when it comes. */
    bool comes_later = is_passed && (target->streams || ex->body.kept.fd >= 0);
    struct slice body = is_passed && !comes_later ? buf_slice(&ex->body.kept.memory) : SLICE("");
    *written = (struct upstream_request){
        .uri = SLICE(""), .head_only = ex->req.method == HTTP_HEAD, .is_last = !keep};
    bool ok = fastcgi_write_begin(out, keep) && write_params(ex, target, out) &&
              (comes_later || fastcgi_write_body(written, body, true, out));
    return ok ? 0 : 500;
}

/* --- the response --- */

static enum http_response_head_result fastcgi_read_head(const struct upstream_request *written,
                                                        struct http_response_head *head, const char *data,
                                                        size_t len, size_t *head_len, const char **why)
{
    return http_parse_cgi_head(head, data, len, written->head_only, head_len, why);
}

static void fastcgi_begin_body(struct upstream_body *body, const struct http_response_head *head)
{
    *body = (struct upstream_body){.framing = head->framing, .left = head->content_length, .may_keep = true};
    body->is_whole = head->framing == HTTP_RESPONSE_EMPTY;
}

/* It is the application that ends a body; what is more than it has announced goes no further. */
static bool fastcgi_decode(struct upstream_body *body, char *data, size_t len, size_t *body_len,
                           const char **why)
{
    (void)data;
    (void)why;
    bool is_bounded = body->framing == HTTP_RESPONSE_LENGTH;
    *body_len = body->is_whole ? 0 : is_bounded && (uint64_t)len > body->left ? (size_t)body->left : len;
    body->left -= is_bounded ? *body_len : 0;
    body->seen += *body_len;
    body->may_keep &= *body_len == len;
    return true;
}

static void fastcgi_on_end(const struct upstream_request *written, const struct fastcgi_reader *frames,
                           struct upstream_body *body)
{
    bool is_over = frames->is_over || (frames->output_is_over && written->is_last);
    body->is_whole |= is_over && (body->framing != HTTP_RESPONSE_LENGTH || body->left == 0);
    if (body->is_whole)
        body->may_keep &= frames->is_over && !frames->has_surplus && !written->is_last;
}

/* Only the application says where a body ends. */
static void fastcgi_on_close(struct upstream_body *body)
{
    body->may_keep = false;
}

const struct upstream_protocol upstream_fastcgi = {.name = "FastCGI",
                                                   .write_request = fastcgi_write_request,
                                                   .write_body = fastcgi_write_body,
                                                   .unframe = fastcgi_read,
                                                   .on_end = fastcgi_on_end,
                                                   .read_head = fastcgi_read_head,
                                                   .begin_body = fastcgi_begin_body,
                                                   .decode = fastcgi_decode,
                                                   .on_close = fastcgi_on_close};
