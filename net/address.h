/*
 * net/address.h - addresses of listening sockets as configurations write them, and as texts.
 */
#ifndef WEIR_NET_ADDRESS_H
#define WEIR_NET_ADDRESS_H

#include "base/slice.h"

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct net_address {
    struct sockaddr_storage addr;
    socklen_t len;
};

enum { NET_ADDRESS_TEXT_BYTES = 128 };

/*
 * Reads "80", "127.0.0.1:80", "*:80", "[::]:80", "localhost:80", "127.0.0.1" (port 80) or "unix:/path". Returns NULL
 * when it is good, else what is wrong with it.
 */
const char *net_address_parse(struct slice text, struct net_address *out);

/* The same without names. */
const char *net_address_parse_literal(struct slice text, struct net_address *out);

/*
 * An address to speak from: "127.0.0.1", "::1", "[::1]", "127.0.0.1:8080"; without a port the system chooses one. No
 * names, no paths. Returns NULL when it is good, else what is wrong with it.
 */
const char *net_address_parse_local(struct slice text, struct net_address *out);

/* Whether a text may be a host's name: labels of letters, digits, "-" and "_", the last one not of digits alone. */
bool net_is_host_name(struct slice s);

/*
 * The same for a server: all addresses of a name, at most `most`. Sets *host and *port where the text holds a name; else
 * host->data is NULL. This waits for name servers: *spent_ms is how long it has in all, and when that is some seconds, as where
 * none answers, names are no longer asked for.
 */
const char *net_address_resolve(struct slice text, struct net_address *out, int most, int *count,
                                struct slice *host, unsigned *port, uint64_t *spent_ms);

/* "name" or "name:port", the port 80 by default. False: it is neither. */
bool net_split_port(struct slice text, struct slice *host, unsigned *port);

/* The same address with another port. */
void net_address_set_port(struct net_address *a, unsigned port);

/* A network: an address and how many of its bits count. */
struct net_mask {
    unsigned char bytes[16];
    int len; /* 4 or 16 */
    int bits;
};

/* Reads "10.0.0.0/8", "::1", "fd00::/8". False: it is none. Bits beyond the mask are cleared. */
bool net_mask_parse(struct slice text, struct net_mask *out);

/* Whether an address of len bytes lies in the network; an IPv4 address that is mapped to IPv6 counts as what it is. */
bool net_mask_has(const struct net_mask *mask, const unsigned char *address, int len);

/* For qsort: by family, address and port. */
int net_address_compare(const void *a, const void *b);

bool net_address_eq(const struct net_address *a, const struct net_address *b);

/* Whether `any` is the wildcard address of b's family with b's port, and b is one of the addresses that it stands for. */
bool net_address_covers(const struct net_address *any, const struct net_address *b);

/* "127.0.0.1:80", "[::1]:80", "unix:/path". Returns out. */
const char *net_address_text(const struct net_address *a, char out[NET_ADDRESS_TEXT_BYTES]);

/* The host part alone, "unix:" for a unix socket, and the port (0 there). Returns the host's length. */
size_t net_address_host(const struct net_address *a, char out[NET_ADDRESS_TEXT_BYTES], unsigned *port);

#endif
