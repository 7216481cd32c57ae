/*
 * http/site/upstreams.c - upstreams with their servers, and what locations pass on to them.
 *
 * Names are resolved here for the first time, by the process that reads the configuration; proxy/resolve.c does it again.
 */
#include "http/site/feature.h"
#include "http/site/site.h"

#include "base/arena.h"
#include "base/list.h"
#include "base/slice.h"
#include "conf/tree.h"
#include "http/request/regex.h"
#include "http/site/build.h"
#include "net/address.h"
#include "shm/peer.h"

enum { ADDRESSES_MAX = 64 };

/* --- upstreams --- */

/* The shared memory has room for so many of both. The first that is too many is named. */
static void count_upstream(struct site *site, const struct conf_node *node)
{
    enum { MOST = PEER_GROUPS - PEER_GROUPS_NAMED };
    if (++site->upstream_count == MOST + 1)
        conf_error(&site->conf->errors, node,
                   "too many upstreams: there may be %d, each server that a proxy_pass names counts as one",
                   MOST);
}

static void count_addresses(struct site *site, int count, const struct conf_node *node)
{
    enum { MOST = PEERS - PEERS_NAMED };
    if (site->address_count <= MOST && site->address_count + count > MOST)
        conf_error(&site->conf->errors, node,
                   "too many servers: all upstreams together may have %d addresses", MOST);
    site->address_count += count;
}

static struct upstream *new_upstream(struct site *site, struct slice name, int servers,
                                     const struct conf_node *node)
{
    count_upstream(site, node);
    struct upstream *u = site_array(site, 1, sizeof *u);
    *u = (struct upstream){.name = name,
                           .servers = site_array(site, servers, sizeof *u->servers),
                           .server_count = servers,
                           .next = site->upstreams};
    list_init(&u->idle);
    list_init(&u->carriers);
    list_init(&u->queue);
    list_init(&u->unresolved);
    site->upstreams = u;
    return u;
}

static void resolve_server(struct site *site, struct upstream_server *s, struct slice text,
                           const struct conf_node *node)
{
    struct net_address found[ADDRESSES_MAX];
    const char *wrong = net_address_resolve(text, found, ADDRESSES_MAX, &s->address_count, &s->host, &s->port,
                                            &site->lookups_ms);
    if (wrong && s->host.data && net_is_host_name(s->host)) { /* the workers ask for it, and go on asking */
        if (!s->conf->resolve)
            conf_error(&site->conf->warnings, node,
                       "host not found in upstream \"%.*s\"; it is asked for again while the server runs",
                       SLICE_ARGS(text));
        return;
    }
    if (wrong) {
        conf_error(&site->conf->errors, node, "invalid upstream \"%.*s\": %s", SLICE_ARGS(text), wrong);
        return;
    }
    count_addresses(site, s->address_count, node);
    s->addresses = site_array(site, s->address_count, sizeof *s->addresses);
    memcpy(s->addresses, found, (size_t)s->address_count * sizeof *found);
}

void site_set_keepalive(struct upstream *u, const struct conf_upstream *c)
{
    u->keepalive = c->keepalive;
    u->keepalive_requests = c->keepalive_requests;
    u->keepalive_time_ms = c->keepalive_time_ms;
    u->keepalive_timeout_ms = c->keepalive_timeout_ms;
}

static void build_upstream(struct site *site, const struct conf_upstream *c)
{
    int count = 0;
    for (const struct conf_upstream_server *s = c->servers; s; s = s->next)
        count++;
    struct upstream *u = new_upstream(site, c->name, count, c->node);
    u->conf = c;
    site_set_keepalive(u, c);
    features_build_upstream(site, u, c);
    if (c->hash_key.data)
        u->hash_key = site_compile(site, c->hash_key, c->balance_node);
    struct upstream_server *to = u->servers;
    for (const struct conf_upstream_server *s = c->servers; s; s = s->next, to++) {
        to->conf = s;
        to->upstream = u;
        resolve_server(site, to, s->address, s->node);
    }
}

void site_build_upstreams(struct site *site)
{
    for (const struct conf_upstream *c = site->conf->http ? site->conf->http->upstreams : NULL; c;
         c = c->next)
        build_upstream(site, c);
}

struct upstream *site_find_upstream(const struct site *site, struct slice name)
{
    struct upstream *u = site->upstreams;
    while (u && !slice_eq(u->name, name))
        u = u->next;
    return u;
}

bool site_has_port(struct slice host)
{
    return slice_starts(host, SLICE("unix:")) ||
           (memrchr(host.data, ':', host.len) && host.data[host.len - 1] != ']');
}

struct slice site_target_name(struct arena *arena, struct slice host, bool tls)
{
    return tls && !site_has_port(host) ? arena_printf(arena, "%.*s:443", SLICE_ARGS(host)) : host;
}

/* The group of that name, or one of the single server that the name says. */
static struct upstream *upstream_for(struct site *site, const struct conf_proxy *c)
{
    struct upstream *u = site_find_upstream(site, c->host);
    if (u && u->conf)
        return u;
    /* A single server's name has its port with https: plain requests go to another one. */
    struct slice name = site_target_name(&site->arena, c->host, c->tls);
    if ((u = site_find_upstream(site, name)))
        return u;
    const char *colon = memrchr(c->host.data, ':', c->host.len);
    u = colon ? site_find_upstream(site, (struct slice){c->host.data, (size_t)(colon - c->host.data)}) : NULL;
    if (u && u->conf)
        conf_error(&site->conf->errors, c->node, "upstream \"%.*s\" may not have a port; remove \"%.*s\"",
                   SLICE_ARGS(u->name), (int)(c->host.data + c->host.len - colon), colon);
    u = new_upstream(site, name, 1, c->node);
    site_set_keepalive(u, &site->conf->http->unnamed);
    u->servers[0].conf = site->conf->http->unnamed.servers;
    u->servers[0].upstream = u;
    resolve_server(site, &u->servers[0], name, c->node);
    return u;
}

/* --- rewriting of answers' headers --- */

/* A prefix with variables, or a regular expression behind "~" or "~*". */
static void compile_from(struct site *site, struct proxy_rewrite *r, struct slice text, bool any_case,
                         const struct conf_node *node)
{
    struct slice why = {0};
    if (text.len == 0 || text.data[0] != '~') {
        r->from = site_compile(site, text, node);
        return;
    }
    bool star = text.len > 1 && text.data[1] == '*';
    site_collect_groups(site, text, node);
    r->regex = http_regex_new(&site->arena, slice_from(text, 1 + star), star || any_case, &why);
    if (!r->regex)
        conf_error(&site->conf->errors, node, "%.*s", SLICE_ARGS(why));
}

static bool is_off(const struct conf_lines *l)
{
    return l && slice_eq(l->node->args[0], SLICE("off"));
}

/* "off" stands alone on its level. */
static void check_off(struct site *site, const struct conf_lines *lines)
{
    bool any = false;
    for (const struct conf_lines *l = lines; l; l = l->next)
        any |= l->node->nargs == 1 && is_off(l);
    if (any && lines->next)
        conf_error(&site->conf->errors, lines->next->node,
                   "\"%.*s\" directive is duplicate: \"off\" stands alone; remove it or the others",
                   SLICE_ARGS(lines->node->name));
}

/* FROM TO lines; "off" is none. */
static struct proxy_rewrites build_rewrites(struct site *site, const struct conf_lines *lines, bool domains)
{
    check_off(site, lines);
    struct proxy_rewrites all = {site_array(site, site_count_lines(lines) + 1, sizeof *all.items), 0};
    for (const struct conf_lines *l = is_off(lines) ? NULL : lines; l; l = l->next) {
        struct proxy_rewrite *r = &all.items[all.count++];
        if (l->node->nargs < 2) {
            conf_error(&site->conf->errors, l->node,
                       "invalid parameter \"%.*s\" of \"%.*s\"; write: off, or FROM TO",
                       SLICE_ARGS(l->node->args[0]), SLICE_ARGS(l->node->name));
            all.count--;
            continue;
        }
        struct slice from = l->node->args[0], to = l->node->args[1];
        /* A cookie's own first dot stays: these do not count. */
        if (domains && from.len && from.data[0] != '~') {
            from = slice_from(from, from.data[0] == '.');
            to = slice_from(to, to.len && to.data[0] == '.');
        }
        compile_from(site, r, from, domains, l->node);
        r->to = site_compile(site, to, l->node);
    }
    return all;
}

/* Answers that redirect to what proxy_pass names are meant for what the location names. */
static void add_default_redirect(struct site *site, struct proxy_rewrites *all, const struct conf_location *c)
{
    const struct conf_proxy *proxy = c->proxy;
    struct proxy_rewrite *r = &all->items[all->count];
    if (!proxy || proxy->kind != CONF_PASS_PROXY || proxy->text.data ||
        (proxy->uri.data && c->match >= CONF_MATCH_REGEX))
        return;
    struct slice uri = proxy->uri.data ? proxy->uri : SLICE("/");
    bool is_unix = slice_starts(proxy->host, SLICE("unix:"));
    struct slice url =
        arena_printf(&site->arena, "http%s://%.*s%s%.*s", proxy->tls ? "s" : "", SLICE_ARGS(proxy->host),
                     is_unix && proxy->uri.data ? ":" : "", SLICE_ARGS(uri));
    r->from = site_compile(site, url, c->node);
    r->to = site_compile(site, proxy->uri.data ? c->pattern : SLICE("/"), c->node);
    all->count++;
}

static struct proxy_rewrites build_redirects(struct site *site, const struct conf_location *c,
                                             const struct conf_lines *lines)
{
    check_off(site, lines);
    struct proxy_rewrites all = {site_array(site, site_count_lines(lines) + 1, sizeof *all.items), 0};
    if (!lines)
        add_default_redirect(site, &all, c);
    for (const struct conf_lines *l = is_off(lines) ? NULL : lines; l; l = l->next) {
        const struct conf_node *n = l->node;
        if (n->nargs == 1 && slice_eq(n->args[0], SLICE("default"))) {
            if (c->proxy && c->proxy->text.data && c->proxy->kind == CONF_PASS_PROXY)
                conf_error(
                    &site->conf->errors, n,
                    "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with variables");
            add_default_redirect(site, &all, c);
            continue;
        }
        if (n->nargs == 1) {
            conf_error(&site->conf->errors, n,
                       "invalid parameter \"%.*s\" of \"proxy_redirect\"; write: default, off, or FROM TO",
                       SLICE_ARGS(n->args[0]));
            continue;
        }
        struct proxy_rewrite *r = &all.items[all.count++];
        compile_from(site, r, n->args[0], false, n);
        r->to = site_compile(site, n->args[1], n);
    }
    return all;
}

static struct proxy_rewrites build_cookie_flags(struct site *site, const struct conf_lines *lines)
{
    check_off(site, lines);
    struct proxy_rewrites all = {site_array(site, site_count_lines(lines) + 1, sizeof *all.items), 0};
    for (const struct conf_lines *l = is_off(lines) ? NULL : lines; l; l = l->next) {
        struct proxy_rewrite *r = &all.items[all.count++];
        compile_from(site, r, l->node->args[0], true, l->node);
        if (l->node->nargs < 2)
            conf_error(&site->conf->errors, l->node,
                       "invalid parameter \"%.*s\" of \"proxy_cookie_flags\"; write: off, or COOKIE FLAG ...",
                       SLICE_ARGS(l->node->args[0]));
        for (int i = 1; i < l->node->nargs && r->flag_count < 6; i++)
            r->flags[r->flag_count++] = site_compile(site, l->node->args[i], l->node);
    }
    return all;
}

/* --- locations --- */

static struct slice *build_names(struct site *site, const struct conf_lines *lines, int *count)
{
    struct slice *names = site_array(site, site_count_lines(lines), sizeof *names);
    for (*count = 0; lines; lines = lines->next)
        names[(*count)++] = lines->node->args[0];
    return names;
}

static const struct http_template *compile_if_set(struct site *site, const struct conf_node *node)
{
    return node ? site_compile(site, node->args[0], node) : NULL;
}

static void build_bind(struct site *site, struct location_proxy *p, const struct conf_lines *lines)
{
    if (!lines || is_off(lines))
        return;
    struct slice text = lines->node->args[0];
    struct net_address unused;
    p->bind = site_compile(site, text, lines->node);
    if (!memchr(text.data, '$', text.len) && net_address_parse_local(text, &unused))
        conf_error(&site->conf->errors, lines->node,
                   "invalid address \"%.*s\" in \"%.*s\"; write an address of this machine", SLICE_ARGS(text),
                   SLICE_ARGS(lines->node->name));
    p->bind_transparent = lines->node->nargs > 1;
    if (p->bind_transparent && !slice_eq(lines->node->args[1], SLICE("transparent")))
        conf_error(&site->conf->errors, lines->node,
                   "invalid parameter \"%.*s\" of \"%.*s\"; write: ADDRESS [transparent], or off",
                   SLICE_ARGS(lines->node->args[1]), SLICE_ARGS(lines->node->name));
}

static void build_headers(struct site *site, struct location_proxy *p, const struct conf_lines *lines)
{
    p->headers = site_array(site, site_count_lines(lines), sizeof *p->headers);
    for (; lines; lines = lines->next) {
        struct slice name = lines->node->args[0];
        bool has_word = lines->node->nargs > 2;
        if (has_word && !slice_eq(lines->node->args[2], SLICE("if_not_empty")))
            conf_error(&site->conf->errors, lines->node,
                       "invalid parameter \"%.*s\" of \"%.*s\"; write: NAME VALUE [if_not_empty]",
                       SLICE_ARGS(lines->node->args[2]), SLICE_ARGS(lines->node->name));
        p->headers[p->header_count++] =
            (struct proxy_header){name, site_compile(site, lines->node->args[1], lines->node), has_word};
        p->sets_host |= slice_eq_nocase(name, SLICE("Host"));
    }
}

/* Texts that nothing here uses, because there is no cache, are to be right as well. */
static void check_lines(struct site *site, const struct conf_lines *lines)
{
    for (; lines; lines = lines->next)
        for (int i = 0; i < lines->node->nargs; i++)
            site_compile(site, lines->node->args[i], lines->node);
}

/* What does not depend on where requests go. */
static void build_texts(struct site *site, struct location_proxy *p, const struct conf_location *c,
                        const struct proxy_settings *how)
{
    check_lines(site, how->upstream.cache_bypass);
    check_lines(site, how->upstream.no_cache);
    build_headers(site, p, how->headers);
    p->method = compile_if_set(site, how->method);
    p->body = compile_if_set(site, how->body);
    build_bind(site, p, how->upstream.bind);
    p->redirects = build_redirects(site, c, how->redirects);
    p->cookie_domains = build_rewrites(site, how->cookie_domains, true);
    p->cookie_paths = build_rewrites(site, how->cookie_paths, false);
    p->cookie_flags = build_cookie_flags(site, how->cookie_flags);
}

static void free_rewrites(const struct proxy_rewrites *all)
{
    for (int i = 0; i < all->count; i++)
        if (all->items[i].regex)
            http_regex_free(all->items[i].regex);
}

static void free_texts(const struct location_proxy *p)
{
    free_rewrites(&p->redirects);
    free_rewrites(&p->cookie_domains);
    free_rewrites(&p->cookie_paths);
    free_rewrites(&p->cookie_flags);
}

/* A mistake in what a level has all the same is one. */
static void check_texts(struct site *site, const struct conf_location *c, const struct proxy_settings *how)
{
    struct location_proxy unused = {0};
    build_texts(site, &unused, c, how);
    free_texts(&unused);
}

/* Only proxy_pass has a scheme that names a port. */
static void check_port(struct site *site, const struct conf_proxy *c)
{
    const struct upstream *group = site_find_upstream(site, c->host);
    bool is_group = group && group->conf;
    if (!is_group && !site_has_port(c->host))
        conf_error(&site->conf->errors, c->node,
                   "no port in upstream \"%.*s\" of \"%s_pass\"; write HOST:PORT", SLICE_ARGS(c->host),
                   conf_pass_prefix(c->kind));
}

/* They ask in HTTP. */
static void check_health(struct site *site, const struct conf_proxy *c, const struct upstream *u)
{
    if (c->kind == CONF_PASS_FASTCGI && u->conf && u->conf->health)
        conf_error(&site->conf->errors, c->node,
                   "upstream \"%.*s\" has a health_check, which asks in HTTP: fastcgi_pass needs one without",
                   SLICE_ARGS(u->name));
}

struct location_proxy *site_build_proxy(struct site *site, const struct conf_location *c)
{
    for (int kind = 0; kind < CONF_PASS_KINDS; kind++)
        if (!c->proxy || (int)c->proxy->kind != kind)
            check_texts(site, c, &c->settings.passes[kind]);
    if (!c->proxy)
        return NULL;
    const struct proxy_settings *how = &c->settings.passes[c->proxy->kind];
    struct location_proxy *p = site_array(site, 1, sizeof *p);
    p->kind = c->proxy->kind;
    if (c->proxy->text.data) {
        p->target = site_compile(site, c->proxy->text, c->proxy->node);
    } else {
        if (c->proxy->kind != CONF_PASS_PROXY)
            check_port(site, c->proxy);
        p->upstream = upstream_for(site, c->proxy);
        check_health(site, c->proxy, p->upstream);
        p->host = slice_starts(c->proxy->host, SLICE("unix:")) ? SLICE("localhost") : c->proxy->host;
        p->uri = c->proxy->uri;
    }
    p->tls = c->proxy->tls;
    p->strip = c->pattern.len;
    build_texts(site, p, c, how);
    p->hidden = build_names(site, how->upstream.hidden, &p->hidden_count);
    p->passed = build_names(site, how->upstream.passed, &p->passed_count);
    return p;
}

void site_free_rewrites(struct site *site)
{
    for (struct location *l = site->made; l; l = l->next_made)
        if (l->proxy)
            free_texts(l->proxy);
}
