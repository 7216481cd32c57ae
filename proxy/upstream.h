/*
 * proxy/upstream.h - upstreams as a worker has them: their servers, choosing one, connections to them.
 *
 * Everything belongs to the loop's thread.
 */
#ifndef WEIR_PROXY_UPSTREAM_H
#define WEIR_PROXY_UPSTREAM_H

#include "http/site/site.h"
#include "net/stream.h"
#include "net/tls.h"
#include "proxy/tls.h"
#include "worker/loop/worker_state.h"

enum {
    UPSTREAM_TRIED_WORDS = PEERS / 64,
    /* For so long idle connections beyond `keepalive` wait. */
    UPSTREAM_SURPLUS_MS = 100
};

/* --- proxy/upstream.c --- */

/* Opens the groups and servers of the site in shared memory. False: there is no room for them. */
bool upstream_open_all(struct worker *w);
bool upstream_open(struct worker *w, struct upstream *u);

/* Its servers are now those that `servers` lists the addresses of. False: no room. */
bool upstream_set_peers(struct worker *w, struct upstream *u);

/* Once a second: says that the upstreams are in use; while the worker drains it closes idle connections. */
void upstream_look_after(struct worker *w);

void peer_release(struct peer *peer);

struct upstream_connection {
    /* Its events are its user's; while it is idle only the other side's closing is waited for. First. */
    struct net_stream stream;
    struct list_node link;
    struct worker *worker;
    struct upstream *upstream;
    struct peer *peer;
    struct wheel_entry timer; /* while it is idle: the end of that */
    uint64_t made_ms;
    uint32_t requests; /* that it has carried before this one */
    uint32_t kind;     /* of connection: only the same is reused */
    /* Of one in TLS, likewise; NULL: it is plain. The text is of malloc. */
    const struct net_tls_context *tls_context;
    struct slice tls_as;
    bool is_trusted;                  /* its server is the right one */
    struct upstream_session *session; /* that has come before that was known */
    /* proxy/http2.h: of a connection that carries streams; and of one that is a stream. */
    struct http2_connection *carrier;
    bool is_stream;
    bool is_refused; /* the server has not looked at its request */
    /* Of a stream that the server has reset: why (RFC 9113 section 7). */
    bool is_reset;
    uint32_t reset_code;
};

/* How a connection is to be made. */
struct upstream_dial {
    const struct net_address *local; /* NULL: any */
    /* A number for what makes connections differ; 0: nothing does. */
    uint32_t kind;
    const struct upstream_tls *tls; /* NULL: plain */
    struct slice tls_as;
    bool transparent, keepalive;
    bool fresh; /* not a kept one */
    bool http2;
};

/* A kept connection to this server, or a new one that is being made. NULL with errno. */
struct upstream_connection *upstream_connect(struct worker *w, struct upstream *u, struct peer *peer,
                                             const struct upstream_dial *dial);

/* Whether a connection is as this one would be made. */
bool upstream_is_of_kind(const struct upstream_connection *uc, const struct upstream_dial *dial);

/* Its request is over: keeps it for another, or closes it. strictly: never beyond `keepalive`, as others wait for what it holds. */
void upstream_keep(struct upstream_connection *uc, int64_t idle_s, bool strictly);
void upstream_on_timer(struct wheel_entry *e);
void upstream_close(struct upstream_connection *uc);

/* --- proxy/sticky.c --- */

/* Gives a peer its id. */
void sticky_name_peer(struct peer *peer);

/* The id that a request asks for; empty: none. */
struct slice sticky_wanted(struct http_exchange *ex, const struct upstream *u);

/* The peer has answered: adds the cookie that binds the client to it, or learns of a session. False: out of memory. */
bool sticky_on_head(struct http_exchange *ex, const struct upstream *u, const struct peer *peer);
/* And its answer is whole. */
void sticky_on_end(struct http_exchange *ex, const struct upstream *u, const struct peer *peer);

/* --- proxy/balance.c --- */

/* Who asks for a server. */
struct upstream_ask {
    const struct http_exchange *ex;
    struct slice key; /* the value of the hash key */
    /* The id of the server that it is bound to; empty: none. */
    struct slice wanted;
    /* A bit for each peer of the shared memory; NULL: none. */
    const uint64_t *tried;
    /* It comes out of the queue: others do not go first. */
    bool waited;
};

enum upstream_choice {
    /* *peer counts the request as active until balance_done. */
    UPSTREAM_CHOSEN,
    /* All that are well have max_conns connections. */
    UPSTREAM_BUSY,
    UPSTREAM_NONE
};

enum upstream_choice balance_choose(struct worker *w, struct upstream *u, const struct upstream_ask *ask,
                                    struct peer **peer);

enum upstream_result {
    /* Nothing can be said of it, as when a kept connection was just being closed. */
    UPSTREAM_NOT_ASKED,
    /* The client went, or it was not the server's fault. */
    UPSTREAM_LEFT,
    UPSTREAM_SERVED,
    UPSTREAM_FAILED
};

struct upstream_outcome {
    enum upstream_result result;
    int status; /* of the answer; 0: none came */
    uint64_t response_us;
    uint64_t header_us; /* HTTP_TRY_NEVER: none came */
};

/* True when the server has failed so often that it gets no requests for a while. */
bool balance_done(struct worker *w, struct upstream *u, struct peer *peer,
                  const struct upstream_outcome *outcome);

/* Room that is of no use here is another worker's turn. */
void balance_wake(struct worker *w, struct upstream *u);

/* Whether a request of this worker comes next: no worker that runs has one that has waited longer. */
bool balance_is_next(struct worker *w, struct upstream *u);

/* Puts right what stands in shared memory of this worker's connections and queue, should it have been overwritten. */
void balance_look_after(struct worker *w, struct upstream *u);

/* Adds one to a counter of the group. */
void balance_count(struct worker *w, struct upstream *u, uint64_t *counter);

/* The queue of this worker has changed: its length stands in u, its oldest request waits since oldest_us. */
void balance_wait(struct worker *w, struct upstream *u, uint64_t oldest_us);

/* The ring of `hash ... consistent`, after the servers have changed. */
void balance_make_points(struct upstream *u);

/* --- proxy/resolve.c --- */
bool resolve_open(struct worker *w);

/* Once a second: asks again for names whose time is over. */
void resolve_look_after(struct worker *w);

/*
 * The upstream that a text with variables names: a group, or a server. While its name is being resolved it has no peers and
 * `resolving` of its server is true. NULL: the text is no address, or there are too many.
 */
struct upstream *resolve_upstream(struct worker *w, struct slice host);

/* Whether such a text is a group, an address, or a name with or without a port, which may yet lead nowhere. */
bool resolve_is_target(const struct worker *w, struct slice host);

/* --- proxy/health.c --- */
bool health_open(struct worker *w);

/* A peer goes: ends the check under way. */
void health_forget(struct peer *peer);

#endif
