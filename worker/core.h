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

enum connection_state {
    CONNECTION_OPEN,   /* reads heads; with a request it is that one's state that counts */
    CONNECTION_TUNNEL, /* another protocol: bytes go both ways (worker/tunnel.c) */
    CONNECTION_LINGER /* answered and shut down; reading what the client still sends, so that it sees the answer */
};

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

/* As small as can be: an idle client costs this and an entry of libev's table, nothing else. */
struct connection {
    struct net_stream stream; /* reads always; writes while output waits */
    struct wheel_entry timer; /* whatever the state waits for */
    struct list_node link;    /* in worker->busy or worker->idle */
    struct listener *listener;
    struct http_exchange *ex;        /* the request being read or answered, or NULL */
    const struct settings *settings; /* of the last request, or of the default server */
    struct pending_input *in;        /* read and not yet used; NULL when there is none */
    struct body_rest *rest;          /* comes before any other input; NULL: none */
    struct buf *out;                 /* to be sent; NULL when empty */
    struct net_proxy_header *told;   /* what the PROXY protocol said of the client; NULL: nothing yet */
    struct connection *next_ready;   /* with is_ready */
    uint64_t id;
    uint64_t since_ms; /* when it was accepted */
    uint64_t until_ms; /* lingering: the end of that; idle: it is not closed to make room for others before */
    uint32_t requests;
    uint8_t state;       /* enum connection_state */
    uint8_t shown_state; /* enum shm_connection_state: which gauge counts it */
    bool close_after;    /* close once the output is sent */
    bool linger_after;   /* and linger before that: the client may still be sending */
    bool eof;            /* the client sends nothing more */
    bool deaf; /* so much input waits for a request at work that no more is read: its leaving is looked for */
    bool is_ready; /* it stands in worker->ready */
    bool dead;     /* closed: its memory is freed when the turn ends */
    uint8_t remote_len;
    unsigned char remote[18]; /* address and port of an IP peer, in network order */
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

struct worker {
    struct ev_loop *loop;
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
    struct list_node busy, idle;           /* connections; idle ones oldest first */
    struct list_node dead;                 /* closed in this turn */
    struct connection *ready, **ready_end; /* to be driven before the turn ends, in this order */
    struct list_node orphans;              /* jobs that run on though nobody waits for them */
    uint64_t streamed_bytes;               /* of the connection being driven, in this turn */
    unsigned connections;
    unsigned shown[SHM_CONNECTION_STATES]; /* connections by state: as the slot shows them */
    unsigned in_flight;                    /* requests */
    struct connection *driving;            /* whose turn it is, or NULL */
    unsigned jobs;                         /* given to a pool and not yet ended */
    unsigned given_up; /* of those: nobody waits for them any more, nor does the worker's end */
    struct worker_pool pools[POOLS_MAX];
    int pool_count;
    ev_async pool_wake;
    ev_timer expire;                      /* runs while there are jobs */
    struct weir_request *_Atomic outputs; /* jobs with new output; pushed by threads */
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

/* --- worker/drive.c --- */

/* Goes on with whatever the state allows: parses input, runs requests, sends. */
void connection_drive(struct connection *c);

/* It has something to go on with: it is driven before this turn ends, by connection_run_ready, unless it is being driven. */
void connection_ready(struct connection *c);
void connection_run_ready(struct worker *w);

/* The event callback of a connection. */
void connection_on_event(struct ev_loop *loop, ev_io *io, int events);

/* Once a second: closes those of clients that have left while more input waits than is read ahead. */
void connection_look_for_leavers(struct worker *w);

/* Looks whether a request is there already, as it often is on a new connection. */
void connection_try_read(struct connection *c);

/* The same on an idle connection whose time is over: what came at the last moment is served, else it is closed. */
void connection_expire(struct connection *c);

/* Between requests: no more of a head will come. Logs what has come of one, if any, with a status and why, and closes. */
void connection_end_head(struct connection *c, int status, const char *why);

/* --- worker/connection.c --- */
void connection_new(struct listener *l, int fd, const struct sockaddr_storage *peer);

/* Whatever it holds goes back at once; its memory stays to the end of the turn, so that whoever has it may look at `dead`. */
void connection_close(struct connection *c);
void connection_free_dead(struct worker *w);

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

/* Closes the connection that has been idle longest. False when none is idle. */
bool connection_close_oldest_idle(struct worker *w);
void connection_on_timer(struct wheel_entry *e);
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

/* --- worker/send.c --- */

/* Where output of this connection goes now. It is being driven. */
struct buf *send_buffer(struct http_exchange *ex);

/* A buffer of its own for output, for one that is not being driven. NULL: out of memory. */
struct buf *send_own_buffer(struct connection *c);

/* Sends what waits. False when the socket takes no more for now, or failed (then the connection is closed). */
bool send_flush(struct connection *c, bool more_follows);

/* The same as it is, also where the answer is filtered: for the end of worker/filter.c's chain. */
bool send_framed(struct http_exchange *ex, struct slice stretch);

/* The body's end: what filters still hold, and, in chunks, trailers: those of an upstream, and add_trailer's. False: out of memory. */
bool send_end(struct http_exchange *ex, struct slice passed_on);

/* A stretch of a body whose source is a handler or an upstream goes into the output, framed. */
bool send_stretch(struct http_exchange *ex, struct slice stretch);

/*
 * How much of the body may be sent now by limit_rate; 0: none, and the connection goes on when there is more.
 * UINT64_MAX: no bound.
 */
uint64_t send_allowance(struct http_exchange *ex);

/* Goes on with the body. True when something came of it, or it has ended: then there may be more to do. */
bool send_body(struct http_exchange *ex);

/* The head is in the output: a short body that is there already goes out with it. */
void send_with_head(struct http_exchange *ex);

/* --- worker/request.c --- */
struct http_exchange *exchange_new(struct worker *w);

/* Parses ex->head as the connection's default server wants it. */
bool exchange_parse(const struct connection *c, struct http_exchange *ex, struct http_error *error);

/* Fills in where the exchange comes from. */
void exchange_begin(struct connection *c, struct http_exchange *ex);
void exchange_destroy(struct http_exchange *ex);
/* Gives back whatever it holds, at once; its memory; or both. */
void exchange_release(struct worker *w, struct http_exchange *ex);
void exchange_recycle(struct worker *w, struct http_exchange *ex);
void exchange_free(struct worker *w, struct http_exchange *ex);

/* Lets go of the request's body and of what the answer held, for an error page in their place. */
void exchange_drop_held(struct http_exchange *ex); /* of the answer only */
void exchange_drop_bodies(struct http_exchange *ex);

/*
 * The exchange stays with its job, which outlives the request: the connection has a copy from now on, which answers and logs.
 * NULL: out of memory, and the connection has none.
 */
struct http_exchange *exchange_leave_to_job(struct http_exchange *ex);

/* A complete head: parses and routes it. */
struct verdict request_start(struct connection *c, struct slice head);

/* Whether the answer in the making is to be the connection's last. */
bool request_is_last(const struct http_exchange *ex);

/* Whether error_page has something for this status. */
bool request_has_error_page(struct http_exchange *ex, int status);

/* --- worker/serve.c --- */

/* The one loop that runs a request: phases, error pages, other URIs, until it waits or has been answered. c is being driven. */
void request_serve(struct http_exchange *ex, struct verdict v);

/* It waits in this state for something other than its client, for after_ms at most (0: no bound). */
struct verdict request_wait(struct http_exchange *ex, enum request_state state, int64_t after_ms);
void request_set_timer(struct http_exchange *ex, int64_t after_ms);
void request_on_timer(struct wheel_entry *e);

/* What a request waited for has come, or will not: it goes on with this before the turn ends. */
void request_resume(struct http_exchange *ex, struct verdict v);

/* With c being driven: serves what has been resumed. */
void request_serve_resumed(struct http_exchange *ex);

/* --- worker/access.c --- */

/* What allow and deny say of the client. */
enum access_verdict { ACCESS_UNKNOWN /* no line is for it */, ACCESS_ALLOWED, ACCESS_DENIED };
enum access_verdict access_look(struct http_exchange *ex);
void access_limit_methods(struct http_exchange *ex);

/* --- worker/auth.c --- */

struct verdict auth_pass(struct http_exchange *ex);

/* A thread has checked the password: `result` is 0 or a status; done false: it could not. */
struct verdict auth_answered(struct http_exchange *ex, bool done, int result);

/* --- worker/auth_request.c --- */

/* Asks the location of auth_request: it takes the request's place; auth_pass comes again when it has answered. */
struct verdict auth_request_ask(struct http_exchange *ex);

/* With ex->aside: it has answered. The request is itself again. */
struct verdict auth_request_ended(struct http_exchange *ex, int status);

/* The client's own request, also while auth_request's question stands in its place. */
const struct http_route *auth_request_own_route(const struct http_exchange *ex);
const struct http_body *auth_request_own_body(const struct http_exchange *ex);

/* With ex->aside: the exchange is the request's again, or only its body. */
void auth_request_restore(struct http_exchange *ex);
void auth_request_restore_body(struct http_exchange *ex);

/* --- worker/headers.c --- */

/* Adds what the configuration adds to answers. False: out of memory. */
bool headers_add(struct http_exchange *ex);

/* Whether add_trailer has something for this answer: then it goes out in chunks. */
bool headers_want_trailers(struct http_exchange *ex);

/* Appends the lines of add_trailer. */
bool headers_add_trailers(struct http_exchange *ex, struct buf *out);

/* --- worker/rewrite.c --- */

/* Gives a variable of `set` its value. */
void rewrite_set(struct http_exchange *ex, struct slice name, struct slice value);

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

/* Input that is no request. */
struct verdict request_refuse(struct connection *c, struct slice head, size_t whole_lines,
                              const struct http_error *error);

/*
 * A head whose end never comes, of which whole_lines bytes are whole lines: logs the status, with no byte of an answer, and why,
 * and closes the connection.
 */
void request_leave_unfinished(struct connection *c, struct slice head, size_t whole_lines, int status,
                              const char *why);

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

/* The request's work is done, though its answer has still to go: for policies that measure. */
void limit_served(struct worker *w, struct http_exchange *ex);

/* Whether the request holds a permit. */
bool limit_holds(const struct http_exchange *ex);

/* Gives back what the exchange holds. unserved: the time until now says nothing of the work. */
void limit_release(struct worker *w, struct http_exchange *ex, bool unserved);

/* Goes on with requests whose permit has come, and answers those whose wait was ended. */
void limit_settle(struct worker *w);
void limit_timeout(struct http_exchange *ex);
void limit_client_gone(struct http_exchange *ex);

/* The worker stops: who waits is told so. */
void limit_refuse_waiting(struct worker *w);

/* Logs how many refusals were not logged. */
void limit_log_silent(struct worker *w);

/* Lets signals that end the worker mark what has caused them. */
void last_words_prepare(struct worker *w);

/* Once a second: how many more requests the pools have refused than the log has lines. */
void offload_log_silent(struct worker *w);

/* --- worker/limit_keyed.c --- */

/* nginx's limits. VERDICT_WAIT: it is delayed. */
struct verdict keyed_pass(struct http_exchange *ex);
void keyed_delay_over(struct http_exchange *ex);
void keyed_release(struct worker *w, struct http_exchange *ex);

/* --- worker/body.c --- */

/* client_max_body_size by the location's settings and the head. */
struct verdict body_pass(struct http_exchange *ex);

/* The body is wanted, and goes on while it comes: the client is told so. */
struct verdict body_begin(struct http_exchange *ex);

/* The body is wanted whole: reads it. */
struct verdict body_read(struct http_exchange *ex);

/* What is still to come of the body is not wanted, and must not be taken for another request. */
void body_drop(struct http_exchange *ex);

/* With c->rest: takes bytes of it off data. Returns how many. */
size_t body_skip(struct connection *c, char *data, size_t len);

/* The client has to go on sending its body within its time; or it need not, as we are not ready for more. */
void body_wait(struct http_exchange *ex);
void body_wait_over(struct http_exchange *ex);

/* Takes body bytes off data. Returns how many; sets *done, or *error to a status. */
size_t body_take(struct http_exchange *ex, char *data, size_t len, bool *done, int *error);

/* The body is complete: what belongs into its file goes there. Returns 0 or a status. */
int body_finish(struct http_exchange *ex);

/* --- worker/aio.c --- */

/* Whether sending from this piece does not wait for a disk. False: it is being read, and the connection goes on then. */
bool aio_ready(struct http_exchange *ex, struct http_piece *p);

/* How much of it that is true for, of `most` bytes. */
size_t aio_limit(struct http_exchange *ex, const struct http_piece *p, size_t most);
void aio_run(struct pool_task *task);
void aio_ended(struct pool_task *task);
void aio_client_gone(struct http_exchange *ex);

/* --- worker/offload.c --- */

/* A task more is with a pool; offload_collect counts its end. */
void offload_count_job(struct worker *w);
bool offload_open_pools(struct worker *w);
void offload_reconfigure(struct worker *w);
struct verdict offload_start(struct http_exchange *ex);

/* The same with a handler of our own, on the pool "default": auth_answered follows. */
struct verdict offload_ask(struct http_exchange *ex, const struct weir_handler *handler, void *settings);
void offload_timeout(struct http_exchange *ex);

/* Takes what threads have finished, if they have. */
void offload_collect(struct worker *w);

/* The job's thread counts as stuck from now on, and nobody waits for it. */
void offload_give_up(struct worker *w, struct weir_request *job);

/* The job has ended: the exchange is its request's alone again. */
void offload_end_job(struct http_exchange *ex);

/* Ends the pools' threads. False when one still runs a handler. */
bool offload_close_pools(struct worker *w);

#endif
