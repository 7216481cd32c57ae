/*
 * proxy/health.c - health_check: asking servers by ourselves whether they are well.
 *
 * When a server is due stands in shared memory: whichever worker comes first asks, so that one question is asked for each
 * interval whatever the number of workers, and goes on being asked when a worker dies.
 */
#include "proxy/upstream.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/site/site.h"
#include "http/wire/response_head.h"
#include "net/address.h"
#include "net/stream.h"
#include "shm/peer.h"
#include "worker/loop/worker_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { HEAD_MAX = 16 << 10 };

static const double LOOK_EVERY_S = 0.1;

struct health_probe {
    struct net_stream stream; /* first */
    ev_timer timeout;
    struct worker *worker;
    struct peer *peer;
    struct buf request, in;
    size_t sent;
};

static const struct conf_health_check *health_rules_of(const struct peer *peer)
{
    return peer->server->upstream->conf->health;
}

static void probe_drop(struct health_probe *k)
{
    ev_timer_stop(k->worker->loop, &k->timeout);
    if (k->stream.io.fd >= 0)
        net_stream_close(&k->stream, k->worker->loop);
    buf_free(&k->request);
    buf_free(&k->in);
    k->peer->probe = NULL;
    free(k);
}

void health_forget(struct peer *peer)
{
    if (peer->probe)
        probe_drop(peer->probe);
}

/* What one result makes of a server. True when it is another state now. */
static bool note_result(struct shm_peer *s, const struct conf_health_check *rules, bool well, uint64_t now_ms)
{
    enum peer_health before = s->health;
    s->checks++;
    s->checks_failed += !well;
    s->streak = well ? (s->streak > 0 ? s->streak : 0) + 1 : (s->streak < 0 ? s->streak : 0) - 1;
    if (well && s->streak >= rules->passes)
        s->health = PEER_HEALTHY;
    if (!well && -s->streak >= rules->fails)
        s->health = PEER_UNHEALTHY;
    if (s->health == PEER_HEALTHY && before == PEER_UNHEALTHY) {
        s->up_since_ms = now_ms;
        s->fails = 0;
    }
    return s->health != before;
}

static void probe_finish(struct health_probe *k, bool well, const char *why)
{
    struct peer *peer = k->peer;
    struct upstream *u = peer->server->upstream;
    peer_lock(k->worker->shm, u->group);
    bool changed = note_result(peer->shared, health_rules_of(peer), well, k->worker->now_ms);
    peer_unlock(u->group);
    if (changed && !well)
        log_warn("server %s of upstream \"%.*s\" is unhealthy: %s", peer->text, SLICE_ARGS(u->name), why);
    else if (changed)
        log_notice("server %s of upstream \"%.*s\" is healthy", peer->text, SLICE_ARGS(u->name));
    probe_drop(k);
}

static bool is_expected(const struct conf_health_check *rules, int status)
{
    for (int i = 0; i < rules->status_ranges; i++)
        if (status >= rules->status_from[i] && status <= rules->status_to[i])
            return true;
    return false;
}

/* A check asks as requests do; a name with variables has none here, so it is the host of proxy_pass then. */
static struct slice name_for_tls(const struct health_probe *k)
{
    const struct location *l = k->peer->server->upstream->checked_as;
    struct slice fixed = upstream_tls_of(l)->fixed_name;
    return upstream_name_of(fixed.len ? fixed : l->proxy->host);
}

/* True once the question may be sent; else it goes on later, or the check has ended. */
static bool is_secure(struct health_probe *k)
{
    const struct location *l = k->peer->server->upstream->checked_as;
    const struct upstream_tls *tls = l ? upstream_tls_of(l) : NULL;
    if (!tls || net_tls_is_ready(&k->stream))
        return true;
    struct net_tls_target target = {.asked_name = tls->asks_for_name ? name_for_tls(k) : SLICE("")};
    if (!net_tls_is_on(&k->stream) && !net_tls_connect(&k->stream, k->worker->loop, tls->context, &target)) {
        probe_drop(k); /* our own shortage */
        return false;
    }
    int over = net_tls_shake_hands(&k->stream);
    const char *doubt = over == 1  ? upstream_doubt(&k->stream, tls, name_for_tls(k))
                        : over < 0 ? "the TLS handshake with it failed"
                                   : "";
    if (doubt[0]) {
        probe_finish(k, false, doubt);
        return false;
    }
    return over == 1;
}

static void send_question(struct health_probe *k)
{
    int error = net_tls_is_on(&k->stream) ? 0 : net_stream_connect_error(&k->stream);
    if (!error && !is_secure(k))
        return;
    struct slice rest = slice_from(buf_slice(&k->request), k->sent);
    ssize_t n = error ? -1 : net_stream_write(&k->stream, rest.data, rest.len, false);
    if (error || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        probe_finish(k, false, strerror(error ? error : errno));
        return;
    }
    k->sent += n > 0 ? (size_t)n : 0;
    if (k->sent < buf_len(&k->request))
        return;
    net_stream_watch(&k->stream, k->worker->loop, EV_READ);
}

static void read_answer(struct health_probe *k)
{
    static struct http_response_head answer;
    size_t head_len;
    const char *why = "its answer is no HTTP";
    if (!buf_reserve(&k->in, 4096)) {
        probe_finish(k, false, "out of memory");
        return;
    }
    ssize_t n = net_stream_read(&k->stream, k->in.data + k->in.end, k->in.cap - k->in.end);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    k->in.end += n > 0 ? (size_t)n : 0;
    if (n <= 0) {
        probe_finish(k, false, n < 0 ? strerror(errno) : "it closed the connection without an answer");
        return;
    }
    enum http_response_head_result result =
        http_parse_response_head(&answer, k->in.data + k->in.start, buf_len(&k->in), false, &head_len, &why);
    while (result == HTTP_RESPONSE_HEAD_DONE && answer.status < 200) {
        buf_consume(&k->in, head_len);
        result = buf_len(&k->in) ? http_parse_response_head(&answer, k->in.data + k->in.start,
                                                            buf_len(&k->in), false, &head_len, &why)
                                 : HTTP_RESPONSE_HEAD_MORE;
    }
    if (result == HTTP_RESPONSE_HEAD_MORE && buf_len(&k->in) < HEAD_MAX)
        return;
    char text[48];
    snprintf(text, sizeof text, "its answer has status %d", answer.status);
    bool well = result == HTTP_RESPONSE_HEAD_DONE && is_expected(health_rules_of(k->peer), answer.status);
    probe_finish(k, well, result == HTTP_RESPONSE_HEAD_DONE ? text : why);
}

static void probe_on_event(struct ev_loop *loop, ev_io *io, int events)
{
    struct health_probe *k = (struct health_probe *)io; /* its first member */
    (void)loop;
    if (events & EV_WRITE)
        send_question(k);
    else
        read_answer(k);
}

static void probe_on_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct health_probe *k = timer->data;
    (void)loop;
    (void)events;
    probe_finish(k, false, "it did not answer in time");
}

static void probe_start(struct worker *w, struct peer *peer)
{
    const struct conf_health_check *rules = health_rules_of(peer);
    struct net_address address = peer->address;
    struct health_probe *k = calloc(1, sizeof *k);
    if (!k)
        return;
    if (rules->port)
        net_address_set_port(&address, (unsigned)rules->port);
    *k = (struct health_probe){.worker = w, .peer = peer};
    peer->probe = k;
    int fd = socket(address.addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    net_stream_init(&k->stream, fd, probe_on_event);
    ev_timer_init(&k->timeout, probe_on_timeout, (double)rules->timeout_ms / 1000, 0);
    k->timeout.data = k;
    bool ok = fd >= 0 && buf_printf(&k->request,
                                    "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: weir health check\r\n"
                                    "Connection: close\r\n\r\n",
                                    SLICE_ARGS(rules->uri), SLICE_ARGS(peer->server->upstream->name));
    if (!ok) {
        /* Our own shortage says nothing of the server. */
        probe_drop(k);
        return;
    }
    if (connect(fd, (const struct sockaddr *)&address.addr, address.len) < 0 && errno != EINPROGRESS) {
        probe_finish(k, false, strerror(errno));
        return;
    }
    net_stream_watch(&k->stream, w->loop, EV_WRITE);
    ev_timer_start(w->loop, &k->timeout);
}

/* A time that is further away was set with a longer interval. */
static bool is_due(const struct worker *w, const struct shm_peer *s, uint64_t interval_ms)
{
    return w->now_ms >= s->next_check_ms || s->next_check_ms > w->now_ms + interval_ms;
}

/* Whether this worker is the one to ask now. */
static bool probe_claim(struct worker *w, struct upstream *u, struct shm_peer *s)
{
    uint64_t interval_ms = (uint64_t)u->conf->health->interval_ms;
    if (!is_due(w, s, interval_ms))
        return false;
    peer_lock(w->shm, u->group);
    bool mine = is_due(w, s, interval_ms);
    if (mine)
        s->next_check_ms = w->now_ms + interval_ms;
    peer_unlock(u->group);
    return mine;
}

static void health_on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *w = timer->data;
    (void)loop;
    (void)events;
    for (struct upstream *u = w->draining ? NULL : w->site->upstreams; u; u = u->next) {
        if (!u->conf || !u->conf->health)
            continue;
        for (int i = 0; i < u->peer_count; i++) {
            struct peer *peer = u->peers[i];
            if (!peer->probe && !peer->shared->rules.down && probe_claim(w, u, peer->shared))
                probe_start(w, peer);
        }
    }
}

/* Checks of an upstream that requests reach in both ways are plain, as half of its requests are. */
static void choose_rules(struct site *site)
{
    for (const struct location *l = site->made; l; l = l->next_made)
        if (l->proxy && l->proxy->upstream && l->proxy->tls && upstream_tls_of(l))
            l->proxy->upstream->checked_as = l;
    for (const struct location *l = site->made; l; l = l->next_made) {
        struct upstream *u = l->proxy ? l->proxy->upstream : NULL;
        if (!u || l->proxy->tls || !u->checked_as)
            continue;
        u->checked_as = NULL;
        if (u->conf && u->conf->health)
            log_warn("upstream \"%.*s\" is passed to by https and by http; its health checks are http",
                     SLICE_ARGS(u->name));
    }
}

bool health_open(struct worker *w)
{
    static ev_timer look;
    bool any = false;
    choose_rules(w->site);
    for (const struct upstream *u = w->site->upstreams; u; u = u->next)
        any |= u->conf && u->conf->health;
    if (!any)
        return true;
    ev_timer_init(&look, health_on_look, 0, LOOK_EVERY_S);
    look.data = w;
    ev_timer_start(w->loop, &look);
    return true;
}
