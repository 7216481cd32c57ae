/*
 * proxy/http2_text.c - heads and bodies of HTTP/2 to upstreams as HTTP/1's text, and back.
 */
#include "proxy/http2.h"

#include "base/buf.h"
#include "base/slice.h"
#include "http/wire/grpc.h"
#include "http/wire/hop_by_hop.h"
#include "http/wire/request.h"

#include <assert.h>
#include <stdlib.h>

enum { FIELDS_MAX = 1024, HEAD_MAX_BYTES = 256 << 10 };

/* --- the request --- */

struct fields {
    nghttp2_nv list[FIELDS_MAX];
    size_t count;
};

static void add(struct fields *f, struct slice name, struct slice value)
{
    if (f->count == FIELDS_MAX)
        return;
    f->list[f->count++] =
        (nghttp2_nv){(uint8_t *)(uintptr_t)name.data, (uint8_t *)(uintptr_t)(value.len ? value.data : ""),
                     name.len, value.len, NGHTTP2_NV_FLAG_NONE};
}

/* The four pseudo-fields come first; :authority is known once all lines have been seen. */
enum { PSEUDO = 4, AUTHORITY = 3 };

static bool add_first_line(struct http2_stream *st, struct fields *f, struct slice line)
{
    const char *blank = memchr(line.data, ' ', line.len), *end = memrchr(line.data, ' ', line.len);
    if (!blank || end == blank)
        return false;
    struct slice method = {line.data, (size_t)(blank - line.data)};
    struct slice target = {blank + 1, (size_t)(end - blank) - 1};
    st->is_head = slice_eq(method, SLICE("HEAD"));
    add(f, SLICE(":method"), method);
    add(f, SLICE(":scheme"), net_tls_is_on(&st->h->uc->stream) ? SLICE("https") : SLICE("http"));
    add(f, SLICE(":path"), target);
    add(f, SLICE(":authority"), (struct slice){0});
    return true;
}

static void add_line(struct http2_stream *st, struct fields *f, const struct http_header *h)
{
    unsigned long long length;
    if (slice_eq_nocase(h->name, SLICE("Host"))) {
        f->list[AUTHORITY].value = (uint8_t *)(uintptr_t)h->value.data;
        f->list[AUTHORITY].valuelen = h->value.len;
        return;
    }
    st->is_chunked |= slice_eq_nocase(h->name, SLICE("Transfer-Encoding"));
    if (slice_eq_nocase(h->name, SLICE("Content-Length")) && slice_to_u64(h->value, INT64_MAX, &length))
        st->left = length;
    st->is_grpc |= slice_eq_nocase(h->name, SLICE("Content-Type")) && grpc_is_type(h->value);
    bool is_te = slice_eq_nocase(h->name, SLICE("TE"));
    if (!http_is_hop_by_hop(h->name) && (!is_te || slice_eq_nocase(h->value, SLICE("trailers"))))
        add(f, h->name, h->value);
}

/* Without Host there is no authority either. */
static void drop_empty_authority(struct fields *f)
{
    if (f->list[AUTHORITY].valuelen)
        return;
    f->count--;
    memmove(&f->list[AUTHORITY], &f->list[AUTHORITY + 1], (f->count - AUTHORITY) * sizeof f->list[0]);
}

bool http2_send_head(struct http2_stream *st, size_t head_len, nghttp2_data_source_read_callback give)
{
    static struct fields f;
    struct slice rest = {st->out.data + st->out.start, head_len};
    f.count = 0;
    for (bool first = true; rest.len > 2; first = false) {
        const char *end = memmem(rest.data, rest.len, "\r\n", 2);
        struct http_header h;
        assert(end);
        struct slice line = {rest.data, (size_t)(end - rest.data)};
        if (first ? !add_first_line(st, &f, line) : !http_parse_field(&h, line.data, end))
            return false;
        if (!first)
            add_line(st, &f, &h);
        rest = slice_from(rest, line.len + 2);
    }
    drop_empty_authority(&f);
    st->part = st->is_chunked || st->left ? HTTP2_BODY : HTTP2_ENDED;
    st->has_said_end = st->part == HTTP2_ENDED;
    nghttp2_data_provider body = {.source.ptr = st, .read_callback = give};
    st->id =
        nghttp2_submit_request(st->h->ng, NULL, f.list, f.count, st->part == HTTP2_BODY ? &body : NULL, st);
    return st->id > 0;
}

/* --- the response --- */

static bool put(struct http2_stream *st, struct slice s)
{
    return s.len == 0 || (buf_len(&st->in) + s.len <= HEAD_MAX_BYTES && buf_append_slice(&st->in, s));
}

static bool put_line(struct buf *to, struct slice name, struct slice value)
{
    return buf_len(to) + name.len + value.len < HEAD_MAX_BYTES && buf_append_slice(to, name) &&
           buf_append(to, ": ", 2) && (!value.len || buf_append_slice(to, value)) &&
           buf_append(to, "\r\n", 2);
}

bool http2_take_field(struct http2_stream *st, struct slice name, struct slice value, bool is_trailer)
{
    if (is_trailer)
        return name.data[0] == ':' || put_line(&st->trailers, name, value);
    if (slice_eq(name, SLICE(":status"))) {
        st->has_head = value.len == 3 && value.data[0] != '1';
        st->no_body = st->is_head || slice_eq(value, SLICE("204")) || slice_eq(value, SLICE("304"));
        st->chunks = st->has_head && !st->no_body;
        return put(st, SLICE("HTTP/1.1 ")) && put(st, value) && put(st, SLICE(" \r\n"));
    }
    if (name.data[0] == ':')
        return true;
    unsigned long long length;
    bool is_length = slice_eq(name, SLICE("content-length"));
    if (is_length && st->is_grpc && st->chunks)
        return true;
    if (is_length && slice_to_u64(value, INT64_MAX, &length)) {
        st->chunks = false;
        st->expected = length;
    }
    return put_line(&st->in, name, value);
}

bool http2_take_head_end(struct http2_stream *st)
{
    return (!st->chunks || put(st, SLICE("transfer-encoding: chunked\r\n"))) && put(st, SLICE("\r\n"));
}

bool http2_take_body(struct http2_stream *st, struct slice part)
{
    if (!st->has_head || part.len == 0)
        return true;
    st->expected -= part.len < st->expected ? part.len : st->expected;
    if (!st->chunks)
        return buf_append_slice(&st->in, part);
    return buf_printf(&st->in, "%zx\r\n", part.len) && buf_append_slice(&st->in, part) &&
           buf_append(&st->in, "\r\n", 2);
}

bool http2_take_end(struct http2_stream *st)
{
    if (!st->chunks)
        return true;
    return buf_append(&st->in, "0\r\n", 3) &&
           (buf_len(&st->trailers) == 0 || buf_append_slice(&st->in, buf_slice(&st->trailers))) &&
           buf_append(&st->in, "\r\n", 2);
}
