/*
 * proxy/try.c - one server that is asked: its beginning, its end, its lines in the log, and whether another may follow.
 *
 * It knows no step of a request's way: those are the files that call this one.
 */
#include "proxy/internal.h"
#include "proxy/upstream.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/slice.h"
#include "base/wheel.h"
#include "http/request/exchange.h"
#include "net/stream.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void proxy_watch(struct proxy *p, int events)
{
    assert(p->uc);
    if (p->state == PROXY_BODY && p->waits_to_send)
        events |= EV_WRITE;
    net_stream_watch(&p->uc->stream, proxy_worker(p)->loop, events);
}

void proxy_set_timer(struct proxy *p, int64_t after_ms)
{
    struct worker *w = proxy_worker(p);
    if (p->deadline_ms) {
        int64_t left_ms = p->deadline_ms > w->now_ms ? (int64_t)(p->deadline_ms - w->now_ms) : 1;
        after_ms = after_ms <= 0 || left_ms < after_ms ? left_ms : after_ms;
    }
    if (after_ms <= 0)
        wheel_clear(&p->timer);
    else
        wheel_set(&w->wheel, &p->timer, w->now_ms + (uint64_t)after_ms);
}

/* --- the log --- */

void proxy_log(struct proxy *p, const char *what)
{
    http_log(p->ex, LOG_LEVEL_ERROR, "%s", what);
}

static const char *doing(const struct proxy *p)
{
    bool shakes = p->state == PROXY_CONNECT && p->uc && net_tls_is_on(&p->uc->stream);
    return shakes                      ? "SSL handshaking to"
           : p->state <= PROXY_CONNECT ? "connecting to"
           : p->state == PROXY_SEND    ? "sending request to"
           : p->state == PROXY_HEAD    ? "reading response header from"
                                       : "reading";
}

void proxy_log_errno(struct proxy *p, const char *call, int error)
{
    if (error == ECONNRESET && p->uc && p->uc->is_reset) {
        http_log(p->ex, LOG_LEVEL_ERROR, "upstream rejected request with error %u while %s upstream",
                 p->uc->reset_code, doing(p));
        return;
    }
    bool of_tls = error == EPROTO && p->uc && net_tls_is_on(&p->uc->stream);
    if (of_tls)
        http_log(p->ex, LOG_LEVEL_ERROR, "%s failed (SSL: %s) while %s upstream",
                 p->state == PROXY_CONNECT ? call : "SSL_read()", net_tls_why(&p->uc->stream), doing(p));
    else
        http_log(p->ex, LOG_LEVEL_ERROR, "%s failed (%d: %s) while %s upstream", call, error, strerror(error),
                 doing(p));
}

static const char *timeout_text(const struct proxy *p)
{
    if (p->state == PROXY_CONNECT && p->uc && net_tls_is_on(&p->uc->stream))
        return "upstream timed out (110: Connection timed out) while SSL handshaking to upstream";
    return p->state == PROXY_CONNECT
               ? "upstream timed out (110: Connection timed out) while connecting to upstream"
           : p->state == PROXY_SEND
               ? "upstream timed out (110: Connection timed out) while sending request to upstream"
           : p->state == PROXY_HEAD
               ? "upstream timed out (110: Connection timed out) while reading response header from upstream"
           : p->state == PROXY_TUNNEL
               ? "upstream timed out (110: Connection timed out) while proxying upgraded connection"
               : "upstream timed out (110: Connection timed out) while reading upstream";
}

void proxy_log_timeout(struct proxy *p)
{
    proxy_log(p, timeout_text(p));
}

/* --- one try --- */

bool proxy_begin_try(struct proxy *p, struct slice addr)
{
    struct http_exchange *ex = p->ex;
    assert(!p->try && !p->uc);
    struct http_try *t = arena_zalloc(&ex->arena, sizeof *t);
    if (!t)
        return false;
    *t = (struct http_try){.addr = arena_dup(&ex->arena, addr),
                           .start_us = clock_mono_us(),
                           .connect_us = HTTP_TRY_NEVER,
                           .header_us = HTTP_TRY_NEVER,
                           .response_us = HTTP_TRY_NEVER,
                           .new_group = !p->begun_try && ex->upstream.last_try != NULL};
    p->begun_try = true;
    if (ex->upstream.last_try)
        ex->upstream.last_try->next = t;
    else
        ex->upstream.tries = t;
    ex->upstream.last_try = p->try = t;
    ex->upstream.addr = t->addr;
    ex->upstream.uri = p->asked.uri;
    return true;
}

void proxy_end_try(struct proxy *p, enum upstream_result result, int status, bool keep)
{
    if (p->try) {
        p->try->status = status;
        p->try->response_us = clock_mono_us() - p->try->start_us;
        p->try->body_len = p->body.seen;
    }
    /* A connection is a try's, and to its server. */
    assert(!p->uc || (p->try && p->peer));
    if (p->uc && keep && !p->named_client && !p->asked.is_last)
        upstream_keep(p->uc, p->idle_s, p->protocol->binds_process);
    else if (p->uc)
        upstream_close(p->uc);
    p->uc = NULL;
    if (p->peer && result == UPSTREAM_SERVED)
        sticky_on_end(p->ex, p->u, p->peer);
    if (p->peer) {
        struct upstream_outcome outcome = {result, status, p->try ? p->try->response_us : 0,
                                           p->try ? p->try->header_us : HTTP_TRY_NEVER};
        if (balance_done(proxy_worker(p), p->u, p->peer, &outcome))
            http_log(p->ex, LOG_LEVEL_WARN, "upstream server temporarily disabled while %s upstream",
                     doing(p));
        peer_release(p->peer);
    }
    p->peer = NULL;
    p->try = NULL;
    wheel_clear(&p->timer);
}

/* Without memory for it, the number of tries is the bound. */
void proxy_mark_tried(struct proxy *p)
{
    size_t i = (size_t)(p->peer->shared - proxy_worker(p)->shm->peers->peers);
    if (!p->tried)
        p->tried = arena_zalloc(&p->ex->arena, UPSTREAM_TRIED_WORDS * sizeof *p->tried);
    if (!p->peer->own && p->tried)
        p->tried[i / 64] |= 1ull << i % 64;
    p->tries++;
}

/* --- another one --- */

/* Whether it may be sent twice (RFC 9110 section 9.2.2). */
static bool is_repeatable(const struct proxy *p)
{
    enum http_method m = p->ex->req.method;
    bool idempotent = m != HTTP_POST && m != HTTP_PATCH && m != HTTP_OTHER;
    return (idempotent && p->sends != PROXY_SENDS_STREAM) ||
           proxy_how(p)->upstream.next & CONF_NEXT_NON_IDEMPOTENT;
}

bool proxy_may_repeat(const struct proxy *p)
{
    bool was_seen = p->request_sent > 0 && !(p->uc && p->uc->is_refused);
    return !p->is_partly_gone && (!was_seen || is_repeatable(p));
}

bool proxy_may_go_on(const struct proxy *p, enum conf_next_upstream why)
{
    const struct upstream_settings *s = &proxy_how(p)->upstream;
    uint64_t spent_ms = (clock_mono_us() - p->start_us) / 1000;
    return s->next & why && !(s->next & CONF_NEXT_OFF) && proxy_may_repeat(p) &&
           p->tries + 1 < p->u->usable_count && (!s->next_tries || p->tries + 1 < s->next_tries) &&
           (!s->next_timeout_ms || spent_ms < (uint64_t)s->next_timeout_ms);
}

bool proxy_is_exhausted(const struct proxy *p)
{
    const struct upstream_settings *s = &proxy_how(p)->upstream;
    if (p->tries == 0)
        return false;
    uint64_t spent_ms = (clock_mono_us() - p->start_us) / 1000;
    return p->tries >= p->u->usable_count || (s->next_tries && p->tries >= s->next_tries) ||
           (s->next_timeout_ms && spent_ms >= (uint64_t)s->next_timeout_ms);
}
