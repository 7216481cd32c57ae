/*
 * http/h1/h1.h - HTTP/1 with clients: what the files of the room share.
 *
 * A connection reads heads, gives requests away, writes their responses, and is kept or closed. Requests know nothing of it
 * but by struct client_protocol.
 * Ownership: a connection owns its stream and its buffers; its request is the worker's, and lives as long as it is answered.
 * Threads:   the loop's.
 */
#ifndef WEIR_HTTP_H1_H1_H
#define WEIR_HTTP_H1_H1_H

#include "http/h1/connections.h"
#include "http/request/client.h"
#include "http/request/source.h"
#include "http/site/site.h"
#include "http/wire/chunked.h"
#include "net/proxy_protocol.h"
#include "net/stream.h"
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

/* Whether it has a request that is in this state. */
static inline bool request_is(const struct connection *c, enum request_state state)
{
    return c->ex && c->ex->state == state;
}

extern const struct client_protocol h1_protocol;

/* --- h1_connection.c --- */

/* Whatever it holds goes back at once; its memory stays to the end of the turn, so that whoever has it may look at `dead`. */
void connection_close(struct connection *c);

/* Its close will be a reset, where reset_timedout_connection says so. */
void connection_reset(struct connection *c);

/* Of a lingering connection: until when the next bytes must have come. */
void connection_set_linger_timer(struct connection *c);

/* Answered and all sent: closes, or lingers first. */
void connection_finish(struct connection *c);
const struct settings *connection_settings(const struct connection *c);
void connection_drop_input(struct connection *c);
void connection_drop_output(struct connection *c);
void connection_show(struct connection *c, enum shm_connection_state state);
void connection_set_timer(struct connection *c, int64_t after_ms);

/* --- h1_drive.c --- */

/* Goes on with whatever the state allows: parses input, runs requests, sends. */
void connection_drive(struct connection *c);

/* It has something to go on with: it is driven before this turn ends, by connection_run_ready, unless it is being driven. */
void connection_ready(struct connection *c);

/* The event callback of a connection. */
void connection_on_event(struct ev_loop *loop, ev_io *io, int events);

/* Looks whether a request is there already, as it often is on a new connection. */
void connection_try_read(struct connection *c);

/* The same on an idle connection whose time is over: what came at the last moment is served, else it is closed. */
void connection_expire(struct connection *c);

/* Between requests: no more of a head will come. Logs what has come of one, if any, with a status and why, and closes. */
void connection_end_head(struct connection *c, int status, const char *why);

/* --- h1_head.c --- */

/* A complete head: parses it, and begins its request. */
struct verdict h1_start(struct connection *c, struct slice head);

/* Input that is no request, of which whole_lines bytes are whole lines. */
struct verdict h1_refuse(struct connection *c, struct slice head, size_t whole_lines,
                         const struct http_error *error);

/* A head whose end never comes: logs the status, with no byte of a response, and why, and closes the connection. */
void h1_leave_unfinished(struct connection *c, struct slice head, size_t whole_lines, int status,
                         const char *why);

/* Whether the response in the making is to be the connection's last. */
bool h1_is_last(const struct http_exchange *ex);

/* Fills in where requests of the connection come from. */
void h1_identify(const struct connection *c, struct http_client *client);

/* --- h1_body.c --- */

/* Takes bytes of the request's body off data. Returns how many; sets *done, or *error to a status. */
size_t h1_take_body(struct http_exchange *ex, char *data, size_t len, bool *done, int *error);

/* What is still to come of the body is not wanted, and must not be taken for another request. */
void h1_drop_body(struct http_exchange *ex);

/* With c->rest: takes bytes of it off data. Returns how many. */
size_t h1_skip_body(struct connection *c, char *data, size_t len);

/* --- h1_output.c --- */

/* Where output of this connection goes now. It is being driven. */
struct buf *h1_output(struct connection *c);

/* A buffer of its own for output, for one that is not being driven. NULL: out of memory. */
struct buf *h1_own_output(struct connection *c);

/* Sends what waits. False when the socket takes no more for now, or failed (then the connection is closed). */
bool h1_flush(struct connection *c, bool more_follows);

/* The socket failed: closes, unless it only takes no more for now. Always false. */
bool h1_send_failed(struct connection *c);

/* For as long as the client may take with what waits, and its source. */
void h1_set_send_timer(struct connection *c);

/* --- h1_response.c --- */

/* Goes on with the body. True when something came of it, or it has ended: then there may be more to do. */
bool h1_send_body(struct http_exchange *ex);

#endif
