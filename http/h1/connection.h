/*
 * http/h1/connection.h - a client's connection of HTTP/1: what it holds, its gauges, its timer and its end.
 *
 * A connection reads heads, gives requests away, writes their responses, and is kept or closed. Requests know nothing of it
 * but by struct client_protocol.
 * Ownership: a connection owns its stream and its buffers; its request is the worker's, and lives as long as it is answered.
 * Threads:   the loop's.
 */
#ifndef WEIR_HTTP_H1_CONNECTION_H
#define WEIR_HTTP_H1_CONNECTION_H

#include "base/buf.h"
#include "base/list.h"
#include "base/wheel.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/site/site.h"
#include "http/wire/chunked.h"
#include "http/wire/request.h"
#include "net/proxy_protocol.h"
#include "net/stream.h"
#include "shm/shm.h"
#include "worker/loop/worker_state.h"

enum connection_state {
    /* Reads heads; with a request it is the request's state that counts. */
    CONNECTION_OPEN,
    /* Another protocol: bytes go both ways (proxy/tunnel.c). */
    CONNECTION_TUNNEL,
    /* All responses are sent and writing has ended; what the client still sends is read, or it might not see the last one. */
    CONNECTION_LINGER
};

/* The start of a request whose rest has not arrived, or requests that wait for their turn. */
struct pending_input {
    struct buf buf;
    struct http_scan scan; /* of the head at its front */
    uint64_t since_ms;     /* when its first byte came */
};

/* Of a request's body that nobody wants: what is still to come. */
struct body_rest {
    struct http_chunked chunked;
    uint64_t left;     /* of a body with a length */
    uint64_t until_ms; /* lingering_time */
    bool is_chunked;
};

/* As small as can be: an idle client costs this and an entry of libev's table, nothing else. Times are the worker's clock. */
struct connection {
    /* First: the watcher of an event is the connection. It reads always, and writes while output waits. */
    struct net_stream stream;
    struct wheel_entry timer; /* what the client has to do, and by when */
    struct list_node link;    /* in the worker's busy, idle or dead */
    struct listener *listener;
    struct http_exchange *ex; /* being read or answered, or NULL */
    /* Of the last request, or of the default server. */
    const struct settings *settings;
    struct pending_input *in;      /* read and not used, or NULL */
    struct body_rest *rest;        /* before any other input; NULL: none */
    struct buf *out;               /* to be sent; NULL: nothing waits */
    struct net_proxy_header *told; /* by the PROXY protocol, or NULL */
    struct connection *next_ready; /* with is_ready */
    uint64_t id;
    uint64_t since_ms; /* when the client was accepted */
    /* Lingering: the end of that. Idle: until then the connection is not closed to make room for others. */
    uint64_t until_ms;
    uint32_t requests;
    uint8_t state;       /* enum connection_state */
    uint8_t shown_state; /* enum shm_connection_state: the gauge */
    bool close_after;    /* close once the output is sent */
    /* With close_after: linger before that, as the client may still be sending. */
    bool linger_after;
    bool eof; /* the client sends nothing more */
    /* listen ... ssl: whether it speaks TLS is known. */
    bool has_begun;
    /* And how its handshake ended has been counted. */
    bool has_greeted;
    /* So much input waits behind a request at work that no more is read: whether the client leaves is looked for. */
    bool deaf;
    bool is_ready; /* in the worker's list `ready` */
    /* Closed: holds nothing any more, and is freed when the turn ends. */
    bool dead;
    uint8_t remote_len; /* 4, 16, or 0 for a unix socket */
    /* Address and port of an IP client, in network order. */
    unsigned char remote[18];
};

static inline struct worker *connection_worker(const struct connection *c)
{
    return c->listener->worker;
}

/* Between requests, or reading a head. */
static inline bool connection_is_between(const struct connection *c)
{
    return c->state == CONNECTION_OPEN && !c->ex;
}

/* Whether there is a request, and in this state. */
static inline bool connection_request_is(const struct connection *c, enum request_state state)
{
    return c->ex && c->ex->state == state;
}

/* The request is with its upstream, and its body still comes. */
static inline bool connection_passes_body(const struct connection *c)
{
    return connection_request_is(c, REQUEST_PROXY) && !c->ex->body.whole;
}

/* The request is read as far as it has to be, and not yet answered. */
bool connection_has_request_at_work(const struct connection *c);

/* Whether the request goes on without its client: proxy_ignore_client_abort. */
bool connection_ignores_abort(const struct connection *c);

/* Of the request; between requests of the last one, or of the default server. */
const struct settings *connection_settings(const struct connection *c);

/*
 * Whatever the connection holds goes back at once, its request with a line of the log where that is not over. Its memory stays
 * to the end of the turn, so that whoever has it may look at `dead`. Harmless on one that is dead.
 */
void connection_close(struct connection *c);

/* The close is going to be a reset, where reset_timedout_connection says so. */
void connection_reset(struct connection *c);

/* Free what has been read and not used; what was to be sent. */
void connection_drop_input(struct connection *c);
void connection_drop_output(struct connection *c);

/* Counts the connection in this gauge from now on, and no longer in the one before. */
void connection_show(struct connection *c, enum shm_connection_state state);

/* What is expected of the client has to come within this time; 0: nothing is expected. */
void connection_set_timer(struct connection *c, int64_t after_ms);

/* There is something to go on with: drives the connection before this turn ends, unless it is being driven or dead. */
void connection_ready(struct connection *c);

/*
 * A new client with the descriptor fd, which the connection owns; it is counted and watched from now on. NULL: out of memory,
 * and fd is closed.
 */
struct connection *connection_open(struct listener *l, int fd, const struct sockaddr_storage *peer,
                                   void (*on_event)(struct ev_loop *loop, ev_io *io, int events));

#endif
