/*
 * http/site/gzip_client.c - which clients get gzip: gzip_http_version, gzip_disable and gzip_proxied.
 *
 * Whether an answer is worth it is another question, of http/filters/gzip.c.
 */
#include "http/site/gzip_client.h"

#include "base/clock.h"
#include "base/slice.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/request/regex.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/site.h"
#include "http/wire/agent.h"
#include "http/wire/encoding.h"
#include "http/wire/request.h"
#include "http/wire/response.h"

struct part gzip_client_settings_part = {.size = sizeof(struct gzip_client_settings)};

/* Of a location, gzip_disable: the browsers that get none. */
struct gzip_disable {
    bool msie6;
    /* An element is NULL only in a configuration that is refused. */
    struct http_regex **regexes;
    int regex_count;
};

struct part gzip_disable_part = {.size = sizeof(struct gzip_disable)};
LOCATION_PART(gzip_disable)

/* Whether a list has that word, alone: "private" and not `private="x"`, as in nginx. */
static bool says(const struct http_response *res, const char *word)
{
    struct slice item;
    for (const struct http_response_header *h = res->headers; h; h = h->next) {
        struct slice list = h->header.value;
        if (!slice_eq_nocase(h->header.name, SLICE("Cache-Control")))
            continue;
        while (slice_next_in_list(&list, &item))
            if (slice_eq_nocase(item, slice_of(word)))
                return true;
    }
    return false;
}

/* Whether Expires has passed at the answer's own Date, which an upstream may have given. */
static bool has_expired(const struct http_response *res, struct slice expires)
{
    struct slice date = http_added_header(res, SLICE("Date"));
    time_t at = clock_parse_http_date(expires);
    time_t from = date.data ? clock_parse_http_date(date) : (time_t)(clock_wall_ms() / 1000);
    return at >= 0 && from >= 0 && at < from;
}

/*
 * gzip_proxied: for requests that came through a proxy, which say so with Via. What keeps caches from keeping the answer
 * decides first, Expires before Cache-Control; only an answer without both is asked for its validators.
 */
static bool is_allowed_for_proxies(const struct http_exchange *ex, int64_t mask)
{
    const struct http_response *res = &ex->res;
    struct slice expires = http_added_header(res, SLICE("Expires"));
    if (!http_find_header(&ex->req, SLICE("Via")) || (mask & GZIP_PROXIED_ANY && !(mask & GZIP_PROXIED_OFF)))
        return true;
    if (mask & GZIP_PROXIED_OFF)
        return false;
    if (mask & GZIP_PROXIED_AUTH && http_find_header(&ex->req, SLICE("Authorization")))
        return true;
    if (expires.data)
        return mask & GZIP_PROXIED_EXPIRED && has_expired(res, expires);
    if (http_added_header(res, SLICE("Cache-Control")).data)
        return (mask & GZIP_PROXIED_NO_CACHE && says(res, "no-cache")) ||
               (mask & GZIP_PROXIED_NO_STORE && says(res, "no-store")) ||
               (mask & GZIP_PROXIED_PRIVATE && says(res, "private"));
    return !(mask & GZIP_PROXIED_NO_LAST_MODIFIED && res->last_modified.len) &&
           !(mask & GZIP_PROXIED_NO_ETAG && res->etag.len);
}

/* By the first User-Agent, as in nginx; a request without one is of no browser. */
static bool is_disabled(const struct http_request *req, const struct gzip_disable *d)
{
    const struct slice *agent =
        d->msie6 || d->regex_count ? http_find_header(req, SLICE("User-Agent")) : NULL;
    if (!agent)
        return false;
    if (d->msie6 && http_agent_is_msie6(*agent))
        return true;
    for (int i = 0; i < d->regex_count; i++)
        if (http_regex_match(d->regexes[i], *agent, NULL))
            return true;
    return false;
}

bool gzip_client_takes_it(const struct http_exchange *ex, const struct location *l)
{
    const struct gzip_client_settings *s = gzip_client_settings_of(l->settings);
    return (s->http_version == 0 || !slice_eq(ex->req.protocol, SLICE("HTTP/1.0"))) &&
           http_accepts_gzip(&ex->req) && !is_disabled(&ex->req, gzip_disable_of(l)) &&
           is_allowed_for_proxies(ex, s->proxied);
}

/* --- from settings --- */

static bool lists_msie6(const struct conf_lines *lines)
{
    for (; lines; lines = lines->next)
        for (int i = 0; i < lines->node->nargs; i++)
            if (slice_eq(lines->node->args[i], SLICE("msie6")))
                return true;
    return false;
}

static void inherit(struct settings *settings, const struct settings *above)
{
    struct gzip_client_settings *s = gzip_client_settings_in(settings);
    s->disable_msie6 = (above && gzip_client_settings_of(above)->disable_msie6) || lists_msie6(s->disable);
}

/* REGEX ... | msie6; the regular expressions are of any case, as in nginx. */
static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct gzip_client_settings *s = gzip_client_settings_of(l->settings);
    struct gzip_disable *to = gzip_disable_in(l);
    int words = 0;
    (void)c;
    if (!s->disable)
        return;
    for (const struct conf_lines *line = s->disable; line; line = line->next)
        words += line->node->nargs;
    to->msie6 = s->disable_msie6;
    to->regexes = site_array(site, words, sizeof(void *));
    for (const struct conf_lines *line = s->disable; line; line = line->next)
        for (int i = 0; i < line->node->nargs; i++)
            if (!slice_eq(line->node->args[i], SLICE("msie6")))
                to->regexes[to->regex_count++] =
                    site_compile_regex(site, line->node->args[i], true, line->node);
}

#define PART(member) CONF_PART_FIELD(gzip_client_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "gzip_http_version", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = PART(http_version), .default_text = "1.1", .live = CONF_LIVE,
     .words = WORDS("1.0", "1.1"),
     .help = "The least version of requests whose answers are compressed."},
    {.name = "gzip_vary", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(vary), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether answers that may be compressed say Vary: Accept-Encoding."},
    {.name = "gzip_proxied", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_CHOICES, .field = PART(proxied), .default_text = "off", .live = CONF_LIVE,
     .words = WORDS("off", "expired", "no-cache", "no-store", "private", "no_last_modified", "no_etag", "auth", "any"),
     .help = "Which answers are compressed for requests that came through a proxy (Via)."},
    {.name = "gzip_disable", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = PART(disable),
     .syntax = "REGEX ... | msie6",
     .help = "Requests whose User-Agent one of these matches, in any case of letters, get no gzip; msie6: MSIE 4 to 6, without SV1 in it. Expressions are inherited where a level has none, msie6 in any case."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_COMPRESSION, rows, inherit};

const struct feature feature_gzip_client = {
    .name = "gzip_client", .table = &table, .location = &gzip_disable_part, .build = build};
