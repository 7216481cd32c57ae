/*
 * proxy/resolve.c - names of upstreams' servers, asked for again as their time to live ends; by c-ares, on the loop.
 *
 * The first addresses are those that the configuration was read with. While a name is asked for again, and when nobody
 * answers, the old addresses stay in use. Upstreams that a proxy_pass with variables names are made here, used by all
 * requests that name the same, and dropped again when there are too many.
 */
#include "proxy/http2.h"
#include "proxy/proxy.h"
#include "proxy/upstream.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "http/site/resolver_words.h"
#include "http/site/site.h"
#include "net/address.h"
#include "shm/peer.h"
#include "worker/loop/worker_state.h"

#include <ares.h>
#include <assert.h>
#include <stdlib.h>

enum {
    NAMED_MAX = 256, /* upstreams by variables */
    ADDRESSES_MAX = 64,
    TTL_LEAST_S = 1,
    RETRY_MS = 5000,
    QUERY_TIMEOUT_MS = 2000,
    SOCKETS_MAX = 32
};

static const struct slice named_group = {"$proxy_pass", 11}; /* what the status shows them under */

static struct resolver {
    struct worker *worker;
    ares_channel channel;
    bool open;
    ev_io sockets[SOCKETS_MAX];
    ev_timer timer; /* while questions are under way */
    int queries;
    /* In place of the answers' own time to live; 0: none. */
    int64_t valid_ms;
    int family;
    int named;
} resolver;

/* --- c-ares and the loop --- */

static void settle_timer(struct resolver *r)
{
    if (r->queries > 0)
        ev_timer_again(r->worker->loop, &r->timer);
    else
        ev_timer_stop(r->worker->loop, &r->timer);
}

static void resolve_on_socket(struct ev_loop *loop, ev_io *io, int events)
{
    struct resolver *r = io->data;
    (void)loop;
    ares_process_fd(r->channel, events & EV_READ ? io->fd : ARES_SOCKET_BAD,
                    events & EV_WRITE ? io->fd : ARES_SOCKET_BAD);
    settle_timer(r);
}

static void resolve_on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct resolver *r = timer->data;
    (void)loop;
    (void)events;
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    settle_timer(r);
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = arg;
    ev_io *io = NULL;
    for (int i = 0; i < SOCKETS_MAX; i++)
        if (ev_is_active(&r->sockets[i]) && r->sockets[i].fd == fd)
            io = &r->sockets[i];
    for (int i = 0; i < SOCKETS_MAX && !io; i++)
        if (!ev_is_active(&r->sockets[i]))
            io = &r->sockets[i];
    if (!io)
        return; /* the question will time out */
    ev_io_stop(r->worker->loop, io);
    if (!readable && !writable)
        return;
    ev_io_init(io, resolve_on_socket, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    io->data = r;
    ev_io_start(r->worker->loop, io);
}

/* --- questions and answers --- */

static void use_answer(struct upstream_server *s, const struct ares_addrinfo *found)
{
    struct net_address *list = calloc(ADDRESSES_MAX, sizeof *list);
    int count = 0, ttl_s = INT32_MAX;
    for (const struct ares_addrinfo_node *n = list ? found->nodes : NULL; n && count < ADDRESSES_MAX;
         n = n->ai_next) {
        memcpy(&list[count].addr, n->ai_addr, n->ai_addrlen);
        list[count].len = n->ai_addrlen;
        net_address_set_port(&list[count++], s->port);
        ttl_s = n->ai_ttl < ttl_s ? n->ai_ttl : ttl_s;
    }
    if (count == 0) {
        free(list);
        return;
    }
    qsort(list, (size_t)count, sizeof *list,
          net_address_compare); /* whatever order the name server has today */
    if (s->owns_addresses)
        free(s->addresses);
    s->addresses = list;
    s->owns_addresses = true;
    s->address_count = count;
    int64_t valid_ms =
        resolver.valid_ms ? resolver.valid_ms : (int64_t)(ttl_s > TTL_LEAST_S ? ttl_s : TTL_LEAST_S) * 1000;
    s->resolve_at_ms = resolver.worker->now_ms + (uint64_t)valid_ms;
    upstream_set_peers(resolver.worker, s->upstream);
}

static void resolve_on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
    struct upstream_server *s = arg;
    (void)timeouts;
    resolver.queries--;
    assert(resolver.queries >= 0 && s->resolving);
    s->resolving = false;
    if (status == ARES_EDESTRUCTION)
        return;
    s->resolve_at_ms = resolver.worker->now_ms + RETRY_MS;
    if (status == ARES_SUCCESS)
        use_answer(s, found);
    else if (!s->complained)
        log_error("%.*s could not be resolved (%s)%s", SLICE_ARGS(s->host), ares_strerror(status),
                  s->address_count ? "; its old addresses stay in use" : "");
    s->complained = status != ARES_SUCCESS;
    if (found)
        ares_freeaddrinfo(found);
    proxy_resolved(s->upstream);
}

static void resolve_ask(struct upstream_server *s)
{
    char name[256];
    struct ares_addrinfo_hints hints = {.ai_family = resolver.family, .ai_socktype = SOCK_STREAM};
    if (!resolver.open || s->host.len >= sizeof name)
        return;
    memcpy(name, s->host.data, s->host.len);
    name[s->host.len] = '\0';
    s->resolving = true;
    resolver.queries++;
    ares_getaddrinfo(resolver.channel, name, NULL, &hints, resolve_on_answer, s);
    settle_timer(&resolver);
}

void resolve_look_after(struct worker *w)
{
    for (struct upstream *u = w->site->upstreams; u; u = u->next) {
        if (u->named || w->draining)
            continue; /* asked for when it is used */
        for (int i = 0; i < u->server_count; i++) {
            struct upstream_server *s = &u->servers[i];
            if (s->host.data && !s->resolving && w->now_ms >= s->resolve_at_ms)
                resolve_ask(s);
        }
    }
}

/* --- upstreams by variables --- */

static void drop_named(struct worker *w, struct upstream *u)
{
    struct upstream **link = &w->site->upstreams;
    assert(u->named && u->users == 0); /* nobody waits for it, nor asks it */
    while (*link != u)
        link = &(*link)->next;
    *link = u->next;
    u->servers[0].address_count = 0;
    http2_close_idle(u);
    upstream_set_peers(w, u);
    if (u->servers[0].owns_addresses)
        free(u->servers[0].addresses);
    free(u->peers);
    free(u->points);
    free(u->servers);
    free(u->own_name);
    free(u);
    resolver.named--;
}

/* The one that has not been used for longest, of those that nobody uses now. */
static bool resolve_make_room(struct worker *w)
{
    struct upstream *oldest = NULL;
    for (struct upstream *u = w->site->upstreams; u; u = u->next)
        if (u->named && u->users == 0 && !u->servers[0].resolving &&
            (!oldest || u->used_ms < oldest->used_ms))
            oldest = u;
    if (oldest)
        drop_named(w, oldest);
    return oldest != NULL;
}

static struct upstream *new_named(struct worker *w, struct slice host)
{
    const struct conf_upstream *unnamed = &w->conf->http->unnamed;
    struct upstream *u = calloc(1, sizeof *u);
    struct upstream_server *s = calloc(1, sizeof *s);
    char *name = malloc(host.len + 1);
    struct net_address *address = calloc(1, sizeof *address);
    if (!u || !s || !name || !address) {
        free(u);
        free(s);
        free(name);
        free(address);
        return NULL;
    }
    memcpy(name, host.data, host.len);
    *u = (struct upstream){
        .name = {name, host.len}, .servers = s, .server_count = 1, .own_name = name, .named = true};
    site_set_keepalive(u, unnamed);
    list_init(&u->idle);
    list_init(&u->carriers);
    list_init(&u->queue);
    list_init(&u->unresolved);
    *s = (struct upstream_server){
        .conf = unnamed->servers, .upstream = u, .addresses = address, .owns_addresses = true};
    u->next = w->site->upstreams;
    w->site->upstreams = u;
    resolver.named++;
    u->group_name = named_group;
    u->group = peer_group_open(w->shm, u->group_name, w->now_ms);
    return u;
}

/* An address needs no question. False: the text is neither an address nor a name with a port. */
static bool set_target(struct upstream_server *s, struct slice host)
{
    if (!net_address_parse_literal(host, &s->addresses[0])) {
        s->address_count = 1;
        return true;
    }
    return net_split_port(host, &s->host, &s->port);
}

bool resolve_is_target(const struct worker *w, struct slice host)
{
    struct net_address address;
    unsigned long long port;
    const char *colon = host.len ? memchr(host.data, ':', host.len) : NULL;
    size_t name_len = colon ? (size_t)(colon - host.data) : host.len;
    if (name_len == 0)
        return false;
    if (site_find_upstream(w->site, host) || !net_address_parse_literal(host, &address))
        return true;
    if (host.data[0] == '[' || slice_starts(host, SLICE("unix:")))
        return false;
    return !colon || (slice_to_u64(slice_from(host, name_len + 1), 65535, &port) && port > 0);
}

struct upstream *resolve_upstream(struct worker *w, struct slice host)
{
    struct upstream *u = site_find_upstream(w->site, host);
    if (!u) {
        if (resolver.named >= NAMED_MAX && !resolve_make_room(w))
            return NULL;
        u = new_named(w, host);
        if (u && (!u->group || !set_target(&u->servers[0], u->name) || !upstream_set_peers(w, u))) {
            drop_named(w, u);
            u = NULL;
        }
    }
    if (!u)
        return NULL;
    u->used_ms = w->now_ms;
    struct upstream_server *s = &u->servers[0];
    if (u->named && s->host.data && !s->resolving && w->now_ms >= s->resolve_at_ms)
        resolve_ask(s);
    return u;
}

/* --- opening --- */

/* The first "resolver" of the configuration is the one for all. */
static const struct conf_lines *find_resolver(const struct conf_location *list)
{
    const struct conf_lines *found = NULL;
    for (const struct conf_location *l = list; l && !found; l = l->next)
        found = l->settings.resolver.servers ? l->settings.resolver.servers : find_resolver(l->locations);
    return found;
}

static const struct conf_lines *resolver_of(const struct conf *conf)
{
    const struct conf_lines *found = conf->http ? conf->http->settings.resolver.servers : NULL;
    for (const struct conf_server *s = conf->http ? conf->http->servers : NULL; s && !found; s = s->next)
        found = s->top.settings.resolver.servers ? s->top.settings.resolver.servers
                                                 : find_resolver(s->top.locations);
    return found;
}

/* False: the system's are asked. */
static bool use_servers(const struct conf_node *n)
{
    struct resolver_words words = {0};
    bool ok = !resolver_read(n, &words).data && buf_append(&words.servers, "", 1) &&
              ares_set_servers_ports_csv(resolver.channel, words.servers.data + words.servers.start) ==
                  ARES_SUCCESS;
    if (ok) {
        resolver.valid_ms = words.valid_ms;
        resolver.family = words.family;
    } else {
        log_error("\"resolver\" in line %d cannot be used; it takes addresses of name servers", n->line);
    }
    buf_free(&words.servers);
    return ok;
}

bool resolve_open(struct worker *w)
{
    struct ares_options options = {.timeout = QUERY_TIMEOUT_MS,
                                   .tries = 3,
                                   .sock_state_cb = on_socket_state,
                                   .sock_state_cb_data = &resolver};
    const struct conf_lines *servers = resolver_of(w->conf);
    resolver.worker = w;
    resolver.family = AF_UNSPEC;
    ev_timer_init(&resolver.timer, resolve_on_time, 0, 0.25);
    resolver.timer.data = &resolver;
    resolver.open =
        ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS &&
        ares_init_options(&resolver.channel, &options,
                          ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) == ARES_SUCCESS;
    if (!resolver.open)
        log_error("names of upstreams cannot be resolved again: c-ares does not start");
    else if (servers)
        use_servers(servers->node);
    resolve_look_after(w);
    return true;
}
