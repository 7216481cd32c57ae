/*
 * http/site/files.c - from settings to where a location's files come from: alias, aio and
 * disable_symlinks.
 */
#include "http/site/site.h"

#include "base/slice.h"
#include "conf/directive.h"
#include "conf/tree.h"
#include "http/site/build.h"

#include <ctype.h>

/* off | on | if_not_owner [from=PART] */
static void build_symlinks(struct site *site, struct static_source *files, const struct conf_node *n)
{
    static const char *const modes[] = {"off", "on", "if_not_owner"};
    int mode = 0;
    while (mode < 3 && !slice_eq(n->args[0], slice_of(modes[mode])))
        mode++;
    bool has_from = n->nargs == 2 && slice_starts(n->args[1], SLICE("from="));
    if (mode == 3 || (n->nargs == 2 && !has_from)) {
        conf_error(&site->conf->errors, n,
                   "invalid \"disable_symlinks\"; write: off, or on | if_not_owner [from=PART]");
        return;
    }
    files->rules.symlinks = mode;
    if (has_from && mode)
        files->symlinks_from = site_compile(site, slice_from(n->args[1], 5), n);
}

/* off | on | threads[=POOL]: the pool's index, or -1 */
static int find_aio_pool(struct site *site, const struct conf_node *n)
{
    struct slice text = n ? n->args[0] : SLICE("off"), name = SLICE("default");
    int index = 0;
    if (slice_eq(text, SLICE("off")))
        return -1;
    if (slice_starts(text, SLICE("threads=")))
        name = slice_from(text, 8);
    else if (!slice_eq(text, SLICE("on")) && !slice_eq(text, SLICE("threads")))
        conf_error(&site->conf->errors, n,
                   "invalid value \"%.*s\" of \"aio\"; write: off, on, or threads[=POOL]", SLICE_ARGS(text));
    for (const struct conf_pool *p = site->conf->pools; p; p = p->next, index++)
        if (slice_eq(p->name, name))
            return index;
    conf_error(&site->conf->errors, n, "unknown thread pool \"%.*s\" of \"aio\"; define it with thread_pool",
               SLICE_ARGS(name));
    return -1;
}

/* Whether a text has "$NAME" or "${NAME}". */
static bool asks_for(struct slice text, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = text.data; at && (at = memchr(at, '$', (size_t)(text.data + text.len - at)));
         at++) {
        struct slice rest = slice_from(text, (size_t)(at - text.data) + 1);
        rest = slice_from(rest, rest.len && rest.data[0] == '{');
        if (rest.len >= len && memcmp(rest.data, name, len) == 0 &&
            (rest.len == len || !(isalnum((unsigned char)rest.data[len]) || rest.data[len] == '_')))
            return true;
    }
    return false;
}

/* "location /a" with "alias /x/": in "/a../y" the folder's slash makes a segment of the dots. */
static bool may_be_left_upwards(const struct settings *s, const struct conf_location *c)
{
    struct slice pattern = c->pattern, folder = s->files.folder.alias;
    return folder.data && folder.len && folder.data[folder.len - 1] == '/' &&
           s->files.folder.alias_strip == (int64_t)pattern.len && c->match < CONF_MATCH_EXACT &&
           pattern.len && pattern.data[pattern.len - 1] != '/';
}

/* "location ~ ^/img(.*)$" with "alias /x/$1": likewise, where what a group takes begins behind no slash. */
static bool group_may_climb(const struct settings *s, const struct conf_location *c)
{
    const char *slash = s->files.folder.alias.data && s->files.folder.alias.len > 2
                            ? memmem(s->files.folder.alias.data, s->files.folder.alias.len, "/$", 2)
                            : NULL;
    const char *group = c->pattern.len ? memchr(c->pattern.data, '(', c->pattern.len) : NULL;
    return s->files.folder.alias_strip < 0 && slash &&
           slash + 2 < s->files.folder.alias.data + s->files.folder.alias.len && slash[2] == '1' && group &&
           group > c->pattern.data && group[-1] != '/' && group[-1] != '\\' &&
           (group + 1 >= c->pattern.data + c->pattern.len || group[1] == '.');
}

void site_build_files(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct settings *s = l->settings;
    struct static_source *files = &l->files;
    files->settings = s;
    struct slice folder = s->files.folder.alias.data ? s->files.folder.alias : s->files.folder.root;
    files->is_whole_path = s->files.folder.alias.data && s->files.folder.alias_strip < 0;
    files->prefix = site->conf->prefix;
    if (may_be_left_upwards(s, c))
        conf_error(
            &site->conf->warnings, s->files.folder.node,
            "\"alias\" ends with a slash and its location \"%.*s\" does not: \"%.*sX\" is the file \"X\" of the "
            "folder; end both with one",
            SLICE_ARGS(c->pattern), SLICE_ARGS(c->pattern));
    if (group_may_climb(s, c))
        conf_error(&site->conf->warnings, s->files.folder.node,
                   "\"alias\" has \"/$1\" and its location \"%.*s\" no slash before the group: what begins "
                   "with \"..\" there is refused; write \"/(\"",
                   SLICE_ARGS(c->pattern));
    if (asks_for(folder, "document_root") || asks_for(folder, "realpath_root"))
        conf_error(
            &site->conf->errors, s->files.folder.node ? s->files.folder.node : c->node,
            "the $document_root and $realpath_root variables cannot be used in \"%s\"; write the folder",
            s->files.folder.alias.data ? "alias" : "root");
    else if (memchr(folder.data, '$', folder.len))
        files->folder = site_compile(site, folder, s->files.folder.node ? s->files.folder.node : c->node);
    files->index = site_array(site, s->files.index->count, sizeof(void *));
    for (int i = 0; i < s->files.index->count; i++)
        files->index[i] = site_compile(site, s->files.index->items[i], c->node);
    l->aio_pool = find_aio_pool(site, s->files.aio);
    files->rules.without_waiting = l->aio_pool >= 0;
    if (s->files.disable_symlinks)
        build_symlinks(site, files, s->files.disable_symlinks);
}
