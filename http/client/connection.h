/*
 * http/client/connection.h - a client's connection, whatever version of HTTP it speaks: what it holds, its gauges, its timer and
 * its end.
 *
 * What is read and written is its version's affair (http/client/version.h). Requests know nothing of it but by struct
 * client_protocol.
 * Ownership: a connection owns its stream and its buffers; its requests are the worker's, and live as long as they are answered.
 * Threads:   the loop's.
 */
#ifndef WEIR_HTTP_CLIENT_CONNECTION_H
#define WEIR_HTTP_CLIENT_CONNECTION_H

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

struct body_rest;
struct connection_version;
struct h2_session;

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

/* As small as can be: an idle client costs this and an entry of libev's table, nothing else. Times are the worker's clock. */
struct connection {
    /* First: the watcher of an event is the connection. It reads always, and writes while output waits. */
    struct net_stream stream;
    struct wheel_entry timer; /* what the client has to do, and by when */
    struct list_node link;    /* in the worker's busy, idle or dead */
    const struct connection_version *version;
    struct listener *listener;
    struct http_exchange *ex;   /* HTTP/1: being read or answered, or NULL */
    struct h2_session *session; /* HTTP/2; else NULL */
    /* Of the last request, or of the default server. */
    const struct settings *settings;
    struct pending_input *in;      /* read and not used, or NULL */
    struct body_rest *rest;        /* HTTP/1: before other input; or NULL */
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
    /* HTTP/1: so much input waits behind a request at work that no more is read: whether the client leaves is looked for. */
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

/* No request of HTTP/1 is being read or answered. */
static inline bool connection_is_between(const struct connection *c)
{
    return c->state == CONNECTION_OPEN && !c->ex;
}

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
struct connection *connection_open(struct listener *l, int fd, const struct sockaddr_storage *peer);

/* Fills in where requests of the connection come from. */
void connection_identify(const struct connection *c, struct http_client *client);

/* How large a request's head may be: large_client_header_buffers of the default server. */
struct http_head_limits connection_head_limits(const struct connection *c);

#endif
