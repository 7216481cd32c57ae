/*
 * worker/proxy_queue.c - requests that wait for a server of their upstream: while all have max_conns connections (queue), or
 * while the upstream's name is being resolved.
 *
 * Each worker has a queue of its own for each upstream. Shared memory says how many wait in which worker, and since when
 * the oldest: whoever ends a request wakes the worker whose oldest has waited longest, and newcomers queue up behind.
 */
#include "worker/proxy_internal.h"

#include "base/clock.h"

static void tell_others(struct worker *w, struct upstream *u)
{
    uint64_t oldest_us = 0;
    if (u->queue_length > 0)
        oldest_us = container_of(u->queue.next, struct proxy, link)->queued_us;
    balance_wait(w, u, oldest_us);
}

bool proxy_enqueue(struct proxy *p)
{
    struct upstream *u = p->u;
    const struct conf_upstream *conf = u->conf;
    if (!conf || conf->queue == 0)
        return false;
    if (u->queue_length >= conf->queue) {
        proxy_log(p, "upstream queue is full");
        balance_count(proxy_worker(p), u, &u->group->queue_full);
        return false;
    }
    bool again = p->queued_us != 0; /* woken in vain: it keeps its place */
    if (!again) {
        p->queued_us = clock_mono_us();
        balance_count(proxy_worker(p), u, &u->group->queued);
    }
    p->state = PROXY_WAIT;
    if (again)
        list_push_front(&u->queue, &p->link);
    else
        list_push_back(&u->queue, &p->link);
    u->queue_length++;
    tell_others(proxy_worker(p), u);
    int64_t waited_ms = (int64_t)((clock_mono_us() - p->queued_us) / 1000),
            left_ms = conf->queue_timeout_ms - waited_ms;
    proxy_set_timer(p, left_ms > 0 ? left_ms : 1);
    return true;
}

void proxy_leave_queue(struct proxy *p)
{
    p->c->ex->upstream_queue_us += clock_mono_us() - p->queued_us;
    list_remove(&p->link);
    p->u->queue_length--;
    wheel_clear(&p->timer);
    p->state = PROXY_CONNECT;
    tell_others(proxy_worker(p), p->u);
}

static bool has_room(struct worker *w, const struct upstream *u)
{
    for (int i = 0; i < u->peer_count; i++) {
        const struct shm_peer *s = u->peers[i]->shared;
        if (peer_state(s, w->now_ms) == PEER_UP && (!s->rules.max_conns || s->active < s->rules.max_conns))
            return true;
    }
    return false;
}

/* The oldest goes on; it answers within connection_drive, whatever becomes of it. */
static void let_one_go(struct upstream *u)
{
    struct proxy *p = container_of(u->queue.next, struct proxy, link);
    struct connection *c = p->c;
    proxy_leave_queue(p);
    connection_hold(c);
    proxy_find_server(p);
    connection_drive(c);
}

void proxy_settle_queues(struct worker *w)
{
    for (struct upstream *u = w->site->upstreams; u; u = u->next)
        for (int most = u->queue_length; u->queue_length > 0 && most > 0 && has_room(w, u); most--)
            let_one_go(u);
}

void proxy_resolved(struct worker *w, struct upstream *u)
{
    (void)w;
    while (!list_empty(&u->queue)) {
        struct proxy *p = container_of(u->queue.next, struct proxy, link);
        struct connection *c = p->c;
        if (p->state != PROXY_RESOLVE)
            return;
        list_remove(&p->link);
        wheel_clear(&p->timer);
        connection_hold(c);
        proxy_find_server(p);
        connection_drive(c);
    }
}
