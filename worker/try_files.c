/*
 * worker/try_files.c - try_files: the first file that exists, else another URI, a named location, or a status.
 */
#include "worker/core.h"

#include "conf/directive.h"
#include "handlers/static.h"

static bool exists(struct connection *c, struct slice path, bool folder)
{
    return path.data && static_exists(c->ex, &c->location->files, &connection_worker(c)->files, path, folder);
}

/* Where a name lies: behind an expression's alias just as it is written, else where the URI that it makes leads. */
static struct slice place_of(struct http_exchange *ex, const struct location *l, struct slice text,
                             struct slice uri)
{
    if (l->files.is_whole_path)
        return static_beside(ex, &l->files, text);
    return uri.len ? static_path(ex, &l->files, uri) : (struct slice){0};
}

/* With alias the location's part of the URI stands for the folder, whether a text has it or not. */
static struct slice uri_of(struct http_exchange *ex, const struct location *l, struct slice text)
{
    const struct settings *s = l->settings;
    if (!s->alias.data || l->files.is_whole_path)
        return text;
    struct slice part = {ex->req.path.data, (size_t)s->alias_strip};
    if (slice_starts(text, part))
        return text;
    return arena_printf(&ex->arena, "%.*s%.*s", SLICE_ARGS(part), SLICE_ARGS(text));
}

bool try_files_pass(struct connection *c)
{
    struct http_exchange *ex = c->ex;
    const struct location *l = c->location;
    const struct try_files *t = l->try_files;
    for (int i = 0; i < t->count; i++) {
        struct slice text = http_template_expand(t->files[i], ex);
        bool folder = t->folders[i];
        if (folder && text.len)
            text.len--; /* the static handler sends a client that left "/" out to the folder */
        struct slice uri = text.len ? uri_of(ex, l, text) : text;
        if ((uri.len && memchr(uri.data, '\0', uri.len)) || !exists(c, place_of(ex, l, text, uri), folder))
            continue;
        if (l->files.is_whole_path && !folder)
            ex->alias_rest = text;
        else if (!l->files.is_whole_path && uri.data[0] == '/')
            ex->req.path = uri;
        return true;
    }
    if (t->code)
        request_answer(c, t->code);
    else
        request_redirect(c, http_template_expand(t->otherwise, ex));
    return false;
}

struct try_files *site_build_try_files(struct site *site, const struct conf_node *n)
{
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
        if (!conf_parse_whole(slice_from(last, 1), 200, 599, &code))
            conf_error(&site->conf->errors, n, "invalid code \"%.*s\" in \"try_files\"; write =CODE",
                       SLICE_ARGS(last));
        else
            t->code = (int)code;
    }
    return t;
}
