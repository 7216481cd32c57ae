/*
 * proxy/upstream.c - the servers of upstreams, and the connections to them.
 */
#include "proxy/upstream.h"

#include "base/arena.h"
#include "base/hist.h"
#include "base/list.h"
#include "base/log.h"
#include "base/slice.h"
#include "base/wheel.h"
#include "http/site/site.h"
#include "net/address.h"
#include "net/stream.h"
#include "shm/peer.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- servers --- */

void peer_release(struct peer *peer)
{
    assert(peer->refs > 0);
    if (--peer->refs > 0)
        return;
    free((char *)(uintptr_t)peer->text);
    free(peer->name);
    free(peer->own);
    upstream_session_free(peer->session);
    free(peer);
}

static struct peer_rules peer_rules_of(const struct upstream *u, const struct upstream_server *s,
                                       int addresses)
{
    const struct conf_upstream_server *c = s->conf;
    const struct conf_health_check *health = u->conf ? u->conf->health : NULL;
    return (struct peer_rules){.weight = (int32_t)c->weight,
                               .max_fails =
                                   addresses == 1 ? 0 : (int32_t)c->max_fails, /* nobody else to ask */
                               .max_conns = (uint32_t)c->max_conns,
                               .fail_timeout_ms = (uint64_t)c->fail_timeout_ms,
                               .slow_start_ms = (uint64_t)c->slow_start_ms,
                               .backup = c->backup,
                               .drain = c->drain,
                               .down = c->down,
                               .checked = health != NULL,
                               .mandatory = health && health->mandatory};
}

static struct peer *find_peer(const struct upstream *u, const struct upstream_server *s,
                              const struct net_address *address)
{
    for (int i = 0; i < u->peer_count; i++)
        if (u->peers[i]->server == s && net_address_eq(&u->peers[i]->address, address))
            return u->peers[i];
    return NULL;
}

static bool has_line(const struct upstream *u, const struct net_address *address)
{
    for (int i = 0; i < u->server_count; i++)
        if (!u->servers[i].host.data && u->servers[i].address_count &&
            net_address_eq(&u->servers[i].addresses[0], address))
            return true;
    return false;
}

/* The same address in several lines is several servers; so is one that a name has and a line too. */
static void name_shared(char out[PEER_NAME_BYTES], const struct upstream_server *s,
                        const struct net_address *address, const char *text, int place)
{
    if (s->host.data && has_line(s->upstream, address))
        snprintf(out, PEER_NAME_BYTES, "%.60s (%.*s)", text, s->host.len < 50 ? (int)s->host.len : 50,
                 s->host.data);
    else if (place > 1)
        snprintf(out, PEER_NAME_BYTES, "%.110s#%d", text, place);
    else
        snprintf(out, PEER_NAME_BYTES, "%.120s", text);
}

/* Where clients name the servers there may be too many of them to share: then one is this worker's alone. */
static struct shm_peer *peer_share(struct worker *w, struct upstream *u, struct peer *p, const char *name,
                                   const struct peer_rules *rules)
{
    struct shm_peer *shared =
        peer_open(w->shm, u->group, slice_of(name), rules, u->named ? PEERS_NAMED : 0, w->now_ms);
    if (shared || !u->named)
        return shared;
    p->own =
        aligned_alloc(_Alignof(struct shm_peer), sizeof *p->own); /* calloc knows nothing of lines of cache */
    if (p->own)
        *p->own = (struct shm_peer){.rules = *rules};
    return p->own;
}

static struct peer *new_peer(struct worker *w, struct upstream *u, struct upstream_server *s,
                             const struct net_address *address, const struct peer_rules *rules, int place)
{
    char text[NET_ADDRESS_TEXT_BYTES], name[PEER_NAME_BYTES];
    struct peer *p = calloc(1, sizeof *p);
    char *own_text = p ? strdup(net_address_text(address, text)) : NULL;
    if (own_text)
        name_shared(name, s, address, text, place);
    struct shm_peer *shared = own_text ? peer_share(w, u, p, name, rules) : NULL;
    if (shared)
        p->name = strdup(name);
    if (!shared || !p->name) {
        log_error("no room for server %s of upstream \"%.*s\": there may be %d addresses in all", text,
                  SLICE_ARGS(u->name), PEERS);
        free(own_text);
        free(p);
        return NULL;
    }
    p->address = *address;
    p->text = own_text;
    p->shared = shared;
    p->server = s;
    sticky_name_peer(p);
    return p;
}

static void peer_let_go(struct peer *p)
{
    struct list_node *next;
    struct upstream *u = p->server->upstream;
    p->gone = true;
    health_forget(p);
    for (struct list_node *n = u->idle.next; n != &u->idle; n = next) {
        struct upstream_connection *uc = container_of(n, struct upstream_connection, link);
        next = n->next;
        if (uc->peer != p)
            continue;
        list_remove(n);
        u->idle_count--;
        atomic_fetch_sub(&p->shared->idle[uc->worker->options->slot], 1);
        upstream_close(uc);
    }
    peer_release(p);
}

static int count_address(struct peer *const *peers, int count, const struct net_address *address)
{
    int same = 0;
    for (int i = 0; i < count; i++)
        same += net_address_eq(&peers[i]->address, address);
    return same;
}

/* The peers for all addresses, old ones where there are some. Returns how many; -1: there was no room for one. */
static int gather_peers(struct worker *w, struct upstream *u, struct peer **fresh, int addresses)
{
    int made = 0;
    bool ok = true;
    for (int i = 0; i < u->server_count; i++) {
        struct upstream_server *s = &u->servers[i];
        struct peer_rules rules = peer_rules_of(u, s, addresses);
        for (int a = 0; ok && a < s->address_count; a++) {
            struct peer *p = find_peer(u, s, &s->addresses[a]);
            if (p)
                p->shared->rules = rules;
            else
                p = new_peer(w, u, s, &s->addresses[a], &rules,
                             1 + count_address(fresh, made, &s->addresses[a]));
            ok = p != NULL;
            if (p) {
                p->refs++;
                fresh[made++] = p;
            }
        }
    }
    while (!ok && made > 0)
        peer_release(fresh[--made]);
    return ok ? made : -1;
}

static void count_usable(struct upstream *u)
{
    assert(u->peer_count >= 0);
    u->usable_count = 0;
    for (int i = 0; i < u->peer_count; i++)
        u->usable_count += !u->peers[i]->shared->rules.down;
}

bool upstream_set_peers(struct worker *w, struct upstream *u)
{
    int count = 0, had = u->peer_count;
    for (int i = 0; i < u->server_count; i++)
        count += u->servers[i].address_count;
    struct peer **old = u->peers, **fresh = calloc((size_t)count + 1, sizeof(struct peer *));
    int made = fresh ? gather_peers(w, u, fresh, count) : -1;
    if (made < 0) {
        free(fresh);
        return false; /* what there was stays in use */
    }
    assert(made <= count);
    u->peers = fresh;
    u->peer_count = made;
    for (int i = 0; i < had; i++) {
        if (find_peer(u, old[i]->server, &old[i]->address) == old[i])
            peer_release(old[i]); /* the old list's; the new one has it too */
        else
            peer_let_go(old[i]);
    }
    free(old);
    count_usable(u);
    balance_make_points(u);
    return true;
}

bool upstream_open(struct worker *w, struct upstream *u)
{
    u->group_name = u->name;
    u->group = peer_group_open(w->shm, u->group_name, w->now_ms);
    if (!u->group)
        log_emerg(
            "no room for upstream \"%.*s\": there may be %d upstreams in all, those that old workers still "
            "use included; remove some, or wait a minute",
            SLICE_ARGS(u->name), PEER_GROUPS);
    return u->group && upstream_set_peers(w, u);
}

bool upstream_open_all(struct worker *w)
{
    for (struct upstream *u = w->site->upstreams; u; u = u->next)
        if (!upstream_open(w, u))
            return false;
    return true;
}

/* --- connections --- */

static void leave_idle(struct upstream_connection *uc)
{
    assert(uc->upstream->idle_count > 0 && !list_empty(&uc->link));
    list_remove(&uc->link);
    wheel_clear(&uc->timer);
    uc->upstream->idle_count--;
    atomic_fetch_sub(&uc->peer->shared->idle[uc->worker->options->slot], 1);
}

void upstream_on_timer(struct wheel_entry *e)
{
    struct upstream_connection *uc = container_of(e, struct upstream_connection, timer);
    leave_idle(uc);
    upstream_close(uc);
}

/* Neither closed nor with bytes that came while nothing had been asked: those would be taken for the next request's answer (RFC 9112 section 6.3). */
static bool is_quiet(struct upstream_connection *uc)
{
    char byte;
    return net_stream_peek(&uc->stream, &byte, 1) < 0 && errno == EAGAIN;
}

/* An idle connection speaks only to close; or, in TLS, to give tickets. */
static void on_idle_event(struct ev_loop *loop, ev_io *io, int events)
{
    struct upstream_connection *uc = (struct upstream_connection *)io; /* its first member */
    (void)loop;
    (void)events;
    if (is_quiet(uc))
        return;
    leave_idle(uc);
    upstream_close(uc);
}

bool upstream_is_of_kind(const struct upstream_connection *uc, const struct upstream_dial *dial)
{
    const struct net_tls_context *tls = dial->tls ? dial->tls->context : NULL;
    return uc->kind == dial->kind && uc->tls_context == tls && (!tls || slice_eq(uc->tls_as, dial->tls_as));
}

static struct upstream_connection *take_idle(const struct worker *w, struct upstream *u,
                                             const struct peer *peer, const struct upstream_dial *dial)
{
    struct list_node *next;
    for (struct list_node *n = u->idle.next; n != &u->idle; n = next) {
        struct upstream_connection *uc = container_of(n, struct upstream_connection, link);
        next = n->next;
        if (uc->peer != peer || !upstream_is_of_kind(uc, dial))
            continue;
        bool over = w->now_ms >= uc->timer.deadline_ms; /* and the wheel has not come round yet */
        leave_idle(uc);
        if (over || !is_quiet(uc)) {
            upstream_close(uc);
            continue;
        }
        /* Its descriptor is watched as before: the next user only hears instead. */
        uc->requests++;
        assert(uc->stream.io.fd >= 0 && uc->upstream == u);
        return uc;
    }
    return NULL;
}

/* 0, or -1 with errno. */
static int set_up_socket(int fd, int family, const struct upstream_dial *dial)
{
    int yes = 1;
    if (family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (dial->keepalive)
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    if (!dial->local || family == AF_UNIX)
        return 0;
    if (dial->transparent && setsockopt(fd, SOL_IP, IP_TRANSPARENT, &yes, sizeof yes) < 0)
        return -1;
    setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    return bind(fd, (const struct sockaddr *)&dial->local->addr, dial->local->len);
}

struct upstream_connection *upstream_connect(struct worker *w, struct upstream *u, struct peer *peer,
                                             const struct upstream_dial *dial)
{
    struct upstream_connection *uc = dial->fresh || dial->http2 ? NULL : take_idle(w, u, peer, dial);
    int family = peer->address.addr.ss_family;
    if (uc)
        return uc;
    uc = calloc(1, sizeof *uc);
    int fd = uc ? socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0) {
        free(uc);
        return NULL;
    }
    if (set_up_socket(fd, family, dial) < 0 ||
        (connect(fd, (const struct sockaddr *)&peer->address.addr, peer->address.len) < 0 &&
         errno != EINPROGRESS)) {
        int error = errno;
        close(fd);
        free(uc);
        errno = error;
        return NULL;
    }
    *uc = (struct upstream_connection){
        .worker = w, .upstream = u, .peer = peer, .made_ms = w->now_ms, .kind = dial->kind};
    peer->refs++;
    list_init(&uc->link);
    wheel_entry_init(&uc->timer);
    uc->timer.kind = WORKER_TIMER_UPSTREAM;
    net_stream_init(&uc->stream, fd, on_idle_event);
    return uc;
}

void upstream_close(struct upstream_connection *uc)
{
    wheel_clear(&uc->timer);
    net_stream_close(&uc->stream, uc->worker->loop);
    peer_release(uc->peer);
    upstream_session_free(uc->session);
    free((char *)(uintptr_t)uc->tls_as.data);
    free(uc);
}

static bool may_stay(const struct upstream_connection *uc)
{
    const struct upstream *u = uc->upstream;
    return u->keepalive > 0 && uc->requests + 1 < (uint64_t)u->keepalive_requests && !uc->peer->gone &&
           uc->worker->now_ms < uc->made_ms + (uint64_t)u->keepalive_time_ms && !uc->worker->draining;
}

/* keepalive_timeout, or less where the upstream keeps it for less: a second earlier, so that no request crosses its end. */
static int64_t idle_time_ms(const struct upstream *u, int64_t idle_s)
{
    int64_t said_ms = (idle_s - 1) * 1000;
    return idle_s >= 0 && said_ms < u->keepalive_timeout_ms ? said_ms : u->keepalive_timeout_ms;
}

void upstream_keep(struct upstream_connection *uc, int64_t idle_s, bool strictly)
{
    struct upstream *u = uc->upstream;
    int64_t idle_ms = idle_time_ms(u, idle_s);
    bool is_surplus = u->idle_count >= u->keepalive;
    if (uc->is_stream || !may_stay(uc) || idle_ms <= 0 || (strictly && is_surplus)) {
        upstream_close(uc);
        return;
    }
    assert(list_empty(&uc->link)); /* it is in use */
    /* Responses come in bursts, and the next requests right behind them: one more than is kept waits for those. */
    if (is_surplus && idle_ms > UPSTREAM_SURPLUS_MS)
        idle_ms = UPSTREAM_SURPLUS_MS;
    wheel_set(&uc->worker->wheel, &uc->timer, uc->worker->now_ms + (uint64_t)idle_ms);
    list_push_front(&u->idle, &uc->link);
    u->idle_count++;
    atomic_fetch_add(&uc->peer->shared->idle[uc->worker->options->slot], 1);
    net_stream_set_user(&uc->stream, NULL, on_idle_event);
    net_stream_watch(&uc->stream, uc->worker->loop, EV_READ);
}

static void close_idle(struct upstream *u)
{
    struct list_node *next;
    for (struct list_node *n = u->idle.next; n != &u->idle; n = next) {
        struct upstream_connection *uc = container_of(n, struct upstream_connection, link);
        next = n->next;
        leave_idle(uc);
        upstream_close(uc);
    }
}

void upstream_look_after(struct worker *w)
{
    for (struct upstream *u = w->site->upstreams; u; u = u->next) {
        if (w->draining)
            close_idle(u);
        counter_set(&u->group->touched_ms, w->now_ms);
        for (int i = 0; i < u->peer_count; i++) {
            struct peer *p = u->peers[i];
            struct peer_rules rules = peer_rules_of(u, p->server, u->peer_count);
            if (!p->own)
                peer_assert(w->shm, u->group, u->group_name, p->shared, slice_of(p->name), &rules);
            counter_set(&p->shared->touched_ms, w->now_ms);
        }
        balance_look_after(w, u);
    }
}
