/*
 * http/request/peer.c - the two ends of a client's connection as texts, for variables and logs.
 */
#include "http/request/peer.h"

#include "base/arena.h"
#include "base/slice.h"
#include "net/address.h"
#include "net/listener.h"
#include "net/proxy_protocol.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdint.h>

/* Empty where it is not known, as in nginx. */
static struct slice port_text(struct http_exchange *ex, unsigned port)
{
    return port ? arena_number(&ex->arena, port) : SLICE("");
}

/* Of a unix socket it has no more than its family. */
static struct net_address client_address(const struct http_client *client)
{
    struct net_address address = {.addr.ss_family = AF_UNIX};
    assert(client->remote_len == 0 || client->remote_len == 4 || client->remote_len == 16);
    if (client->remote_len == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)&address.addr;
        in->sin_family = AF_INET;
        memcpy(&in->sin_addr, client->remote, 4);
        memcpy(&in->sin_port, client->remote + 16, 2);
    } else if (client->remote_len == 16) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address.addr;
        in6->sin6_family = AF_INET6;
        memcpy(&in6->sin6_addr, client->remote, 16);
        memcpy(&in6->sin6_port, client->remote + 16, 2);
    }
    return address;
}

const struct http_peer *http_make_peer(struct http_exchange *ex)
{
    static const struct http_peer nobody = {{"", 0}, {"", 0}, {"", 0}, {"", 0}, {0}, 0, {NULL, 0}};
    char text[NET_ADDRESS_TEXT_BYTES];
    unsigned port;
    if (ex->client.known)
        return ex->client.known;
    struct http_peer *peer = arena_zalloc(&ex->arena, sizeof *peer);
    if (!peer)
        return &nobody;
    memcpy(peer->remote_binary, ex->client.remote, 16);
    peer->remote_binary_len = ex->client.remote_len;
    struct net_address address = client_address(&ex->client);
    size_t n = net_address_host(&address, text, &port);
    peer->remote_addr = arena_dup(&ex->arena, (struct slice){text, n});
    peer->remote_port = port_text(ex, port);
    ex->client.known = peer;
    return peer;
}

const struct http_peer *http_make_own(struct http_exchange *ex)
{
    struct net_address address = {0};
    char text[NET_ADDRESS_TEXT_BYTES];
    unsigned port;
    struct http_peer *peer = (struct http_peer *)(uintptr_t)ex->client.peer(ex);
    if (peer->server_addr.data)
        return peer;
    if (ex->client.socket < 0 || net_bound_address(ex->client.socket, &address) < 0)
        address = *ex->client.listen_address;
    net_address_host(&address, text, &port);
    if (address.addr.ss_family == AF_UNIX)
        net_address_text(&address, text); /* with its path */
    peer->server_addr = arena_dup(&ex->arena, slice_of(text));
    peer->server_port = port_text(ex, port);
    return peer;
}

const struct http_peer *http_make_told(struct http_exchange *ex, const struct net_proxy_header *h)
{
    char text[INET6_ADDRSTRLEN];
    int family = h->address_len == 16 ? AF_INET6 : AF_INET;
    assert(h->address_len == 4 || h->address_len == 16);
    struct http_peer *peer = arena_zalloc(&ex->arena, sizeof *peer);
    if (!peer)
        return NULL;
    peer->remote_addr = arena_dup(&ex->arena, slice_of(inet_ntop(family, h->source, text, sizeof text)));
    peer->server_addr = arena_dup(&ex->arena, slice_of(inet_ntop(family, h->destination, text, sizeof text)));
    peer->remote_port = port_text(ex, h->source_port);
    peer->server_port = port_text(ex, h->destination_port);
    peer->tlvs = h->tlvs;
    return peer;
}
