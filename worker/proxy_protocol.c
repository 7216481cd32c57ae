/*
 * worker/proxy_protocol.c - the PROXY protocol's header for upstreams ("The PROXY protocol", versions 1 and 2, section 2).
 */
#include "worker/proxy_internal.h"

#include <arpa/inet.h>

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static uint16_t port_of(struct slice text)
{
    unsigned long long port = 0;
    slice_to_u64(text, 65535, &port);
    return (uint16_t)port;
}

static bool write_v1(struct http_exchange *ex, const struct http_peer *peer, struct buf *out)
{
    if (ex->remote_len == 0)
        return buf_printf(out, "PROXY UNKNOWN\r\n");
    return buf_printf(out, "PROXY TCP%d %.*s %.*s %.*s %.*s\r\n", ex->remote_len == 16 ? 6 : 4,
                      SLICE_ARGS(peer->remote_addr), SLICE_ARGS(peer->server_addr),
                      SLICE_ARGS(peer->remote_port), SLICE_ARGS(peer->server_port));
}

static bool write_v2(struct http_exchange *ex, const struct http_peer *peer, struct buf *out)
{
    unsigned char block[16 + 36] = {0};
    char text[INET6_ADDRSTRLEN] = "";
    size_t len = (size_t)ex->remote_len, n = 16;
    memcpy(block, signature, sizeof signature);
    block[12] = 0x20 | (len ? 1 : 0);              /* version 2; PROXY, or LOCAL */
    block[13] = len == 16 ? 0x21 : len ? 0x11 : 0; /* TCP over IPv6 or IPv4 */
    if (len) {
        uint16_t ports[2] = {htons(port_of(peer->remote_port)), htons(port_of(peer->server_port))};
        memcpy(block + n, ex->remote, len);
        if (peer->server_addr.len < sizeof text)
            memcpy(text, peer->server_addr.data, peer->server_addr.len);
        inet_pton(len == 16 ? AF_INET6 : AF_INET, text, block + n + len);
        memcpy(block + n + 2 * len, ports, 4);
        n += 2 * len + 4;
    }
    block[15] = (unsigned char)(n - 16);
    return buf_append(out, block, n);
}

bool proxy_protocol_write(struct http_exchange *ex, int64_t version, struct buf *out)
{
    if (version == CONF_PROXY_PROTOCOL_OFF)
        return true;
    const struct http_peer *peer = ex->peer(ex);
    return version == CONF_PROXY_PROTOCOL_V2 ? write_v2(ex, peer, out) : write_v1(ex, peer, out);
}
