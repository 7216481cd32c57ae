/*
 * proxy/connect.c - the connection of a try: a kept one, or a new one that is being made.
 */
#include "proxy/http2.h"
#include "proxy/internal.h"
#include "proxy/upstream.h"

#include "base/clock.h"
#include "base/slice.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/site/site.h"
#include "net/address.h"
#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* The PROXY protocol names a client, and so does a local address with variables: such connections are not for others. */
static void prepare_dial(struct proxy *p, struct upstream_dial *dial, struct net_address *local)
{
    const struct proxy_settings *how = proxy_how(p);
    *dial = (struct upstream_dial){.keepalive = how->upstream.socket_keepalive,
                                   .fresh = p->named_client,
                                   .http2 = how->http_version == PROXY_HTTP_2,
                                   .kind = p->to->kind == CONF_PASS_FASTCGI,
                                   .tls = p->tls,
                                   .tls_as = p->tls_as.whole};
    if (!p->to->bind)
        return;
    struct slice text = http_template_expand(p->to->bind, p->ex);
    if (text.len == 0)
        return;
    if (net_address_parse_local(text, local)) {
        http_log(p->ex, LOG_LEVEL_ERROR, "invalid local address \"%.*s\" in \"%s_bind\"", SLICE_ARGS(text),
                 conf_pass_prefix(p->to->kind));
        return;
    }
    dial->local = local;
    dial->transparent = p->to->bind_transparent;
    dial->kind += 2;
    for (size_t i = 0; i < text.len; i++)
        dial->kind = dial->kind * 31 + (unsigned char)text.data[i];
}

/* What happens to servers. Anything else is a mistake on this machine, as a socket's path that leads nowhere. */
static bool is_of_the_net(int error)
{
    return error == ECONNREFUSED || error == EAGAIN || error == ECONNRESET || error == ENETDOWN ||
           error == ENETUNREACH || error == EHOSTDOWN || error == EHOSTUNREACH;
}

/* Nothing has been sent on it for this request, nor read. */
static void use_connection(struct proxy *p)
{
    p->input = PROXY_INPUT_OPEN;
    p->sent = p->waits_to_send = p->waits_for_client = false;
    assert(spool_in_file(&p->kept) == 0 && p->body.seen == 0); /* no response has begun */
    p->interims = 0;
    p->broken = p->send_error = 0;
    fastcgi_reader_free(&p->frames);
    p->frames = (struct fastcgi_reader){0};
    p->kept.memory.start = p->kept.memory.end = 0;
    if (p->uc->requests > 0) {
        p->try->connect_us = 0;
        proxy_begin_to_send(p);
        proxy_go_on_sending(p);
        return;
    }
    p->state = PROXY_CONNECT;
    proxy_set_timer(p, proxy_how(p)->upstream.connect_timeout_ms);
    proxy_watch(p, EV_WRITE);
}

bool proxy_connect(struct proxy *p, void (*on_event)(struct ev_loop *loop, ev_io *io, int events))
{
    struct upstream_dial dial;
    struct net_address local;
    assert(p->peer && p->try && !p->uc);
    prepare_dial(p, &dial, &local);
    p->uc = dial.http2 && !dial.fresh ? http2_join(p->u, p->peer, &dial) : NULL;
    if (!p->uc)
        p->uc = upstream_connect(proxy_worker(p), p->u, p->peer, &dial);
    if (!p->uc) {
        http_log(p->ex, is_of_the_net(errno) ? LOG_LEVEL_ERROR : LOG_LEVEL_CRIT,
                 "connect() to %s failed (%d: %s) while connecting to upstream", p->peer->text, errno,
                 strerror(errno));
        return false;
    }
    p->on_event = on_event;
    net_stream_set_user(&p->uc->stream, p, on_event);
    use_connection(p);
    return true;
}

/* What stands in front of the handshake is short, and the connection is new: it goes at once, or not at all. */
static bool send_plain_part(struct proxy *p)
{
    return p->plain_bytes == 0 || net_stream_write(&p->uc->stream, p->request.data + p->request.start,
                                                   p->plain_bytes, false) == (ssize_t)p->plain_bytes;
}

static struct proxy_step begin_tls(struct proxy *p)
{
    if (!send_plain_part(p)) {
        proxy_log_errno(p, "send()", errno);
        return proxy_step_next(CONF_NEXT_ERROR, 502);
    }
    if (!upstream_begin_tls(p->ex, p->uc, p->tls, &p->tls_as))
        return proxy_step_fails(500);
    proxy_set_timer(p, proxy_how(p)->upstream.connect_timeout_ms);
    return proxy_step_of(PROXY_WAITS);
}

/* Nothing of the request goes to a server that is not the one that it is for. */
static struct proxy_step shake_hands(struct proxy *p)
{
    int over = net_tls_shake_hands(&p->uc->stream);
    if (over == 0)
        return proxy_step_of(PROXY_WAITS);
    if (over < 0) {
        upstream_settle_session(p->uc, false);
        proxy_log_errno(p, "SSL_do_handshake()", errno);
        return proxy_step_next(CONF_NEXT_ERROR, 502);
    }
    const char *doubt = upstream_doubt(&p->uc->stream, p->tls, p->tls_as.name);
    upstream_settle_session(p->uc, !doubt[0]);
    if (!doubt[0])
        return proxy_step_of(PROXY_PASSES_ON);
    proxy_log(p, doubt);
    return proxy_step_next(CONF_NEXT_ERROR, 502);
}

/* The connection carries others, too, from now on; the request has a stream of it. */
static struct proxy_step begin_http2(struct proxy *p)
{
    if (p->tls && !slice_eq(net_tls_inner_protocol(&p->uc->stream), SLICE("h2"))) {
        proxy_log(p, "upstream does not speak HTTP/2 while SSL handshaking to upstream");
        return proxy_step_next(CONF_NEXT_ERROR, 502);
    }
    if (!p->tls && !send_plain_part(p)) {
        proxy_log_errno(p, "send()", errno);
        return proxy_step_next(CONF_NEXT_ERROR, 502);
    }
    p->uc = http2_begin(p->uc, p->named_client);
    if (!p->uc)
        return proxy_step_fails(500);
    net_stream_set_user(&p->uc->stream, p, p->on_event);
    return proxy_step_of(PROXY_PASSES_ON);
}

struct proxy_step proxy_on_connected(struct proxy *p)
{
    assert(p->state == PROXY_CONNECT && p->uc->requests == 0);
    bool has_begun = net_tls_is_on(&p->uc->stream);
    int error = has_begun ? 0 : net_stream_connect_error(&p->uc->stream);
    if (error) {
        proxy_log_errno(p, "connect()", error);
        return proxy_step_next(CONF_NEXT_ERROR, 502);
    }
    if (p->tls && !p->uc->is_stream) {
        struct proxy_step step = has_begun ? proxy_step_of(PROXY_WAITS) : begin_tls(p);
        if (step.says == PROXY_WAITS)
            step = shake_hands(p);
        if (step.says != PROXY_PASSES_ON)
            return step;
    }
    p->try->connect_us = clock_mono_us() - p->try->start_us;
    if (proxy_how(p)->http_version == PROXY_HTTP_2 && !p->uc->is_stream) {
        struct proxy_step step = begin_http2(p);
        if (step.says != PROXY_PASSES_ON)
            return step;
    }
    proxy_begin_to_send(p);
    proxy_go_on_sending(p);
    return proxy_step_of(PROXY_WAITS);
}
