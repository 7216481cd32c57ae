/*
 * http/site/paths.c - where files lie: root and alias, for a URI.
 */
#include "http/site/paths.h"

#include "base/arena.h"
#include "base/slice.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/wire/uri.h"

#include <assert.h>
#include <errno.h>

struct slice static_folder(struct http_exchange *ex, const struct static_source *from)
{
    const struct settings *s = from->settings;
    if (!from->folder)
        return s->files.folder.alias.data ? s->files.folder.alias : s->files.folder.root;
    if (ex->in_folder) /* by way of $request_filename, or of a map */
        return (struct slice){0};
    ex->in_folder = true;
    struct slice text = http_template_expand(from->folder, ex);
    assert(ex->in_folder);
    ex->in_folder = false;
    struct slice prefix = text.len && text.data[0] == '/' ? SLICE("") : from->prefix;
    return arena_join(&ex->arena, prefix, text);
}

/* The path, if no more of its segments are ".." than of the configured text. */
static struct slice within_folder(struct http_exchange *ex, const struct settings *s, struct slice path)
{
    unsigned climbs = path.data ? http_climbs(path) : 0;
    if (climbs == 0 ||
        climbs <= http_climbs(s->files.folder.alias.data ? s->files.folder.alias : s->files.folder.root))
        return path;
    http_log(ex, LOG_LEVEL_ERROR, "\"%.*s\" leaves its folder by \"..\"", SLICE_ARGS(path));
    errno = ENOENT;
    return (struct slice){0};
}

struct slice static_beside(struct http_exchange *ex, const struct static_source *from, struct slice text)
{
    struct slice folder = static_folder(ex, from);
    if (folder.data && text.len)
        folder = arena_join(&ex->arena, folder, text);
    return within_folder(ex, from->settings, folder);
}

struct slice static_path(struct http_exchange *ex, const struct static_source *from, struct slice uri)
{
    const struct settings *s = from->settings;
    struct slice folder = static_folder(ex, from);
    if (!folder.data)
        return folder;
    if (from->is_whole_path)
        return static_beside(ex, from, ex->route.alias_rest);
    struct slice rest =
        s->files.folder.alias.data ? slice_from(uri, (size_t)s->files.folder.alias_strip) : uri;
    return within_folder(ex, s, arena_join(&ex->arena, folder, rest));
}
