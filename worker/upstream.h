/*
 * worker/upstream.h - connections to upstreams: choosing a server, connecting, keeping idle connections.
 *
 * Everything belongs to the loop's thread.
 */
#ifndef WEIR_WORKER_UPSTREAM_H
#define WEIR_WORKER_UPSTREAM_H

#include "worker/core.h"

struct upstream_connection {
    ev_io io; /* while it is used, its user's; while it is idle it waits for the other side to close */
    struct list_node link;
    struct worker *worker;
    struct upstream *upstream;
    struct peer *peer;
    uint64_t idle_since_ms;
    uint32_t requests; /* that it has carried before this one */
};

/* The next server by smooth weighted round robin, without those that are marked in `tried`; NULL: none. */
struct peer *upstream_choose(struct upstream *u, const bool *tried, uint64_t now_ms);

/* What became of a request to it. */
void upstream_failed(struct peer *peer, uint64_t now_ms);
void upstream_succeeded(struct peer *peer);

/* A kept connection to this server, or a new one that is being made. NULL with errno. io is not started. */
struct upstream_connection *upstream_connect(struct worker *w, struct upstream *u, struct peer *peer,
                                             bool may_reuse);

/* Its request is over: keeps it for another, or closes it. */
void upstream_keep(struct upstream_connection *uc);
void upstream_close(struct upstream_connection *uc);

/* Closes all that are idle and older than keepalive_timeout; with all: every idle one. */
void upstream_close_idle(struct worker *w, bool all);

#endif
