/*
 * proxy/proxy.c - a request's way through an upstream: choosing servers, trying the next one, the end.
 *
 * Everything happens on the loop. What an event brings about is a step in a file of its own: connect.c, send.c, receive.c for the
 * response's head, answer.c for what becomes of it, body.c, tunnel.c for protocols that take the connection over. A step returns what it
 * has led to, and this file alone acts on it.
 */
#include "proxy/proxy.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/slice.h"
#include "base/spool.h"
#include "base/wheel.h"
#include "http/request/body.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/request/verdict.h"
#include "http/site/deadline.h"
#include "http/site/site.h"
#include "net/stream.h"
#include "proxy/http2.h"
#include "proxy/internal.h"
#include "proxy/upstream.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>

enum { STREAM_REPEATS_MAX = 3 };

void proxy_destroy(struct proxy *p)
{
    if (p->state == PROXY_WAIT)
        proxy_leave_queue(p);
    list_remove(&p->link); /* of those that wait for a name */
    proxy_end_try(p, UPSTREAM_LEFT, p->state >= PROXY_BODY ? p->ex->upstream.status : 0, false);
    p->ex->proxy = NULL;
    p->ex->source = NULL;
    if (p->u)
        p->u->users--;
    buf_free(&p->request);
    buf_free(&p->body.trailers);
    fastcgi_reader_free(&p->frames);
    spool_free(&p->kept);
    free(p);
}

/* The request ends with this status: no response of an upstream has begun to go to the client. */
static void proxy_fail(struct proxy *p, int status)
{
    struct http_exchange *ex = p->ex;
    if (p->sends == PROXY_SENDS_STREAM && !ex->body.whole)
        client_make_last(ex, true);
    assert(p->state < PROXY_TUNNEL && status >= 300);
    proxy_destroy(p);
    request_resume(ex, verdict_answer(status));
}

static enum upstream_choice proxy_choose(struct proxy *p)
{
    struct upstream_ask ask = {
        .ex = p->ex, .key = p->hash_key, .wanted = p->wanted, .tried = p->tried, .waited = p->queued_us != 0};
    if (proxy_is_exhausted(p))
        return UPSTREAM_NONE;
    enum upstream_choice choice = balance_choose(proxy_worker(p), p->u, &ask, &p->peer);
    if (p->peer)
        p->peer->refs++;
    return choice;
}

static struct proxy_step proxy_give_up(struct proxy *p, enum upstream_choice choice)
{
    if (p->tries == 0) {
        bool named = proxy_begin_try(p, p->u->name); /* as nginx shows it, in the line too */
        proxy_log(p, choice == UPSTREAM_BUSY ? "upstream has no server with a free connection"
                                             : "no live upstreams while connecting to upstream");
        if (named)
            proxy_end_try(p, UPSTREAM_NOT_ASKED, 502, false);
    }
    return proxy_step_fails(p->status ? p->status : 502);
}

static void on_upstream_event(struct ev_loop *loop, ev_io *io, int events);

/* One server after the other, until one takes a connection or none is left. */
static struct proxy_step proxy_find_server(struct proxy *p)
{
    enum upstream_choice choice;
    assert(!p->uc && !p->peer);
    p->state = PROXY_CONNECT;
    while ((choice = proxy_choose(p)) == UPSTREAM_CHOSEN) {
        if (!proxy_begin_try(p, slice_of(p->peer->text)))
            return proxy_step_fails(500);
        if (proxy_connect(p, on_upstream_event))
            return proxy_step_of(PROXY_WAITS);
        proxy_mark_tried(p);
        proxy_end_try(p, UPSTREAM_FAILED, 502, false);
        if (!(proxy_how(p)->upstream.next & CONF_NEXT_ERROR)) {
            choice = UPSTREAM_NONE;
            break;
        }
    }
    if (choice == UPSTREAM_BUSY && proxy_enqueue(p))
        return proxy_step_of(PROXY_WAITS);
    return proxy_give_up(p, choice);
}

/* --- what a step has led to --- */

/* The server did not do: another one is asked, where that may be; else the client gets the status. */
static struct proxy_step proxy_ask_next(struct proxy *p, enum conf_next_upstream why, int status)
{
    assert(p->uc && p->try && p->state < PROXY_BODY);
    /* A kept connection that was just being closed says nothing of its server, which is asked again. */
    bool stale =
        (p->uc->requests > 0 || p->uc->is_refused) && p->try->received == 0 && why == CONF_NEXT_ERROR;
    /* Kept ones of HTTP/1 come to an end; a server of HTTP/2 may refuse for ever. */
    stale = stale && (!p->uc->is_stream || p->repeats++ < STREAM_REPEATS_MAX);
    bool go_on = stale ? proxy_may_repeat(p) : proxy_may_go_on(p, why);
    bool blameless = why == CONF_NEXT_HTTP_403 || why == CONF_NEXT_HTTP_404;
    p->status = status;
    if (!stale)
        proxy_mark_tried(p);
    proxy_end_try(p,
                  stale       ? UPSTREAM_NOT_ASKED
                  : blameless ? UPSTREAM_SERVED
                              : UPSTREAM_FAILED,
                  status, false);
    return go_on ? proxy_find_server(p) : proxy_step_fails(status);
}

enum { INTERIMS_MAX = 16 /* that go on to the client */ };

static struct proxy_step proxy_use_interim(struct proxy *p)
{
    if (p->head->status != 100 && p->interims <= INTERIMS_MAX && proxy_pass_interim(p))
        client_go_on(p->ex); /* it goes out whatever comes next */
    return proxy_after_interim(p);
}

static void proxy_pass_on(struct http_exchange *ex)
{
    /* The client does not keep up; its own events bring us back. */
    if (ex->more_later || ex->throttled || ex->client.protocol->is_behind(ex))
        return;
    client_go_on(ex);
}

/* Steps that have led to the next one. */
static struct proxy_step proxy_go_through(struct proxy *p, struct proxy_step step)
{
    for (;;) {
        if (step.says == PROXY_ASKS_NEXT)
            step = proxy_ask_next(p, step.why, step.verdict.status);
        else if (step.says == PROXY_HAS_INTERIM)
            step = proxy_use_interim(p);
        else if (step.says == PROXY_HAS_HEAD)
            step = proxy_answer_client(p);
        else
            return step;
    }
}

static void proxy_act_on_change(struct proxy *p, struct proxy_step step)
{
    struct http_exchange *ex = p->ex;
    step = proxy_go_through(p, step);
    switch (step.says) {
    case PROXY_ENDS:
        proxy_destroy(p);
        request_resume(ex, step.verdict);
        break;
    case PROXY_ANSWERS:
        request_resume(ex, step.verdict);
        break;
    case PROXY_FAILS:
        proxy_fail(p, step.verdict.status);
        break;
    case PROXY_BREAKS_OFF:
        client_reset(ex);
        break;
    default:
        assert(step.says == PROXY_WAITS);
    }
}

/* What most steps lead to is more of a body. */
static void proxy_act(struct proxy *p, struct proxy_step step)
{
    if (step.says == PROXY_PASSES_ON)
        proxy_pass_on(p->ex);
    else if (step.says != PROXY_WAITS)
        proxy_act_on_change(p, step);
}

/* --- events --- */

static void on_upstream_event(struct ev_loop *loop, ev_io *io, int events)
{
    struct proxy *p = io->data;
    (void)loop;
    if (p->state == PROXY_BODY && events & EV_WRITE && proxy_sends_on(p))
        proxy_go_on_sending(p);
    if (p->state == PROXY_TUNNEL)
        tunnel_on_upstream(p, events);
    else if (p->state == PROXY_CONNECT && events & EV_WRITE)
        proxy_act(p, proxy_on_connected(p));
    else if (events & EV_READ && p->state == PROXY_BODY)
        proxy_act(p, proxy_read_body(p));
    else if (events & EV_READ)
        proxy_act(p, proxy_read_head(p)); /* also while sending: an early response */
    else if (p->state == PROXY_SEND)
        proxy_go_on_sending(p);
}

/* It has waited for its name, or in the queue, for as long as it may. */
static struct proxy_step proxy_end_wait(struct proxy *p)
{
    if (p->state == PROXY_WAIT)
        balance_count(proxy_worker(p), p->u, &p->u->group->queue_timeouts);
    proxy_log(p, p->state == PROXY_WAIT ? "upstream queue: no server became free in time"
                                        : "upstream host could not be resolved in time");
    return proxy_step_fails(502);
}

/* The client does not wait any longer, and no other server would be in time. */
static struct proxy_step proxy_end_deadline(struct proxy *p)
{
    proxy_log(p, "upstream timed out (110: Connection timed out): the deadline of grpc-timeout has passed");
    if (p->state < PROXY_BODY)
        return proxy_step_fails(504);
    proxy_end_try(p, UPSTREAM_LEFT, p->ex->upstream.status, false);
    return proxy_step_of(PROXY_BREAKS_OFF);
}

static struct proxy_step proxy_end_time(struct proxy *p)
{
    if (p->deadline_ms && proxy_worker(p)->now_ms >= p->deadline_ms)
        return proxy_end_deadline(p);
    if (p->state == PROXY_WAIT && proxy_looks_again(p))
        return proxy_find_server(p);
    if (p->state == PROXY_RESOLVE || p->state == PROXY_WAIT)
        return proxy_end_wait(p);
    if (p->state == PROXY_BODY && p->input == PROXY_INPUT_PAUSED) {
        proxy_read_again(p);
        return proxy_step_of(PROXY_WAITS);
    }
    proxy_log_timeout(p);
    if (p->uc && p->uc->is_stream)
        http2_distrust(p->uc);
    if (p->state < PROXY_BODY)
        return proxy_step_next(CONF_NEXT_TIMEOUT, 504);
    proxy_end_try(p, UPSTREAM_LEFT, p->ex->upstream.status, false);
    return proxy_step_of(PROXY_BREAKS_OFF);
}

void proxy_on_timer(struct wheel_entry *e)
{
    struct proxy *p = container_of(e, struct proxy, timer);
    proxy_act(p, proxy_end_time(p));
}

static void proxy_go_on(struct proxy *p)
{
    proxy_act(p, proxy_find_server(p));
}

/* --- from outside --- */

/* 0, or a status for the client: it has passed while the request waited. */
static int proxy_set_deadline(struct proxy *p)
{
    p->deadline_ms = request_deadline_ms(p->ex);
    if (!p->deadline_ms || p->deadline_ms > proxy_worker(p)->now_ms)
        return 0;
    proxy_log(p, "the deadline of grpc-timeout has passed before an upstream could be asked");
    return 504;
}

static bool is_being_resolved(const struct upstream *u)
{
    for (int i = 0; i < u->server_count; i++)
        if (u->servers[i].resolving)
            return true;
    return false;
}

struct verdict proxy_start(struct http_exchange *ex)
{
    bool streams = !ex->body.whole;
    struct verdict v = streams ? body_begin(ex) : verdict_of(VERDICT_NEXT);
    if (v.kind != VERDICT_NEXT)
        return v;
    int error = streams ? 0 : body_finish(ex);
    struct proxy *p = error ? NULL : calloc(1, sizeof *p);
    if (!p)
        return verdict_answer(error ? error : 500);
    p->ex = ex;
    p->to = ex->route.location->proxy;
    p->protocol = p->to->kind == CONF_PASS_FASTCGI ? &upstream_fastcgi : &upstream_http1;
    p->sends = streams ? PROXY_SENDS_STREAM : PROXY_SENDS_MEMORY;
    p->kept.fd = -1;
    spool_attach(&p->kept, &p->reader);
    p->go_on = proxy_go_on;
    p->start_us = clock_mono_us();
    wheel_entry_init(&p->timer);
    p->timer.kind = WORKER_TIMER_PROXY;
    list_init(&p->link);
    ex->proxy = p;
    ex->source = &source_upstream;
    ex->state = REQUEST_PROXY;
    if (streams)
        body_wait(ex);
    else
        client_expect(ex, 0);
    error = proxy_set_deadline(p);
    if (!error)
        error = proxy_prepare(p);
    if (error) {
        proxy_fail(p, error);
    } else if (p->u->peer_count == 0 && is_being_resolved(p->u)) {
        p->state = PROXY_RESOLVE;
        list_push_back(&p->u->unresolved, &p->link);
        proxy_set_timer(p, ex->route.settings->resolver.timeout_ms);
    } else {
        proxy_go_on(p);
    }
    return verdict_of(VERDICT_WAIT); /* or it has been resumed already */
}
