/*
 * handlers/static.c - serving files: the path, the index of a directory, conditions. Content and metadata come
 * from base/file_cache.c, ranges from http/filters/ranges.c.
 */
#include "handlers/static.h"

#include "base/arena.h"
#include "base/file_cache.h"
#include "base/slice.h"
#include "conf/rows.h"
#include "handlers/autoindex.h"
#include "handlers/content_type.h"
#include "http/request/absolute_url.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/site/feature.h"
#include "http/site/gzip_client.h"
#include "http/site/paths.h"
#include "http/site/site.h"
#include "http/wire/range.h"
#include "http/wire/response.h"
#include "http/wire/uri.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <unistd.h>

static int no_path(void)
{
    return errno == ENOENT ? 404 : 500;
}

static int status_of_errno(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG             ? 404
           : error == EACCES || error == EPERM || error == ELOOP || error == EMLINK ? 403
                                                                                    : 500;
}

/* Of a failed open. The log says which file, as nginx does. */
static int open_failed(struct http_exchange *ex, const struct settings *s, struct slice path)
{
    int error = errno, status = status_of_errno(error);
    if (status == 404 && !s->logs.not_found)
        return status;
    http_log(ex, status == 500 ? LOG_LEVEL_CRIT : LOG_LEVEL_ERROR, "open() \"%.*s\" failed (%d: %s)",
             SLICE_ARGS(path), error, strerror(error));
    return status;
}

static void release_entry(void *held)
{
    file_entry_release(held);
}

static int add_all(struct http_exchange *ex, const struct settings *s, const struct file_entry *e)
{
    size_t size = (size_t)e->st.st_size;
    assert(S_ISREG(e->st.st_mode) && e->holders > 0 && (e->content || e->fd >= 0));
    if (size == 0)
        return 0;
    if (e->content)
        return http_add_memory(&ex->res, &ex->arena, e->content, size) ? 0 : 500;
    if (!http_add_file(&ex->res, &ex->arena, e->fd, 0, size))
        return 500;
    ex->res.last_piece->leaves_cache = s->files.directio_bytes && e->st.st_size >= s->files.directio_bytes;
    return 0;
}

static struct file_rules file_rules_of(struct http_exchange *ex, const struct static_source *from)
{
    struct file_rules rules = from->rules;
    if (from->symlinks_from)
        rules.symlinks_from = http_template_expand(from->symlinks_from, ex);
    return rules;
}

static struct file_entry *get_entry(struct http_exchange *ex, const struct static_source *from,
                                    struct file_cache *cache, struct slice path)
{
    struct file_rules rules = file_rules_of(ex, from);
    return file_cache_get(cache, path, &rules);
}

enum gzip_static { GZIP_STATIC_OFF, GZIP_STATIC_ON, GZIP_STATIC_ALWAYS };

struct gzip_static_settings {
    enum gzip_static files;
};

struct part gzip_static_settings_part = {.size = sizeof(struct gzip_static_settings)};
SETTINGS_PART(gzip_static_settings)

/* gzip_static: the compressed file beside this one, held; NULL: there is none, or it is not wanted. */
static struct file_entry *find_compressed(struct http_exchange *ex, const struct static_source *from,
                                          struct slice path, struct file_cache *cache)
{
    enum gzip_static files = gzip_static_settings_of(from->settings)->files;
    if (files == GZIP_STATIC_OFF)
        return NULL;
    bool vary = gzip_client_settings_of(from->settings)->vary;
    bool wanted = files == GZIP_STATIC_ALWAYS || gzip_client_takes_it(ex, ex->route.location);
    if (!wanted && !vary)
        return NULL;
    struct slice name = arena_printf(&ex->arena, "%.*s.gz", SLICE_ARGS(path));
    struct file_entry *e = name.data ? get_entry(ex, from, cache, name) : NULL;
    bool there = e && S_ISREG(e->st.st_mode);
    ex->res.varies_encoding |= there && files == GZIP_STATIC_ON && vary;
    if (e && !(there && wanted)) {
        file_entry_release(e);
        e = NULL;
    }
    return e;
}

static int add_whole(struct http_exchange *ex, const struct settings *s, const struct file_entry *e)
{
    ex->res.accept_ranges = false;
    return add_all(ex, s, e);
}

/* By the URI's extension, which is the file's unless an alias names the file itself. */
static struct slice type_of(const struct http_exchange *ex, const struct settings *s, struct file_entry *e)
{
    if (s->files.folder.alias.data)
        return content_type_of(s, ex->route.alias_rest.len ? ex->route.alias_rest : ex->req.path);
    if (e->type_source != s) {
        e->type = content_type_of(s, e->path);
        e->type_source = s;
    }
    return e->type;
}

/* A compressed file in place of the one asked for is sent whole, as in nginx: ranges are of what was asked for. */
static int answer_file(struct http_exchange *ex, const struct settings *s, struct file_entry *e,
                       bool compressed)
{
    struct http_response *res = &ex->res;
    res->status = 200;
    if (!res->keeps_type)
        res->content_type = type_of(ex, s, e);
    if (!ex->route.forced_status || ex->route.forced_status == 200)
        res->last_modified = e->last_modified;
    res->etag = s->files.etag ? e->etag : (struct slice){0};
    /* X-Accel-Redirect's headers are there before the file's. */
    if (res->etag.len && res->headers && !http_place_own(res, &ex->arena, HTTP_OWN_ETAG, SLICE("ETag")))
        return 500;
    res->accept_ranges = s->files.max_ranges > 0 && !compressed; /* http/filters/ranges.c cuts them */
    /* Conditions and ranges are about the request that asks; an error page is sent whole (RFC 9110 section 13.2.1). */
    if (ex->aside || (ex->route.forced_status && ex->route.forced_status != 200))
        return add_whole(ex, s, e);
    switch (http_check_conditions(&ex->req, res->etag, e->st.st_mtim.tv_sec,
                                  (enum http_since)s->files.if_modified_since)) {
    case HTTP_NOT_MODIFIED:
        res->status = 304;
        res->accept_ranges = false;
        res->content_type = (struct slice){0};
        return 0;
    case HTTP_PRECONDITION_FAILED:
        http_response_reset(res);
        return 412;
    default:
        break;
    }
    return add_all(ex, s, e);
}

/* random_index */
static bool pick_any(struct http_exchange *ex, const struct static_source *from, struct file_cache *cache)
{
    struct slice dir = static_path(ex, from, ex->req.path), name;
    struct file_entry *directory = dir.data ? get_entry(ex, from, cache, dir) : NULL;
    if (!directory)
        return false;
    file_entry_release(directory);
    struct file_rules rules = file_rules_of(ex, from);
    if (!autoindex_pick(ex, &rules, dir, &name))
        return false;
    struct slice uri = arena_join(&ex->arena, ex->req.path, name);
    if (uri.data)
        ex->req.path = uri;
    ex->route.rewritten = true;
    return uri.data != NULL;
}

/* What a variable has brought may be a client's: whether its ".." lead out of where it begins. */
static bool leads_up(struct slice name)
{
    int depth = 0;
    while (name.len && depth >= 0) {
        const char *slash = memchr(name.data, '/', name.len);
        struct slice part = {name.data, slash ? (size_t)(slash - name.data) : name.len};
        depth += slice_eq(part, SLICE("..")) ? -1 : part.len > 0 && !slice_eq(part, SLICE(".")) ? 1 : 0;
        name = slice_from(name, part.len + (slash != NULL));
    }
    return depth < 0;
}

static int go_to(struct http_exchange *ex, struct slice uri)
{
    ex->req.path = uri;
    ex->route.rewritten = true;
    return STATIC_ROUTE_AGAIN;
}

static bool directory_exists(struct http_exchange *ex, const struct static_source *from,
                             struct file_cache *cache)
{
    struct slice dir = static_path(ex, from, ex->req.path);
    return dir.data && static_exists(ex, from, cache, dir, true);
}

/* The same, in the words that nginx has for an index file. */
static int index_failed(struct http_exchange *ex, const struct settings *s, struct slice path, int error)
{
    int status = status_of_errno(error);
    errno = error;
    if (status == 500)
        return open_failed(ex, s, path);
    if (status == 403 || s->logs.not_found)
        http_log(ex, LOG_LEVEL_ERROR, "\"%.*s\" is %s (%d: %s)", SLICE_ARGS(path),
                 status == 403 ? "forbidden" : "not found", error, strerror(error));
    return status;
}

/* What no index file stands for: its list, or 403. */
static int answer_directory(struct http_exchange *ex, const struct static_source *from,
                            struct file_cache *cache)
{
    const struct settings *s = from->settings;
    struct slice dir = static_path(ex, from, ex->req.path);
    if (!dir.data)
        return no_path();
    struct file_entry *directory = get_entry(ex, from, cache, dir);
    if (!directory)
        return open_failed(ex, s, dir);
    file_entry_release(directory);
    struct file_rules rules = file_rules_of(ex, from);
    if (autoindex_is_on(s) && ex->req.method != HTTP_POST)
        return autoindex_answer(ex, s, &rules, dir);
    http_log(ex, LOG_LEVEL_ERROR, "directory index of \"%.*s\" is forbidden", SLICE_ARGS(dir));
    return 403;
}

/* The first index file that exists becomes the path; an absolute name does without a look at the disk, as in nginx. */
static int find_index(struct http_exchange *ex, const struct static_source *from, struct file_cache *cache)
{
    const struct settings *s = from->settings;
    bool directory_tested = false;
    if (s->files.random_index && pick_any(ex, from, cache))
        return STATIC_ROUTE_AGAIN;
    for (int i = 0; i < s->files.index->count; i++) {
        struct slice name = http_template_expand(from->index[i], ex);
        if (name.len == 0 || leads_up(name) || memchr(name.data, '\0', name.len))
            continue;
        if (name.data[0] == '/')
            return go_to(ex, arena_dup(&ex->arena, name));
        struct slice uri = arena_join(&ex->arena, ex->req.path, name);
        struct slice path = from->is_whole_path ? static_beside(ex, from, name) : static_path(ex, from, uri);
        if (!uri.data || !path.data)
            return no_path();
        struct file_entry *e = get_entry(ex, from, cache, path);
        if (e) {
            file_entry_release(e);
            return go_to(ex, uri);
        }
        if (errno != ENOENT)
            return index_failed(ex, s, path, errno);
        if (!directory_tested && !directory_exists(ex, from, cache))
            return index_failed(ex, s, path, ENOENT); /* whatever follows */
        directory_tested = true;
    }
    return answer_directory(ex, from, cache);
}

static int redirect_to_directory(struct http_exchange *ex, const struct settings *s)
{
    struct slice encoded = http_encode_path(&ex->arena, ex->req.path);
    struct slice args = ex->req.args;
    struct slice target =
        arena_printf(&ex->arena, "%.*s/%s%.*s", SLICE_ARGS(encoded), args.len ? "?" : "", SLICE_ARGS(args));
    if (!encoded.data || !target.data)
        return 500;
    ex->res.location = http_absolute_url(ex, s, target);
    return ex->res.location.data ? 301 : 500;
}

bool static_stat(struct http_exchange *ex, const struct static_source *from, struct file_cache *cache,
                 struct slice path, struct stat *st)
{
    struct file_entry *e = get_entry(ex, from, cache, path);
    if (e) {
        *st = e->st;
        file_entry_release(e);
        return true;
    }
    /* else it is there, and may not be read */
    return errno != ENOENT && errno != ENOTDIR && !from->rules.symlinks && stat(path.data, st) == 0;
}

bool static_exists(struct http_exchange *ex, const struct static_source *from, struct file_cache *cache,
                   struct slice path, bool directory)
{
    struct stat st;
    return static_stat(ex, from, cache, path, &st) && (directory ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode));
}

int static_answer(struct http_exchange *ex, const struct static_source *from, struct file_cache *cache)
{
    const struct settings *s = from->settings;
    assert(ex->req.path.len > 0);
    bool reads = ex->req.method == HTTP_GET || ex->req.method == HTTP_HEAD;
    struct slice uri = ex->req.path;
    if (uri.data[uri.len - 1] == '/' && !ex->route.alias_rest.len && (reads || ex->req.method == HTTP_POST))
        return find_index(ex, from, cache); /* an index file may be an application's */
    if (!reads && ex->req.method != HTTP_POST)
        return 405;
    if (uri.data[0] != '/') {
        http_log(ex, LOG_LEVEL_ERROR, "no location serves \"%.*s\", which does not begin with \"/\"",
                 SLICE_ARGS(uri));
        return 404;
    }
    struct slice path = static_path(ex, from, uri);
    if (!path.data)
        return no_path();
    struct file_entry *e = find_compressed(ex, from, path, cache);
    bool compressed = e != NULL;
    if (compressed) {
        if (!ex->res.keeps_type)
            ex->res.content_type = content_type_of(s, ex->req.path);
        ex->res.keeps_type = true;
    } else {
        e = get_entry(ex, from, cache, path);
    }
    if (!e)
        return open_failed(ex, s, path);
    if (S_ISREG(e->st.st_mode) && !reads) {
        file_entry_release(e);
        return 405;
    }
    if (S_ISREG(e->st.st_mode)) {
        assert(!ex->release); /* what was held has been given back */
        ex->held = e;
        ex->release = release_entry;
        int result = answer_file(ex, s, e, compressed);
        if (compressed && result == 0)
            http_add_header(&ex->res, &ex->arena, SLICE("Content-Encoding"), SLICE("gzip"));
        return result;
    }
    int status = S_ISDIR(e->st.st_mode) ? redirect_to_directory(ex, s) : 404;
    file_entry_release(e);
    return status;
}

#define PART(member) CONF_PART_FIELD(gzip_static_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "gzip_static", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = PART(files), .default_text = "off", .live = CONF_LIVE,
     .words = WORDS("off", "on", "always"),
     .help = "Whether FILE.gz is sent in place of FILE to clients that take it, or to all."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_COMPRESSION, rows, NULL};

const struct feature feature_gzip_static = {.name = "gzip_static", .table = &table};
