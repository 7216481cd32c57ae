/*
 * http/client/connections.c - what a worker does with its connections as a whole: new ones, timers, the ready list, making room,
 * draining.
 */
#include "http/client/connections.h"

#include "base/list.h"
#include "base/wheel.h"
#include "http/client/connection.h"
#include "http/client/version.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/request/verdict.h"
#include "net/stream.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>

enum { IDLE_LOOKED_AT = 64 };

void connection_new(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    struct connection *c = connection_open(l, fd, peer);
    /* The first request is often there already, a handshake hardly ever. */
    if (c && !l->listen->tls)
        c->version->read(c);
}

void connection_free_dead(struct worker *w)
{
    assert(!w->ready && !w->driving);
    exchange_free_buried(w);
    while (!list_empty(&w->dead)) {
        struct connection *c = container_of(w->dead.next, struct connection, link);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it does not see that list_remove unlinks. */
        assert(c->dead && !c->is_ready && !c->in && !c->out && !c->rest && !c->told && !c->session);
        assert(c->timer.deadline_ms == 0 && !ev_is_active(&c->stream.io));
        assert(!c->ex || c->ex->state == REQUEST_GONE);
        list_remove(&c->link);
        if (c->ex)
            exchange_recycle(w, c->ex);
        free(c);
    }
}

void connection_run_ready(struct worker *w)
{
    struct connection *c;
    assert(!w->driving);
    while ((c = w->ready)) {
        assert(c->is_ready);
        w->ready = c->next_ready;
        if (!w->ready)
            w->ready_end = &w->ready;
        c->is_ready = false;
        if (!c->dead)
            c->version->drive(c);
    }
    assert(w->ready_end == &w->ready);
}

/* --- timers --- */

void connection_on_timer(struct wheel_entry *e)
{
    struct connection *c = container_of(e, struct connection, timer);
    assert(!c->dead && c->timer.deadline_ms == 0);
    c->version->on_time(c);
}

/* --- all of them --- */

bool connection_close_oldest_idle(struct worker *w)
{
    int looked_at = 0;
    for (struct list_node *n = w->idle.next; n != &w->idle && looked_at < IDLE_LOOKED_AT; n = n->next) {
        struct connection *c = container_of(n, struct connection, link);
        assert(!c->dead && !c->ex);
        looked_at++;
        /* keepalive_min_timeout */
        if (connection_is_between(c) && c->until_ms > w->now_ms)
            continue;
        connection_close(c);
        return true;
    }
    return false;
}

void connection_drain(struct worker *w)
{
    struct list_node *lists[] = {&w->idle, &w->busy}, *next;
    assert(w->draining);
    for (int i = 0; i < 2; i++) {
        for (struct list_node *n = lists[i]->next; n != lists[i]; n = next) {
            struct connection *c = container_of(n, struct connection, link);
            assert(!c->dead);
            next = n->next;
            c->version->drain(c);
        }
    }
}

const struct http_exchange *connection_at_work(const struct worker *w)
{
    return w->driving ? w->driving->version->at_work(w->driving) : NULL;
}
