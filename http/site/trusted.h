/*
 * http/site/trusted.h - whose word about a client's address is believed, and what it says.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SITE_TRUSTED_H
#define WEIR_HTTP_SITE_TRUSTED_H

#include "http/request/exchange.h"
#include "net/address.h"

/* Whose word about a client's address is believed. */
struct realip {
    struct net_mask *masks;
    int mask_count;
    bool trusts_unix, recursive;
    struct slice header; /* or "proxy_protocol" */
};

/* Whether the address, of len bytes, is one of those that are believed. */
bool trusted_is(const struct realip *r, const unsigned char *address, int len);

/* What r's header says: true sets *len and out, which is like the remote of an exchange. */
bool trusted_headers(const struct http_exchange *ex, const struct realip *r, unsigned char out[18], int *len);

/* The same if `address` of *len bytes is trusted. */
bool trusted_find(const struct realip *r, const struct http_exchange *ex, const unsigned char *address,
                  int *len, unsigned char found[18]);

#endif
