/*
 * http/access/referer.c - valid_referers: $invalid_referer is empty for requests that come from where they may (nginx,
 * ngx_http_referer_module).
 */
#include "base/slice.h"
#include "conf/directive.h"
#include "conf/tree.h"
#include "http/request/regex.h"
#include "http/site/build.h"
#include "http/site/router.h"
#include "http/site/site.h"
#include "http/wire/request.h"

enum { SHORTEST_URL = 11 /* http://i.ru: what is shorter names no site, as in nginx */ };

/* What must follow the host of a referer; empty: anything. */
struct referer_uri {
    struct slice prefix;
};

struct referers {
    bool none, blocked, server_names;
    struct http_names *names; /* to struct referer_uri */
    struct http_regex **regexes;
    int regex_count;
};

/* Text behind "http://" or "https://". */
static bool is_valid_url(const struct http_exchange *ex, const struct referers *r, struct slice text)
{
    struct http_captures ignored = {0};
    size_t n = 0;
    while (n < text.len && text.data[n] != '/' && text.data[n] != ':')
        n++;
    struct slice host = {text.data, n}, rest = slice_from(text, n);
    const struct referer_uri *uri = host.len ? http_names_find(r->names, host, &ignored) : NULL;
    const char *path = uri && rest.len ? memchr(rest.data, '/', rest.len) : NULL; /* behind a port */
    if (uri)
        return uri->prefix.len == 0 ||
               (path && slice_starts(slice_from(rest, (size_t)(path - rest.data)), uri->prefix));
    const struct site_listen *listen = ex->client.listen;
    if (r->server_names && host.len && http_names_find(listen->names, host, &ignored) == ex->route.server)
        return true;
    for (int i = 0; i < r->regex_count; i++)
        if (r->regexes[i] && http_regex_match(r->regexes[i], text, NULL))
            return true;
    return false;
}

static struct slice get_invalid_referer(struct http_exchange *ex, const void *data)
{
    const struct location *l = ex->route.location;
    const struct referers *r = l ? l->referers : NULL;
    const struct slice *value = http_find_header(&ex->req, SLICE("Referer"));
    (void)data;
    if (!r)
        return SLICE("");
    if (!value)
        return r->none ? SLICE("") : SLICE("1");
    size_t scheme = value->len < SHORTEST_URL                      ? 0
                    : strncasecmp(value->data, "http://", 7) == 0  ? 7
                    : strncasecmp(value->data, "https://", 8) == 0 ? 8
                                                                   : 0;
    bool valid = scheme ? is_valid_url(ex, r, slice_from(*value, scheme)) : r->blocked;
    return valid ? SLICE("") : SLICE("1");
}

void site_name_referers(struct site *site)
{
    site_define(site, "invalid_referer", get_invalid_referer);
}

/* --- from settings --- */

/* NAME[/PREFIX] */
static void add_name(struct site *site, struct referers *r, struct slice text, const struct conf_node *n)
{
    const char *slash = memchr(text.data, '/', text.len);
    size_t len = slash ? (size_t)(slash - text.data) : text.len;
    struct referer_uri *uri = site_array(site, 1, sizeof *uri);
    struct slice why = {0};
    uri->prefix = slice_from(text, len);
    if (!http_names_add(r->names, (struct slice){text.data, len}, uri, &why))
        conf_error(&site->conf->errors, n, "invalid referer \"%.*s\": %.*s", SLICE_ARGS(text),
                   SLICE_ARGS(why));
}

void site_build_referers(struct site *site, struct location *l, const struct conf_lines *lines)
{
    struct referers *r = site_array(site, 1, sizeof *r);
    int words = 0;
    for (const struct conf_lines *line = lines; line; line = line->next)
        words += line->node->nargs;
    r->names = http_names_new(&site->arena);
    r->regexes = site_array(site, words, sizeof(void *));
    for (; lines; lines = lines->next) {
        for (int i = 0; i < lines->node->nargs; i++) {
            struct slice word = lines->node->args[i];
            if (slice_eq(word, SLICE("none")))
                r->none = true;
            else if (slice_eq(word, SLICE("blocked")))
                r->blocked = true;
            else if (slice_eq(word, SLICE("server_names")))
                r->server_names = true;
            else if (word.len && word.data[0] == '~')
                r->regexes[r->regex_count++] =
                    site_compile_regex(site, slice_from(word, 1), true, lines->node);
            else
                add_name(site, r, word, lines->node);
        }
    }
    l->referers = r;
}

void site_free_referers(struct location *l)
{
    if (l->referers)
        http_names_free(l->referers->names);
}
