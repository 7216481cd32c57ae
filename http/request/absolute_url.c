/*
 * http/request/absolute_url.c - a path of this server as a client may be sent to it.
 */
#include "http/request/absolute_url.h"

#include "base/arena.h"
#include "base/slice.h"

#include <assert.h>

struct slice http_absolute_url(struct http_exchange *ex, const struct settings *s, struct slice path)
{
    assert(ex->sent.head == 0);
    if (!s->answers.absolute_redirect)
        return path;
    const struct http_peer *peer = ex->client.own(ex);
    bool as_asked = ex->req.host.len && !s->answers.server_name_in_redirect;
    bool by_name = s->answers.server_name_in_redirect && ex->route.server_name.len;
    struct slice host = as_asked  ? arena_dup_lower(&ex->arena, ex->req.host)
                        : by_name ? ex->route.server_name
                                  : peer->server_addr;
    if (!as_asked && !by_name && memchr(host.data, ':', host.len) && !slice_starts(host, SLICE("unix:")))
        host = arena_printf(&ex->arena, "[%.*s]", SLICE_ARGS(host)); /* RFC 3986 section 3.2.2 */
    ex->res.location_is_made = true;
    struct slice usual = ex->client.tls ? SLICE("443") : SLICE("80");
    bool default_port =
        !s->answers.port_in_redirect || slice_eq(peer->server_port, usual) || peer->server_port.len == 0;
    return arena_printf(&ex->arena, "http%s://%.*s%s%.*s%.*s", ex->client.tls ? "s" : "", SLICE_ARGS(host),
                        default_port ? "" : ":", default_port ? 0 : (int)peer->server_port.len,
                        peer->server_port.data, SLICE_ARGS(path));
}
