/*
 * proxy/queue.c - requests that wait for a server of their upstream: while all have max_conns connections (queue), or
 * while the upstream's name is being resolved.
 *
 * Each worker has a queue of its own for each upstream. Shared memory says how many wait in which worker, and since when
 * the oldest: whoever ends a request wakes the worker whose oldest has waited longest, and newcomers queue up behind.
 */
#include "proxy/internal.h"
#include "proxy/proxy.h"
#include "proxy/upstream.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/wheel.h"
#include "http/site/site.h"
#include "shm/peer.h"
#include "shm/permit.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

enum { RETRY_LOOK_MS = 50 };
/* How often is looked while requests wait: the worker whose turn it is may stand still. */
static const double LOOK_EVERY_S = 0.1;
static ev_timer queue_look;

static void tell_others(struct worker *w, struct upstream *u)
{
    uint64_t oldest_us = 0;
    if (u->queue_length > 0)
        oldest_us = container_of(u->queue.next, struct proxy, link)->queued_us;
    balance_wait(w, u, oldest_us);
}

static int64_t queue_time_left_ms(const struct proxy *p)
{
    int64_t waited_ms = (int64_t)((clock_mono_us() - p->queued_us) / 1000);
    int64_t left_ms = p->u->conf->queue_timeout_ms - waited_ms;
    return left_ms > 0 ? left_ms : 1;
}

/* Whether those that wait have something to go for, or nothing to wait for any more. */
static bool queue_may_go(struct worker *w, const struct upstream *u)
{
    bool any_up = false;
    for (int i = 0; i < u->peer_count; i++) {
        const struct shm_peer *s = u->peers[i]->shared;
        bool up = peer_state(s, w->now_ms) == PEER_UP;
        any_up |= up;
        if (up && (!s->rules.max_conns || s->active < s->rules.max_conns))
            return true;
    }
    return !any_up;
}

/* The oldest goes on. */
static void let_one_go(struct upstream *u)
{
    struct proxy *p = container_of(u->queue.next, struct proxy, link);
    assert(p->u == u && p->tries == 0);
    proxy_leave_queue(p);
    p->go_on(p);
}

static void let_go_while_room(struct worker *w, struct upstream *u)
{
    for (int most = u->queue_length; u->queue_length > 0 && most > 0 && queue_may_go(w, u); most--)
        let_one_go(u);
}

/* The worker whose turn it is has been woken, and takes it unless it stands still. So nobody goes before it whose turn it is not. */
static void on_queue_look(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *w = timer->data;
    bool any = false;
    (void)events;
    permit_heard(&w->permits);
    w->hooks.settle_limits(w);
    for (struct upstream *u = w->site->upstreams; u; u = u->next) {
        bool may = u->queue_length > 0 && queue_may_go(w, u);
        if (may && balance_is_next(w, u))
            let_go_while_room(w, u);
        else if (may)
            balance_wake(w, u);
        any |= u->queue_length > 0;
    }
    if (!any)
        ev_timer_stop(loop, timer);
}

static void begin_to_look(struct worker *w)
{
    if (ev_is_active(&queue_look))
        return;
    ev_timer_init(&queue_look, on_queue_look, LOOK_EVERY_S, LOOK_EVERY_S);
    queue_look.data = w;
    ev_timer_start(w->loop, &queue_look);
}

static void queue_begin_to_wait(struct proxy *p)
{
    struct upstream *u = p->u;
    bool again = p->queued_us != 0; /* woken in vain: it keeps its place */
    assert(!p->uc && !p->peer && p->state != PROXY_WAIT);
    p->wait_from_us = clock_mono_us();
    p->state = PROXY_WAIT;
    if (!again) {
        p->queued_us = p->wait_from_us;
        balance_count(proxy_worker(p), u, &u->group->queued);
    }
    /* One that has tried servers looks by itself: others may take those, and it must not stand in their way. */
    if (p->tries > 0) {
        int64_t left_ms = queue_time_left_ms(p);
        u->retrying++;
        tell_others(proxy_worker(p), u);
        proxy_set_timer(p, left_ms < RETRY_LOOK_MS ? left_ms : RETRY_LOOK_MS);
        return;
    }
    if (again)
        list_push_front(&u->queue, &p->link);
    else
        list_push_back(&u->queue, &p->link);
    u->queue_length++;
    begin_to_look(proxy_worker(p));
    tell_others(proxy_worker(p), u);
    proxy_set_timer(p, queue_time_left_ms(p));
}

bool proxy_enqueue(struct proxy *p)
{
    struct upstream *u = p->u;
    if (!u->conf || u->conf->queue == 0)
        return false;
    if (u->queue_length + u->retrying >= u->conf->queue) {
        proxy_log(p, "upstream queue is full");
        balance_count(proxy_worker(p), u, &u->group->queue_full);
        return false;
    }
    queue_begin_to_wait(p);
    return true;
}

void proxy_leave_queue(struct proxy *p)
{
    assert(p->state == PROXY_WAIT);
    p->ex->upstream.queue_us += clock_mono_us() - p->wait_from_us;
    wheel_clear(&p->timer);
    p->state = PROXY_CONNECT;
    if (p->tries > 0) {
        p->u->retrying--;
        assert(p->u->retrying >= 0);
        tell_others(proxy_worker(p), p->u);
        return;
    }
    list_remove(&p->link);
    p->u->queue_length--;
    assert((p->u->queue_length == 0) == list_empty(&p->u->queue));
    tell_others(proxy_worker(p), p->u);
}

bool proxy_looks_again(struct proxy *p)
{
    if (p->tries == 0 || clock_mono_us() - p->queued_us >= (uint64_t)p->u->conf->queue_timeout_ms * 1000)
        return false;
    proxy_leave_queue(p);
    return true;
}

void proxy_settle_queues(struct worker *w)
{
    for (struct upstream *u = w->site->upstreams; u; u = u->next) {
        if (!u->conf || u->conf->queue == 0)
            continue;
        let_go_while_room(w, u);
        if (u->group->waiting > 0 && queue_may_go(w, u))
            balance_wake(w, u); /* whom this worker was woken for has left */
    }
}

void proxy_resolved(struct upstream *u)
{
    /* Requests that end here may make room among the named ones. */
    u->users++;
    while (!list_empty(&u->unresolved)) {
        struct proxy *p = container_of(u->unresolved.next, struct proxy, link);
        assert(p->u == u && p->state == PROXY_RESOLVE);
        list_remove(&p->link);
        wheel_clear(&p->timer);
        p->go_on(p);
    }
    u->users--;
}
