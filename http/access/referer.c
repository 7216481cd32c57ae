/*
 * http/access/referer.c - valid_referers: $invalid_referer is empty for requests that come from where they may (nginx,
 * ngx_http_referer_module).
 */
#include "http/access/referer.h"

#include "base/slice.h"
#include "conf/directive.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/request/regex.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/router.h"
#include "http/site/site.h"
#include "http/wire/request.h"

/* http://i.ru: what is shorter names no site, as in nginx. */
enum { SHORTEST_URL = 11 };

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

struct referer_settings {
    struct conf_lines *valid;
};

struct part referer_settings_part = {.size = sizeof(struct referer_settings)};
SETTINGS_PART(referer_settings)

/* Of a location. */
struct referer_location {
    struct referers *valid; /* NULL: no directive says */
};

struct part referer_location_part = {.size = sizeof(struct referer_location)};
LOCATION_PART(referer_location)

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
    const struct referers *r = l ? referer_location_of(l)->valid : NULL;
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

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct conf_lines *lines = referer_settings_of(l->settings)->valid;
    (void)c;
    if (!lines)
        return;
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
    referer_location_in(l)->valid = r;
}

static void drop(struct location *l)
{
    if (referer_location_of(l)->valid)
        http_names_free(referer_location_of(l)->valid->names);
}

#define PART(member) CONF_PART_FIELD(referer_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "valid_referers", .where = CONF_SERVER | CONF_LOCATION, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = PART(valid),
     .syntax = "none | blocked | server_names | NAME[/PREFIX] | ~REGEX ...",
     .help = "For which Referer $invalid_referer is empty, else 1: for none, for one without http:// or https://, for the server's own names, for these names with wildcards, for what an expression finds behind the scheme. Inherited where a level has none."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_ACCESS, rows, NULL};

static const struct feature_variable variables[] = {{"invalid_referer", get_invalid_referer}, {0}};

const struct feature feature_referer = {.name = "referer",
                                        .table = &table,
                                        .location = &referer_location_part,
                                        .variables = variables,
                                        .build = build,
                                        .drop = drop};
