/*
 * http/h2/fields.c - heads that go out, as nghttp2 takes them.
 */
#include "http/h2/fields.h"

#include "base/arena.h"
#include "base/slice.h"
#include "http/request/exchange.h"
#include "http/wire/hop_by_hop.h"
#include "http/wire/response.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

enum { FIXED = 12 /* those that are not in the list */ };

static bool open_list(struct h2_fields *f, struct http_exchange *ex, size_t room)
{
    *f = (struct h2_fields){.list = arena_alloc(&ex->arena, room * sizeof *f->list), .room = room};
    return f->list != NULL;
}

static void add(struct h2_fields *f, struct slice name, struct slice value)
{
    assert(f->count < f->room);
    /* RFC 9113 section 8.2.1: no blank at either end. */
    value = slice_trim(value);
    f->list[f->count++] =
        (nghttp2_nv){(uint8_t *)(uintptr_t)name.data, (uint8_t *)(uintptr_t)(value.len ? value.data : ""),
                     name.len, value.len, NGHTTP2_NV_FLAG_NONE};
}

static bool add_number(struct h2_fields *f, struct arena *arena, struct slice name, uint64_t n)
{
    struct slice text = arena_number(arena, n);
    if (text.data)
        add(f, name, text);
    return text.data != NULL;
}

static void add_stamp(struct h2_fields *f, const struct http_exchange *ex)
{
    const struct http_response *res = &ex->res;
    struct slice server, date;
    http_stamp_values(&ex->worker->stamps[ex->route.settings->answers.server_tokens != 0], &server, &date);
    if (!res->without_server)
        add(f, SLICE("server"), server);
    if (!res->without_date)
        add(f, SLICE("date"), date);
}

static void add_header(struct h2_fields *f, const struct http_response *res,
                       const struct http_response_header *h)
{
    struct slice value = h->own == HTTP_OWN_LOCATION ? res->location
                         : h->own == HTTP_OWN_ETAG   ? res->etag
                         : h->own                    ? res->last_modified
                                                     : h->header.value;
    if ((!h->own || value.data) && !http_is_hop_by_hop(h->header.name))
        add(f, h->header.name, value);
}

static void add_list(struct h2_fields *f, const struct http_response *res)
{
    if (res->location.data && !res->location_is_made && !(res->placed & HTTP_OWN_LOCATION))
        add(f, SLICE("location"), res->location);
    if (res->etag.len && !(res->placed & HTTP_OWN_ETAG))
        add(f, SLICE("etag"), res->etag);
    for (const struct http_response_header *h = res->headers; h; h = h->next)
        add_header(f, res, h);
    if (res->accept_ranges)
        add(f, SLICE("accept-ranges"), SLICE("bytes"));
}

static size_t list_length(const struct http_response *res)
{
    size_t n = 0;
    for (const struct http_response_header *h = res->headers; h; h = h->next)
        n++;
    return n;
}

bool h2_fields_of_response(struct h2_fields *f, struct http_exchange *ex)
{
    const struct http_response *res = &ex->res;
    struct arena *arena = &ex->arena;
    if (!open_list(f, ex, FIXED + list_length(res)) ||
        !add_number(f, arena, SLICE(":status"), res->as_grpc ? 200 : (uint64_t)res->status))
        return false;
    add_stamp(f, ex);
    if (res->content_type.len)
        add(f, SLICE("content-type"), res->content_type);
    if (http_says_length(res) && !res->as_grpc &&
        !add_number(f, arena, SLICE("content-length"), (uint64_t)res->content_length))
        return false;
    if (res->last_modified.len && !(res->placed & HTTP_OWN_LAST_MODIFIED))
        add(f, SLICE("last-modified"), res->last_modified);
    if (res->location.data && res->location_is_made && !(res->placed & HTTP_OWN_LOCATION))
        add(f, SLICE("location"), res->location);
    if (res->varies_encoding)
        add(f, SLICE("vary"), SLICE("Accept-Encoding"));
    if (res->retry_after_s && !add_number(f, arena, SLICE("retry-after"), res->retry_after_s))
        return false;
    add_list(f, res);
    return true;
}

bool h2_fields_of_interim(struct h2_fields *f, struct http_exchange *ex, int status,
                          const struct http_header *fields, int count)
{
    if (!open_list(f, ex, 1 + (size_t)count) ||
        !add_number(f, &ex->arena, SLICE(":status"), (uint64_t)status))
        return false;
    for (int i = 0; i < count; i++)
        if (!http_is_hop_by_hop(fields[i].name))
            add(f, fields[i].name, fields[i].value);
    return true;
}

bool h2_fields_of_lines(struct h2_fields *f, struct http_exchange *ex, struct slice lines)
{
    size_t room = 0;
    for (size_t i = 0; i < lines.len; i++)
        room += lines.data[i] == '\n';
    if (!open_list(f, ex, room + 1))
        return false;
    while (lines.len) {
        struct http_header h;
        const char *end = memmem(lines.data, lines.len, "\r\n", 2);
        if (!end)
            break;
        if (http_parse_field(&h, lines.data, end) && !http_is_hop_by_hop(h.name))
            add(f, h.name, h.value);
        lines = slice_from(lines, (size_t)(end - lines.data) + 2);
    }
    return true;
}
