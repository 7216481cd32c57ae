/*
 * worker/proxy_rewrite.c - proxy_redirect and proxy_cookie_...: headers of upstreams' answers in the terms of our clients.
 */
#include "worker/proxy_internal.h"

#include "handlers/return.h"

/* The replacement of one line, with the captures of its own expression. */
static struct slice expand_to(struct proxy *p, const struct http_template *to,
                              const struct http_captures *captures)
{
    struct http_exchange *ex = p->c->ex;
    if (!captures)
        return http_template_expand(to, ex);
    struct http_captures saved = ex->location_captures;
    ex->location_captures = *captures;
    http_keep_named(ex, captures);
    struct slice text = http_template_expand(to, ex);
    ex->location_captures = saved;
    return text;
}

static struct slice concat(struct proxy *p, struct slice a, struct slice b, struct slice c)
{
    return arena_printf(&p->c->ex->arena, "%.*s%.*s%.*s", (int)a.len, a.len ? a.data : "", (int)b.len,
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
    struct slice from = http_template_expand(r->from, p->c->ex);
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
        return return_absolute_url(p->c->ex, proxy_settings(p), text);
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

/* Cuts the next attribute off "name=value; Attribute=text; ...": its name and its text, blanks around them left out. */
static bool next_attribute(struct slice *rest, struct slice *name, struct slice *text)
{
    const char *start = rest->len ? memchr(rest->data, ';', rest->len) : NULL;
    if (!start)
        return false;
    *rest = slice_from(*rest, (size_t)(start - rest->data) + 1);
    const char *end = rest->len ? memchr(rest->data, ';', rest->len) : NULL;
    struct slice one = {rest->data, end ? (size_t)(end - rest->data) : rest->len};
    const char *equals = one.len ? memchr(one.data, '=', one.len) : NULL;
    *name = slice_trim((struct slice){one.data, equals ? (size_t)(equals - one.data) : one.len});
    *text = equals ? slice_trim(slice_from(one, (size_t)(equals - one.data) + 1)) : slice_from(one, one.len);
    return true;
}

static struct slice replace_within(struct proxy *p, struct slice value, struct slice part, struct slice by)
{
    struct slice before = {value.data, (size_t)(part.data - value.data)};
    return concat(p, before, by, slice_from(value, before.len + part.len));
}

/* A domain is compared as a whole, without regard to case and a first dot, which stays where it is. */
static struct slice rewrite_domain(struct proxy *p, const struct proxy_rewrite *r, struct slice *text)
{
    struct slice domain = *text;
    struct http_captures captures;
    struct slice none = {0};
    if (!r->from)
        return http_regex_match(r->regex, domain, &captures) ? expand_to(p, r->to, &captures) : none;
    struct slice from = http_template_expand(r->from, p->c->ex);
    domain = slice_from(domain, domain.len && domain.data[0] == '.');
    if (!slice_eq_nocase(domain, from))
        return none;
    *text = domain;
    return expand_to(p, r->to, NULL);
}

/* What comes in place of *text, which becomes the part that is replaced. */
static struct slice rewrite_one(struct proxy *p, const struct proxy_rewrites *all, struct slice *text,
                                bool domain)
{
    struct slice to = {0};
    for (int i = 0; !to.data && i < all->count; i++)
        to = domain ? rewrite_domain(p, &all->items[i], text) : rewrite_prefix(p, &all->items[i], *text);
    return to;
}

/* Each attribute of that name, as browsers go by the last one. */
static struct slice rewrite_attribute(struct proxy *p, const struct proxy_rewrites *all, struct slice value,
                                      struct slice wanted, bool domain)
{
    struct slice rest = value, name, text;
    while (all->count && next_attribute(&rest, &name, &text)) {
        struct slice to =
            slice_eq_nocase(name, wanted) ? rewrite_one(p, all, &text, domain) : (struct slice){0};
        if (!to.data)
            continue;
        size_t behind = value.len - (size_t)(text.data - value.data) - text.len;
        value = replace_within(p, value, text, to);
        rest = slice_from(value, value.len - behind);
    }
    return value;
}

/* Takes away each "; Name" and "; Name=text". */
static struct slice drop_attribute(struct proxy *p, struct slice value, struct slice wanted)
{
    struct slice rest = value, name, text;
    while (next_attribute(&rest, &name, &text)) {
        if (!slice_eq_nocase(name, wanted))
            continue;
        const char *start = rest.data - 1; /* its semicolon */
        const char *end = rest.len ? memchr(rest.data, ';', rest.len) : NULL;
        size_t before_len = (size_t)(start - value.data);
        size_t end_at = end ? (size_t)(end - value.data) : value.len;
        value =
            concat(p, (struct slice){value.data, before_len}, slice_from(value, end_at), (struct slice){0});
        rest = slice_from(value, before_len);
    }
    return value;
}

static struct slice set_flag(struct proxy *p, struct slice value, struct slice flag)
{
    struct slice name = flag;
    const char *equals = memchr(flag.data, '=', flag.len);
    if (equals)
        name.len = (size_t)(equals - flag.data);
    if (slice_starts(flag, SLICE("no")) && !equals && flag.len > 2 && !slice_eq(flag, SLICE("none")))
        return drop_attribute(p, value, slice_from(flag, 2));
    static const struct {
        struct slice flag, text;
    } spelled[] = {{{"secure", 6}, {"; Secure", 8}},
                   {{"httponly", 8}, {"; HttpOnly", 10}},
                   {{"samesite=strict", 15}, {"; SameSite=Strict", 17}},
                   {{"samesite=lax", 12}, {"; SameSite=Lax", 14}},
                   {{"samesite=none", 13}, {"; SameSite=None", 15}}};
    for (size_t i = 0; i < sizeof spelled / sizeof spelled[0]; i++)
        if (slice_eq_nocase(spelled[i].flag, flag))
            return concat(p, drop_attribute(p, value, name), spelled[i].text, (struct slice){0});
    return value;
}

static bool is_for_cookie(struct proxy *p, const struct proxy_rewrite *r, struct slice name)
{
    return r->from ? slice_eq_nocase(http_template_expand(r->from, p->c->ex), name)
                   : http_regex_match(r->regex, name, NULL);
}

static struct slice rewrite_flags(struct proxy *p, struct slice value)
{
    const struct proxy_rewrites *all = &p->to->cookie_flags;
    const char *equals = all->count ? memchr(value.data, '=', value.len) : NULL;
    struct slice name = {value.data, equals ? (size_t)(equals - value.data) : 0};
    for (int i = 0; equals && i < all->count; i++) {
        const struct proxy_rewrite *r = &all->items[i];
        if (!is_for_cookie(p, r, name))
            continue;
        for (int k = 0; k < r->flag_count; k++)
            value = set_flag(p, value, http_template_expand(r->flags[k], p->c->ex));
        break; /* the first line that is for it */
    }
    return value;
}

struct slice proxy_rewrite_cookie(struct proxy *p, struct slice value)
{
    value = rewrite_attribute(p, &p->to->cookie_domains, value, SLICE("domain"), true);
    value = rewrite_attribute(p, &p->to->cookie_paths, value, SLICE("path"), false);
    return rewrite_flags(p, value);
}
