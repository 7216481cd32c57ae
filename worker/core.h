/*
 * worker/core.h - the structures that the files of worker/ share: the worker and its connections.
 *
 * Everything here belongs to the loop's thread.
 */
#ifndef WEIR_WORKER_CORE_H
#define WEIR_WORKER_CORE_H

#include "base/wheel.h"
#include "handlers/file_cache.h"
#include "handlers/job.h"
#include "net/proxy_protocol.h"
#include "net/stream.h"
#include "shm/permit.h"
#include "worker/pools.h"
#include "worker/wait.h"
#include "worker/worker.h"

#include <ev.h>

enum {
    INPUT_BYTES = 64 << 10, /* one read at most */
    OUTPUT_FLUSH_BYTES =
        64 << 10, /* more waiting output than this is sent before the next request is looked at */
    SEND_AT_ONCE_BYTES = 2 << 20, /* more of one body waits for the next turn */
    EXCHANGES_KEPT = 64,          /* unused exchanges kept for the next requests */
    POOLS_MAX = CONF_POOLS_MAX,
    WORKER_TIMER_PROXY = 1,    /* kinds of wheel entries; 0: a connection's */
    WORKER_TIMER_UPSTREAM = 2, /* an idle connection to an upstream */
    WORKER_TIMER_REQUEST = 3,
    URGENT_PRIORITY = 1, /* of libev's: finished and admitted work goes before new requests */
    URGENT_EVERY = 4     /* connections served between two looks for such work */
};

struct connection;
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
    uint64_t logged_ms; /* when a refusal was last logged; 0: never */
    uint64_t silent;    /* refusals since, which have not been */
};

/* Refusals of a zone that have not been logged one by one. */
struct limit_noise {
    const struct conf_zone *zone;
    int level;
    uint64_t logged_ms, silent;
};

/* What rooms above the loop do when it is their turn. */
struct worker_hooks {
    void (*settle_limits)(struct worker *w); /* permits have come */
    void (*settle_queues)(struct worker *w); /* servers of upstreams may have room */
    void (*run_ready)(struct worker *w);     /* requests that have been resumed go on */
};

struct worker {
    struct ev_loop *loop;
    struct worker_hooks hooks;
    const struct worker_options *options;
    struct conf *conf;
    struct site *site;
    struct shm *shm;
    struct shm_slot *slot;
    struct listener *listeners;
    int listener_count; /* of those with sockets; the addresses within them follow */
    bool accepting;
    bool draining; /* QUIT: no new connections, finish what runs */
    ev_timer accept_pause;
    struct list_node busy, idle;                  /* connections; idle ones oldest first */
    struct list_node dead;                        /* closed in this turn */
    struct connection *ready, **ready_end;        /* to be driven before the turn ends, in this order */
    struct list_node orphans;                     /* jobs that run on though nobody waits for them */
    void (*look_after_orphans)(struct worker *w); /* now and then while there are jobs */
    uint64_t streamed_bytes;                      /* of the connection being driven, in this turn */
    unsigned connections;
    unsigned shown[SHM_CONNECTION_STATES]; /* connections by state: as the slot shows them */
    unsigned in_flight;                    /* requests */
    struct connection *driving;            /* whose turn it is, or NULL */
    unsigned jobs;                         /* given to a pool and not yet ended */
    unsigned given_up; /* of those: nobody waits for them any more, nor does the worker's end */
    struct worker_pool pools[POOLS_MAX];
    int pool_count;
    ev_async pool_wake;
    ev_timer expire;                     /* runs while there are jobs */
    struct pool_notice *_Atomic notices; /* of threads: there is something to hear */
    struct permit_user permits;
    struct http_exchange **waiting; /* by permit: who waits for it */
    unsigned waiters;
    ev_io limit_socket;
    ev_timer limit_look; /* runs while there are waiters */
    struct limit_noise limit_noise[PERMIT_ZONES];
    unsigned served_in_turn, served_last_turn; /* connections */
    unsigned refused;                          /* requests, since the processor was given away */
    unsigned served_since_urgent;              /* connections, since worker_do_urgent */
    struct wheel wheel;
    ev_timer wheel_timer;
    ev_timer log_flush;      /* runs while lines wait for the flush= of their log */
    uint64_t wheel_armed_ms; /* when wheel_timer fires; 0 when it is stopped */
    ev_prepare before_wait;
    ev_check after_wait;
    ev_timer heartbeat;
    ev_io channel;
    ev_signal signals[4];
    uint64_t now_ms;             /* monotonic, of this turn */
    uint64_t now_wall_ms;        /* of this turn */
    struct http_stamp stamps[2]; /* without and with the version */
    struct file_cache files;
    struct open_log *open_logs; /* worker/open_logs.c */
    int open_log_count;
    struct buf
        output;  /* what the connection at hand has to send: most answers never get a buffer of their own */
    char *input; /* INPUT_BYTES */
    struct http_exchange *free_exchanges[EXCHANGES_KEPT];
    int free_exchange_count;
    uint64_t busy_since_purge; /* requests since memory was given back */
};

/* --- worker/loop.c --- */
/* Writes memory, CPU time and heartbeat to the slot. */
void worker_publish_figures(struct worker *w);

/* What must not wait for the rest of a turn: answers of handlers, and requests that have got their permit. */
void worker_do_urgent(struct worker *w);

/* --- worker/variables.c --- */

/* Where $connections_active and its kin count. */
void variables_open(const struct shm *shm);

/* --- worker/become.c --- */

/* Takes on what the configuration says of workers. False: it must not run. */
bool become_worker(const struct worker_options *options);

/* --- worker/accept.c --- */
bool accept_open(struct worker *w);
void accept_start(struct worker *w);
void accept_stop(struct worker *w);
void accept_close(struct worker *w);

/* --- worker/request.c --- */
struct http_exchange *exchange_new(struct worker *w);

/* Parses ex->head as the listener's default server wants it. */
bool exchange_parse(struct http_exchange *ex, struct http_error *error);

/* With ex->client filled in: the clocks, and what the PROXY protocol has said. */
void exchange_begin(struct http_exchange *ex, struct worker *w);
void exchange_destroy(struct http_exchange *ex);
/* Gives back whatever it holds, at once; its memory; or both. */
void exchange_release(struct worker *w, struct http_exchange *ex);
void exchange_recycle(struct worker *w, struct http_exchange *ex);
void exchange_free(struct worker *w, struct http_exchange *ex);

/*
 * The exchange stays with its job, which outlives the request: the connection has a copy from now on, which answers and logs.
 * NULL: out of memory, and the connection has none.
 */
struct http_exchange *exchange_leave_to_job(struct http_exchange *ex);

/* A request comes: it is counted, and stands at this location until its own is found. */
void request_begin(struct http_exchange *ex, const struct location *l);

/* Its head is parsed: it is routed. */
struct verdict request_start(struct http_exchange *ex);

/* Its head is none, or not whole: the error log is told why, as the server that the head names wants it. */
void request_log_refusal(struct http_exchange *ex, const char *why, bool in_headers);

/* It ends with this status and not a byte of a response: counts and logs it. Its memory stays to the end of the turn. */
void request_end_unanswered(struct http_exchange *ex, int status);

/* --- worker/serve.c --- */

/* The one loop that runs a request: phases, error pages, other URIs, until it waits or has been answered. c is being driven. */
void request_serve(struct http_exchange *ex, struct verdict v);

/* With c being driven: serves what has been resumed. */
void request_serve_resumed(struct http_exchange *ex);

/* --- worker/access.c --- */

/* What allow and deny say of the client. */
enum access_verdict { ACCESS_UNKNOWN /* no line is for it */, ACCESS_ALLOWED, ACCESS_DENIED };
enum access_verdict access_look(struct http_exchange *ex);

/* limit_except: the location with its limits, where the method is not excepted; else l. */
const struct location *access_limited(const struct http_exchange *ex, const struct location *l);

/* --- worker/auth.c --- */

struct verdict auth_pass(struct http_exchange *ex);

/* A thread has checked the password: `result` is 0 or a status; done false: it could not. */
struct verdict auth_answered(struct http_exchange *ex, bool done, int result);

/* --- worker/auth_request.c --- */

/* Asks the location of auth_request: it takes the request's place; auth_pass comes again when it has answered. */
struct verdict auth_request_ask(struct http_exchange *ex);

/* With ex->aside: it has answered. The request is itself again. */
struct verdict auth_request_ended(struct http_exchange *ex, int status);

/* --- worker/headers.c --- */

/* Adds what the configuration adds to answers. False: out of memory. */
bool headers_add(struct http_exchange *ex);

/* Whether add_trailer has something for this answer: then it goes out in chunks. */
bool headers_want_trailers(struct http_exchange *ex);

/* Appends the lines of add_trailer. */
bool headers_add_trailers(struct http_exchange *ex, struct buf *out);

/* --- worker/rewrite.c --- */

/* The server block of ex->route.server is known: runs its steps, and finds the location with those of the locations. */
void rewrite_route(struct http_exchange *ex);

/* This location, after its steps; they may lead on to another one. */
void rewrite_in_location(struct http_exchange *ex, const struct location *l);

/* --- worker/redirect.c --- */

/* The settings of this location are those of the request from now on. */
void request_use_location(struct http_exchange *ex, const struct location *l);

/* Finds server and location for the exchange's host and path. */
void request_route(struct http_exchange *ex);

/* The server block for the request's host, which becomes the exchange's. */
const struct vserver *request_find_server(struct http_exchange *ex);

/* False: it has gone round too often. */
bool request_count_redirect(struct http_exchange *ex, struct slice to);

/* error_page: the page's URI takes the place of the request. VERDICT_SEND: the plain page is to be shown. */
struct verdict request_error_page(struct http_exchange *ex, int status);

/* Another URI answers in place of this one: "/path?args", or a named location. */
struct verdict request_redirect(struct http_exchange *ex, struct slice uri);

/* The same with a URI as an upstream has written it, for a GET without a body. */
struct verdict request_redirect_away(struct http_exchange *ex, struct slice uri);

/* The answer in c->ex->res is complete (status 0: make the error page of `error`), or its head is. It goes out, and with it what there is of its body. */
struct verdict request_send(struct http_exchange *ex, int error);

/* The answer's last byte is with the kernel or in the output: logs and counts it. */
void request_done(struct http_exchange *ex);

/* The client went away: logs 499, or 400 where its request is not whole. */
void request_gone(struct http_exchange *ex);
void request_log(struct http_exchange *ex);

/* --- worker/open_logs.c --- */

/* Appends to the access log that the log's path names for this exchange. */
void open_logs_append(struct http_exchange *ex, const struct access_log *log, struct slice line);

/* The end of a turn: writes, and closes what is not to be kept. */
void open_logs_flush(struct worker *w);

/* Closes all, as after a rotation. */
void open_logs_close(struct worker *w);

/* --- worker/try_files.c --- */

/* VERDICT_NEXT: with the path of a file that exists. */
struct verdict try_files_pass(struct http_exchange *ex);

/* --- worker/realip.c --- */

/* Takes the client's address from where these settings say. */
void realip_apply(struct http_exchange *ex, const struct location *l);

/*
 * Whose request it is by r's header, if `address` of *len bytes is trusted: true sets *len and found, which is like the
 * remote of an exchange.
 */
bool realip_find(const struct realip *r, const struct http_exchange *ex, const unsigned char *address,
                 int *len, unsigned char found[18]);

/* --- worker/limit.c --- */
bool limit_open(struct worker *w);

/* VERDICT_WAIT: for a permit. */
struct verdict limit_pass(struct http_exchange *ex);

/* Goes on with requests whose permit has come, and answers those whose wait was ended. */
void limit_settle(struct worker *w);
void limit_client_gone(struct http_exchange *ex);

/* The worker stops: who waits is told so. */
void limit_refuse_waiting(struct worker *w);

/* Logs how many refusals were not logged. */
void limit_log_silent(struct worker *w);

/* Lets signals that end the worker mark what has caused them. */
void last_words_prepare(struct worker *w);

/* --- worker/limit_keyed.c --- */

/* nginx's limits. VERDICT_WAIT: it is delayed. */
struct verdict keyed_pass(struct http_exchange *ex);

/* --- worker/body.c --- */

/* client_max_body_size by the location's settings and the head. */
struct verdict body_pass(struct http_exchange *ex);

/* The body is wanted, and goes on while it comes: the client is told so. */
struct verdict body_begin(struct http_exchange *ex);

/* The body is wanted whole: reads it. */
struct verdict body_read(struct http_exchange *ex);

/* The client has to go on sending its body within its time; or it need not, as we are not ready for more. */
void body_wait(struct http_exchange *ex);
void body_wait_over(struct http_exchange *ex);

/* More of the body has come; `announced` bytes are known to follow. Returns 0 or a status. */
int body_keep(struct http_exchange *ex, const char *data, size_t len, uint64_t announced);

/* The body is complete: what belongs into its file goes there. Returns 0 or a status. */
int body_finish(struct http_exchange *ex);

/* --- worker/aio.c --- */

/* Whether sending from this piece does not wait for a disk. False: it is being read, and the connection goes on then. */
bool aio_ready(struct http_exchange *ex, struct http_piece *p);

/* How much of it that is true for, of `most` bytes. */
size_t aio_limit(struct http_exchange *ex, const struct http_piece *p, size_t most);
void aio_client_gone(struct http_exchange *ex);

/* --- worker/offload.c --- */
struct verdict offload_start(struct http_exchange *ex);

/* The same with a handler of our own, on the pool "default"; `answered` says what comes of its result. done false: it has none. */
struct verdict offload_ask(struct http_exchange *ex, const struct weir_handler *handler, void *settings,
                           struct verdict (*answered)(struct http_exchange *ex, bool done, int result));

/* Jobs whose client has left may end in their time; after that they are given up. */
void offload_look_after_orphans(struct worker *w);

/* The job's thread counts as stuck from now on, and nobody waits for it. */
void offload_give_up(struct worker *w, struct weir_request *job);

/* handler_timeout */
void handler_is_late(struct http_exchange *ex);

/* The job has ended: the exchange is its request's alone again. */
void offload_end_job(struct http_exchange *ex);

#endif
