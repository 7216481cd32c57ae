/*
 * http/filters/ranges.c - cutting ranges out of an answer's body (RFC 9110 section 14).
 *
 * It comes after what the configuration adds and after the filters, as in nginx: add_header speaks of the whole, and what a filter
 * changes has no ranges.
 */
#include "http/filters/filters.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/slice.h"
#include "conf/settings.h"
#include "http/wire/range.h"
#include "http/wire/request.h"
#include "http/wire/response.h"

static struct slice content_range(struct http_exchange *ex, const struct http_range *r, uint64_t size)
{
    return arena_printf(&ex->arena, "bytes %llu-%llu/%llu", (unsigned long long)r->first,
                        (unsigned long long)r->last, (unsigned long long)size);
}

static bool add_range(struct http_exchange *ex, const struct http_piece *whole, const struct http_range *r)
{
    uint64_t len = r->last - r->first + 1;
    if (whole->fd < 0)
        return http_add_memory(&ex->res, &ex->arena, whole->data + r->first, (size_t)len);
    if (!http_add_file(&ex->res, &ex->arena, whole->fd, whole->offset + (off_t)r->first, len))
        return false;
    ex->res.last_piece->leaves_cache = whole->leaves_cache;
    return true;
}

/* multipart/byteranges (section 14.6). */
static bool add_multipart(struct http_exchange *ex, const struct http_piece *whole,
                          const struct http_range *ranges, int count)
{
    static unsigned serial;
    struct slice boundary =
        arena_printf(&ex->arena, "%08x%012llx", ++serial, (unsigned long long)*ex->now_ms);
    struct slice type = ex->res.content_type;
    if (!boundary.data)
        return false;
    for (int i = 0; i < count; i++) {
        struct slice range = content_range(ex, &ranges[i], whole->len);
        struct slice head =
            arena_printf(&ex->arena, "\r\n--%s\r\nContent-Type: %.*s\r\nContent-Range: %.*s\r\n\r\n",
                         boundary.data, SLICE_ARGS(type), SLICE_ARGS(range));
        if (!range.data || !head.data || !http_add_memory(&ex->res, &ex->arena, head.data, head.len) ||
            !add_range(ex, whole, &ranges[i]))
            return false;
    }
    struct slice tail = arena_printf(&ex->arena, "\r\n--%s--\r\n", boundary.data);
    ex->res.content_type = arena_printf(&ex->arena, "multipart/byteranges; boundary=%s", boundary.data);
    return tail.data && ex->res.content_type.data &&
           http_add_memory(&ex->res, &ex->arena, tail.data, tail.len);
}

/* How many ranges a client may have asked for, within the bound. */
static int count_ranges(struct slice value, int64_t most)
{
    int64_t commas = 0;
    for (size_t i = 0; i < value.len; i++)
        commas += value.data[i] == ',';
    return (int)(commas + 1 < most ? commas + 1 : most);
}

static int refuse(struct http_exchange *ex, uint64_t size)
{
    struct slice all = arena_printf(&ex->arena, "bytes */%llu", (unsigned long long)size);
    return all.data && http_add_header(&ex->res, &ex->arena, SLICE("Content-Range"), all) ? 416 : 500;
}

static int cut(struct http_exchange *ex, const struct http_piece *whole, const struct http_range *ranges,
               int count)
{
    struct http_response *res = &ex->res;
    res->status = 206;
    res->reason = (struct slice){0};
    res->accept_ranges = false;
    res->body = res->last_piece = NULL;
    res->content_length = 0;
    if (count > 1)
        return add_multipart(ex, whole, ranges, count) ? 0 : 500;
    struct slice said = content_range(ex, &ranges[0], whole->len);
    return said.data && http_add_header(res, &ex->arena, SLICE("Content-Range"), said) &&
                   add_range(ex, whole, &ranges[0])
               ? 0
               : 500;
}

/* Validators as they will be sent are what If-Range is held against. Nothing has no ranges: an empty file is sent, as in nginx. */
static bool is_wanted(const struct http_exchange *ex)
{
    const struct http_response *res = &ex->res;
    return res->accept_ranges && res->body && res->status == 200 && ex->req.method == HTTP_GET &&
           http_if_range_matches(&ex->req, res->etag, clock_parse_http_date(res->last_modified));
}

int ranges_cut(struct http_exchange *ex)
{
    const struct slice *value = http_find_header(&ex->req, SLICE("Range"));
    if (!value || !is_wanted(ex))
        return 0;
    const struct http_piece *whole = ex->res.body;
    int count, most = count_ranges(*value, ex->route.settings->files.max_ranges);
    struct http_range *ranges = arena_alloc(&ex->arena, (size_t)most * sizeof *ranges);
    if (!ranges)
        return 500;
    switch (http_parse_ranges(*value, whole->len, ranges, most, &count)) {
    case HTTP_RANGES_IGNORE:
        return 0;
    case HTTP_RANGES_UNSATISFIABLE:
        return refuse(ex, whole->len);
    default:
        return cut(ex, whole, ranges, count);
    }
}
