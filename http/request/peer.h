/*
 * http/request/peer.h - the two ends of a client's connection as texts, for variables and logs.
 *
 * Made once for a request, when something asks for them.
 * Ownership: the texts live in the request's arena.
 * Threads:   the request's owner's.
 */
#ifndef WEIR_HTTP_REQUEST_PEER_H
#define WEIR_HTTP_REQUEST_PEER_H

#include "http/request/exchange.h"

/* The client's end: its address is empty where memory is out, its port where it has none. For http_client's peer. */
const struct http_peer *http_make_peer(struct http_exchange *ex);

/* The same with the server's end, for which the socket is asked: for http_client's own. */
const struct http_peer *http_make_own(struct http_exchange *ex);

/* What a header of the PROXY protocol that names a client has said, for $proxy_protocol_addr and its kin. NULL: out of memory. */
const struct http_peer *http_make_told(struct http_exchange *ex, const struct net_proxy_header *h);

#endif
