/*
 * http/request/source.h - where a response's body comes from: pieces that are there, a handler, an upstream.
 *
 * Whoever sends the body asks its source for the next stretch, lets as much of it go as the client and the limits take, and says
 * how much that was. So a file can go out by sendfile and memory without a copy, whatever it belongs to; and a source need
 * know nothing of sockets, filters or how bodies are framed.
 * Threads:   the loop's.
 */
#ifndef WEIR_HTTP_REQUEST_SOURCE_H
#define WEIR_HTTP_REQUEST_SOURCE_H

#include "http/request/exchange.h"

enum source_says {
    /* The stretch is set; it holds until take, stop or the end of the turn. */
    SOURCE_HAS,
    /* Nothing for now: the source calls client_go_on when there is more. */
    SOURCE_LATER,
    SOURCE_END, /* that was all */
    /* The rest will never come, which the source has logged: the client must see that the body is not whole. */
    SOURCE_FAILED,
    SOURCE_TUNNEL /* no body: from here on bytes go both ways */
};

struct source {
    /* The next stretch of the body, in memory (fd -1, as it is set before) or of a file. */
    enum source_says (*look)(struct http_exchange *ex, struct http_piece *stretch);

    /* The first n bytes of what was seen last have gone. */
    void (*take)(struct http_exchange *ex, size_t n);

    /* After SOURCE_END: appends the lines of the body's trailers to out. NULL: there are none. False: out of memory. */
    bool (*add_trailers)(struct http_exchange *ex, struct buf *out);

    /*
     * Nobody wants more of the body: it is out, or the client gone, or another response takes its place. A handler
     * or an upstream is no longer the request's then; where a job keeps the request, the connection has a copy, or nothing.
     */
    void (*stop)(struct http_exchange *ex);

    /*
     * For how long a wait for the source or for the client may go on, in ms: at_most_ms, or less. 0: without end. NULL: the
     * source sets no bound.
     */
    int64_t (*time_left_ms)(const struct http_exchange *ex, int64_t at_most_ms);

    /* After SOURCE_TUNNEL, when all before it is with the client: the client's stream is taken over. */
    void (*tunnel)(struct http_exchange *ex);

    /* Where the request's body is taken while it comes: more of it lies in the request, or its end has come. */
    void (*body_came)(struct http_exchange *ex, bool whole);

    /* Whether that goes on though the response has begun. NULL: never. */
    bool (*takes_body)(const struct http_exchange *ex);

    /* Likewise: whether no more of the body may be read for now. */
    bool (*body_is_full)(const struct http_exchange *ex);

    /* Whether the source goes on though the client has left. NULL: never. */
    bool (*outlives_client)(const struct http_exchange *ex);

    /* The body comes as it is made: what filters hold is not kept back while there is no more. */
    bool is_live;
    /* A client that has said its last while the body goes out ends the response. */
    bool needs_client;
};

static inline bool source_takes_body(const struct http_exchange *ex)
{
    return ex->source && ex->source->takes_body && ex->source->takes_body(ex);
}

/* What the response holds as pieces: the source where there is no other. */
extern const struct source source_pieces;

/* With ex->job; with ex->proxy. */
extern const struct source source_handler;
extern const struct source source_upstream;

#endif
