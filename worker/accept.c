/*
 * worker/accept.c - taking connections from the shared listening sockets.
 *
 * A worker takes one connection for each turn of its loop (multi_accept off): a busy one comes round less often, so
 * the idle ones get more. When descriptors or connections run out, the oldest idle client makes room; if there is
 * none, accepting pauses, and the kernel's backlog holds the rest.
 */
#include "worker/accept.h"

#include "base/fd.h"
#include "base/hist.h"
#include "base/log.h"
#include "http/client/connections.h"
#include "http/site/site.h"
#include "net/address.h"
#include "net/listener.h"
#include "worker/loop/worker_state.h"
#include "worker/spread.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static const double PAUSE_S = 0.1;
enum { SERVED_PER_ACCEPT = 16, MULTI_ACCEPT_MAX = 64, COMPLAIN_EVERY_MS = 10000 };

static void on_connection(struct ev_loop *loop, ev_io *io, int events);

/* Addresses within a socket that is bound to all: behind the listeners that have sockets. */
static void add_narrower(struct worker *w)
{
    struct listener *mine = &w->listeners[w->listener_count];
    for (struct site_listen *l = w->site->listens; l; l = l->next) {
        for (int i = 0; i < w->listener_count && l->within; i++) {
            struct listener *any = &w->listeners[i];
            if (any->listen != l->within)
                continue;
            *mine = (struct listener){.worker = w, .listen = l, .next_narrower = any->narrower};
            any->narrower = mine++;
        }
    }
}

/* Whose servers a connection is for. */
static struct listener *narrowest_listener(struct listener *l, int fd)
{
    struct net_address local;
    if (!l->narrower || net_bound_address(fd, &local) < 0)
        return l;
    struct listener *n = l->narrower;
    while (n && !net_address_eq(&n->listen->address, &local))
        n = n->next_narrower;
    return n ? n : l;
}

bool accept_open(struct worker *w)
{
    int count = 0;
    for (struct site_listen *l = w->site->listens; l; l = l->next)
        count++;
    w->listeners = calloc((size_t)count + 1, sizeof *w->listeners);
    if (!w->listeners)
        return false;
    for (struct site_listen *l = w->site->listens; l; l = l->next) {
        if (l->within)
            continue;
        struct listener *mine = &w->listeners[w->listener_count];
        assert(l->fd_count > 0 && w->options->index >= 0);
        int fd = l->fds[l->options.reuseport ? w->options->index % l->fd_count : 0];
        /* Those of other workers are closed: the kernel gives connections to a socket as long as anybody holds it. */
        for (int i = 0; i < l->fd_count; i++)
            if (l->fds[i] != fd && w->options->channel >= 0)
                close(l->fds[i]);
        if (fd < 0)
            continue;
        *mine = (struct listener){.worker = w, .listen = l};
        ev_io_init(&mine->io, on_connection, fd, EV_READ);
        w->listener_count++;
    }
    add_narrower(w);
    return true;
}

void accept_start(struct worker *w)
{
    if (w->accepting || w->draining)
        return;
    assert(w->listeners);
    w->accepting = true;
    ev_timer_stop(w->loop, &w->accept_pause);
    for (int i = 0; i < w->listener_count; i++)
        ev_io_start(w->loop, &w->listeners[i].io);
}

void accept_stop(struct worker *w)
{
    w->accepting = false;
    for (int i = 0; i < w->listener_count; i++)
        ev_io_stop(w->loop, &w->listeners[i].io);
}

void accept_close(struct worker *w)
{
    assert(w->draining);
    accept_stop(w);
    ev_timer_stop(w->loop, &w->accept_pause);
    for (int i = 0; i < w->listener_count; i++)
        close(w->listeners[i].io.fd);
    /* The structures stay: connections point to them. */
    w->listener_count = 0;
}

static void take_again(struct worker *w)
{
    for (int i = 0; i < w->listener_count && w->accepting; i++)
        ev_io_start(w->loop, &w->listeners[i].io);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *w = timer->data;
    (void)events;
    (void)loop;
    accept_start(w);
    take_again(w); /* those that paused alone */
}

static void end_pause_later(struct worker *w)
{
    if (ev_is_active(&w->accept_pause))
        return;
    ev_timer_init(&w->accept_pause, on_pause_over, PAUSE_S, 0);
    w->accept_pause.data = w;
    ev_timer_start(w->loop, &w->accept_pause);
}

static void pause_accepting(struct worker *w)
{
    accept_stop(w);
    end_pause_later(w);
}

/* Something is wrong with this socket, and may stay so. The others go on. */
static void on_trouble(struct listener *l, int error)
{
    struct worker *w = l->worker;
    if (w->now_ms >= l->next_complaint_ms) {
        l->next_complaint_ms = w->now_ms + COMPLAIN_EVERY_MS;
        log_errno(LOG_LEVEL_ALERT, error, "accept4() failed");
    }
    ev_io_stop(w->loop, &l->io);
    end_pause_later(w);
}

/* Out of descriptors or memory. Said once in a while, not for each client that waits. */
static void on_shortage(struct worker *w, int error)
{
    static uint64_t next_complaint_ms;
    if (w->now_ms >= next_complaint_ms) {
        next_complaint_ms = w->now_ms + COMPLAIN_EVERY_MS;
        log_error("accept4() failed (%d: %s)%s", error, strerror(error),
                  error == EMFILE ? "; raise worker_rlimit_nofile or lower worker_connections" : "");
    }
    if (!connection_close_oldest_idle(w))
        pause_accepting(w);
}

/* Makes room below worker_connections. False when there is none. */
static bool make_room_for_connection(struct worker *w)
{
    static uint64_t next_complaint_ms;
    if (w->connections < (uint64_t)w->conf->worker_connections)
        return true;
    if (w->now_ms >= next_complaint_ms) {
        next_complaint_ms = w->now_ms + COMPLAIN_EVERY_MS;
        log_alert("%lld worker_connections are not enough", (long long)w->conf->worker_connections);
    }
    if (connection_close_oldest_idle(w))
        return true;
    pause_accepting(w);
    return false;
}

/* False when there is nothing more to take now. */
static bool accept_one(struct listener *l)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    assert(!l->listen->within && l->worker->accepting);
    if (!make_room_for_connection(l->worker))
        return false;
    int fd = accept4(l->io.fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        counter_add(&l->worker->slot->accepted, 1);
        connection_new(narrowest_listener(l, fd), fd, &peer);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        on_shortage(l->worker, errno);
    else if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)
        return true; /* that one left already; the next may wait */
    else if (errno != EAGAIN)
        on_trouble(l, errno);
    return false;
}

/* A reuseport socket is the worker's alone: nobody else would take what comes there. */
static bool is_shared(const struct listener *l)
{
    return !l->listen->options.reuseport;
}

static void leave_to_siblings(struct worker *w)
{
    for (int i = 0; i < w->listener_count; i++)
        if (is_shared(&w->listeners[i]))
            ev_io_stop(w->loop, &w->listeners[i].io);
    spread_leave(w, take_again);
}

static void on_connection(struct ev_loop *loop, ev_io *io, int events)
{
    struct listener *l = (struct listener *)io; /* its first member */
    (void)loop;
    (void)events;
    assert(!l->worker->driving);
    /* One, so that other workers get some; more in long turns, or clients at the end of the backlog would wait for many. */
    int most = l->worker->conf->multi_accept ? MULTI_ACCEPT_MAX
                                             : 1 + (int)(l->worker->served_last_turn / SERVED_PER_ACCEPT);
    while (most-- > 0 && l->worker->accepting) {
        if (is_shared(l) && spread_leaves_next(l->worker)) {
            leave_to_siblings(l->worker);
            return;
        }
        if (!accept_one(l))
            return;
    }
}
