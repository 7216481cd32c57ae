/*
 * conf/set_proxy.c - the reverse proxy: where requests go, and the groups of servers that they go to.
 */
#include "conf/conf.h"
#include "conf/directive.h"

enum { WEIGHT_MAX = 65535, KEEPALIVE_MAX = 100000 };

static bool set_server_parameter(struct conf_upstream_server *s, struct slice arg)
{
    if (slice_eq(arg, SLICE("backup")))
        return s->backup = true;
    if (slice_eq(arg, SLICE("down")))
        return s->down = true;
    if (slice_starts(arg, SLICE("weight=")))
        return conf_parse_whole(slice_from(arg, 7), 1, WEIGHT_MAX, &s->weight);
    if (slice_starts(arg, SLICE("max_fails=")))
        return conf_parse_whole(slice_from(arg, 10), 0, INT32_MAX, &s->max_fails);
    if (slice_starts(arg, SLICE("fail_timeout=")))
        return conf_parse_time(slice_from(arg, 13), &s->fail_timeout_ms);
    return false;
}

static void add_server(struct conf_walk *w, struct conf_upstream *u, const struct conf_node *n)
{
    struct conf_upstream_server *s = conf_must(arena_zalloc(&w->conf->arena, sizeof *s)),
                                **tail = &u->servers;
    if (n->nargs == 0) {
        conf_error(&w->conf->errors, n, "\"server\" in \"upstream\" needs an address: server HOST:PORT;");
        return;
    }
    *s = (struct conf_upstream_server){
        .address = n->args[0], .weight = 1, .max_fails = 1, .fail_timeout_ms = 10000, .node = n};
    for (int i = 1; i < n->nargs; i++)
        if (!set_server_parameter(s, n->args[i]))
            conf_error(
                &w->conf->errors, n,
                "invalid parameter \"%.*s\" of \"server\" in \"upstream\"; there are weight=N, max_fails=N, "
                "fail_timeout=TIME, backup, down",
                SLICE_ARGS(n->args[i]));
    while (*tail)
        tail = &(*tail)->next;
    *tail = s;
}

static void set_upstream_line(struct conf_walk *w, struct conf_upstream *u, const struct conf_node *n)
{
    bool ok = n->nargs == 1;
    if (slice_eq(n->name, SLICE("server"))) {
        add_server(w, u, n);
        return;
    }
    if (slice_eq(n->name, SLICE("keepalive")))
        ok = ok && conf_parse_whole(n->args[0], 0, KEEPALIVE_MAX, &u->keepalive);
    else if (slice_eq(n->name, SLICE("keepalive_requests")))
        ok = ok && conf_parse_whole(n->args[0], 1, INT32_MAX, &u->keepalive_requests);
    else if (slice_eq(n->name, SLICE("keepalive_timeout")))
        ok = ok && conf_parse_time(n->args[0], &u->keepalive_timeout_ms);
    else
        ok = false;
    if (!ok)
        conf_error(
            &w->conf->errors, n,
            "invalid line \"%.*s\" in \"upstream\"; there are server, keepalive N, keepalive_requests N, "
            "keepalive_timeout TIME",
            SLICE_ARGS(n->name));
}

void conf_set_upstream(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_upstream *u = conf_must(arena_zalloc(&w->conf->arena, sizeof *u)),
                         **tail = &w->conf->http->upstreams;
    *u = (struct conf_upstream){.name = n->args[0],
                                .keepalive = 32,
                                .keepalive_requests = 1000,
                                .keepalive_timeout_ms = 60000,
                                .node = n};
    for (; *tail; tail = &(*tail)->next)
        if (slice_eq((*tail)->name, u->name))
            conf_error(&w->conf->errors, n, "duplicate upstream \"%.*s\"; the first is in line %d",
                       SLICE_ARGS(u->name), (*tail)->node->line);
    *tail = u;
    for (const struct conf_node *line = n->children; line; line = line->next)
        set_upstream_line(w, u, line);
    bool only_backups = u->servers != NULL;
    for (const struct conf_upstream_server *server = u->servers; server; server = server->next)
        only_backups &= server->backup;
    if (only_backups)
        conf_error(&w->conf->errors, n, "upstream \"%.*s\" has only backup servers; take \"backup\" from one",
                   SLICE_ARGS(u->name));
    if (!u->servers)
        conf_error(&w->conf->errors, n, "no servers are inside upstream \"%.*s\"; add: server HOST:PORT;",
                   SLICE_ARGS(u->name));
}

/* "http://HOST[:PORT][/URI]", "http://unix:/PATH[:/URI]" */
void conf_set_proxy_pass(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_proxy *p = conf_must(arena_zalloc(&w->conf->arena, sizeof *p));
    struct slice rest = n->args[0];
    p->node = n;
    if (w->location->content != CONF_CONTENT_STATIC) {
        conf_error(&w->conf->errors, n,
                   "\"proxy_pass\" directive is duplicate: this location has its handler already");
        return;
    }
    if (!slice_starts(rest, SLICE("http://")) || memchr(rest.data, '$', rest.len)) {
        conf_error(
            &w->conf->errors, n,
            "invalid URL \"%.*s\" in \"proxy_pass\"; write http://HOST[:PORT][/URI] or http://unix:/PATH[:/URI], "
            "without variables",
            SLICE_ARGS(rest));
        return;
    }
    rest = slice_from(rest, 7);
    bool is_unix = slice_starts(rest, SLICE("unix:"));
    size_t host_len = 0;
    while (host_len < rest.len &&
           (is_unix ? host_len < 5 || rest.data[host_len] != ':' : rest.data[host_len] != '/'))
        host_len++;
    p->host = (struct slice){rest.data, host_len};
    if (host_len == 0)
        conf_error(&w->conf->errors, n, "no host in \"proxy_pass %.*s\"; write http://HOST[:PORT]",
                   SLICE_ARGS(n->args[0]));
    if (host_len < rest.len)
        p->uri = slice_from(rest, host_len + is_unix);
    if (p->uri.data && (w->location->match >= CONF_MATCH_REGEX))
        conf_error(
            &w->conf->errors, n,
            "\"proxy_pass\" cannot have URI part in location given by regular expression; remove \"%.*s\"",
            SLICE_ARGS(p->uri));
    w->location->content = CONF_CONTENT_PROXY;
    w->location->proxy = p;
}

/* proxy_set_header NAME VALUE, proxy_hide_header NAME */
void conf_set_proxy_header(struct conf_walk *w, const struct conf_node *n)
{
    bool hide = n->nargs == 1;
    struct conf_proxy_header *h = conf_must(arena_zalloc(&w->conf->arena, sizeof *h)),
                             **tail = hide ? &w->settings->proxy_hidden : &w->settings->proxy_headers;
    *h = (struct conf_proxy_header){.name = n->args[0], .value = hide ? SLICE("") : n->args[1], .node = n};
    while (*tail)
        tail = &(*tail)->next;
    *tail = h;
}
