/*
 * http/request/filter.c - the chain of filters that a response's body goes through.
 */
#include "http/request/filter.h"

#include "base/arena.h"
#include "base/slice.h"
#include "http/request/client.h"
#include "http/wire/response.h"

#include <assert.h>

void filter_add(struct http_exchange *ex, struct body_filter *f)
{
    struct body_filter **tail = &ex->sent.filters;
    assert(f->pass && f->free && !f->next && ex->sent.head == 0);
    while (*tail)
        tail = &(*tail)->next;
    *tail = f;
}

/*
 * RFC 9110 section 8.8.1: what was made of a representation is equivalent to it, and not the same bytes. An upstream's
 * that is no entity tag cannot be made a weak one.
 */
static void weaken_etag(struct http_exchange *ex)
{
    struct http_response *res = &ex->res;
    if (res->etag.len && res->etag.data[0] != '"' && !slice_starts(res->etag, SLICE("W/")))
        res->etag = (struct slice){0};
    else if (res->etag.len && res->etag.data[0] == '"')
        res->etag = arena_printf(&ex->arena, "W/%.*s", SLICE_ARGS(res->etag));
}

void filter_changes_body(struct http_exchange *ex)
{
    assert(ex->sent.head == 0);
    ex->res.content_length = HTTP_LENGTH_UNKNOWN;
    ex->res.accept_ranges = false;
    http_drop_header(&ex->res, SLICE("Accept-Ranges")); /* an upstream's */
    weaken_etag(ex);
}

bool filter_next(struct http_exchange *ex, struct body_filter *f, struct slice out, enum filter_mode mode)
{
    if (f->next)
        return out.len == 0 && mode == FILTER_MORE ? true : f->next->pass(ex, f->next, out, mode);
    return out.len == 0 || ex->client.protocol->data(ex, out);
}

bool filter_stretch(struct http_exchange *ex, struct slice stretch)
{
    struct body_filter *first = ex->sent.filters;
    assert(first && ex->state == REQUEST_SEND);
    return first->pass(ex, first, stretch, FILTER_MORE);
}

bool filter_is_pending(const struct http_exchange *ex)
{
    for (const struct body_filter *f = ex->sent.filters; f; f = f->next)
        if (f->pending)
            return true;
    return false;
}

bool filter_is_full(const struct http_exchange *ex)
{
    for (const struct body_filter *f = ex->sent.filters; f; f = f->next)
        if (f->full)
            return true;
    return false;
}

bool filter_go_on(struct http_exchange *ex)
{
    assert(filter_is_full(ex));
    return filter_stretch(ex, (struct slice){0});
}

bool filter_flush(struct http_exchange *ex)
{
    struct body_filter *first = ex->sent.filters;
    return !filter_is_pending(ex) || first->pass(ex, first, (struct slice){0}, FILTER_FLUSH);
}

bool filter_finish(struct http_exchange *ex)
{
    struct body_filter *first = ex->sent.filters;
    bool ok = !first || first->pass(ex, first, (struct slice){0}, FILTER_END);
    filter_free(ex);
    assert(!ex->sent.filters);
    return ok;
}

void filter_free(struct http_exchange *ex)
{
    while (ex->sent.filters) {
        struct body_filter *f = ex->sent.filters;
        ex->sent.filters = f->next;
        f->free(f);
    }
}
