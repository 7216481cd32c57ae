/*
 * http/serve/try_files.c - try_files: the first file that exists, else another URI, a named location, or a status.
 */
#include "http/serve/try_files.h"

#include "base/arena.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "conf/tree.h"
#include "handlers/static.h"
#include "http/request/absolute_url.h"
#include "http/request/template.h"
#include "http/request/verdict.h"
#include "http/serve/stand.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/paths.h"
#include "http/site/site.h"
#include "worker/loop/worker_state.h"

struct try_files {
    const struct http_template **files;
    bool *folders; /* whether each ends with "/" */
    int count;
    const struct http_template *otherwise;
    int code; /* in its place, unless 0 */
};

/* Of a location. */
struct try_files_location {
    struct try_files *files; /* NULL: none */
};

struct part try_files_location_part = {.size = sizeof(struct try_files_location)};
LOCATION_PART(try_files_location)

bool try_files_has(const struct location *l)
{
    return try_files_location_of(l)->files != NULL;
}

/* As "return 444". */
enum { CLOSE_UNANSWERED = 444 };

static bool named_file_exists(struct http_exchange *ex, struct slice path, bool folder)
{
    return path.data && static_exists(ex, &ex->route.location->files, &ex->worker->files, path, folder);
}

/* Where a name lies: behind an expression's alias just as it is written, else where the URI that it makes leads. */
static struct slice place_of(struct http_exchange *ex, const struct location *l, struct slice text,
                             struct slice uri)
{
    if (l->files.is_whole_path)
        return static_beside(ex, &l->files, text);
    return uri.len ? static_path(ex, &l->files, uri) : (struct slice){0};
}

/* With alias the location's part of the URI stands for the directory. */
static struct slice replaced_part(const struct http_exchange *ex, const struct location *l)
{
    const struct settings *s = l->settings;
    bool replaces = s->files.folder.alias.data && !l->files.is_whole_path;
    return (struct slice){ex->req.path.data, replaces ? (size_t)s->files.folder.alias_strip : 0};
}

/* As in nginx: a name that variables have made may have that part before it, one that is written out is all behind it. */
static bool has_part(const struct http_template *t, struct slice text, struct slice part)
{
    return part.len && !http_template_is_constant(t) && slice_starts(text, part);
}

static struct slice uri_of(struct http_exchange *ex, const struct location *l, const struct http_template *t,
                           struct slice text)
{
    struct slice part = replaced_part(ex, l);
    if (!part.len || has_part(t, text, part))
        return text;
    return arena_join(&ex->arena, part, text);
}

/* The last name, which is no file, loses that part all the same. */
static struct slice last_uri(struct http_exchange *ex, const struct location *l)
{
    const struct http_template *t = try_files_location_of(l)->files->otherwise;
    struct slice text = http_template_expand(t, ex), part = replaced_part(ex, l);
    return has_part(t, text, part) ? slice_from(text, part.len) : text;
}

static struct verdict answer_code(struct http_exchange *ex, int code)
{
    if (code != CLOSE_UNANSWERED)
        return verdict_answer(code);
    ex->route.return_code = code;
    return verdict_of(VERDICT_AGAIN);
}

/* An empty text is the root itself, a directory without the slash behind it; no location matches it. */
static struct verdict redirect_to_root(struct http_exchange *ex)
{
    request_use_location(ex, request_find_server(ex)->top);
    ex->res.location = http_absolute_url(ex, ex->route.settings, SLICE("/"));
    return verdict_answer(ex->res.location.data ? 301 : 500);
}

struct verdict try_files_pass(struct http_exchange *ex)
{
    const struct location *l = ex->route.location;
    const struct try_files *t = try_files_location_of(l)->files;
    for (int i = 0; i < t->count; i++) {
        struct slice text = http_template_expand(t->files[i], ex);
        bool folder = t->folders[i];
        if (folder && text.len)
            /* The static handler sends a client that left "/" out to the directory. */
            text.len--;
        struct slice uri = text.len ? uri_of(ex, l, t->files[i], text) : text;
        if ((uri.len && memchr(uri.data, '\0', uri.len)) ||
            !named_file_exists(ex, place_of(ex, l, text, uri), folder))
            continue;
        if (l->files.is_whole_path && !folder)
            ex->route.alias_rest = text;
        else if (!l->files.is_whole_path && uri.data[0] == '/')
            ex->req.path = uri;
        return verdict_of(VERDICT_NEXT);
    }
    struct slice otherwise = t->code ? SLICE("") : last_uri(ex, l);
    if (t->code)
        return answer_code(ex, t->code);
    if (otherwise.data && !otherwise.len)
        return redirect_to_root(ex);
    ex->leads_to = otherwise;
    return verdict_of(VERDICT_REDIRECT);
}

/* --- from settings --- */

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct conf_node *n = c->try_files;
    if (!n)
        return;
    struct try_files *t = site_array(site, 1, sizeof *t);
    struct slice last = n->args[n->nargs - 1];
    int64_t code;
    t->files = site_array(site, n->nargs, sizeof(void *));
    t->folders = site_array(site, n->nargs, sizeof(bool));
    for (; t->count < n->nargs - 1; t->count++) {
        struct slice text = n->args[t->count];
        t->folders[t->count] = text.len && text.data[text.len - 1] == '/';
        t->files[t->count] = site_compile(site, text, n);
    }
    t->otherwise = site_compile(site, last, n);
    if (last.len && last.data[0] == '=') {
        if (!conf_parse_whole(slice_from(last, 1), 0, 999, &code))
            conf_error(&site->conf->errors, n, "invalid code \"%.*s\" in \"try_files\"; write =CODE",
                       SLICE_ARGS(last));
        else
            /* As in nginx; no response could have a code below 200. */
            t->code = code == 0 ? 404 : code < 200 ? CLOSE_UNANSWERED : (int)code;
    }
    try_files_location_in(l)->files = t;
}

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "try_files", .where = CONF_SERVER | CONF_LOCATION, .args = {2, CONF_ANY}, .set = conf_set_try_files,
     .syntax = "FILE ... URI | =CODE | @NAME",
     .help = "The first file (or, with a slash at its end, folder) that exists answers; else the last argument: another URI, a named location or a status."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_HTTP, rows, NULL};

const struct feature feature_try_files = {
    .name = "try_files", .table = &table, .location = &try_files_location_part, .build = build};
