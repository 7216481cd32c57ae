/*
 * proxy/proxy.c - a request's way through an upstream: choosing servers, connecting, trying the next one, the end.
 *
 * Everything happens on the loop. Sending is in proxy_send.c, the answer's head in proxy_receive.c and proxy_answer.c, its
 * body in proxy_body.c, protocols that take the connection over in tunnel.c.
 */
#include "proxy/proxy.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/slice.h"
#include "base/wheel.h"
#include "http/request/body.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/request/template.h"
#include "http/request/verdict.h"
#include "http/site/site.h"
#include "net/address.h"
#include "net/proxy_protocol.h"
#include "net/stream.h"
#include "proxy/internal.h"
#include "proxy/upstream.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void proxy_watch(struct proxy *p, int events)
{
    net_stream_watch(&p->uc->stream, proxy_worker(p)->loop, events);
}

void proxy_set_timer(struct proxy *p, int64_t after_ms)
{
    struct worker *w = proxy_worker(p);
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
    return p->state <= PROXY_CONNECT ? "connecting to"
           : p->state == PROXY_SEND  ? "sending request to"
           : p->state == PROXY_HEAD  ? "reading response header from"
                                     : "reading";
}

void proxy_log_errno(struct proxy *p, const char *call, int error)
{
    http_log(p->ex, LOG_LEVEL_ERROR, "%s failed (%d: %s) while %s upstream", call, error, strerror(error),
             doing(p));
}

/* For the error log. */
static void name_upstream(struct proxy *p)
{
    p->ex->upstream.addr = p->try->addr;
    p->ex->upstream.uri = p->asked.uri;
}

/* --- one try --- */

/* For $upstream_addr and its kin. */
static bool begin_try(struct proxy *p, struct slice addr)
{
    struct http_exchange *ex = p->ex;
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
    return true;
}

void proxy_end_try(struct proxy *p, enum upstream_result result, int status, bool keep)
{
    if (p->try) {
        p->try->status = status;
        p->try->response_us = clock_mono_us() - p->try->start_us;
        p->try->body_len = p->body.seen;
    }
    if (p->uc && keep && !p->named_client && !p->asked.is_last)
        upstream_keep(p->uc, p->idle_s);
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
static void mark_tried(struct proxy *p)
{
    size_t i = (size_t)(p->peer->shared - proxy_worker(p)->shm->peers->peers);
    if (!p->tried)
        p->tried = arena_zalloc(&p->ex->arena, UPSTREAM_TRIED_WORDS * sizeof *p->tried);
    if (!p->peer->own && p->tried)
        p->tried[i / 64] |= 1ull << i % 64;
    p->tries++;
}

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
    proxy_free_body(p);
    free(p);
}

void proxy_fail(struct proxy *p, int status)
{
    struct http_exchange *ex = p->ex;
    if (p->streams && !ex->body.whole)
        client_make_last(ex, true);
    proxy_destroy(p);
    request_resume(ex, verdict_answer(status));
}

/* Whether it may be sent twice (RFC 9110 section 9.2.2). */
static bool is_repeatable(const struct proxy *p)
{
    enum http_method m = p->ex->req.method;
    bool idempotent = m != HTTP_POST && m != HTTP_PATCH && m != HTTP_OTHER;
    return (idempotent && !p->streams) || proxy_settings(p)->proxy.upstream.next & CONF_NEXT_NON_IDEMPOTENT;
}

/* --- connecting --- */

/* The PROXY protocol names a client, and so does a local address with variables: such connections are not for others. */
static void prepare_dial(struct proxy *p, struct upstream_dial *dial, struct net_address *local)
{
    const struct settings *s = proxy_settings(p);
    *dial = (struct upstream_dial){.keepalive = s->proxy.upstream.socket_keepalive, .fresh = p->named_client};
    if (!p->to->bind)
        return;
    struct slice text = http_template_expand(p->to->bind, p->ex);
    if (text.len == 0)
        return;
    if (net_address_parse_local(text, local)) {
        http_log(p->ex, LOG_LEVEL_ERROR, "invalid local address \"%.*s\" in \"proxy_bind\"",
                 SLICE_ARGS(text));
        return;
    }
    dial->local = local;
    dial->transparent = p->to->bind_transparent;
    dial->kind = 1;
    for (size_t i = 0; i < text.len; i++)
        dial->kind = dial->kind * 31 + (unsigned char)text.data[i];
}

static void use_connection(struct proxy *p)
{
    p->reused = p->uc->requests > 0;
    p->any_read = p->eof = p->sent = false;
    p->interims = 0;
    p->broken = p->send_error = 0;
    p->in.start = p->in.end = 0;
    net_stream_set_user(&p->uc->stream, p, proxy_on_upstream_event);
    if (p->reused) {
        p->try->connect_us = 0;
        proxy_begin_to_send(p);
        proxy_go_on_sending(p);
        return;
    }
    p->state = PROXY_CONNECT;
    proxy_set_timer(p, proxy_settings(p)->proxy.upstream.connect_timeout_ms);
    proxy_watch(p, EV_WRITE);
}

/* Out of tries, or of time for them. */
static bool is_exhausted(const struct proxy *p)
{
    const struct settings *s = proxy_settings(p);
    if (p->tries == 0)
        return false;
    uint64_t spent_ms = (clock_mono_us() - p->start_us) / 1000;
    return p->tries >= p->u->usable_count ||
           (s->proxy.upstream.next_tries && p->tries >= s->proxy.upstream.next_tries) ||
           (s->proxy.upstream.next_timeout_ms && spent_ms >= (uint64_t)s->proxy.upstream.next_timeout_ms);
}

static enum upstream_choice choose(struct proxy *p)
{
    struct upstream_ask ask = {
        .ex = p->ex, .key = p->hash_key, .wanted = p->wanted, .tried = p->tried, .waited = p->queued_us != 0};
    if (is_exhausted(p))
        return UPSTREAM_NONE;
    enum upstream_choice choice = balance_choose(proxy_worker(p), p->u, &ask, &p->peer);
    if (p->peer)
        p->peer->refs++;
    return choice;
}

static void give_up(struct proxy *p, enum upstream_choice choice)
{
    if (p->tries == 0) {
        bool named = begin_try(p, p->u->name); /* as nginx shows it, in the line too */
        if (named)
            name_upstream(p);
        proxy_log(p, choice == UPSTREAM_BUSY ? "upstream has no server with a free connection"
                                             : "no live upstreams while connecting to upstream");
        if (named)
            proxy_end_try(p, UPSTREAM_NOT_ASKED, 502, false);
    }
    proxy_fail(p, p->status ? p->status : 502);
}

/* What happens to servers. Anything else is a mistake on this machine, as a socket's path that leads nowhere. */
static bool is_of_the_net(int error)
{
    return error == ECONNREFUSED || error == EAGAIN || error == ECONNRESET || error == ENETDOWN ||
           error == ENETUNREACH || error == EHOSTDOWN || error == EHOSTUNREACH;
}

/* One server after the other, until one takes a connection or none is left. */
void proxy_find_server(struct proxy *p)
{
    struct worker *w = proxy_worker(p);
    struct upstream_dial dial;
    struct net_address local;
    enum upstream_choice choice;
    p->state = PROXY_CONNECT;
    while ((choice = choose(p)) == UPSTREAM_CHOSEN) {
        if (!begin_try(p, slice_of(p->peer->text))) {
            proxy_fail(p, 500);
            return;
        }
        name_upstream(p);
        prepare_dial(p, &dial, &local);
        p->uc = upstream_connect(w, p->u, p->peer, &dial);
        if (p->uc) {
            use_connection(p);
            return;
        }
        http_log(p->ex, is_of_the_net(errno) ? LOG_LEVEL_ERROR : LOG_LEVEL_CRIT,
                 "connect() to %s failed (%d: %s) while connecting to upstream", p->peer->text, errno,
                 strerror(errno));
        mark_tried(p);
        proxy_end_try(p, UPSTREAM_FAILED, 502, false);
        if (!(proxy_settings(p)->proxy.upstream.next & CONF_NEXT_ERROR)) {
            choice = UPSTREAM_NONE;
            break;
        }
    }
    if (choice == UPSTREAM_BUSY && proxy_enqueue(p))
        return;
    give_up(p, choice);
}

/* --- the next server --- */

static bool may_repeat(const struct proxy *p)
{
    return !p->streamed && (p->request_sent == 0 || is_repeatable(p));
}

bool proxy_may_go_on(const struct proxy *p, enum conf_next_upstream why)
{
    const struct settings *s = proxy_settings(p);
    uint64_t spent_ms = (clock_mono_us() - p->start_us) / 1000;
    return s->proxy.upstream.next & why && !(s->proxy.upstream.next & CONF_NEXT_OFF) && may_repeat(p) &&
           p->tries + 1 < p->u->usable_count &&
           (!s->proxy.upstream.next_tries || p->tries + 1 < s->proxy.upstream.next_tries) &&
           (!s->proxy.upstream.next_timeout_ms || spent_ms < (uint64_t)s->proxy.upstream.next_timeout_ms);
}

void proxy_next(struct proxy *p, enum conf_next_upstream why, int status)
{
    /* A kept connection that was just being closed says nothing of its server, which is asked again. */
    bool stale = p->reused && !p->any_read && why == CONF_NEXT_ERROR;
    bool go_on = stale ? may_repeat(p) : proxy_may_go_on(p, why);
    bool blameless = why == CONF_NEXT_HTTP_403 || why == CONF_NEXT_HTTP_404;
    p->status = status;
    if (!stale)
        mark_tried(p);
    proxy_end_try(p,
                  stale       ? UPSTREAM_NOT_ASKED
                  : blameless ? UPSTREAM_SERVED
                              : UPSTREAM_FAILED,
                  status, false);
    if (go_on)
        proxy_find_server(p);
    else
        proxy_fail(p, status);
}

/* --- events --- */

void proxy_on_upstream_event(struct ev_loop *loop, ev_io *io, int events)
{
    struct proxy *p = io->data;
    (void)loop;
    if (p->state == PROXY_TUNNEL)
        tunnel_on_upstream(p, events);
    else if (p->state == PROXY_CONNECT && events & EV_WRITE)
        proxy_on_connected(p);
    else if (events & EV_READ && p->state == PROXY_BODY)
        proxy_read_body(p);
    else if (events & EV_READ)
        proxy_read_head(p); /* also while sending: an early answer */
    else if (p->state == PROXY_SEND)
        proxy_go_on_sending(p);
}

static const char *timeout_text(const struct proxy *p)
{
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

void proxy_on_timer(struct wheel_entry *e)
{
    struct proxy *p = container_of(e, struct proxy, timer);
    struct http_exchange *ex = p->ex;
    if (p->state == PROXY_WAIT && proxy_looks_again(p))
        return;
    if (p->state == PROXY_RESOLVE || p->state == PROXY_WAIT) {
        if (p->state == PROXY_WAIT)
            balance_count(proxy_worker(p), p->u, &p->u->group->queue_timeouts);
        proxy_log(p, p->state == PROXY_WAIT ? "upstream queue: no server became free in time"
                                            : "upstream host could not be resolved in time");
        proxy_fail(p, 502);
        return;
    }
    if (p->state == PROXY_BODY && p->paused) { /* proxy_limit_rate */
        p->paused = false;
        proxy_watch(p, EV_READ);
        proxy_set_timer(p, proxy_settings(p)->proxy.upstream.read_timeout_ms);
        return;
    }
    proxy_log(p, timeout_text(p));
    if (p->state >= PROXY_BODY) {
        proxy_end_try(p, UPSTREAM_LEFT, ex->upstream.status, false);
        client_reset(ex);
        return;
    }
    proxy_next(p, CONF_NEXT_TIMEOUT, 504);
}

/* --- from outside --- */

/* "http://HOST[/URI]" of a text with variables. False: it leads nowhere, which has been logged. */
static bool split_target(struct http_exchange *ex, struct slice url, struct slice *host, struct slice *uri)
{
    struct slice scheme = {url.data, url.len < 7 ? url.len : 7};
    struct slice rest = slice_eq_nocase(scheme, SLICE("http://")) ? slice_from(url, 7) : SLICE("");
    bool is_unix = slice_starts(rest, SLICE("unix:"));
    size_t n = is_unix ? 5 : 0;
    while (n < rest.len && rest.data[n] != (is_unix ? ':' : '/') && (is_unix || rest.data[n] != '?'))
        n++;
    *host = (struct slice){rest.data, n};
    if (n + is_unix < rest.len)
        *uri = slice_from(rest, n + is_unix);
    if (uri->len && uri->data[0] == '?')
        *uri = arena_printf(&ex->arena, "/%.*s", SLICE_ARGS(*uri));
    bool ok = n > 0 && resolve_is_target(ex->worker, *host);
    if (!ok)
        http_log(ex, LOG_LEVEL_ERROR,
                 "invalid URL \"%.*s\" in \"proxy_pass\"; it is http://HOST[:PORT][/URI]", SLICE_ARGS(url));
    return ok;
}

int proxy_check_target(struct http_exchange *ex)
{
    const struct http_template *target = ex->route.location->proxy->target;
    struct slice host, uri = {0};
    return !target || split_target(ex, http_template_expand(target, ex), &host, &uri) ? 0 : 500;
}

/* 0, or a status for the client. */
static int find_upstream(struct proxy *p)
{
    struct worker *w = proxy_worker(p);
    p->u = p->to->upstream;
    p->host = p->to->host;
    p->uri = p->to->uri;
    if (p->to->target) {
        if (!split_target(p->ex, http_template_expand(p->to->target, p->ex), &p->host, &p->uri))
            return 500;
        p->u = resolve_upstream(w, p->host);
        if (!p->u) {
            http_log(p->ex, LOG_LEVEL_ERROR, "upstream \"%.*s\" cannot be used", SLICE_ARGS(p->host));
            return 502;
        }
        if (slice_starts(p->host, SLICE("unix:")))
            p->host = SLICE("localhost");
    }
    p->u->users++;
    p->ex->upstream.host = p->host;
    p->ex->upstream.is_unix = slice_starts(p->u->name, SLICE("unix:"));
    p->wanted = sticky_wanted(p->ex, p->u);
    if (p->u->hash_key)
        p->hash_key = http_template_expand(p->u->hash_key, p->ex);
    return 0;
}

/* Our end of the client's connection, as the PROXY protocol has it. False: it is of another family than the client's address. */
static bool name_own_end(struct http_exchange *ex, struct net_proxy_header *h)
{
    char text[INET6_ADDRSTRLEN] = "";
    unsigned long long port = 0;
    const struct http_peer *peer = ex->client.own(ex);
    if (peer->server_addr.len >= sizeof text)
        return false;
    memcpy(text, peer->server_addr.data, peer->server_addr.len);
    if (slice_to_u64(peer->server_port, 65535, &port))
        h->destination_port = (uint16_t)port;
    return inet_pton(h->address_len == 16 ? AF_INET6 : AF_INET, text, h->destination) == 1;
}

/*
 * The PROXY protocol's header, where the upstream wants one. Its two ends are of one family and belong together, or it says that
 * they are not known: a client that a header of the request has named did not come to an address of ours of another family.
 * False: out of memory.
 */
static bool name_client(struct proxy *p)
{
    struct http_exchange *ex = p->ex;
    const struct net_proxy_header *told = p->ex->client.told_header;
    struct net_proxy_header h = {.address_len = ex->client.remote_len}, unknown = {0};
    int64_t version = proxy_settings(p)->proxy.protocol;
    if (version == CONF_PROXY_PROTOCOL_OFF)
        return true;
    p->named_client = true;
    memcpy(h.source, ex->client.remote, sizeof h.source);
    h.source_port = (uint16_t)(ex->client.remote[16] << 8 | ex->client.remote[17]);
    if (told && told->address_len && told->address_len == h.address_len &&
        told->source_port == h.source_port && memcmp(told->source, h.source, (size_t)h.address_len) == 0)
        h = *told; /* both ends as they were told to us */
    else if (h.address_len == 0 || !name_own_end(ex, &h))
        h = unknown;
    return net_proxy_write(&h, version == CONF_PROXY_PROTOCOL_V2 ? 2 : 1, &p->request);
}

static int prepare(struct proxy *p)
{
    struct http_exchange *ex = p->ex;
    int error = find_upstream(p);
    struct upstream_target target = {.to = p->to, .host = p->host, .uri = p->uri, .streams = p->streams};
    if (!error && !name_client(p))
        error = 500;
    p->sends_file = ex->body.fd >= 0 && !p->to->body && proxy_settings(p)->proxy.upstream.pass_request_body;
    return error ? error : p->protocol->write_request(ex, &target, &p->request, &p->asked);
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
    p->protocol = &upstream_http1;
    p->streams = streams;
    p->spool.fd = -1;
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
    error = prepare(p);
    if (error) {
        proxy_fail(p, error);
    } else if (p->u->peer_count == 0 && is_being_resolved(p->u)) {
        p->state = PROXY_RESOLVE;
        list_push_back(&p->u->unresolved, &p->link);
        proxy_set_timer(p, ex->route.settings->resolver.timeout_ms);
    } else {
        proxy_find_server(p);
    }
    return verdict_of(VERDICT_WAIT); /* or it has been resumed already */
}
