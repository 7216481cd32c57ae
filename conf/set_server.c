/*
 * conf/set_server.c - the blocks of HTTP: http, server, location, and what belongs to one of them alone.
 */
#include "conf/conf.h"
#include "conf/directive.h"
#include "conf/unknown.h"

#include <unistd.h>

void conf_set_http(struct conf_walk *w, const struct conf_node *n)
{
    struct conf *conf = w->conf;
    conf->http = conf_must(arena_zalloc(&conf->arena, sizeof *conf->http));
    conf->http->node = n;
    conf_begin_settings(conf, &conf->http->settings);
    struct conf_walk inner = {.conf = conf, .context = CONF_HTTP, .settings = &conf->http->settings};
    conf_walk_block(&inner, n->children);
}

void conf_set_server(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_server *server = conf_must(arena_zalloc(&w->conf->arena, sizeof *server));
    struct conf_server **tail = &w->conf->http->servers;
    while (*tail)
        tail = &(*tail)->next;
    *tail = server;
    server->node = server->top.node = n;
    conf_begin_settings(w->conf, &server->top.settings);
    struct conf_walk inner = {.conf = w->conf,
                              .context = CONF_SERVER,
                              .settings = &server->top.settings,
                              .server = server,
                              .location = &server->top};
    conf_walk_block(&inner, n->children);
    /* Nginx's default; the port depends on who runs it only there. */
    if (!server->listens)
        conf_apply_default(&inner, conf_find_directive(SLICE("listen"), CONF_SERVER), NULL);
}

static bool parse_match(struct slice modifier, enum conf_match *match)
{
    static const struct {
        const char *text;
        enum conf_match match;
    } kinds[] = {{"=", CONF_MATCH_EXACT},
                 {"^~", CONF_MATCH_PREFIX_FINAL},
                 {"~", CONF_MATCH_REGEX},
                 {"~*", CONF_MATCH_REGEX_NOCASE}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (slice_eq(modifier, slice_of(kinds[i].text))) {
            *match = kinds[i].match;
            return true;
        }
    }
    return false;
}

/* "location ~* \.gif$" and also, as nginx allows, "location ~*\.gif$" and "location =/x". */
static bool split_match(struct slice *pattern, enum conf_match *match)
{
    static const char *const modifiers[] = {"~*", "^~", "~", "="};
    for (int i = 0; i < 4; i++) {
        struct slice m = slice_of(modifiers[i]);
        if (slice_starts(*pattern, m)) {
            *pattern = slice_from(*pattern, m.len);
            return parse_match(m, match);
        }
    }
    return true;
}

static bool is_regex(enum conf_match match)
{
    return match >= CONF_MATCH_REGEX; /* a named one is no prefix either */
}

/* The rules by which nginx refuses a nested location. */
static void check_nesting(struct conf_walk *w, const struct conf_node *n, const struct conf_location *l)
{
    const struct conf_location *outer = l->parent;
    if (outer == &w->server->top)
        return;
    if (outer->match == CONF_MATCH_EXACT)
        conf_error(&w->conf->errors, n, "location \"%.*s\" cannot be inside the exact location \"%.*s\"",
                   SLICE_ARGS(l->pattern), SLICE_ARGS(outer->pattern));
    else if (!is_regex(l->match) && !slice_starts(l->pattern, outer->pattern))
        conf_error(&w->conf->errors, n,
                   "location \"%.*s\" is outside location \"%.*s\"; it must start with it",
                   SLICE_ARGS(l->pattern), SLICE_ARGS(outer->pattern));
}

static void check_duplicate(struct conf_walk *w, const struct conf_node *n, const struct conf_location *l)
{
    for (const struct conf_location *o = l->parent->locations; o != l; o = o->next) {
        bool same_class = (o->match == CONF_MATCH_EXACT) == (l->match == CONF_MATCH_EXACT);
        bool names = l->match == CONF_MATCH_NAMED && o->match == CONF_MATCH_NAMED;
        if ((names || (!is_regex(l->match) && !is_regex(o->match))) && same_class &&
            slice_eq(o->pattern, l->pattern)) {
            conf_error(&w->conf->errors, n, "duplicate location \"%.*s\"; the first is in line %d",
                       SLICE_ARGS(l->pattern), o->node->line);
            return;
        }
    }
}

void conf_walk_location(struct conf_walk *w, struct conf_location *l)
{
    conf_begin_settings(w->conf, &l->settings);
    struct conf_walk inner = {.conf = w->conf,
                              .context = CONF_LOCATION,
                              .settings = &l->settings,
                              .server = w->server,
                              .location = l};
    conf_walk_block(&inner, l->node->children);
}

void conf_set_location(struct conf_walk *w, const struct conf_node *n)
{
    if (w->location->is_if) {
        conf_error(&w->conf->errors, n, "\"location\" directive is not allowed inside \"if\"");
        return;
    }
    struct conf_location *l = conf_must(arena_zalloc(&w->conf->arena, sizeof *l));
    *l = (struct conf_location){.pattern = n->args[n->nargs - 1], .parent = w->location, .node = n};
    bool named = n->nargs == 1 && l->pattern.len && l->pattern.data[0] == '@';
    if (named)
        l->match = CONF_MATCH_NAMED;
    if (named && w->location != &w->server->top)
        conf_error(&w->conf->errors, n, "named location \"%.*s\" can be on the server level only",
                   SLICE_ARGS(l->pattern));
    bool ok =
        named || (n->nargs == 2 ? parse_match(n->args[0], &l->match) : split_match(&l->pattern, &l->match));
    if (!ok) {
        conf_error(&w->conf->errors, n,
                   "invalid location modifier \"%.*s\"; it is \"=\", \"^~\", \"~\" or \"~*\"",
                   SLICE_ARGS(n->args[0]));
        return;
    }
    struct conf_location **tail = &w->location->locations;
    while (*tail)
        tail = &(*tail)->next;
    *tail = l;
    check_nesting(w, n, l);
    check_duplicate(w, n, l);
    conf_walk_location(w, l);
}

/* on | off | [IDLE]:[INTERVAL]:[COUNT] */
static bool set_keepalive(struct conf_listen *l, struct slice text)
{
    struct slice parts[3];
    int64_t *const times[] = {&l->keepalive_idle_ms, &l->keepalive_interval_ms};
    l->so_keepalive = !slice_eq(text, SLICE("off"));
    if (!l->so_keepalive || slice_eq(text, SLICE("on")))
        return true;
    for (int i = 0; i < 3; i++) {
        const char *colon = i < 2 ? memchr(text.data, ':', text.len) : text.data + text.len;
        if (!colon)
            return false;
        parts[i] = (struct slice){text.data, (size_t)(colon - text.data)};
        text = slice_from(text, parts[i].len + (i < 2));
    }
    for (int i = 0; i < 2; i++)
        if (parts[i].len && (!conf_parse_time(parts[i], times[i]) || *times[i] < 1000))
            return false;
    return parts[2].len == 0 || conf_parse_whole(parts[2], 1, 127, &l->keepalive_count);
}

/* One that says how the address is served; all others are about its socket. */
static bool set_server_parameter(struct conf_listen *l, struct slice arg)
{
    bool is_default = slice_eq(arg, SLICE("default_server")) || slice_eq(arg, SLICE("default"));
    bool is_proxy = slice_eq(arg, SLICE("proxy_protocol")), is_ssl = slice_eq(arg, SLICE("ssl"));
    bool is_http2 = slice_eq(arg, SLICE("http2"));
    l->default_server |= is_default;
    l->proxy_protocol |= is_proxy;
    l->ssl |= is_ssl;
    l->http2 |= is_http2;
    return is_default || is_proxy || is_ssl || is_http2;
}

static bool set_socket_parameter(struct conf_listen *l, struct slice arg)
{
    l->binds = true;
    if (slice_eq(arg, SLICE("reuseport")))
        l->reuseport = true;
    else if (slice_eq(arg, SLICE("deferred")))
        l->deferred = true;
    else if (slice_starts(arg, SLICE("so_keepalive=")))
        return set_keepalive(l, slice_from(arg, 13));
    else if (slice_eq(arg, SLICE("bind")))
        return true;
    else if (slice_eq(arg, SLICE("ipv6only=on")))
        l->ipv6only = true;
    else if (slice_eq(arg, SLICE("ipv6only=off")))
        l->ipv6only = false;
    else if (slice_starts(arg, SLICE("backlog=")))
        return conf_parse_number(slice_from(arg, 8), &l->backlog) && l->backlog >= 1 &&
               l->backlog <= INT32_MAX;
    else if (slice_starts(arg, SLICE("fastopen=")))
        return conf_parse_whole(slice_from(arg, 9), 1, INT32_MAX, &l->fastopen);
    else if (slice_starts(arg, SLICE("rcvbuf=")))
        return conf_parse_size(slice_from(arg, 7), &l->rcvbuf) && l->rcvbuf > 0 && l->rcvbuf <= INT32_MAX;
    else if (slice_starts(arg, SLICE("sndbuf=")))
        return conf_parse_size(slice_from(arg, 7), &l->sndbuf) && l->sndbuf > 0 && l->sndbuf <= INT32_MAX;
    else
        return false;
    return true;
}

/* listen ... quic: the feature is told once, however many servers have it. */
static bool count_absent_parameter(struct conf_walk *w, const struct conf_node *n, struct slice arg)
{
    if (!slice_eq(arg, SLICE("quic")))
        return false;
    conf_count_absent(w->conf, "quic_gso", n, arg);
    return true;
}

/* Of nginx's older ways to ask for HTTP/2. */
static bool warn_of_old_parameter(struct conf_walk *w, const struct conf_node *n, struct slice arg)
{
    bool is_spdy = slice_eq(arg, SLICE("spdy"));
    if (is_spdy)
        conf_error(&w->conf->warnings, n,
                   "invalid parameter \"spdy\": HTTP/2 has taken its place; write \"http2 on;\"");
    else if (slice_eq(arg, SLICE("http2")))
        conf_error(&w->conf->warnings, n,
                   "the \"listen ... http2\" directive is deprecated, use the \"http2\" directive instead");
    return is_spdy;
}

/* "ADDRESS:FIRST-LAST", or FIRST-LAST alone. Returns 1 for a range, 0 for none, -1 for one that is wrong. */
static int cut_range(struct slice text, struct slice *before, int64_t *first, int64_t *last)
{
    const char *colon = text.len ? memrchr(text.data, ':', text.len) : NULL;
    size_t at = colon ? (size_t)(colon - text.data) + 1 : 0;
    struct slice ports = slice_from(text, at);
    const char *dash = ports.len ? memchr(ports.data, '-', ports.len) : NULL;
    if (!dash || ports.data[0] < '0' || ports.data[0] > '9' || slice_starts(text, SLICE("unix:")))
        return 0;
    size_t n = (size_t)(dash - ports.data);
    *before = (struct slice){text.data, at};
    return conf_parse_whole((struct slice){ports.data, n}, 1, 65535, first) &&
                   conf_parse_whole(slice_from(ports, n + 1), 1, 65535, last) && *first <= *last
               ? 1
               : -1;
}

static void add_listen(struct conf_walk *w, const struct conf_node *n, struct slice address);

void conf_set_listen(struct conf_walk *w, const struct conf_node *n)
{
    struct slice before = {0};
    int64_t first = 0, last = 0;
    int range = cut_range(n->args[0], &before, &first, &last);
    if (range < 0)
        conf_error(&w->conf->errors, n,
                   "invalid port range in \"%.*s\" of the \"listen\" directive; write FIRST-LAST",
                   SLICE_ARGS(n->args[0]));
    if (range == 0)
        add_listen(w, n, n->args[0]);
    for (int64_t port = first; range > 0 && port <= last; port++)
        add_listen(w, n, arena_printf(&w->conf->arena, "%.*s%lld", SLICE_ARGS(before), (long long)port));
}

static void add_listen(struct conf_walk *w, const struct conf_node *n, struct slice address)
{
    struct conf_listen *l = conf_must(arena_zalloc(&w->conf->arena, sizeof *l)), **tail = &w->server->listens;
    *l = (struct conf_listen){.address = address, .node = w->is_default ? w->server->node : n};
    struct slice words[CONF_PARAMETERS_MAX];
    for (int i = conf_default_parameters(w->conf, SLICE("listen"), CONF_SERVER, words); i-- > 0;)
        set_socket_parameter(l, words[i]);
    l->binds = false; /* nobody has asked for it */
    for (int i = 1; i < n->nargs; i++)
        if (!warn_of_old_parameter(w, n, n->args[i]) && !set_server_parameter(l, n->args[i]) &&
            !count_absent_parameter(w, n, n->args[i]) && !set_socket_parameter(l, n->args[i]))
            conf_error(
                &w->conf->errors, n,
                "invalid parameter \"%.*s\" in \"listen\" directive; there are default_server, backlog=N, reuseport, "
                "ipv6only=on|off, ssl, http2, proxy_protocol, deferred, so_keepalive=on|off|[IDLE]:[INTERVAL]:[COUNT], fastopen=N, "
                "rcvbuf=SIZE, sndbuf=SIZE, bind",
                SLICE_ARGS(n->args[i]));
    for (; *tail; tail = &(*tail)->next)
        if (slice_eq((*tail)->address, l->address))
            conf_error(&w->conf->errors, n, "a duplicate listen %.*s; keep one of them",
                       SLICE_ARGS(l->address));
    *tail = l;
}

/* The machine's. */
static struct slice own_name(struct conf_walk *w)
{
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) < 0)
        name[0] = '\0';
    return arena_dup_lower(&w->conf->arena, slice_of(name));
}

void conf_set_server_name(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_strings *names = &w->server->names;
    struct slice *all =
        conf_must(arena_alloc(&w->conf->arena, (size_t)(names->count + n->nargs) * sizeof *all));
    if (names->count)
        memcpy(all, names->items, (size_t)names->count * sizeof *all);
    memcpy(all + names->count, n->args, (size_t)n->nargs * sizeof *all);
    for (int i = names->count; i < names->count + n->nargs; i++)
        if (slice_eq(all[i], SLICE("$hostname")))
            all[i] = own_name(w);
    *names = (struct conf_strings){all, names->count + n->nargs};
    w->server->names_node = n;
}

/* "handler process": where the command ends and its settings begin. */
static bool is_process_setting(struct slice word)
{
    static const char *const names[] = {
        "processes=", "max_requests=", "memory=", "user=", "dir=", "env=", "pool="};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_starts(word, slice_of(names[i])))
            return true;
    return false;
}

/* The command's words, which are settings for its handler like all others. */
static int take_command(struct conf_walk *w, const struct conf_node *n, struct conf_key_value ***tail)
{
    int i = 1;
    for (; i < n->nargs && !is_process_setting(n->args[i]); i++) {
        struct conf_key_value *kv = conf_must(arena_zalloc(&w->conf->arena, sizeof *kv));
        kv->key = SLICE("command");
        kv->value = arena_dup(&w->conf->arena, n->args[i]);
        **tail = kv;
        *tail = &kv->next;
    }
    return i;
}

/* "handler NAME FILE": the setting file, below the prefix like others. */
static int take_file(struct conf_walk *w, const struct conf_node *n, struct conf_key_value ***tail)
{
    if (n->nargs < 2 || memchr(n->args[1].data, '=', n->args[1].len))
        return 1;
    struct conf_key_value *kv = conf_must(arena_zalloc(&w->conf->arena, sizeof *kv));
    kv->key = SLICE("file");
    kv->value = conf_full_path(w->conf, n->args[1]);
    **tail = kv;
    *tail = &kv->next;
    return 2;
}

static void set_handler(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_handler *h = conf_must(arena_zalloc(&w->conf->arena, sizeof *h));
    *h = (struct conf_handler){.name = n->args[0], .pool = SLICE("default"), .node = n};
    if (n->nargs == 0 || n->args[0].len == 0) {
        conf_error(&w->conf->errors, n, "\"handler\" needs a handler's name");
        return;
    }
    struct conf_key_value **tail = &h->args;
    int first = slice_eq(h->name, SLICE("process")) ? take_command(w, n, &tail) : take_file(w, n, &tail);
    for (struct conf_key_value *kv = conf_key_values(w, n, first); kv;) {
        struct conf_key_value *next = kv->next;
        kv->next = NULL;
        if (slice_eq(kv->key, SLICE("pool"))) {
            h->pool = kv->value;
        } else {
            *tail = kv;
            tail = &kv->next;
        }
        kv = next;
    }
    w->location->handler = h;
}

/* handler, status, stub_status: a location has one of them. */
void conf_set_content(struct conf_walk *w, const struct conf_node *n)
{
    if (w->location->content != CONF_CONTENT_STATIC) {
        conf_error(&w->conf->errors, n,
                   "\"%.*s\" directive is duplicate: this location has its handler already",
                   SLICE_ARGS(n->name));
        return;
    }
    if (slice_eq(n->name, SLICE("handler"))) {
        w->location->content = CONF_CONTENT_HANDLER;
        set_handler(w, n);
    } else {
        w->location->content =
            slice_eq(n->name, SLICE("status")) ? CONF_CONTENT_STATUS : CONF_CONTENT_STUB_STATUS;
    }
}

void conf_set_try_files(struct conf_walk *w, const struct conf_node *n)
{
    if (w->location->try_files)
        conf_error(&w->conf->errors, n, "\"try_files\" directive is duplicate; the first is in line %d",
                   w->location->try_files->line);
    w->location->try_files = n;
}

void conf_set_internal(struct conf_walk *w, const struct conf_node *n)
{
    (void)n;
    w->location->internal = true;
}
