/*
 * http/filters/gzip.c - compressing answers on their way: gzip and its kin (nginx, ngx_http_gzip_module), by zlib.
 *
 * What has been compressed is flushed whenever the source has nothing more for now, so that a stream is not held up.
 */
#include "conf/rows.h"
#include "http/filters/filters.h"

#include "base/buf.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "http/request/filter.h"
#include "http/site/feature.h"
#include "http/site/gzip_client.h"
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

struct gzip_settings {
    bool on;
    int64_t min_length_bytes, buffers_bytes;
    int comp_level;
    struct conf_lines *types;
};

struct part gzip_settings_part = {.size = sizeof(struct gzip_settings)};
SETTINGS_PART(gzip_settings)

struct gzip_filter {
    struct body_filter filter; /* first */
    z_stream z;
    int level;
    /* What comes out, until it is enough for a chunk. */
    struct buf out;
};

/* --- whether --- */

static bool is_worth_it(const struct http_exchange *ex, const struct gzip_settings *s)
{
    const struct http_response *res = &ex->res;
    bool status = res->status == 200 || res->status == 403 || res->status == 404;
    return s->on && status && (res->content_length < 0 || res->content_length >= s->min_length_bytes) &&
           !http_added_header(res, SLICE("Content-Encoding")).data &&
           conf_lists_type(s->types, "text/html", res->content_type);
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
    const struct location *l = ex->route.location;
    const struct gzip_settings *s = gzip_settings_of(ex->route.settings);
    struct http_response *res = &ex->res;
    if (!is_worth_it(ex, s))
        return;
    res->varies_encoding |= gzip_client_settings_of(ex->route.settings)->vary;
    if (!gzip_client_takes_it(ex, l))
        return;
    if (ex->req.method != HTTP_HEAD && !start_stream(ex, s->comp_level))
        return; /* then it goes out as it is */
    if (!http_add_header(res, &ex->arena, SLICE("Content-Encoding"), SLICE("gzip")))
        return;
    filter_changes_body(ex);
}

#define PART(member) CONF_PART_FIELD(gzip_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "gzip", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(on), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether answers with status 200, 403 and 404 are compressed for clients that take it."},
    {.name = "gzip_types", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = PART(types),
     .syntax = "TYPE ...",
     .help = "What is compressed beside text/html, which always is; * is everything."},
    {.name = "gzip_min_length", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_SIZE, .field = PART(min_length_bytes), .default_text = "20", .live = CONF_LIVE,
     .help = "Shorter answers are not compressed."},
    {.name = "gzip_comp_level", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = PART(comp_level), .range = {1, 9}, .default_text = "1", .live = CONF_LIVE,
     .syntax = "LEVEL",
     .help = "From fast to small."},
    {.name = "gzip_buffers", .where = CONF_HTTP_ALL, .args = {2, 2}, .type = CONF_BUFFERS, .field = PART(buffers_bytes), .default_text = "32 4k", .live = CONF_LIVE,
     .help = "Accepted: what has been compressed is sent at once."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_COMPRESSION, rows, NULL};

const struct feature feature_gzip = {.name = "gzip", .table = &table};
