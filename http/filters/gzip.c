/*
 * http/filters/gzip.c - compressing answers on their way: gzip and its kin (nginx, ngx_http_gzip_module), by zlib.
 *
 * What has been compressed is flushed whenever the source has nothing more for now, so that a stream is not held up.
 */
#include "http/filters/filters.h"

#include "base/buf.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "http/request/filter.h"
#include "http/request/gzip_client.h"
#include "http/site/site.h"
#include "http/wire/response.h"

#include <stdlib.h>
#include <zlib.h>

enum {
    SPARES = 4,
    STEP_BYTES = 32 << 10,
    CHUNK_BYTES = 4 << 10, /* less waits for more, or for a flush */
    GZIP_WINDOW = 16 /* zlib: a gzip header instead of its own */,
    WINDOW_BITS = 15,
    MEMORY_LEVEL = 8
};

struct gzip_filter {
    struct body_filter filter; /* first */
    z_stream z;
    int level;
    struct buf out; /* what comes out, until it is enough for a chunk */
};

/* --- whether --- */

static bool is_worth_it(const struct http_exchange *ex, const struct settings *s)
{
    const struct http_response *res = &ex->res;
    bool status = res->status == 200 || res->status == 403 || res->status == 404;
    return s->gzip.on && status &&
           (res->content_length < 0 || res->content_length >= s->gzip.min_length_bytes) &&
           !http_added_header(res, SLICE("Content-Encoding")).data &&
           conf_lists_type(s->gzip.types, "text/html", res->content_type);
}

/* --- the body --- */

/* False: out of memory. */
static bool deflate_into(struct gzip_filter *g, struct slice in, int flush)
{
    struct buf *out = &g->out;
    g->z.next_in = (Bytef *)(uintptr_t)in.data;
    g->z.avail_in = (uInt)in.len;
    do {
        if (!buf_reserve(out, STEP_BYTES))
            return false;
        g->z.next_out = (Bytef *)out->data + out->end;
        g->z.avail_out = (uInt)(out->cap - out->end);
        uInt room = g->z.avail_out;
        if (deflate(&g->z, flush) == Z_STREAM_ERROR)
            return false;
        out->end += room - g->z.avail_out;
    } while (g->z.avail_out == 0 || g->z.avail_in > 0);
    return true;
}

static bool pass(struct http_exchange *ex, struct body_filter *f, struct slice in, enum filter_mode mode)
{
    struct gzip_filter *g = (struct gzip_filter *)f;
    int flush = mode == FILTER_MORE ? Z_NO_FLUSH : mode == FILTER_FLUSH ? Z_SYNC_FLUSH : Z_FINISH;
    if (mode == FILTER_FLUSH && in.len == 0 && !f->pending)
        return true;
    f->pending = mode == FILTER_MORE;
    if (!deflate_into(g, in, flush))
        return false;
    ex->sent.gzip_in = g->z.total_in;
    ex->sent.gzip_out = g->z.total_out;
    if (mode == FILTER_MORE && buf_len(&g->out) < CHUNK_BYTES)
        return true; /* as zlib's own header of ten bytes */
    bool ok = filter_next(ex, f, buf_slice(&g->out), mode);
    g->out.start = g->out.end = 0;
    return ok;
}

/* A stream is a quarter of a megabyte, which is dear to make anew for each answer. */
static struct gzip_filter *spare[SPARES];

static void destroy(struct gzip_filter *g)
{
    deflateEnd(&g->z);
    buf_free(&g->out);
    free(g);
}

static void free_filter(struct body_filter *f)
{
    struct gzip_filter *g = (struct gzip_filter *)f;
    for (int i = 0; i < SPARES; i++) {
        if (!spare[i]) {
            spare[i] = g;
            return;
        }
    }
    destroy(g);
}

void gzip_free_spares(void)
{
    for (int i = 0; i < SPARES; i++) {
        if (spare[i])
            destroy(spare[i]);
        spare[i] = NULL;
    }
}

static struct gzip_filter *take_spare(int level)
{
    for (int i = 0; i < SPARES; i++) {
        struct gzip_filter *g = spare[i];
        if (!g || g->level != level || deflateReset(&g->z) != Z_OK)
            continue;
        spare[i] = NULL;
        g->out.start = g->out.end = 0;
        return g;
    }
    return NULL;
}

static struct gzip_filter *make(int level)
{
    struct gzip_filter *g = calloc(1, sizeof *g);
    if (!g || deflateInit2(&g->z, level, Z_DEFLATED, GZIP_WINDOW + WINDOW_BITS, MEMORY_LEVEL,
                           Z_DEFAULT_STRATEGY) != Z_OK) {
        free(g);
        return NULL;
    }
    g->level = level;
    return g;
}

/* --- the answer's head --- */

static bool start_stream(struct http_exchange *ex, int level)
{
    struct gzip_filter *g = take_spare(level);
    g = g ? g : make(level);
    if (!g)
        return false;
    g->filter = (struct body_filter){.pass = pass, .free = free_filter};
    filter_add(ex, &g->filter);
    return true;
}

void gzip_decide(struct http_exchange *ex)
{
    const struct settings *s = ex->route.settings;
    struct http_response *res = &ex->res;
    if (!is_worth_it(ex, s))
        return;
    res->varies_encoding |= s->gzip.vary != 0;
    if (!gzip_client_takes_it(ex, s, ex->route.location->files.gzip_disable))
        return;
    if (ex->req.method != HTTP_HEAD && !start_stream(ex, (int)s->gzip.comp_level))
        return; /* then it goes out as it is */
    if (!http_add_header(res, &ex->arena, SLICE("Content-Encoding"), SLICE("gzip")))
        return;
    filter_changes_body(ex);
}
