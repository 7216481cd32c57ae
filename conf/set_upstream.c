/*
 * conf/set_upstream.c - groups of servers: upstream, its servers, how one is chosen, the queue, health checks.
 */
#include "conf/conf.h"
#include "conf/directive.h"

enum { WEIGHT_MAX = 65535, CONNS_MAX = 1 << 24, QUEUE_MAX = 1 << 20, ROUTE_MAX = 32 };

static bool set_server_parameter(struct conf_upstream_server *s, struct slice arg)
{
    if (slice_eq(arg, SLICE("backup")))
        return s->backup = true;
    if (slice_eq(arg, SLICE("down")))
        return s->down = true;
    if (slice_eq(arg, SLICE("drain")))
        return s->drain = true;
    if (slice_starts(arg, SLICE("route="))) {
        s->route = slice_from(arg, 6);
        return s->route.len > 0 && s->route.len <= ROUTE_MAX;
    }
    if (slice_eq(arg, SLICE("resolve")))
        /* Names always are; this one need not be known at the start. */
        return s->resolve = true;
    if (slice_starts(arg, SLICE("weight=")))
        return conf_parse_whole(slice_from(arg, 7), 1, WEIGHT_MAX, &s->weight);
    if (slice_starts(arg, SLICE("max_fails=")))
        return conf_parse_whole(slice_from(arg, 10), 0, INT32_MAX, &s->max_fails);
    if (slice_starts(arg, SLICE("max_conns=")))
        return conf_parse_whole(slice_from(arg, 10), 0, CONNS_MAX, &s->max_conns);
    if (slice_starts(arg, SLICE("fail_timeout=")))
        return conf_parse_time(slice_from(arg, 13), &s->fail_timeout_ms);
    if (slice_starts(arg, SLICE("slow_start=")))
        return conf_parse_time(slice_from(arg, 11), &s->slow_start_ms);
    return false;
}

static struct conf_upstream_server *add_server(struct conf *conf, struct conf_upstream *u)
{
    struct conf_upstream_server *s = conf_must(arena_zalloc(&conf->arena, sizeof *s)), **tail = &u->servers;
    struct slice words[CONF_PARAMETERS_MAX];
    for (int i = conf_default_parameters(conf, SLICE("server"), CONF_UPSTREAM, words); i-- > 0;)
        set_server_parameter(s, words[i]);
    while (*tail)
        tail = &(*tail)->next;
    return *tail = s;
}

void conf_set_upstream_server(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_upstream_server *s = add_server(w->conf, w->upstream);
    s->address = n->args[0];
    s->node = n;
    for (int i = 1; i < n->nargs; i++)
        if (!set_server_parameter(s, n->args[i]))
            conf_error(
                &w->conf->errors, n,
                "invalid parameter \"%.*s\" of \"server\" in \"upstream\"; there are weight=N, max_fails=N, "
                "fail_timeout=TIME, max_conns=N, slow_start=TIME, route=TEXT (at most 32 bytes), backup, down, drain, resolve",
                SLICE_ARGS(n->args[i]));
}

/* least_conn; ip_hash; hash KEY [consistent]; random [two [least_conn]]; */
void conf_set_balance(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_upstream *u = w->upstream;
    struct slice last = n->nargs ? n->args[n->nargs - 1] : SLICE("");
    bool ok = true;
    if (u->balance_node) /* the last one counts, as in nginx */
        conf_error(&w->conf->warnings, n,
                   "load balancing method redefined; the first is in line %d, keep one",
                   u->balance_node->line);
    u->balance_node = n;
    u->hash_key = (struct slice){0};
    if (slice_eq(n->name, SLICE("least_conn"))) {
        u->balance = CONF_BALANCE_LEAST_CONN;
    } else if (slice_eq(n->name, SLICE("least_time"))) {
        u->balance = CONF_BALANCE_LEAST_TIME;
        u->by_last_byte = slice_eq(n->args[0], SLICE("last_byte"));
        u->inflight = n->nargs == 2;
        ok = (u->by_last_byte || slice_eq(n->args[0], SLICE("header"))) &&
             (n->nargs == 1 || slice_eq(last, SLICE("inflight")));
    } else if (slice_eq(n->name, SLICE("ip_hash"))) {
        u->balance = CONF_BALANCE_IP_HASH;
    } else if (slice_eq(n->name, SLICE("hash"))) {
        u->balance = n->nargs == 2 ? CONF_BALANCE_HASH_CONSISTENT : CONF_BALANCE_HASH;
        u->hash_key = n->args[0];
        ok = n->nargs == 1 || slice_eq(last, SLICE("consistent"));
    } else {
        u->balance = n->nargs ? CONF_BALANCE_RANDOM_TWO : CONF_BALANCE_RANDOM;
        ok = n->nargs == 0 || slice_eq(n->args[0], SLICE("two"));
        if (n->nargs == 2)
            ok = ok && slice_eq(last, SLICE("least_conn"));
    }
    if (!ok)
        conf_error(&w->conf->errors, n,
                   "invalid parameter \"%.*s\" of \"%.*s\"; write: hash KEY [consistent]; or "
                   "random [two [least_conn]]; or least_time header|last_byte [inflight];",
                   SLICE_ARGS(last), SLICE_ARGS(n->name));
}

void conf_set_queue(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_upstream *u = w->upstream;
    bool ok = conf_parse_whole(n->args[0], 1, QUEUE_MAX, &u->queue);
    struct slice words[CONF_PARAMETERS_MAX];
    int count = conf_default_parameters(w->conf, n->name, w->context, words);
    if (n->nargs > 1)
        words[count++] = n->args[1];
    for (int i = 0; i < count; i++)
        ok = ok && slice_starts(words[i], SLICE("timeout=")) &&
             conf_parse_time(slice_from(words[i], 8), &u->queue_timeout_ms);
    if (!ok)
        conf_error(&w->conf->errors, n,
                   "invalid value in \"queue\"; write: queue NUMBER [timeout=TIME]; with a "
                   "number from 1 to %d",
                   QUEUE_MAX);
}

/* "200", "200-299", and several of them with commas. */
static bool parse_statuses(struct conf_health_check *h, struct slice text)
{
    struct slice item;
    for (h->status_ranges = 0; slice_next_in_list(&text, &item);) {
        int64_t from, to;
        const char *dash = memchr(item.data, '-', item.len);
        size_t n = dash ? (size_t)(dash - item.data) : item.len;
        if (h->status_ranges == CONF_HEALTH_RANGES ||
            !conf_parse_whole((struct slice){item.data, n}, 200, 599, &from) ||
            !conf_parse_whole(dash ? slice_from(item, n + 1) : item, from, 599, &to))
            return false;
        h->status_from[h->status_ranges] = (int)from;
        h->status_to[h->status_ranges++] = (int)to;
    }
    return h->status_ranges > 0;
}

static bool set_health_parameter(struct conf_health_check *h, struct slice arg)
{
    if (slice_eq(arg, SLICE("mandatory")))
        return h->mandatory = true;
    if (slice_starts(arg, SLICE("interval=")))
        return conf_parse_time(slice_from(arg, 9), &h->interval_ms) && h->interval_ms > 0;
    if (slice_starts(arg, SLICE("timeout=")))
        return conf_parse_time(slice_from(arg, 8), &h->timeout_ms) && h->timeout_ms > 0;
    if (slice_starts(arg, SLICE("passes=")))
        return conf_parse_whole(slice_from(arg, 7), 1, 1000, &h->passes);
    if (slice_starts(arg, SLICE("fails=")))
        return conf_parse_whole(slice_from(arg, 6), 1, 1000, &h->fails);
    if (slice_starts(arg, SLICE("port=")))
        return conf_parse_whole(slice_from(arg, 5), 1, 65535, &h->port);
    if (slice_starts(arg, SLICE("status=")))
        return parse_statuses(h, slice_from(arg, 7));
    h->uri = slice_from(arg, 4);
    return slice_starts(arg, SLICE("uri=")) && h->uri.len && h->uri.data[0] == '/';
}

void conf_set_health_check(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_health_check *h = conf_must(arena_zalloc(&w->conf->arena, sizeof *h));
    struct slice words[CONF_PARAMETERS_MAX];
    for (int i = conf_default_parameters(w->conf, n->name, w->context, words); i-- > 0;)
        set_health_parameter(h, words[i]);
    for (int i = 0; i < n->nargs; i++)
        if (!set_health_parameter(h, n->args[i]))
            conf_error(
                &w->conf->errors, n,
                "invalid parameter \"%.*s\" of \"health_check\"; there are interval=TIME, timeout=TIME, "
                "passes=N, fails=N, uri=/URI, status=CODE[-CODE][,...], port=N, mandatory",
                SLICE_ARGS(n->args[i]));
    w->upstream->health = h;
}

static void check_servers(struct conf_walk *w, const struct conf_upstream *u)
{
    bool only_backups = u->servers != NULL, any_backup = false;
    for (const struct conf_upstream_server *server = u->servers; server; server = server->next) {
        only_backups &= server->backup;
        any_backup |= server->backup;
    }
    if (only_backups)
        conf_error(&w->conf->errors, u->node,
                   "upstream \"%.*s\" has only backup servers; take \"backup\" from one",
                   SLICE_ARGS(u->name));
    if (!u->servers)
        conf_error(&w->conf->errors, u->node,
                   "no servers are inside upstream \"%.*s\"; add: server HOST:PORT;", SLICE_ARGS(u->name));
    if (any_backup && u->balance >= CONF_BALANCE_IP_HASH)
        conf_error(
            &w->conf->errors, u->balance_node,
            "balancing method \"%.*s\" does not support parameter \"backup\"; take it from the servers",
            SLICE_ARGS(u->balance_node->name));
}

void conf_set_upstream(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_upstream *u = conf_must(arena_zalloc(&w->conf->arena, sizeof *u)),
                         **tail = &w->conf->http->upstreams;
    u->name = n->args[0];
    u->node = n;
    conf_begin(w->conf, &u->given, sizeof *u);
    for (; *tail; tail = &(*tail)->next)
        if (slice_eq((*tail)->name, u->name))
            conf_error(&w->conf->errors, n, "duplicate upstream \"%.*s\"; the first is in line %d",
                       SLICE_ARGS(u->name), (*tail)->node->line);
    *tail = u;
    struct conf_walk inner = {.conf = w->conf, .context = CONF_UPSTREAM, .upstream = u};
    conf_walk_block(&inner, n->children);
    conf_fill_upstream_defaults(u, w->conf);
    check_servers(w, u);
}

void conf_fill_unnamed_upstream(struct conf *conf)
{
    struct conf_upstream *u = &conf->http->unnamed;
    conf_begin(conf, &u->given, sizeof *u);
    conf_fill_upstream_defaults(u, conf);
    add_server(conf, u);
}
