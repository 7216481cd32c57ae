/*
 * worker/upstream.c - choosing servers, and the connections to them.
 */
#include "worker/upstream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

static bool is_over(const struct peer *p, uint64_t now_ms)
{
    return now_ms > p->checked_ms + (uint64_t)p->fail_timeout_ms;
}

static bool is_out(const struct peer *p, uint64_t now_ms)
{
    return p->down || (p->max_fails && p->fails >= p->max_fails && !is_over(p, now_ms));
}

/* The smooth weighted round robin of nginx: each gains its weight, the richest is chosen and pays the sum. */
static struct peer *choose_among(struct upstream *u, bool backup, const bool *tried, uint64_t now_ms)
{
    struct peer *best = NULL;
    int total = 0;
    for (int i = 0; i < u->peer_count; i++) {
        struct peer *p = &u->peers[i];
        if (p->backup != backup || tried[i] || is_out(p, now_ms))
            continue;
        p->current += p->weight;
        total += p->weight;
        if (!best || p->current > best->current)
            best = p;
    }
    if (!best)
        return NULL;
    best->current -= total;
    if (is_over(best, now_ms))
        best->checked_ms = now_ms; /* one trial; the others wait for how it ends */
    return best;
}

struct peer *upstream_choose(struct upstream *u, const bool *tried, uint64_t now_ms)
{
    struct peer *p = choose_among(u, false, tried, now_ms);
    return p ? p : choose_among(u, true, tried, now_ms);
}

void upstream_failed(struct peer *peer, uint64_t now_ms)
{
    peer->fails++;
    peer->failed_ms = peer->checked_ms = now_ms;
}

/* A success wipes failures out only once fail_timeout has passed since the last of them. */
void upstream_succeeded(struct peer *peer)
{
    if (peer->failed_ms < peer->checked_ms)
        peer->fails = 0;
}

/* An idle connection speaks only to close. */
static void on_idle_event(struct ev_loop *loop, ev_io *io, int events)
{
    struct upstream_connection *uc = (struct upstream_connection *)io; /* its first member */
    (void)loop;
    (void)events;
    list_remove(&uc->link);
    uc->upstream->idle_count--;
    upstream_close(uc);
}

static struct upstream_connection *take_idle(struct upstream *u, const struct peer *peer)
{
    for (struct list_node *n = u->idle.next; n != &u->idle; n = n->next) {
        struct upstream_connection *uc = container_of(n, struct upstream_connection, link);
        if (uc->peer != peer)
            continue;
        list_remove(n);
        u->idle_count--;
        ev_io_stop(uc->worker->loop, &uc->io);
        uc->requests++;
        return uc;
    }
    return NULL;
}

struct upstream_connection *upstream_connect(struct worker *w, struct upstream *u, struct peer *peer,
                                             bool may_reuse)
{
    struct upstream_connection *uc = may_reuse ? take_idle(u, peer) : NULL;
    int family = peer->address.addr.ss_family, yes = 1;
    if (uc)
        return uc;
    uc = calloc(1, sizeof *uc);
    int fd = uc ? socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0) {
        free(uc);
        return NULL;
    }
    if (family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(fd, (const struct sockaddr *)&peer->address.addr, peer->address.len) < 0 &&
        errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        free(uc);
        errno = error;
        return NULL;
    }
    *uc = (struct upstream_connection){.worker = w, .upstream = u, .peer = peer};
    list_init(&uc->link);
    ev_io_init(&uc->io, on_idle_event, fd, EV_READ);
    return uc;
}

void upstream_close(struct upstream_connection *uc)
{
    ev_io_stop(uc->worker->loop, &uc->io);
    close(uc->io.fd);
    free(uc);
}

void upstream_keep(struct upstream_connection *uc)
{
    struct upstream *u = uc->upstream;
    ev_io_stop(uc->worker->loop, &uc->io);
    if (u->keepalive == 0 || uc->requests + 1 >= (uint64_t)u->keepalive_requests || uc->worker->draining) {
        upstream_close(uc);
        return;
    }
    if (u->idle_count >= u->keepalive) {
        struct upstream_connection *oldest = container_of(u->idle.prev, struct upstream_connection, link);
        list_remove(&oldest->link);
        u->idle_count--;
        upstream_close(oldest);
    }
    uc->idle_since_ms = uc->worker->now_ms;
    list_push_front(&u->idle, &uc->link);
    u->idle_count++;
    ev_set_cb(&uc->io, on_idle_event);
    ev_io_set(&uc->io, uc->io.fd, EV_READ);
    ev_io_start(uc->worker->loop, &uc->io);
}

void upstream_close_idle(struct worker *w, bool all)
{
    for (struct upstream *u = w->site->upstreams; u; u = u->next) {
        struct list_node *newer;
        for (struct list_node *n = u->idle.prev; n != &u->idle; n = newer) { /* from the oldest on */
            struct upstream_connection *uc = container_of(n, struct upstream_connection, link);
            newer = n->prev;
            if (!all && w->now_ms < uc->idle_since_ms + (uint64_t)u->keepalive_timeout_ms)
                break;
            list_remove(n);
            u->idle_count--;
            upstream_close(uc);
        }
    }
}
