/*
 * http/site/site.c - from settings to a site.
 */
#include "http/site/site.h"

#include "base/arena.h"
#include "base/log.h"
#include "base/logfile.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "conf/tree.h"
#include "http/request/template.h"
#include "http/request/variable_list.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/module.h"
#include "http/site/resolver_words.h"
#include "http/site/router.h"
#include "http/site/tls.h"
#include "net/address.h"

#include <ctype.h>
#include <stdlib.h>
#include <unistd.h>

static void *must(void *p)
{
    if (!p)
        /* Out of memory while reading a configuration. */
        abort();
    return p;
}

static const char combined[] =
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent "
    "\"$http_referer\" \"$http_user_agent\"";

/* Names of OpenTelemetry's conventions for HTTP, and our own times; what may be empty is a string. */
static const char json[] =
    "{\"time\":\"$time_iso8601\",\"client.address\":\"$remote_addr\",\"client.port\":\"$remote_port\","
    "\"server.address\":\"$server_name\",\"server.port\":\"$server_port\",\"url.scheme\":\"$scheme\","
    "\"http.request.method\":\"$request_method\",\"url.path\":\"$uri\",\"url.query\":\"$args\","
    "\"http.request.header.host\":\"$http_host\",\"user_agent.original\":\"$http_user_agent\","
    "\"network.protocol\":\"$server_protocol\",\"http.response.status_code\":$status,"
    "\"http.request.size\":$request_length,\"http.response.size\":$bytes_sent,"
    "\"http.response.body.size\":$body_bytes_sent,\"http.server.request.duration\":$request_time,"
    "\"weir.request_id\":\"$request_id\",\"weir.permit_time\":\"$permit_time\","
    "\"weir.queue_time\":\"$queue_time\",\"weir.handler_time\":\"$handler_time\","
    "\"weir.limit_status\":\"$limit_concurrency_status\",\"weir.upstream.address\":\"$upstream_addr\","
    "\"weir.upstream.status\":\"$upstream_status\",\"weir.upstream.response_time\":\"$upstream_response_time\"}";

static const struct http_template *log_format(struct site *site, const struct conf_access_log *log,
                                              enum http_escape *escape)
{
    for (const struct conf_log_format *f = site->conf->http->formats; f; f = f->next)
        if (slice_eq(f->name, log->format_name)) {
            *escape = (enum http_escape)f->escape;
            return site_compile(site, f->text, f->node);
        }
    if (slice_eq(log->format_name, SLICE("combined")))
        return site_compile(site, slice_of(combined), log->node);
    if (slice_eq(log->format_name, SLICE("json"))) {
        *escape = HTTP_ESCAPE_JSON;
        return site_compile(site, slice_of(json), log->node);
    }
    conf_error(&site->conf->errors, log->node, "unknown log format \"%.*s\"; define it with log_format",
               SLICE_ARGS(log->format_name));
    return NULL;
}

static struct logfile *add_file(struct site *site, struct logfiles *files, struct slice path,
                                const struct conf_node *n)
{
    struct logfile *f = must(logfiles_add(files, path));
    if (!f->place.data)
        f->place = conf_place(&site->arena, n);
    if (f->wrong)
        conf_error(&site->conf->errors, n, "invalid \"%.*s\": %s", SLICE_ARGS(path), f->wrong);
    return f;
}

static struct access_log *build_logs(struct site *site, const struct conf_access_log *list)
{
    struct access_log *logs = NULL, **tail = &logs;
    for (; list && list->path.data; list = list->next) {
        struct access_log *log = must(arena_zalloc(&site->arena, sizeof *log));
        log->format = log_format(site, list, &log->escape);
        log->condition = list->condition.data ? site_compile(site, list->condition, list->node) : NULL;
        *tail = log;
        tail = &log->next;
        if (memchr(list->path.data, '$', list->path.len) && !slice_starts(list->path, SLICE("syslog:"))) {
            log->path = site_compile(site, list->path, list->node);
            continue;
        }
        log->file = add_file(site, &site->access_files, list->path, list->node);
        if (log->file->has_users && log->file->gzip != (int)list->gzip)
            conf_error(&site->conf->errors, list->node,
                       "\"%.*s\" is written with gzip and without; write it in one way",
                       SLICE_ARGS(list->path));
        log->file->has_users = true;
        log->file->gzip = (int)list->gzip;
        if ((size_t)list->buffer_bytes > log->file->buffer_bytes)
            log->file->buffer_bytes = (size_t)list->buffer_bytes;
        log->file->flush_ms = list->flush_ms ? list->flush_ms : log->file->flush_ms;
    }
    return logs;
}

static struct error_file *build_error_files(struct site *site, const struct conf_error_log *list)
{
    struct error_file *files = NULL, **tail = &files;
    for (; list; list = list->next) {
        *tail = must(arena_zalloc(&site->arena, sizeof **tail));
        **tail = (struct error_file){add_file(site, &site->error_files, list->path, list->node), &list->level,
                                     &list->json, NULL};
        tail = &(*tail)->next;
    }
    return files;
}

static struct error_target *build_error_targets(struct site *site, const struct conf_error_page *list)
{
    struct error_target *targets = NULL;
    /* The conf has the last line first: the first line is to win, and comes first. */
    for (; list; list = list->next) {
        struct error_target *t = must(arena_zalloc(&site->arena, sizeof *t));
        *t = (struct error_target){list->codes,
                                   list->code_count,
                                   list->new_code,
                                   site_compile(site, list->uri, list->node),
                                   list->uri.len && list->uri.data[0] == '@',
                                   targets};
        targets = t;
    }
    return targets;
}

/* Those that need no module. */
static const struct weir_handler *const *own_handlers;

void site_use_handlers(const struct weir_handler *const *handlers)
{
    own_handlers = handlers;
}

static void find_handler(struct site *site, struct location *l, const struct conf_handler *h)
{
    for (int i = 0; own_handlers && own_handlers[i] && !l->handler; i++)
        if (slice_eq(slice_of(own_handlers[i]->name), h->name))
            l->handler = own_handlers[i];
    for (struct loaded_module *m = site->modules; m && !l->handler; m = m->next)
        l->handler = module_find(m->module, h->name);
    if (!l->handler)
        conf_error(&site->conf->errors, h->node, "unknown handler \"%.*s\"; is its load_module missing?",
                   SLICE_ARGS(h->name));
    const struct conf_pool *pool = site->conf->pools;
    for (l->pool = 0; pool && !slice_eq(pool->name, h->pool); pool = pool->next)
        l->pool++;
    if (!pool)
        conf_error(&site->conf->errors, h->node, "unknown thread pool \"%.*s\"; define it with thread_pool",
                   SLICE_ARGS(h->pool));
}

static void init_handler(struct site *site, struct location *l, const struct conf_handler *h)
{
    char why[256] = "";
    int count = 0;
    for (const struct conf_key_value *kv = h->args; kv; kv = kv->next)
        count++;
    struct weir_setting *settings = must(arena_zalloc(&site->arena, (size_t)(count + 1) * sizeof *settings));
    count = 0;
    for (const struct conf_key_value *kv = h->args; kv; kv = kv->next)
        settings[count++] = (struct weir_setting){kv->key.data, kv->value.data};
    if (l->handler->init) {
        l->handler_settings = l->handler->init(settings, why, sizeof why);
        if (!l->handler_settings)
            conf_error(&site->conf->errors, h->node, "handler \"%s\": %s", l->handler->name,
                       why[0] ? why : "its settings were refused");
    } else if (count) {
        conf_error(&site->conf->errors, h->node, "handler \"%s\" takes no settings; remove \"%s\"",
                   l->handler->name, settings[0].key);
    }
}

/* What the handler wants to read of the configuration's variables. */
static void build_handler_variables(struct site *site, struct location *l, const struct conf_node *node)
{
    int count = 0;
    const char *const *names = l->handler->variables;
    while (names && names[count])
        count++;
    if (count == 0)
        return;
    l->handler_variables = must(arena_zalloc(&site->arena, (size_t)count * sizeof(void *)));
    for (int i = 0; i < count; i++)
        l->handler_variables[i] = site_compile(site, arena_printf(&site->arena, "${%s}", names[i]), node);
}

/* A size, or a text with variables that becomes one. */
static const struct http_template *build_rate(struct site *site, const struct conf_node *n)
{
    int64_t bytes;
    struct slice text = n->args[0];
    if (!memchr(text.data, '$', text.len) && !conf_parse_size(text, &bytes))
        conf_error(&site->conf->errors, n, "\"%.*s\" directive invalid value \"%.*s\"; it takes %s",
                   SLICE_ARGS(n->name), SLICE_ARGS(text), conf_type_words(CONF_SIZE));
    return site_compile(site, text, n);
}

static void build_rates(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct settings *s = &c->settings;
    const struct conf_node *passed =
        s->passes[c->proxy ? c->proxy->kind : CONF_PASS_PROXY].upstream.limit_rate;
    if (s->answers.limit_rate)
        l->rate = build_rate(site, s->answers.limit_rate);
    if (s->answers.limit_rate_after)
        l->rate_after = build_rate(site, s->answers.limit_rate_after);
    if (passed)
        l->proxy_rate = build_rate(site, passed);
}

static void build_early_hints(struct site *site, struct location *l, const struct conf_lines *lines)
{
    int count = 0;
    for (const struct conf_lines *line = lines; line; line = line->next)
        count += line->node->nargs;
    l->early_hints = site_array(site, count, sizeof(void *));
    for (const struct conf_lines *line = lines; line; line = line->next)
        for (int i = 0; i < line->node->nargs; i++)
            l->early_hints[l->early_hint_count++] = site_compile(site, line->node->args[i], line->node);
}

static struct location *build_location(struct site *site, const struct conf_location *c,
                                       const struct conf_location *outer)
{
    struct location *l = must(arena_zalloc(&site->arena, sizeof *l));
    const struct conf_return *ret =
        outer && outer->ret ? outer->ret : c->ret; /* the server's own comes first */
    l->settings = &c->settings;
    l->content = c->content;
    l->access_logs = build_logs(site, c->settings.logs.access);
    l->error_targets = build_error_targets(site, c->settings.answers.error_pages);
    l->error_files = build_error_files(site, c->settings.logs.errors);
    if (ret) {
        l->return_code = ret->code;
        l->return_text = ret->text.data ? site_compile(site, ret->text, ret->node) : NULL;
    }
    site_build_files(site, l, c);
    if (c->handler) {
        find_handler(site, l, c->handler);
        if (l->handler) {
            init_handler(site, l, c->handler);
            build_handler_variables(site, l, c->handler->node);
        }
    }
    if (c->settings.resolver.servers)
        resolver_check(site->conf, c->settings.resolver.servers->node);
    build_rates(site, l, c);
    features_build(site, l, c);
    if (c->settings.answers.early_hints)
        build_early_hints(site, l, c->settings.answers.early_hints);
    l->internal = c->internal;
    l->proxy = site_build_proxy(site, c);
    l->number = site->made ? site->made->number + 1 : 0;
    l->next_made = site->made;
    site->made = l;
    return l;
}

struct location *site_build_location(struct site *site, const struct conf_location *c)
{
    return build_location(site, c, NULL);
}

static struct http_locations *build_locations(struct site *site, struct vserver *v,
                                              const struct conf_location *list,
                                              const struct conf_location *server_top)
{
    struct http_locations *locations = must(http_locations_new(&site->arena));
    for (const struct conf_location *c = list; c; c = c->next) {
        struct slice why = {0};
        struct http_locations *nested =
            c->locations ? build_locations(site, v, c->locations, server_top) : NULL;
        struct location *l = build_location(site, c, server_top);
        l->name = c->pattern;
        bool prefix = c->match == CONF_MATCH_PREFIX || c->match == CONF_MATCH_PREFIX_FINAL;
        if (c->proxy && prefix && c->pattern.len > 1 && c->pattern.data[c->pattern.len - 1] == '/') {
            l->next_slashed = v->slashed;
            v->slashed = l;
        }
        if (c->match == CONF_MATCH_NAMED) {
            l->next_named = v->named;
            v->named = l;
            continue;
        }
        if (!http_locations_add(locations, (enum http_match)c->match, c->pattern, nested, l, &why))
            conf_error(&site->conf->errors, c->node, "%.*s", SLICE_ARGS(why));
    }
    http_locations_finish(locations);
    return locations;
}

static struct net_listen_options options_of(const struct conf_listen *c, bool nodelay)
{
    return (struct net_listen_options){.backlog = (int)c->backlog,
                                       .ipv6only = c->ipv6only,
                                       .nodelay = nodelay,
                                       .reuseport = c->reuseport,
                                       .deferred = c->deferred,
                                       .fastopen = (int)c->fastopen,
                                       .receive_bytes = (int)c->rcvbuf,
                                       .send_bytes = (int)c->sndbuf,
                                       .keepalive_idle_s = (int)(c->keepalive_idle_ms / 1000),
                                       .keepalive_interval_s = (int)(c->keepalive_interval_ms / 1000),
                                       .keepalive_count = (int)c->keepalive_count,
                                       .keepalive = c->so_keepalive};
}

static struct site_listen *find_listen(struct site *site, const struct conf_listen *c)
{
    struct net_address address;
    const char *wrong = net_address_parse(c->address, &address);
    if (wrong) {
        conf_error(&site->conf->errors, c->node, "invalid address \"%.*s\" of the \"listen\" directive: %s",
                   SLICE_ARGS(c->address), wrong);
        return NULL;
    }
    struct site_listen **tail = &site->listens;
    for (; *tail; tail = &(*tail)->next)
        if (net_address_eq(&(*tail)->address, &address))
            return *tail;
    struct site_listen *l = must(arena_zalloc(&site->arena, sizeof *l));
    l->address = address;
    l->names = must(http_names_new(&site->arena));
    l->node = c->node;
    for (int i = 0; i < SITE_REUSEPORT_MAX; i++)
        l->fds[i] = -1;
    *tail = l;
    return l;
}

static void attach(struct site *site, const struct conf_server *s, struct vserver *v,
                   const struct conf_listen *c)
{
    struct site_listen *l = find_listen(site, c);
    if (!l)
        return;
    if (c->default_server && l->has_explicit_default)
        conf_error(&site->conf->errors, c->node,
                   "a duplicate default server for %.*s; keep one default_server", SLICE_ARGS(c->address));
    /* The socket is as the first one says that says anything. */
    if (!l->default_server || (c->binds && !l->binds))
        l->options = options_of(c, s->top.settings.client.tcp_nodelay);
    if (!l->default_server || c->default_server)
        l->default_server = v;
    l->has_explicit_default |= c->default_server;
    l->proxy_protocol |= c->proxy_protocol;
    l->tls |= c->ssl;
    l->http2 |= c->http2;
    l->binds |= c->binds;
    l->fd_count = l->options.reuseport ? (int)site->conf->worker_processes : 1;
    if (s->names.count == 0) { /* nginx's default is the empty name */
        struct slice why = {0};
        http_names_add(l->names, SLICE(""), v, &why);
    }
    for (int i = 0; i < s->names.count; i++) {
        struct slice why = {0};
        if (!http_names_add(l->names, s->names.items[i], v, &why))
            conf_error(&site->conf->errors, s->names_node, "server name \"%.*s\" is invalid: %.*s",
                       SLICE_ARGS(s->names.items[i]), SLICE_ARGS(why));
        else if (why.data)
            conf_error(&site->conf->warnings, s->names_node,
                       "conflicting server name \"%.*s\" on %.*s, ignored", SLICE_ARGS(s->names.items[i]),
                       SLICE_ARGS(c->address));
    }
}

/* $server_name: host names know no case, and ".name" stands for the name itself as well. */
static struct slice shown_name(struct site *site, const struct conf_server *s)
{
    struct slice name = s->names.count ? s->names.items[0] : SLICE("");
    if (name.len == 0 || name.data[0] == '~')
        return name;
    return arena_dup_lower(&site->arena, slice_from(name, name.data[0] == '.'));
}

static void build_server(struct site *site, const struct conf_server *s)
{
    struct vserver *v = must(arena_zalloc(&site->arena, sizeof *v));
    v->next = site->servers;
    site->servers = v;
    v->name = shown_name(site, s);
    site->building = v;
    site->building_conf = s;
    v->top = build_location(site, &s->top, NULL);
    v->locations = build_locations(site, v, s->top.locations, s->top.ret ? &s->top : NULL);
    for (const struct conf_listen *c = s->listens; c; c = c->next)
        attach(site, s, v, c);
}

/*
 * A port that is bound for all addresses is bound once, as in nginx: of its other addresses only those have sockets that must
 * ("bind" and all options of sockets). The local address of a connection says which servers it is for.
 */
static void share_wildcards(struct site *site)
{
    for (struct site_listen *l = site->listens; l; l = l->next) {
        const struct site_listen *any = l->binds ? NULL : site->listens;
        while (any && !net_address_covers(&any->address, &l->address))
            any = any->next;
        if (any)
            l->fd_count = 0;
        l->within = any;
    }
}

static void load_modules(struct site *site)
{
    for (const struct conf_module *c = site->conf->modules; c; c = c->next) {
        struct slice why = {0};
        struct loaded_module *m = must(arena_zalloc(&site->arena, sizeof *m));
        m->module = module_load(&site->arena, c->path, &why);
        if (!m->module) {
            conf_error(&site->conf->errors, c->node, "%.*s%.*s", SLICE_ARGS(why), SLICE_ARGS(c->about));
            continue;
        }
        struct slice note = module_note(&site->arena, m->module, c->path);
        if (note.len)
            conf_error(&site->conf->warnings, c->node, "%.*s", SLICE_ARGS(note));
        m->next = site->modules;
        site->modules = m;
    }
}

static void collect_names_of(struct site *site, const struct conf_location *list)
{
    for (const struct conf_location *l = list; l; l = l->next) {
        site_collect_groups(site, l->pattern, l->node);
        collect_names_of(site, l->locations);
    }
}

/* Also of those that no log uses. */
static void check_log_formats(struct site *site)
{
    for (const struct conf_log_format *f = site->conf->http ? site->conf->http->formats : NULL; f;
         f = f->next)
        site_compile(site, f->text, f->node);
}

struct site *site_build(struct conf *conf)
{
    struct site *site = must(calloc(1, sizeof *site));
    arena_init(&site->arena, 16384);
    site->conf = conf;
    site->access_files.arena = site->error_files.arena = &site->arena;
    for (const struct conf_error_log *l = conf->error_logs; l; l = l->next)
        add_file(site, &site->error_files, l->path, l->node);
    features_begin(site);
    load_modules(site);
    site_name_variables(site);
    features_define_variables(site);
    for (const struct conf_server *c = conf->http ? conf->http->servers : NULL; c; c = c->next) {
        collect_names_of(site, c->top.locations);
        for (int i = 0; i < c->names.count; i++)
            site_collect_groups(site, c->names.items[i], c->node);
    }
    features_name_variables(site);
    features_prepare(site);
    check_log_formats(site);
    site_build_upstreams(site);
    for (const struct conf_server *s = conf->http ? conf->http->servers : NULL; s; s = s->next)
        build_server(site, s);
    share_wildcards(site);
    tls_check_listens(site);
    return site;
}

void site_use_error_logs(struct site *site)
{
    struct log_sink sinks[LOG_SINKS_MAX];
    int count = 0;
    for (const struct conf_error_log *l = site->conf->error_logs; l && count < LOG_SINKS_MAX; l = l->next)
        sinks[count++] = logfile_sink(logfiles_add(&site->error_files, l->path), l->level, l->json);
    log_set_sinks(sinks, count);
}

bool site_same_modules(const struct site *a, const struct site *b)
{
    const struct loaded_module *m = a->modules, *n = b->modules;
    for (; m && n && module_same(m->module, n->module); m = m->next)
        n = n->next;
    return !m && !n;
}

void site_free(struct site *site)
{
    for (struct site_listen *l = site->listens; l; l = l->next) {
        http_names_free(l->names);
        for (int i = 0; i < l->fd_count; i++)
            if (l->fds[i] >= 0)
                close(l->fds[i]);
    }
    for (struct vserver *v = site->servers; v; v = v->next)
        http_locations_free(v->locations);
    site_free_rewrites(site);
    site_free_regexes(site);
    for (struct location *l = site->made; l; l = l->next_made)
        features_drop(l);
    features_end(site);
    for (struct location *l = site->made; l; l = l->next_made)
        if (l->handler_settings && l->handler->free)
            l->handler->free(l->handler_settings);
    for (struct loaded_module *m = site->modules; m; m = m->next)
        module_unload(m->module);
    logfiles_close(&site->access_files);
    logfiles_close(&site->error_files);
    struct arena arena = site->arena;
    free(site);
    arena_free(&arena);
}
