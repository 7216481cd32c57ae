/*
 * http/client/handshake.c - a connection begins to speak TLS, and the costly part of that is a task of a thread pool.
 */
#include "http/client/handshake.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/hist.h"
#include "base/list.h"
#include "base/log.h"
#include "http/client/handshake_asks.h"
#include "http/client/handshake_line.h"
#include "http/client/proxy_header.h"
#include "http/client/version.h"
#include "http/serve/stand.h"
#include "http/site/tls.h"
#include "http/site/tls_varying.h"
#include "net/tls_status.h"
#include "pool/pool.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/pools.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SHAKES_IN_TURN_US = 1000 };

/* A handshake that has left the loop: it waits in a pool, in the line before the one that requests have, or for others that ask. */
struct handshake {
    struct loop_task task; /* first */
    struct in_line in_line;
    struct asks asks;
    enum { OF_POOL, OF_LINE, OF_ASKS } kind;
    struct net_tls *tls;
    struct connection *c; /* NULL: it has been closed */
};

static void compute(struct pool_task *task)
{
    net_tls_compute(((struct handshake *)(void *)task)->tls);
}

static void compute_in_line(struct in_line *in)
{
    net_tls_compute(container_of(in, struct handshake, in_line)->tls);
}

static void count(struct worker *w, enum shm_handshake how)
{
    counter_add(&w->slot->tls.handshakes[how], 1);
}

/* Once for each connection. */
static void count_end(struct connection *c, enum shm_handshake how)
{
    if (c->has_greeted)
        return;
    c->has_greeted = true;
    count(connection_worker(c), how);
}

static const char *why_not_computed(enum pool_outcome outcome)
{
    return outcome == POOL_TASK_DONE        ? NULL
           : outcome == POOL_TASK_EXPIRED   ? "it has waited for a thread for the pool's whole queue_timeout"
           : outcome == POOL_TASK_SHED      ? "its pool has a standing queue, and it is among the oldest"
           : outcome == POOL_TASK_CANCELLED ? "the client has left"
                                            : "its pool is being closed";
}

static void end(struct worker *w, struct handshake *h, enum pool_outcome outcome, uint64_t waited_us)
{
    if (outcome == POOL_TASK_DONE)
        hist_add(&w->slot->tls.queue_wait, waited_us);
    if (h->c && outcome == POOL_TASK_EXPIRED)
        count_end(h->c, SHM_HANDSHAKE_EXPIRED);
    if (h->c && outcome == POOL_TASK_SHED)
        count_end(h->c, SHM_HANDSHAKE_SHED);
    if (h->c && outcome == POOL_TASK_DROPPED)
        count_end(h->c, SHM_HANDSHAKE_REFUSED);
    net_tls_back(h->tls, why_not_computed(outcome));
    free(h);
}

static void refuse_question(struct worker *w, struct loop_task *task)
{
    end(w, (struct handshake *)task, POOL_TASK_DROPPED, 0);
}

static void come_back(struct worker *w, struct loop_task *task)
{
    struct handshake *h = (struct handshake *)task; /* its first member */
    const struct pool_task *t = &task->task;
    if (h->kind == OF_ASKS)
        handshake_asks_ended(w, refuse_question);
    end(w, h, (enum pool_outcome)t->outcome, t->started_us - t->submitted_us);
}

static void leave_line(struct worker *w, struct in_line *in, enum pool_outcome outcome)
{
    end(w, container_of(in, struct handshake, in_line), outcome, in->started_us - in->since_us);
}

static const struct net_tls_context *choose(const void *with, struct slice name)
{
    const struct connection *c = with;
    return tls_context_for(c->listener->listen, name);
}

/* By the variables of a request that is none: all that is known is the connection, and the name that is asked for. */
static bool name_pair(void *with, const void *owner, int pair, struct buf *certificate, struct buf *key)
{
    const struct connection *c = with;
    struct worker *w = connection_worker(c);
    struct http_exchange *ex = exchange_new(w);
    if (!ex)
        return false;
    connection_identify(c, &ex->client);
    exchange_begin(ex, w);
    ex->req.host = arena_dup_lower(&ex->arena, net_tls_server_name(&c->stream));
    const struct vserver *server =
        ex->req.host.len ? request_find_server(ex) : c->listener->listen->default_server;
    request_use_location(ex, server->top);
    bool ok = tls_name_pair(ex, owner, pair, certificate, key);
    exchange_free(w, ex);
    return ok;
}

/* What takes little is not worth the way, as long as a turn of the loop has little of it. */
static bool stays(void *with, unsigned cost_us)
{
    struct worker *w = connection_worker(with);
    if (w->shaken_in_turn_us + cost_us > SHAKES_IN_TURN_US)
        return false;
    w->shaken_in_turn_us += cost_us;
    return true;
}

static enum pool_result submit(struct worker *w, struct handshake *h, int where)
{
    return h->kind == OF_LINE   ? handshake_line_join(w, &h->in_line)
           : h->kind == OF_ASKS ? handshake_asks_begin(w, where, &h->asks, &h->task)
                                : pools_submit(w, where, &h->task);
}

static void *leave(void *with, struct net_tls *tls, int where, enum net_tls_work work)
{
    struct connection *c = with;
    struct worker *w = connection_worker(c);
    struct handshake *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    *h = (struct handshake){.task = {.task.run = compute, .ended = come_back},
                            .in_line = {.compute = compute_in_line, .ended = leave_line},
                            .tls = tls,
                            .c = c};
    h->kind = work == NET_TLS_ASKS                                    ? OF_ASKS
              : work == NET_TLS_COMPUTES && where == pools_default(w) ? OF_LINE
                                                                      : OF_POOL;
    if (submit(w, h, where) == POOL_OK)
        return h;
    count_end(c, SHM_HANDSHAKE_REFUSED);
    free(h);
    return NULL;
}

/* One that waits in the pool is told of as cancelled soon, one that runs when it has ended. */
static void forget(void *with, void *taken, bool is_closed)
{
    struct worker *w = connection_worker(with);
    struct handshake *h = taken;
    if (is_closed)
        h->c = NULL;
    if (h->kind == OF_LINE) {
        handshake_line_leave(w, &h->in_line);
    } else if (h->kind == OF_ASKS && h->asks.waits) {
        handshake_asks_leave(&h->asks);
        end(w, h, POOL_TASK_CANCELLED, 0);
    } else {
        pools_cancel(w, &h->task);
    }
}

static const struct net_tls_server server = {
    .choose = choose, .name_pair = name_pair, .stays = stays, .leave = leave, .forget = forget};

/* Bytes that are known to be there. False: the connection has ended. */
static bool take_from_socket(struct connection *c, char *to, size_t len)
{
    if (len == 0 || net_stream_read(&c->stream, to, len) == (ssize_t)len)
        return true;
    connection_close(c);
    return false;
}

/* A part of the header that is no more than that: it is kept, or the socket would tell of it again and again. */
static void keep_part(struct connection *c, const char *part, size_t len)
{
    if (!c->in)
        c->in = calloc(1, sizeof *c->in);
    if (!c->in || !buf_append(&c->in->buf, part, len))
        connection_close(c);
}

/*
 * The PROXY protocol's header is in plain text, and what is behind it is not to be touched: so it is looked at in the socket, and taken from
 * there as far as it goes. False: it is not whole yet, or the connection has ended.
 */
static bool take_proxy_header(struct connection *c)
{
    char *input = connection_worker(c)->input;
    size_t kept = c->in ? buf_len(&c->in->buf) : 0, used = 0;
    if (kept)
        memcpy(input, c->in->buf.data + c->in->buf.start, kept);
    ssize_t n = net_stream_peek(&c->stream, input + kept, INPUT_BYTES - kept);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        c->version->at_end(c, n < 0 ? errno : 0);
        return false;
    }
    bool is_whole = connection_take_proxy_header(c, input, kept + (size_t)n, &used);
    if (c->dead)
        return false;
    size_t taken = is_whole ? used - kept : (size_t)n;
    if (!take_from_socket(c, input + kept, taken))
        return false;
    if (!is_whole)
        keep_part(c, input + kept, taken);
    else
        connection_drop_input(c);
    return is_whole;
}

bool connection_begin_tls(struct connection *c)
{
    struct worker *w = connection_worker(c);
    const struct site_listen *listen = c->listener->listen;
    char first;
    if (listen->proxy_protocol && !c->told && !take_proxy_header(c))
        return false;
    ssize_t n = net_stream_peek(&c->stream, &first, 1);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        c->version->at_end(c, n < 0 ? errno : 0);
        return false;
    }
    c->has_begun = true;
    if (!net_tls_begins_with((unsigned char)first))
        return true;
    if (net_tls_accept(&c->stream, w->loop, tls_context(listen), &server, c)) {
        if (tls_handshake_timeout_ms(listen) > 0)
            connection_set_timer(c, tls_handshake_timeout_ms(listen));
        return true;
    }
    log_error("out of memory for a connection's TLS; closing it");
    connection_close(c);
    return false;
}

static bool is_shaking_hands(const struct connection *c)
{
    return net_tls_is_on(&c->stream) && !net_tls_is_ready(&c->stream);
}

static void complain(const struct connection *c)
{
    const char *error = net_tls_complaint(&c->stream);
    if (error)
        log_error("*%llu %s while SSL handshaking", (unsigned long long)c->id, error);
}

void connection_note_handshake(struct connection *c)
{
    if (c->has_greeted || !net_tls_is_ready(&c->stream))
        return;
    struct worker *w = connection_worker(c);
    complain(c);
    uint64_t now_us = clock_mono_us(), since_us = c->since_ms * 1000;
    if (tls_handshake_timeout_ms(c->listener->listen) > 0 && connection_is_between(c))
        connection_set_timer(c, connection_settings(c)->client.header_timeout_ms);
    hist_add(&w->slot->tls.duration, now_us > since_us ? now_us - since_us : 0);
    count_end(c, net_tls_is_resumed(&c->stream) ? SHM_HANDSHAKE_RESUMED : SHM_HANDSHAKE_FULL);
}

void connection_end_handshake(struct connection *c, ssize_t result)
{
    if (!is_shaking_hands(c))
        return;
    complain(c);
    count_end(c, result < 0 ? SHM_HANDSHAKE_FAILED : SHM_HANDSHAKE_LEFT);
    if (result < 0)
        log_info("*%llu SSL_do_handshake() failed (SSL: %s) while SSL handshaking", (unsigned long long)c->id,
                 net_tls_why(&c->stream));
}

void connection_time_handshake_out(struct connection *c)
{
    if (!is_shaking_hands(c))
        return;
    count_end(c, SHM_HANDSHAKE_TIMEOUT);
    log_info("*%llu client timed out (110: Connection timed out) while SSL handshaking",
             (unsigned long long)c->id);
}
