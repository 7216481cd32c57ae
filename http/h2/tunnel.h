/*
 * http/h2/tunnel.h - a stream that has become a way to another protocol: extended CONNECT (RFC 8441), for WebSocket.
 *
 * The request goes to its upstream as HTTP/1's "Upgrade", whose 101 is a 200 here. What comes and goes then is a net_stream for
 * whoever passes it on, as a client's socket is with HTTP/1.
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H2_TUNNEL_H
#define WEIR_HTTP_H2_TUNNEL_H

#include "http/h2/session.h"
#include "net/stream.h"

struct h2_tunnel {
    struct net_stream stream; /* first */
    struct h2_stream *st;
    net_on_event *on_event;
    int events;     /* what its user waits for */
    bool has_begun; /* its user has it */
    bool has_ended; /* nothing more is written to it */
};

/* With a response of 101: from now on the stream is one. False: out of memory. */
bool h2_tunnel_open(struct h2_stream *st);

/* The stream's turn: its user is told of what it waits for. */
void h2_tunnel_go_on(struct h2_stream *st);

/* What goes out next of it, as nghttp2 asks: bytes of st->out, DEFERRED, or the end. */
ssize_t h2_tunnel_give(struct h2_stream *st, size_t room, uint32_t *flags);

/* Its user is done with it. True: all that it has written still goes out; else the stream is to be reset. */
bool h2_tunnel_is_whole(const struct h2_stream *st);

#endif
