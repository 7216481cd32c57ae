/*
 * worker/proxy_rewrite.c - proxy_redirect and proxy_cookie_...: headers of upstreams' answers in the terms of our clients.
 */
#include "worker/proxy_internal.h"

/* The replacement of one line, with the captures of its own expression. */
static struct slice expand_to(struct proxy *p, const struct http_template *to,
                              const struct http_captures *captures)
{
    struct http_exchange *ex = p->c->ex;
    if (!captures)
        return http_template_expand(to, ex);
    struct http_captures saved = ex->location_captures;
    ex->location_captures = *captures;
    struct slice text = http_template_expand(to, ex);
    ex->location_captures = saved;
    return text;
}

static struct slice concat(struct proxy *p, struct slice a, struct slice b, struct slice c)
{
    return arena_printf(&p->c->ex->arena, "%.*s%.*s%.*s", (int)a.len, a.len ? a.data : "", (int)b.len,
                        b.len ? b.data : "", (int)c.len, c.len ? c.data : "");
}

/* By one line: a prefix, or what an expression has matched, is replaced. data NULL: the line is not for this text. */
static struct slice rewrite_prefix(struct proxy *p, const struct proxy_rewrite *r, struct slice text)
{
    struct http_captures captures;
    struct slice none = {0};
    if (!r->from) {
        if (!http_regex_match(r->regex, text, &captures))
            return none;
        struct slice all = captures.groups[0];
        struct slice before = {text.data, (size_t)(all.data - text.data)};
        return concat(p, before, expand_to(p, r->to, &captures), slice_from(text, before.len + all.len));
    }
    struct slice from = http_template_expand(r->from, p->c->ex);
    if (!slice_starts(text, from))
        return none;
    return concat(p, none, expand_to(p, r->to, NULL), slice_from(text, from.len));
}

struct slice proxy_rewrite_location(struct proxy *p, struct slice value)
{
    const struct proxy_rewrites *all = &p->to->redirects;
    for (int i = 0; i < all->count; i++) {
        struct slice text = rewrite_prefix(p, &all->items[i], value);
        if (text.data)
            return text;
    }
    return value;
}

/* "5; url=http://..." */
struct slice proxy_rewrite_refresh(struct proxy *p, struct slice value)
{
    for (size_t i = 0; i + 4 <= value.len; i++) {
        if (strncasecmp(value.data + i, "url=", 4) != 0)
            continue;
        struct slice before = {value.data, i + 4}, url = slice_from(value, i + 4);
        struct slice text = proxy_rewrite_location(p, url);
        return text.data == url.data ? value : concat(p, before, text, (struct slice){0});
    }
    return value;
}

/* --- cookies --- */

/* The attribute of that name in "name=value; Attribute=text; ...": its text, within value; data NULL without one. */
static struct slice find_attribute(struct slice value, struct slice name)
{
    struct slice rest = value;
    const char *semicolon = memchr(rest.data, ';', rest.len);
    while (semicolon) {
        rest = slice_from(rest, (size_t)(semicolon - rest.data) + 1);
        while (rest.len && (rest.data[0] == ' ' || rest.data[0] == '\t'))
            rest = slice_from(rest, 1);
        semicolon = rest.len ? memchr(rest.data, ';', rest.len) : NULL;
        struct slice one = {rest.data, semicolon ? (size_t)(semicolon - rest.data) : rest.len};
        if (one.len < name.len || strncasecmp(one.data, name.data, name.len) != 0)
            continue;
        if (one.len == name.len)
            return slice_from(one, one.len);
        if (one.data[name.len] == '=')
            return slice_from(one, name.len + 1);
    }
    return (struct slice){0};
}

static struct slice replace_within(struct proxy *p, struct slice value, struct slice part, struct slice by)
{
    struct slice before = {value.data, (size_t)(part.data - value.data)};
    return concat(p, before, by, slice_from(value, before.len + part.len));
}

/* A domain is compared as a whole, without regard to case and a first dot. */
static struct slice rewrite_domain(struct proxy *p, const struct proxy_rewrite *r, struct slice domain)
{
    struct http_captures captures;
    struct slice none = {0}, bare = slice_from(domain, domain.len && domain.data[0] == '.');
    if (!r->from)
        return http_regex_match(r->regex, bare, &captures) ? expand_to(p, r->to, &captures) : none;
    struct slice from = http_template_expand(r->from, p->c->ex);
    from = slice_from(from, from.len && from.data[0] == '.');
    return slice_eq_nocase(bare, from) ? expand_to(p, r->to, NULL) : none;
}

static struct slice rewrite_attribute(struct proxy *p, const struct proxy_rewrites *all, struct slice value,
                                      struct slice name, bool domain)
{
    struct slice part = all->count ? find_attribute(value, name) : (struct slice){0};
    for (int i = 0; part.data && i < all->count; i++) {
        struct slice text =
            domain ? rewrite_domain(p, &all->items[i], part) : rewrite_prefix(p, &all->items[i], part);
        if (text.data)
            return replace_within(p, value, part, text);
    }
    return value;
}

/* Takes away "; Name" or "; Name=text". */
static struct slice drop_attribute(struct proxy *p, struct slice value, struct slice name)
{
    struct slice part = find_attribute(value, name);
    if (!part.data)
        return value;
    const char *start = part.data - name.len; /* at its name at the latest */
    while (start > value.data && *start != ';')
        start--;
    struct slice before = {value.data, (size_t)(start - value.data)};
    size_t end = (size_t)(part.data - value.data) + part.len;
    return concat(p, before, slice_from(value, end), (struct slice){0});
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
