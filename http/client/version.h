/*
 * http/client/version.h - what a version of HTTP makes of a client's connection: whom the connection calls.
 *
 * A connection begins as one of HTTP/1. Where its first bytes, or its handshake, say that the client speaks HTTP/2, that has it
 * from then on. The worker knows both (worker_state.h).
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_CLIENT_VERSION_H
#define WEIR_HTTP_CLIENT_VERSION_H

#include "http/client/connection.h"
#include "http/request/client.h"

struct connection_version {
    const struct client_protocol *protocol; /* of its requests */
    net_on_event *on_event;

    /* The connection is this version's from now on; data is what has been read and not used. */
    void (*begin)(struct connection *c, const char *data, size_t len);

    /* Reads what is there, and uses it. False when there is nothing now; the connection may be dead afterwards. */
    bool (*read)(struct connection *c);

    /* Goes on with whatever its state allows: it has stood on the ready list. */
    void (*drive)(struct connection *c);

    /* Its timer is over. */
    void (*on_time)(struct connection *c);

    /* No more can be read, at an errno or 0. */
    void (*at_end)(struct connection *c, int error);

    /* The worker is going to end. */
    void (*drain)(struct connection *c);

    /* It is being closed: its requests end where they stand, and what is the version's own goes back. */
    void (*close)(struct connection *c);

    /* The request that is being worked at, or NULL. Safe in a signal handler. */
    const struct http_exchange *(*at_work)(const struct connection *c);
};

#endif
