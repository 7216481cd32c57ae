/*
 * worker/loop/worker_state.h - a worker: one process, one loop, its connections, pools and clocks.
 *
 * Threads: the loop's, but for what pools are given.
 */
#ifndef WEIR_WORKER_LOOP_WORKER_STATE_H
#define WEIR_WORKER_LOOP_WORKER_STATE_H

#include "base/file_cache.h"
#include "conf/settings.h"
#include "http/request/exchange.h"
#include "shm/permit.h"
#include "shm/shm.h"
#include "worker/loop/options.h"
#include "worker/loop/pools.h"

#include <ev.h>

enum {
    INPUT_BYTES = 64 << 10, /* one read at most */
    /* More waiting output than this is sent before the next request is looked at. */
    OUTPUT_FLUSH_BYTES = 64 << 10,
    /* What is more of one body waits for the next turn. */
    SEND_AT_ONCE_BYTES = 2 << 20,
    EXCHANGES_KEPT = 64, /* unused ones, for the next requests */
    POOLS_MAX = CONF_POOLS_MAX,
    /* Kinds of entries of the wheel; 0: a client's connection. */
    WORKER_TIMER_PROXY = 1,
    WORKER_TIMER_UPSTREAM = 2, /* an idle connection to an upstream */
    WORKER_TIMER_REQUEST = 3,
    WORKER_TIMER_STREAM = 4,  /* of HTTP/2 */
    WORKER_TIMER_CARRIER = 5, /* an idle one to an upstream */
    /* Of libev's: what is finished and what is admitted go before new requests. */
    URGENT_PRIORITY = 1,
    URGENT_EVERY = 4 /* connections until worker_do_urgent */
};

struct connection;
struct connection_version;
struct doors;
struct lending;
struct worker;
struct proxy;
struct file_read;

/* One of a worker's listening sockets, or an address of its own within one that is bound to all. */
struct listener {
    ev_io io; /* without `within` only */
    struct worker *worker;
    struct site_listen *listen;
    struct listener *narrower; /* the first address within this one */
    struct listener *next_narrower;
    uint64_t next_complaint_ms; /* of errors of its own */
};

struct worker_pool {
    struct pool *pool;
    const struct conf_pool *conf;
    struct shm_pool *place;
    unsigned tasks;     /* submitted and not collected */
    unsigned given_up;  /* of those, and replaced */
    uint64_t logged_ms; /* when a refusal was last logged; 0: never */
    uint64_t silent;    /* refusals since, which have not been */
};

/* Refusals of a zone that have not been logged one by one. */
struct limit_noise {
    const struct conf_zone *zone;
    int level;
    uint64_t logged_ms, silent;
};

/* What a worker that has more connections than its siblings leaves to them: worker/spread.c. */
struct worker_spread {
    ev_timer moment; /* nothing is accepted while it runs */
    void (*over)(struct worker *w);
    uint64_t accepted_elsewhere; /* when the moment began */
    uint64_t since_ms;           /* nobody has taken anything */
    uint64_t back_ms;            /* when the moment ended */
    uint64_t alone_until_ms;     /* nothing is left before: nobody takes it */
};

/* What rooms above this one do when it is their turn. */
struct worker_hooks {
    void (*settle_limits)(struct worker *w); /* permits have come */
    void (*settle_queues)(struct worker *w); /* servers of upstreams may have room */
    void (*run_ready)(struct worker *w);     /* requests that have been resumed go on */
    void (*woken)(struct worker *w);         /* threads have something to tell */
    void (*collected)(struct worker *w);     /* what they had to tell has been heard */
};

struct worker {
    struct ev_loop *loop;
    struct worker_hooks hooks;
    /* What clients speak; http/client/version.h. */
    const struct connection_version *http1, *http2;
    const struct worker_options *options;
    struct conf *conf;
    struct site *site;
    struct shm *shm;
    struct shm_slot *slot;
    struct zone_figures **zones; /* in the slot, as many as the site has */
    struct listener *listeners;
    /* Those with sockets; the addresses within them follow in the array. */
    int listener_count;
    bool accepting;
    bool draining; /* no new connections; finish what runs */
    /* Nobody says who of the siblings has died. */
    bool master_is_gone;
    ev_timer accept_pause;
    struct worker_spread spread;
    struct doors *doors;     /* worker/loop/doors.c; NULL: no siblings */
    struct lending *lending; /* handlers/lend.c; NULL: likewise */
    /* Connections that live, each in one of the two; idle ones oldest first. */
    struct list_node busy, idle;
    struct list_node dead; /* connections closed in this turn */
    /* Connections of HTTP/2 to upstreams with something to do: proxy/http2.h. */
    struct list_node carriers;
    /* Connections to be driven before the turn ends, in this order. */
    struct connection *ready, **ready_end;
    struct list_node orphans;                     /* jobs that go on without request */
    void (*look_after_orphans)(struct worker *w); /* now and then, with jobs */
    /* Of bodies of the connection being driven, sent in this turn. */
    uint64_t streamed_bytes;
    unsigned connections; /* that live: in busy or idle */
    /* Those by state, as the slot shows them; the sum is `connections`. */
    unsigned shown[SHM_CONNECTION_STATES];
    unsigned in_flight; /* requests */
    unsigned http2_connections, http2_streams;
    struct connection *driving; /* whose turn it is, or NULL */
    unsigned jobs;              /* given to a pool and not yet ended */
    /* Of those: nobody waits for them any more, nor does the worker's end. */
    unsigned given_up;
    struct worker_pool pools[POOLS_MAX];
    int pool_count;
    ev_async pool_wake;
    ev_timer expire;                     /* runs while there are jobs */
    struct pool_notice *_Atomic notices; /* of threads */
    struct permit_user permits;
    struct http_exchange **waiting; /* by permit: who waits for it */
    unsigned waiters;
    ev_io limit_socket;
    ev_timer limit_look; /* runs while there are waiters */
    struct limit_noise limit_noise[PERMIT_ZONES];
    unsigned served_in_turn, served_last_turn; /* connections */
    unsigned shaken_in_turn_us;                /* handshakes */
    unsigned refused;                          /* requests, since the last sched_yield */
    unsigned served_since_urgent;              /* connections */
    struct wheel wheel;
    ev_timer wheel_timer;
    ev_timer log_flush;      /* runs while lines wait for their flush= */
    uint64_t wheel_armed_ms; /* when wheel_timer fires; 0: stopped */
    ev_prepare before_wait;
    ev_check after_wait;
    ev_timer heartbeat;
    ev_io channel;
    ev_signal signals[4];
    uint64_t now_ms;             /* monotonic, of this turn */
    uint64_t now_wall_ms;        /* of this turn */
    struct http_stamp stamps[2]; /* without and with the version */
    struct file_cache files;
    struct open_log *open_logs; /* http/serve/open_logs.c */
    int open_log_count;
    /* What the connection being driven has to send: most responses never get a buffer of their own. Else empty. */
    struct buf output;
    char *input; /* INPUT_BYTES */
    struct http_exchange *free_exchanges[EXCHANGES_KEPT];
    int free_exchange_count;
    struct http_exchange *buried;
    uint64_t busy_since_purge; /* requests since memory was given back */
};

#endif
