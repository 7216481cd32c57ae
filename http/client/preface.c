/*
 * http/client/preface.c - whether a client speaks HTTP/2: its handshake has said so (RFC 9113 section 3.2), or it begins with HTTP/2's
 * preface (section 3.3).
 */
#include "http/client/preface.h"

#include "base/slice.h"
#include "http/site/site.h"
#include "net/tls.h"
#include "worker/loop/worker_state.h"

enum preface connection_preface(const struct connection *c, struct slice in)
{
    static const struct slice preface = {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24};
    const struct site_listen *listen = c->listener->listen;
    if (net_tls_is_on(&c->stream))
        return slice_eq(net_tls_inner_protocol(&c->stream), SLICE("h2")) ? PREFACE_IS_HTTP2 : PREFACE_NONE;
    if (listen->tls || !(listen->http2 || listen->default_server->top->settings->http2.on))
        return PREFACE_NONE;
    size_t n = in.len < preface.len ? in.len : preface.len;
    if (n == 0 || memcmp(in.data, preface.data, n) != 0)
        return PREFACE_NONE;
    return n < preface.len ? PREFACE_MORE : PREFACE_IS_HTTP2;
}
