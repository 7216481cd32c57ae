/*
 * worker/sticky.c - sticky: requests of one client go to one server of an upstream (nginx, ngx_http_upstream_sticky_module).
 *
 * Each server has an id: its route=, or the MD5 of its address. Which id a request asks for is said by a cookie that we set
 * ourselves, or by variables.
 */
#include "worker/upstream.h"

#include "base/clock.h"
#include "conf/directive.h"

#include <openssl/evp.h>

enum { MD5_BYTES = 16, COOKIE_DATE_BYTES = 32 };

struct sticky {
    const struct http_template **lookups; /* the first that is not empty says the id */
    int lookup_count;
    struct slice cookie; /* its name; data NULL: none is set */
    struct slice path;
    const struct http_template *domain, *samesite; /* NULL: none */
    int64_t expires_s;                             /* -1: when the browser ends; INT64_MAX: never */
    bool httponly, secure;
};

void sticky_name_peer(struct peer *p)
{
    static const char digits[] = "0123456789abcdef";
    struct slice route = p->server->conf->route;
    unsigned char hash[MD5_BYTES];
    if (route.data) {
        p->id_len = route.len;
        memcpy(p->id, route.data, route.len);
        return;
    }
    if (EVP_Digest(p->text, strlen(p->text), hash, NULL, EVP_md5(), NULL) != 1)
        return;
    for (size_t i = 0; i < MD5_BYTES; i++) {
        p->id[2 * i] = digits[hash[i] >> 4];
        p->id[2 * i + 1] = digits[hash[i] & 15];
    }
    p->id_len = 2 * MD5_BYTES;
}

struct slice sticky_wanted(const struct sticky *s, struct http_exchange *ex)
{
    struct slice id = {0};
    for (int i = 0; s && id.len == 0 && i < s->lookup_count; i++)
        id = http_template_expand(s->lookups[i], ex);
    return id;
}

static struct slice expiry(const struct sticky *s, struct arena *arena, int64_t now_s)
{
    char date[COOKIE_DATE_BYTES];
    struct tm tm;
    if (s->expires_s < 0)
        return SLICE("");
    if (s->expires_s == INT64_MAX)
        return SLICE("; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=315360000");
    time_t at = (time_t)(now_s + s->expires_s);
    gmtime_r(&at, &tm);
    strftime(date, sizeof date, "%a, %d-%b-", &tm);
    return arena_printf(arena, "; expires=%s%02d %02d:%02d:%02d GMT; max-age=%lld", date, tm.tm_year % 100,
                        tm.tm_hour, tm.tm_min, tm.tm_sec, (long long)s->expires_s);
}

static bool is_samesite(struct slice text)
{
    return slice_eq_nocase(text, SLICE("strict")) || slice_eq_nocase(text, SLICE("lax")) ||
           slice_eq_nocase(text, SLICE("none"));
}

bool sticky_set_cookie(struct connection *c, const struct upstream *u, const struct peer *p)
{
    struct http_exchange *ex = c->ex;
    const struct sticky *s = u->sticky;
    if (!s || !s->cookie.data || !p)
        return true;
    struct slice domain = s->domain ? http_template_expand(s->domain, ex) : SLICE("");
    struct slice site = s->samesite ? http_template_expand(s->samesite, ex) : SLICE("");
    if (site.len && !is_samesite(site))
        site = SLICE("strict");
    struct slice until = expiry(s, &ex->arena, (int64_t)(connection_worker(c)->now_wall_ms / 1000));
    struct slice value = arena_printf(
        &ex->arena, "%.*s=%.*s%.*s%s%.*s%s%s%s%.*s%s%.*s", SLICE_ARGS(s->cookie), (int)p->id_len, p->id,
        SLICE_ARGS(until), domain.len ? "; domain=" : "", SLICE_ARGS(domain), s->httponly ? "; httponly" : "",
        s->secure ? "; secure" : "", site.len ? "; samesite=" : "", SLICE_ARGS(site),
        s->path.len ? "; path=" : "", SLICE_ARGS(s->path));
    return value.data &&
           (!http_is_field_value(value) || http_add_header(&ex->res, &ex->arena, SLICE("Set-Cookie"), value));
}

/* --- from settings --- */

static bool set_parameter(struct site *site, struct sticky *s, struct slice arg, const struct conf_node *n)
{
    int64_t ms;
    if (slice_eq(arg, SLICE("httponly")))
        return s->httponly = true;
    if (slice_eq(arg, SLICE("secure")))
        return s->secure = true;
    if (slice_starts(arg, SLICE("domain=")) && arg.len > 7)
        return (s->domain = site_compile(site, slice_from(arg, 7), n)) != NULL;
    if (slice_starts(arg, SLICE("path=")) && arg.len > 5) {
        s->path = slice_from(arg, 5);
        return true;
    }
    if (slice_starts(arg, SLICE("samesite="))) {
        struct slice text = slice_from(arg, 9);
        return (memchr(text.data, '$', text.len) || is_samesite(text)) &&
               (s->samesite = site_compile(site, text, n));
    }
    if (!slice_starts(arg, SLICE("expires=")))
        return false;
    if (slice_eq(slice_from(arg, 8), SLICE("max"))) {
        s->expires_s = INT64_MAX;
        return true;
    }
    bool ok = conf_parse_time(slice_from(arg, 8), &ms);
    s->expires_s = ok ? ms / 1000 : -1;
    return ok;
}

/* sticky cookie NAME [PARAMETER ...] | route $VARIABLE ... */
struct sticky *site_build_sticky(struct site *site, const struct conf_node *n)
{
    struct sticky *s = site_array(site, 1, sizeof *s);
    bool by_cookie = slice_eq(n->args[0], SLICE("cookie")),
         ok = by_cookie || slice_eq(n->args[0], SLICE("route"));
    s->expires_s = -1;
    s->lookups = site_array(site, n->nargs, sizeof(void *));
    if (by_cookie) {
        s->cookie = n->args[1];
        s->lookups[s->lookup_count++] =
            site_compile(site, arena_printf(&site->arena, "${cookie_%.*s}", SLICE_ARGS(s->cookie)), n);
    }
    for (int i = by_cookie ? 2 : 1; ok && i < n->nargs; i++) {
        if (by_cookie)
            ok = set_parameter(site, s, n->args[i], n);
        else if ((ok = n->args[i].len > 1 && n->args[i].data[0] == '$'))
            s->lookups[s->lookup_count++] = site_compile(site, n->args[i], n);
    }
    if (!ok)
        conf_error(
            &site->conf->errors, n,
            "invalid \"sticky\"; write: cookie NAME [expires=TIME|max] [domain=DOMAIN] [path=PATH] [httponly] "
            "[secure] [samesite=strict|lax|none]; or route $VARIABLE ...");
    return s;
}
