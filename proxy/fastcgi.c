/*
 * proxy/fastcgi.c - FastCGI to upstreams: a request as parameters and a stream, and a response that a script has written (RFC 3875).
 */
#include "proxy/protocol.h"

#include "base/buf.h"
#include "base/slice.h"
#include "http/request/cgi.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/site/site.h"
#include "proxy/script.h"

#include <assert.h>

/* --- the request --- */

static bool is_given(const void *with, struct slice name)
{
    const struct location_proxy *to = with;
    for (int i = 0; i < to->header_count; i++)
        if (slice_eq(to->headers[i].name, name))
            return true;
    return false;
}

/* "fastcgi_param HTTP_X '';" keeps a client's field back. */
static bool is_held_back(const struct proxy_header *h)
{
    return http_template_is_empty(h->value) && slice_starts(h->name, SLICE("HTTP_"));
}

static bool write_configured(struct http_exchange *ex, const struct location_proxy *to, struct buf *params)
{
    bool ok = true;
    for (int i = 0; ok && i < to->header_count; i++) {
        struct slice value = http_template_expand(to->headers[i].value, ex);
        if ((value.len || !to->headers[i].if_not_empty) && !is_held_back(&to->headers[i]))
            ok = fastcgi_write_pair(params, to->headers[i].name, value);
    }
    return ok;
}

static bool write_params(struct http_exchange *ex, const struct upstream_target *target, struct buf *out)
{
    struct buf params = {0};
    bool ok = write_configured(ex, target->to, &params) &&
              (!target->how->upstream.pass_request_headers ||
               cgi_write_fields(&ex->req, is_given, target->to, &params)) &&
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
                                                   .binds_process = true,
                                                   .write_request = fastcgi_write_request,
                                                   .write_body = fastcgi_write_body,
                                                   .unframe = fastcgi_read,
                                                   .on_end = fastcgi_on_end,
                                                   .read_head = fastcgi_read_head,
                                                   .begin_body = fastcgi_begin_body,
                                                   .decode = fastcgi_decode,
                                                   .on_close = fastcgi_on_close};
