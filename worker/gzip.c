/*
 * worker/gzip.c - compressing answers on their way: gzip and its kin (nginx, ngx_http_gzip_module), by zlib.
 *
 * Whatever makes the body goes through send_stretch; with gzip on it is compressed there, and goes out in chunks, as its
 * length is not known beforehand. What has been compressed is flushed whenever the source has nothing more for now, so that
 * a stream is not held up.
 */
#include "worker/gzip.h"

#include "http/encoding.h"

#include <stdlib.h>
#include <zlib.h>

enum {
    STEP_BYTES = 32 << 10,
    GZIP_WINDOW = 16 /* zlib: a gzip header instead of its own */,
    WINDOW_BITS = 15,
    MEMORY_LEVEL = 8
};

struct http_gzip {
    z_stream z;
    bool pending; /* something has been taken that has not come out */
};

/* --- whether --- */

static bool has_header(const struct http_response *res, struct slice name)
{
    for (const struct http_response_header *h = res->headers; h; h = h->next)
        if (slice_eq_nocase(h->header.name, name))
            return true;
    return false;
}

static struct slice response_header(const struct http_response *res, struct slice name)
{
    for (const struct http_response_header *h = res->headers; h; h = h->next)
        if (slice_eq_nocase(h->header.name, name))
            return h->header.value;
    return (struct slice){0};
}

static bool is_listed(const struct conf_lines *types, struct slice type)
{
    const char *semicolon = type.len ? memchr(type.data, ';', type.len) : NULL;
    struct slice bare =
        slice_trim((struct slice){type.data, semicolon ? (size_t)(semicolon - type.data) : type.len});
    if (slice_eq_nocase(bare, SLICE("text/html")))
        return true;
    for (; types; types = types->next)
        for (int i = 0; i < types->node->nargs; i++)
            if (slice_eq(types->node->args[i], SLICE("*")) || slice_eq_nocase(types->node->args[i], bare))
                return true;
    return false;
}

static bool says(struct slice text, const char *word)
{
    return text.len && memmem(text.data, text.len, word, strlen(word));
}

/* gzip_proxied: for requests that came through a proxy, which say so with Via. */
static bool is_allowed_for_proxies(const struct http_exchange *ex, int64_t mask)
{
    const struct http_response *res = &ex->res;
    struct slice cache = response_header(res, SLICE("Cache-Control"));
    if (!http_find_header(&ex->req, SLICE("Via")) || mask & CONF_GZIP_ANY)
        return true;
    return (mask & CONF_GZIP_EXPIRED && has_header(res, SLICE("Expires"))) ||
           (mask & CONF_GZIP_NO_CACHE && says(cache, "no-cache")) ||
           (mask & CONF_GZIP_NO_STORE && says(cache, "no-store")) ||
           (mask & CONF_GZIP_PRIVATE && says(cache, "private")) ||
           (mask & CONF_GZIP_NO_LAST_MODIFIED && !res->last_modified.len) ||
           (mask & CONF_GZIP_NO_ETAG && !res->etag.len) ||
           (mask & CONF_GZIP_AUTH && http_find_header(&ex->req, SLICE("Authorization")));
}

static bool is_worth_it(const struct http_exchange *ex, const struct settings *s)
{
    const struct http_response *res = &ex->res;
    bool status = res->status == 200 || res->status == 403 || res->status == 404;
    return s->gzip && status && (res->content_length < 0 || res->content_length >= s->gzip_min_length) &&
           !has_header(res, SLICE("Content-Encoding")) && is_listed(s->gzip_types, res->content_type);
}

/* --- the answer's head --- */

static bool start_stream(struct http_exchange *ex, int level)
{
    struct http_gzip *g = calloc(1, sizeof *g);
    if (!g || deflateInit2(&g->z, level, Z_DEFLATED, GZIP_WINDOW + WINDOW_BITS, MEMORY_LEVEL,
                           Z_DEFAULT_STRATEGY) != Z_OK) {
        free(g);
        return false;
    }
    ex->gzip = g;
    return true;
}

/* What is compressed is another representation: its validator is weak (RFC 9110 section 8.8.1). */
static void weaken_etag(struct http_exchange *ex)
{
    struct http_response *res = &ex->res;
    if (res->etag.len && !slice_starts(res->etag, SLICE("W/")))
        res->etag = arena_printf(&ex->arena, "W/%.*s", SLICE_ARGS(res->etag));
}

void gzip_decide(struct connection *c)
{
    struct http_exchange *ex = c->ex;
    const struct settings *s = c->location->settings;
    struct http_response *res = &ex->res;
    if (!is_worth_it(ex, s))
        return;
    if (s->gzip_vary)
        http_add_header(res, &ex->arena, SLICE("Vary"), SLICE("Accept-Encoding"));
    if (ex->req.minor_version < s->gzip_http_version || !http_accepts_gzip(&ex->req) ||
        !is_allowed_for_proxies(ex, s->gzip_proxied))
        return;
    if (ex->req.method != HTTP_HEAD && !start_stream(ex, (int)s->gzip_comp_level))
        return; /* then it goes out as it is */
    if (!http_add_header(res, &ex->arena, SLICE("Content-Encoding"), SLICE("gzip")))
        return;
    res->content_length = HTTP_LENGTH_UNKNOWN;
    res->accept_ranges = false;
    weaken_etag(ex);
}

/* --- the body --- */

/* Compresses into out. `mode` is one of zlib's flushes. False: out of memory. */
static bool deflate_into(struct http_gzip *g, struct slice in, int mode, struct buf *out)
{
    g->z.next_in = (Bytef *)(uintptr_t)in.data;
    g->z.avail_in = (uInt)in.len;
    do {
        if (!buf_reserve(out, STEP_BYTES))
            return false;
        g->z.next_out = (Bytef *)out->data + out->end;
        g->z.avail_out = (uInt)(out->cap - out->end);
        uInt room = g->z.avail_out;
        if (deflate(&g->z, mode) == Z_STREAM_ERROR)
            return false;
        out->end += room - g->z.avail_out;
    } while (g->z.avail_out == 0 || g->z.avail_in > 0);
    g->pending = mode == Z_NO_FLUSH;
    return true;
}

static struct buf step; /* what comes out of one call; the loop's */

static bool pass(struct connection *c, struct slice in, int mode)
{
    struct http_gzip *g = c->ex->gzip;
    step.start = step.end = 0;
    return deflate_into(g, in, mode, &step) && (buf_len(&step) == 0 || send_framed(c, buf_slice(&step)));
}

bool gzip_stretch(struct connection *c, struct slice stretch)
{
    return pass(c, stretch, Z_NO_FLUSH);
}

bool gzip_is_pending(const struct http_exchange *ex)
{
    return ex->gzip && ex->gzip->pending;
}

bool gzip_flush(struct connection *c)
{
    return !gzip_is_pending(c->ex) || pass(c, (struct slice){0}, Z_SYNC_FLUSH);
}

bool gzip_finish(struct connection *c)
{
    bool ok = !c->ex->gzip || pass(c, (struct slice){0}, Z_FINISH);
    gzip_free(c->ex);
    return ok;
}

void gzip_free(struct http_exchange *ex)
{
    if (!ex->gzip)
        return;
    deflateEnd(&ex->gzip->z);
    free(ex->gzip);
    ex->gzip = NULL;
}
