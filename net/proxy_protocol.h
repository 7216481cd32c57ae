/*
 * net/proxy_protocol.h - the header with which a load balancer names the client of a connection ("The PROXY protocol",
 * HAProxy Technologies, versions 1 and 2).
 *
 * Threads: plain functions over the caller's memory.
 */
#ifndef WEIR_NET_PROXY_PROTOCOL_H
#define WEIR_NET_PROXY_PROTOCOL_H

#include "base/buf.h"

#include <stdint.h>

struct net_proxy_header {
    /* 4, 16; 0: the header names nobody (UNKNOWN, LOCAL, unix). */
    int address_len;
    unsigned char source[16], destination[16];
    uint16_t source_port, destination_port;
    /* With version 2: what follows the addresses, where it has come; empty: none. */
    struct slice tlvs;
};

enum net_proxy_result { NET_PROXY_MORE, NET_PROXY_DONE, NET_PROXY_BAD };

/* Reads a header from the front of data[0..len). DONE sets *used to its length. */
enum net_proxy_result net_proxy_parse(struct net_proxy_header *h, const char *data, size_t len, size_t *used);

/* Appends a header of version 1 or 2. False: out of memory. */
bool net_proxy_write(const struct net_proxy_header *h, int version, struct buf *out);

#endif
