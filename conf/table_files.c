/*
 * conf/table_files.c - the directives of static files, as data, and their setters.
 */
#include "conf/conf.h"
#include "conf/directive.h"

/* The types that nginx has without a "types" block. */
static struct conf_type default_types_items[] = {
    {{"html", 4}, {"text/html", 9}}, {{"gif", 3}, {"image/gif", 9}}, {{"jpg", 3}, {"image/jpeg", 10}}};
static const struct conf_types default_types = {default_types_items, 3};
static const struct slice default_index_items[] = {{"index.html", 10}};
static const struct conf_strings default_index = {default_index_items, 1};

static void set_types(struct conf_walk *w, const struct conf_node *n)
{
    int count = 0;
    for (const struct conf_node *line = n->children; line; line = line->next)
        count += line->nargs;
    const struct conf_types *old = w->settings->types; /* several blocks on one level add up */
    struct conf_types *types = conf_must(arena_zalloc(&w->conf->arena, sizeof *types));
    int kept = old ? old->count : 0;
    types->items = conf_must(arena_alloc(&w->conf->arena, (size_t)(count + kept + 1) * sizeof *types->items));
    if (kept)
        memcpy(types->items, old->items, (size_t)kept * sizeof *types->items);
    types->count = kept;
    for (const struct conf_node *line = n->children; line; line = line->next) {
        if (line->nargs == 0 || line->has_block)
            conf_error(&w->conf->errors, line, "invalid line in \"types\"; write: TYPE EXTENSION...;");
        for (int i = 0; i < line->nargs; i++)
            types->items[types->count++] =
                (struct conf_type){arena_dup_lower(&w->conf->arena, line->args[i]), line->name};
    }
    w->settings->types = types;
}

static void set_root(struct conf_walk *w, const struct conf_node *n)
{
    bool alias = slice_eq(n->name, SLICE("alias"));
    if (w->settings->root.data || w->settings->alias.data) {
        conf_error(&w->conf->errors, n,
                   "\"%.*s\" directive is duplicate, or there is \"%s\" beside it; remove one of them",
                   SLICE_ARGS(n->name), alias ? "root" : "alias");
        return;
    }
    bool varies = n->args[0].len && n->args[0].data[0] == '$'; /* what comes of it may be absolute */
    struct slice path = varies ? n->args[0] : conf_full_path(w->conf, n->args[0]);
    w->settings->folder_node = n;
    if (!alias) {
        while (path.len > 1 && path.data[path.len - 1] == '/')
            path = arena_dup(&w->conf->arena, (struct slice){path.data, path.len - 1});
        w->settings->root = path;
        return;
    }
    w->settings->alias = path;
    w->settings->alias_strip =
        w->location->match >= CONF_MATCH_REGEX ? -1 : (int64_t)w->location->pattern.len;
}

/* Several on one level add up. */
static void set_index(struct conf_walk *w, const struct conf_node *n)
{
    const struct conf_strings *old = w->settings->index;
    int count = old ? old->count : 0;
    struct conf_strings *list = conf_must(arena_zalloc(&w->conf->arena, sizeof *list));
    struct slice *names = conf_must(arena_alloc(&w->conf->arena, (size_t)(count + n->nargs) * sizeof *names));
    for (int i = 0; i < count; i++)
        names[i] = old->items[i];
    for (int i = 0; i < n->nargs; i++) {
        if (n->args[i].len == 0)
            conf_error(&w->conf->errors, n, "index \"\" in \"index\" directive is invalid; name a file");
        names[count++] = n->args[i];
    }
    *list = (struct conf_strings){names, count};
    w->settings->index = list;
}

/* off | max=N [inactive=TIME] */
static void set_open_file_cache(struct conf_walk *w, const struct conf_node *n)
{
    struct settings *s = w->settings;
    bool off = slice_eq(n->args[0], SLICE("off")), ok = !off || n->nargs == 1;
    if (s->open_files_max != CONF_UNSET) {
        conf_error(&w->conf->errors, n, "\"open_file_cache\" directive is duplicate; remove one of them");
        return;
    }
    s->open_files_max = 0;
    s->open_files_inactive_ms = 60000;
    for (int i = off; ok && i < n->nargs; i++)
        ok = slice_starts(n->args[i], SLICE("max="))
                 ? conf_parse_whole(slice_from(n->args[i], 4), 1, 1000000, &s->open_files_max)
             : slice_starts(n->args[i], SLICE("inactive="))
                 ? conf_parse_time(slice_from(n->args[i], 9), &s->open_files_inactive_ms)
                 : false;
    if (!ok || (!off && s->open_files_max == 0))
        conf_error(&w->conf->errors, n, "invalid \"open_file_cache\"; write: off, or max=N [inactive=TIME]");
}

void conf_inherit_files(struct settings *s, const struct settings *parent, struct conf *conf)
{
    if (!s->root.data && !s->alias.data) {
        s->root = parent ? parent->root : conf_full_path(conf, SLICE("html"));
        s->alias = parent ? parent->alias : (struct slice){0};
        s->alias_strip = parent ? parent->alias_strip : 0;
        s->folder_node = parent ? parent->folder_node : NULL;
    }
    if (!s->index)
        s->index = parent ? parent->index : &default_index;
    if (s->open_files_max == CONF_UNSET) {
        s->open_files_max = parent ? parent->open_files_max : 0;
        s->open_files_inactive_ms = parent ? parent->open_files_inactive_ms : 0;
    }
    if (!s->types)
        s->types = parent ? parent->types : &default_types;
}

#define FIELD(field) offsetof(struct settings, field)
#define HTTP_ALL (CONF_HTTP | CONF_SERVER | CONF_LOCATION)

const struct conf_directive conf_file_directives[] = {
    // clang-format off
    {"root", HTTP_ALL, 1, 1, CONF_CUSTOM, 0, 0, 0, NULL, -1, set_root,
     "PATH", "The folder of the files; the URI goes behind it. May contain variables. Default html."},
    {"alias", CONF_LOCATION, 1, 1, CONF_CUSTOM, 0, 0, 0, NULL, -1, set_root,
     "PATH", "Replaces the location's part of the URI by this path, in a regex location all of it. May contain variables."},
    {"index", HTTP_ALL, 1, -1, CONF_CUSTOM, 0, 0, 0, NULL, -1, set_index,
     "FILE ...", "Files that stand for a folder, the first that exists; several directives on one level add up. Default index.html."},
    {"types", HTTP_ALL, 0, 0, CONF_BLOCK, 0, 0, 0, NULL, -1, set_types,
     "{ TYPE EXTENSION ...; }", "Content types by file extension."},
    {"default_type", HTTP_ALL, 1, 1, CONF_TEXT, FIELD(default_type), 0, 0, "text/plain", -1, NULL,
     "TYPE", "The content type when no extension tells."},
    {"sendfile", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(sendfile), 0, 0, "off", -1, NULL,
     "on | off", "Whether files go out by sendfile(2)."},
    {"autoindex", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(autoindex), 0, 0, "off", 0, NULL,
     "on | off", "Whether a folder without an index file is answered with the list of its files."},
    {"autoindex_exact_size", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(autoindex_exact_size), 0, 0, "on", 0, NULL,
     "on | off", "Sizes of that list in bytes, or rounded to K, M and G."},
    {"autoindex_localtime", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(autoindex_localtime), 0, 0, "off", 0, NULL,
     "on | off", "Times of that list in the local time zone, or in UTC."},
    {"autoindex_format", HTTP_ALL, 1, 1, CONF_CHOICE, FIELD(autoindex_format), 0, 0, "html", 0, NULL,
     "html | xml | json | jsonp", "The form of that list; jsonp takes the name of the function from the argument callback."},
    {"etag", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(etag), 0, 0, "on", 0, NULL,
     "on | off", "Whether files have an ETag."},
    {"gzip_static", HTTP_ALL, 1, 1, CONF_CHOICE, FIELD(gzip_static), 0, 0, "off", 0, NULL,
     "off | on | always", "Whether FILE.gz is sent in place of FILE to clients that take it, or to all."},
    {"if_modified_since", HTTP_ALL, 1, 1, CONF_CHOICE, FIELD(if_modified_since), 0, 0, "exact", 0, NULL,
     "off | exact | before", "When If-Modified-Since leads to 304: never, for the file's very time, or for any later one too."},
    {"max_ranges", HTTP_ALL, 1, 1, CONF_NUMBER, FIELD(max_ranges), 0, 10000, "64", 0, NULL,
     "NUMBER", "The most byte ranges of one request; with more of them it gets the whole file. 0: ranges are not offered."},
    {"sendfile_max_chunk", HTTP_ALL, 1, 1, CONF_SIZE, FIELD(sendfile_max_chunk), 0, 0, "2m", 0, NULL,
     "SIZE", "How much of a file one client gets before it is the others' turn, at most 2m; 0 is that."},
    {"open_file_cache", HTTP_ALL, 1, 2, CONF_CUSTOM, 0, 0, 0, NULL, -1, set_open_file_cache,
     "off | max=N [inactive=TIME]", "For how many files what is known of them is used for a while without a look at the disk. inactive=60s: what is not used for so long is forgotten. All locations share one cache, of at most 1024 files with their metadata and small contents, which are kept in any case and looked at once for each turn of the loop."},
    {"open_file_cache_valid", HTTP_ALL, 1, 1, CONF_TIME, FIELD(open_files_valid_ms), 0, 0, "60s", -1, NULL,
     "TIME", "For how long that is."},
    {"open_file_cache_min_uses", HTTP_ALL, 1, 1, CONF_NUMBER, FIELD(open_files_min_uses), 1, 1000000, "1", -1, NULL,
     "NUMBER", "From which use of a file on."},
    {"open_file_cache_errors", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(open_files_errors), 0, 0, "off", -1, NULL,
     "on | off", "Whether it is remembered, too, that a file is not there."},
    {"aio", HTTP_ALL, 1, 1, CONF_TEMPLATE, FIELD(aio), 0, 0, NULL, -1, NULL,
     "off | on | threads[=POOL]", "Whether content that is not in memory is read by a thread of this pool, so that the loop never waits for a disk; on is threads=default."},
    {"directio", HTTP_ALL, 1, 1, CONF_SIZE, FIELD(directio), 0, 0, "off", 0, NULL,
     "SIZE | off", "Files of this size and more leave nothing in the page cache: what has been sent is dropped from it."},
    {"disable_symlinks", HTTP_ALL, 1, 2, CONF_TEMPLATE, FIELD(disable_symlinks), 0, 0, NULL, -1, NULL,
     "off | on | if_not_owner [from=PART]", "Whether symbolic links in a file's path are refused (403), or those whose owner is not that of what they point to. Links within PART, with which the path begins, are right; it may contain variables. Such files are not cached."},
    {"random_index", CONF_LOCATION, 1, 1, CONF_FLAG, FIELD(random_index), 0, 0, "off", 0, NULL,
     "on | off", "Whether a folder is answered with any one of its files."},
    {0},
    // clang-format on
};
