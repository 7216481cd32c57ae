/*
 * conf/table_files.c - the directives of static files, as data, and their setters.
 */
#include "conf/conf.h"
#include "conf/rows.h"

static void set_types(struct conf_walk *w, const struct conf_node *n)
{
    int count = 0;
    for (const struct conf_node *line = n->children; line; line = line->next)
        count += line->nargs;
    const struct conf_types *old = w->settings->files.types; /* several blocks on one level add up */
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
    w->settings->files.types = types;
}

static void set_root(struct conf_walk *w, const struct conf_node *n)
{
    bool alias = slice_eq(n->name, SLICE("alias"));
    if (w->settings->files.folder.root.data || w->settings->files.folder.alias.data) {
        conf_error(&w->conf->errors, n,
                   "\"%.*s\" directive is duplicate, or there is \"%s\" beside it; remove one of them",
                   SLICE_ARGS(n->name), alias ? "root" : "alias");
        return;
    }
    bool varies = n->args[0].len && n->args[0].data[0] == '$'; /* what comes of it may be absolute */
    struct slice path = varies ? n->args[0] : conf_full_path(w->conf, n->args[0]);
    w->settings->files.folder.node = w->is_default ? NULL : n;
    if (!alias) {
        while (path.len > 1 && path.data[path.len - 1] == '/')
            path = arena_dup(&w->conf->arena, (struct slice){path.data, path.len - 1});
        w->settings->files.folder.root = path;
        return;
    }
    w->settings->files.folder.alias = path;
    w->settings->files.folder.alias_strip =
        w->location->match >= CONF_MATCH_REGEX ? -1 : (int64_t)w->location->pattern.len;
}

/* Several on one level add up. */
static void set_index(struct conf_walk *w, const struct conf_node *n)
{
    const struct conf_strings *old = w->settings->files.index;
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
    w->settings->files.index = list;
}

const struct conf_directive conf_file_directives[] = {
    // clang-format off
    {.name = "root", .where = CONF_HTTP_ALL, .args = {1, 1}, .field = FIELD(files.folder), .default_text = "html", .set = set_root,
     .syntax = "PATH",
     .help = "The folder of the files; the URI goes behind it. May contain variables."},
    {.name = "alias", .where = CONF_LOCATION, .args = {1, 1}, .field = FIELD(files.folder), .set = set_root,
     .syntax = "PATH",
     .help = "Replaces the location's part of the URI by this path, in a regex location all of it. May contain variables."},
    {.name = "index", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .field = FIELD(files.index), .default_text = "index.html", .set = set_index,
     .syntax = "FILE ...",
     .help = "Files that stand for a folder, the first that exists; several directives on one level add up."},
    {.name = "types", .where = CONF_HTTP_ALL, .block = true, .field = FIELD(files.types), .default_text = "{ text/html html; image/gif gif; image/jpeg jpg; }", .set = set_types,
     .syntax = "{ TYPE EXTENSION ...; }",
     .help = "Content types by file extension."},
    {.name = "default_type", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = FIELD(files.default_type), .default_text = "text/plain",
     .syntax = "TYPE",
     .help = "The content type when no extension tells."},
    {.name = "sendfile", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(files.sendfile), .default_text = "off",
     .help = "Whether files go out by sendfile(2)."},
    {.name = "etag", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(files.etag), .default_text = "on", .live = CONF_LIVE,
     .help = "Whether files have an ETag."},
    {.name = "if_modified_since", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(files.if_modified_since), .default_text = "exact", .live = CONF_LIVE,
     .words = WORDS("off", "exact", "before"),
     .help = "When If-Modified-Since leads to 304: never, for the file's very time, or for any later one too."},
    {.name = "max_ranges", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = FIELD(files.max_ranges), .range = {0, 10000}, .default_text = "64", .live = CONF_LIVE,
     .help = "The most byte ranges of one request; with more of them it gets the whole file. 0: ranges are not offered."},
    {.name = "sendfile_max_chunk", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_SIZE, .field = FIELD(files.sendfile_max_chunk_bytes), .default_text = "2m", .live = CONF_LIVE,
     .help = "How much of a file one client gets before it is the others' turn, at most 2m; 0 is that."},
    {.name = "aio", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = FIELD(files.aio),
     .syntax = "off | on | threads[=POOL]",
     .help = "Whether content that is not in memory is read by a thread of this pool, so that the loop never waits for a disk; on is threads=default."},
    {.name = "directio", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_SIZE, .field = FIELD(files.directio_bytes), .default_text = "off", .live = CONF_LIVE, .off_is_zero = true,
     .syntax = "SIZE | off",
     .help = "Files of this size and more leave nothing in the page cache: what has been sent is dropped from it."},
    {.name = "disable_symlinks", .where = CONF_HTTP_ALL, .args = {1, 2}, .type = CONF_TEMPLATE, .field = FIELD(files.disable_symlinks),
     .syntax = "off | on | if_not_owner [from=PART]",
     .help = "Whether symbolic links in a file's path are refused (403), or those whose owner is not that of what they point to. Links within PART, with which the path begins, are right; it may contain variables. Such files are not cached."},
    {.name = "random_index", .where = CONF_LOCATION, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(files.random_index), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether a folder is answered with any one of its files."},
    {0},
    // clang-format on
};
