/*
 * proxy/rewrite.c - proxy_redirect and proxy_cookie_...: headers of upstreams' answers in the terms of our clients.
 */
#include "proxy/internal.h"

#include "base/arena.h"
#include "base/slice.h"
#include "http/request/absolute_url.h"
#include "http/request/exchange.h"
#include "http/request/regex.h"
#include "http/request/template.h"

#include <assert.h>

/* The replacement of one line, with the captures of its own expression. */
static struct slice expand_to(struct proxy *p, const struct http_template *to,
                              const struct http_captures *captures)
{
    struct http_exchange *ex = p->ex;
    if (!captures)
        return http_template_expand(to, ex);
    struct http_captures saved = ex->route.location_captures;
    ex->route.location_captures = *captures;
    http_keep_named(ex, captures);
    struct slice text = http_template_expand(to, ex);
    ex->route.location_captures = saved;
    return text;
}

static struct slice concat(struct proxy *p, struct slice a, struct slice b, struct slice c)
{
    return arena_printf(&p->ex->arena, "%.*s%.*s%.*s", (int)a.len, a.len ? a.data : "", (int)b.len,
                        b.len ? b.data : "", (int)c.len, c.len ? c.data : "");
}

/* By one line: a prefix is replaced, or, by an expression that matches, the whole. data NULL: the line is not for this text. */
static struct slice rewrite_prefix(struct proxy *p, const struct proxy_rewrite *r, struct slice text)
{
    struct http_captures captures;
    struct slice none = {0};
    if (!r->from) {
        if (!http_regex_match(r->regex, text, &captures))
            return none;
        return expand_to(p, r->to, &captures); /* in place of all of it, as in nginx */
    }
    struct slice from = http_template_expand(r->from, p->ex);
    if (!slice_starts(text, from))
        return none;
    return concat(p, none, expand_to(p, r->to, NULL), slice_from(text, from.len));
}

/* By the first line that is for it; data NULL: none is. */
static struct slice rewrite_url(struct proxy *p, struct slice url)
{
    const struct proxy_rewrites *all = &p->to->redirects;
    struct slice text = {0};
    for (int i = 0; !text.data && i < all->count; i++)
        text = rewrite_prefix(p, &all->items[i], url);
    return text;
}

struct slice proxy_rewrite_location(struct proxy *p, struct slice value)
{
    struct slice text = rewrite_url(p, value);
    if (text.len && text.data[0] == '/') /* nginx puts the server's name before it */
        return http_absolute_url(p->ex, proxy_settings(p), text);
    return text.data ? text : value;
}

/* "5; url=http://..."; a path stays one. */
struct slice proxy_rewrite_refresh(struct proxy *p, struct slice value)
{
    for (size_t i = 0; i + 4 <= value.len; i++) {
        if (strncasecmp(value.data + i, "url=", 4) != 0)
            continue;
        struct slice before = {value.data, i + 4};
        struct slice text = rewrite_url(p, slice_from(value, i + 4));
        return text.data ? concat(p, before, text, (struct slice){0}) : value;
    }
    return value;
}

/* --- cookies --- */

/* One of "name=value; Attribute=text; ...", the first being the cookie itself. */
struct attribute {
    struct slice name, value; /* data NULL: there is no "=" */
    bool gone;
};

struct cookie {
    /* There is room for the flags that may be added. */
    struct attribute *items;
    int count; /* 0: out of memory */
};

enum { SECURE, HTTP_ONLY, SAME_SITE, FLAGS };

static struct attribute parse_attribute(struct slice text)
{
    const char *equals = text.len ? memchr(text.data, '=', text.len) : NULL;
    size_t name_len = equals ? (size_t)(equals - text.data) : text.len;
    return (struct attribute){.name = slice_trim((struct slice){text.data, name_len}),
                              .value =
                                  equals ? slice_trim(slice_from(text, name_len + 1)) : (struct slice){0}};
}

static struct cookie parse_cookie(struct arena *arena, struct slice text)
{
    struct cookie cookie = {0};
    int most = 1 + FLAGS;
    for (size_t i = 0; i < text.len; i++)
        most += text.data[i] == ';';
    cookie.items = arena_zalloc(arena, (size_t)most * sizeof *cookie.items);
    for (bool more = cookie.items != NULL; more;) {
        const char *end = text.len ? memchr(text.data, ';', text.len) : NULL;
        size_t len = end ? (size_t)(end - text.data) : text.len;
        cookie.items[cookie.count++] = parse_attribute((struct slice){text.data, len});
        text = slice_from(text, len + 1);
        more = end != NULL;
    }
    return cookie;
}

static char *put(char *at, struct slice text)
{
    if (!text.data)
        return at;
    memcpy(at, text.data, text.len);
    return at + text.len;
}

/* Written anew, as nginx does: "; " between the attributes. data NULL: out of memory. */
static struct slice write_cookie(struct arena *arena, const struct cookie *cookie)
{
    size_t len = 0;
    for (int i = 0; i < cookie->count; i++)
        len += cookie->items[i].name.len + cookie->items[i].value.len + 3;
    char *text = arena_alloc(arena, len), *at = text;
    for (int i = 0; text && i < cookie->count; i++) {
        const struct attribute *a = &cookie->items[i];
        if (a->gone)
            continue;
        at = put(put(at, i ? SLICE("; ") : SLICE("")), a->name);
        at = put(put(at, a->value.data ? SLICE("=") : SLICE("")), a->value);
    }
    return (struct slice){text, (size_t)(at - text)};
}

/* A domain is compared as a whole, without regard to case and a first dot, which stays where it is. */
static struct slice rewrite_domain(struct proxy *p, const struct proxy_rewrite *r, struct slice domain)
{
    struct http_captures captures;
    struct slice none = {0};
    if (!r->from)
        return http_regex_match(r->regex, domain, &captures) ? expand_to(p, r->to, &captures) : none;
    struct slice dot = {domain.data, domain.len && domain.data[0] == '.'};
    if (!slice_eq_nocase(slice_from(domain, dot.len), http_template_expand(r->from, p->ex)))
        return none;
    return concat(p, dot, expand_to(p, r->to, NULL), none);
}

/* Each attribute of that name, as browsers go by the last one. True if there was one to change. */
static bool rewrite_attributes(struct proxy *p, const struct proxy_rewrites *all, struct cookie *cookie,
                               struct slice wanted, bool domain)
{
    bool changed = false;
    for (int i = 1; all->count && i < cookie->count; i++) {
        struct attribute *a = &cookie->items[i];
        struct slice to = {0};
        if (!a->value.data || !slice_eq_nocase(a->name, wanted))
            continue;
        for (int k = 0; !to.data && k < all->count; k++)
            to = domain ? rewrite_domain(p, &all->items[k], a->value)
                        : rewrite_prefix(p, &all->items[k], a->value);
        if (to.data)
            a->value = to;
        changed |= to.data != NULL;
    }
    return changed;
}

/* Words of proxy_cookie_flags. */
struct flag {
    struct slice word;
    int which;
    bool off;
    struct slice value; /* of SameSite */
};

static const struct flag flags[] = {
    {{"secure", 6}, SECURE, false, {NULL, 0}},
    {{"nosecure", 8}, SECURE, true, {NULL, 0}},
    {{"httponly", 8}, HTTP_ONLY, false, {NULL, 0}},
    {{"nohttponly", 10}, HTTP_ONLY, true, {NULL, 0}},
    {{"samesite=strict", 15}, SAME_SITE, false, {"Strict", 6}},
    {{"samesite=lax", 12}, SAME_SITE, false, {"Lax", 3}},
    {{"samesite=none", 13}, SAME_SITE, false, {"None", 4}},
    {{"nosamesite", 10}, SAME_SITE, true, {NULL, 0}},
};

/* One that is there keeps its place; else it comes last. */
static void set_flag(struct cookie *cookie, const struct flag *flag)
{
    static const struct slice names[FLAGS] = {{"Secure", 6}, {"HttpOnly", 8}, {"SameSite", 8}};
    bool found = false;
    for (int i = 1; i < cookie->count; i++) {
        struct attribute *a = &cookie->items[i];
        if (!slice_eq_nocase(a->name, names[flag->which]))
            continue;
        if (!flag->off && !found && flag->value.data && !slice_eq_nocase(a->value, flag->value))
            *a = (struct attribute){names[flag->which], flag->value, false};
        a->gone = flag->off;
        found = true;
    }
    assert(cookie->count > 0);
    if (!flag->off && !found)
        cookie->items[cookie->count++] = (struct attribute){names[flag->which], flag->value, false};
}

/* True if a word is one that is known. */
static bool set_flags(struct proxy *p, const struct proxy_rewrite *r, struct cookie *cookie)
{
    const struct flag *wanted[FLAGS] = {0};
    for (int i = 0; i < r->flag_count; i++) {
        struct slice word = http_template_expand(r->flags[i], p->ex);
        for (size_t k = 0; k < sizeof flags / sizeof flags[0]; k++)
            if (slice_eq_nocase(flags[k].word, word))
                wanted[flags[k].which] = &flags[k];
    }
    bool any = false;
    for (int i = 0; i < FLAGS; i++) {
        if (wanted[i])
            set_flag(cookie, wanted[i]);
        any |= wanted[i] != NULL;
    }
    return any;
}

static bool is_for_cookie(struct proxy *p, const struct proxy_rewrite *r, struct slice name)
{
    return r->from ? slice_eq_nocase(http_template_expand(r->from, p->ex), name)
                   : http_regex_match(r->regex, name, NULL);
}

/* By the first line that is for it. True if it says anything. */
static bool rewrite_flags(struct proxy *p, struct cookie *cookie)
{
    const struct proxy_rewrites *all = &p->to->cookie_flags;
    for (int i = 0; i < all->count; i++)
        if (is_for_cookie(p, &all->items[i], cookie->items[0].name))
            return set_flags(p, &all->items[i], cookie);
    return false;
}

struct slice proxy_rewrite_cookie(struct proxy *p, struct slice value)
{
    const struct location_proxy *to = p->to;
    if (!to->cookie_flags.count && !to->cookie_domains.count && !to->cookie_paths.count)
        return value;
    struct cookie cookie = parse_cookie(&p->ex->arena, value);
    if (!cookie.count || !cookie.items[0].value.data) /* what has no value is no cookie */
        return value;
    bool changed = rewrite_flags(p, &cookie);
    changed |= rewrite_attributes(p, &to->cookie_domains, &cookie, SLICE("domain"), true);
    changed |= rewrite_attributes(p, &to->cookie_paths, &cookie, SLICE("path"), false);
    struct slice text = changed ? write_cookie(&p->ex->arena, &cookie) : value;
    return text.data ? text : value;
}
