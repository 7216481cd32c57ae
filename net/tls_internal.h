/*
 * net/tls_internal.h - what the files of TLS share. Not for others.
 */
#ifndef WEIR_NET_TLS_INTERNAL_H
#define WEIR_NET_TLS_INTERNAL_H

#include "net/tls.h"

#include <openssl/ssl.h>

struct net_tls_context {
    SSL_CTX *ctx;
    size_t record_bytes;
    bool rejects;
};

/* A stream's. */
struct net_tls {
    struct net_layer layer; /* first: the stream's layer is this one */
    SSL *ssl;
    struct ev_loop *loop;
    const struct net_tls_context *context; /* chosen by the name */
    net_tls_choose *choose;
    const void *choose_with;
    /* Of a record that the socket has not taken whole: its bytes of plain text; 0: there is none. */
    size_t unsent;
    /* Bytes that went out before they were given: of a record that was begun with more. */
    size_t ahead;
    net_on_event *user;
    int wanted; /* events that the user wants to be told of */
    /* Until the socket can be written nothing can be read, and the other way round. */
    bool read_wants_write, write_wants_read;
    const char *why; /* the last failure */
    bool ready;      /* the handshake is over */
    /* Nothing goes out any more, not even a goodbye. */
    bool broken;
};

/* NULL: the stream has no TLS. */
struct net_tls *net_tls_of(const struct net_stream *s);

/* net/tls_hello.c: connections of this kind choose their context when the client's first words are there. */
void net_tls_watch_hello(SSL_CTX *ctx);

/* net/tls_error.c: what OpenSSL says of the last failure, which is forgotten. The text stands until the next call. */
const char *net_tls_last_error(void);

#endif
