/*
 * http/request/gzip_client.c - which clients get gzip: gzip_http_version, gzip_disable and gzip_proxied.
 *
 * Whether an answer is worth it is another question, of http/filters/gzip.c.
 */
#include "http/request/gzip_client.h"

#include "base/clock.h"
#include "base/slice.h"
#include "http/request/regex.h"
#include "http/wire/agent.h"
#include "http/wire/encoding.h"
#include "http/wire/request.h"
#include "http/wire/response.h"

/* Whether a list has that word, alone: "private" and not `private="x"`, as in nginx. */
static bool cache_control_says(const struct http_response *res, const char *word)
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
    if (!http_find_header(&ex->req, SLICE("Via")) || (mask & CONF_GZIP_ANY && !(mask & CONF_GZIP_OFF)))
        return true;
    if (mask & CONF_GZIP_OFF)
        return false;
    if (mask & CONF_GZIP_AUTH && http_find_header(&ex->req, SLICE("Authorization")))
        return true;
    if (expires.data)
        return mask & CONF_GZIP_EXPIRED && has_expired(res, expires);
    if (http_added_header(res, SLICE("Cache-Control")).data)
        return (mask & CONF_GZIP_NO_CACHE && cache_control_says(res, "no-cache")) ||
               (mask & CONF_GZIP_NO_STORE && cache_control_says(res, "no-store")) ||
               (mask & CONF_GZIP_PRIVATE && cache_control_says(res, "private"));
    return !(mask & CONF_GZIP_NO_LAST_MODIFIED && res->last_modified.len) &&
           !(mask & CONF_GZIP_NO_ETAG && res->etag.len);
}

/* By the first User-Agent, as in nginx; a request without one is of no browser. */
static bool is_disabled(const struct http_request *req, const struct gzip_disable *d)
{
    const struct slice *agent = d ? http_find_header(req, SLICE("User-Agent")) : NULL;
    if (!agent)
        return false;
    if (d->msie6 && http_agent_is_msie6(*agent))
        return true;
    for (int i = 0; i < d->regex_count; i++)
        if (http_regex_match(d->regexes[i], *agent, NULL))
            return true;
    return false;
}

bool gzip_client_takes_it(const struct http_exchange *ex, const struct settings *s,
                          const struct gzip_disable *disable)
{
    return (s->gzip.http_version == 0 || !slice_eq(ex->req.protocol, SLICE("HTTP/1.0"))) &&
           http_accepts_gzip(&ex->req) && !is_disabled(&ex->req, disable) &&
           is_allowed_for_proxies(ex, s->gzip.proxied);
}
