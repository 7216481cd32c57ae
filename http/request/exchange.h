/*
 * http/request/exchange.h - one request and its response, with the memory of both.
 *
 * Ownership: a connection's, or a pool task's while a handler runs on a thread; see handlers/offload.c.
 * Threads:   its owner's.
 */
#ifndef WEIR_HTTP_REQUEST_EXCHANGE_H
#define WEIR_HTTP_REQUEST_EXCHANGE_H

#include "base/log.h"
#include "base/logfile.h"
#include "base/spool.h"
#include "base/wheel.h"
#include "conf/settings_proxy.h"
#include "http/request/regex.h"
#include "http/request/verdict.h"
#include "http/wire/chunked.h"
#include "http/wire/request.h"
#include "http/wire/response.h"

/* Texts of a connection's two ends; made only when something asks for them. */
struct http_peer {
    struct slice remote_addr, remote_port, server_addr, server_port;
    unsigned char remote_binary[16];
    int remote_binary_len;
    struct slice tlvs; /* of the PROXY protocol's header */
};

/* A server of an upstream that was asked: for $upstream_addr and its kin. Times count from start_us. */
#define HTTP_TRY_NEVER UINT64_MAX
struct http_try {
    struct http_try *next;
    struct slice addr;
    int status; /* of the response or failure; 0: none */
    uint64_t start_us, connect_us, header_us, response_us;
    uint64_t sent, received; /* bytes */
    uint64_t body_len;       /* of its response, decoded */
    /* After an internal redirect: the upstream is another than that of the try before. */
    bool new_group;
};

/* A variable that `set`, its kin or a named group of an expression that has matched gave a value: one name is one variable. */
struct http_named {
    struct slice name, value;
    struct http_named *next;
};

struct http_aside;
struct auth_question;
struct body_filter;
struct client_protocol;
struct connection;
struct error_file;
struct file_read;
struct h2_stream;
struct http_exchange;
struct http_template;
struct location;
struct location_auth;
struct net_address;
struct net_proxy_header;
struct permits;
struct proxy;
struct settings;
struct site_listen;
struct source;
struct vserver;
struct weir_request;
struct worker;

/* Who sent the request, and by which connection. */
struct http_client {
    const struct http_peer *(*peer)(struct http_exchange *ex); /* texts of the client's end */
    const struct http_peer *(*own)(struct http_exchange *ex);  /* of both: costs a system call */
    const struct http_peer *known;                             /* what peer made, or NULL */
    const struct http_peer *told;                              /* by the PROXY protocol; NULL: nothing */
    const struct net_proxy_header *told_header;                /* the header of that */
    const struct client_protocol *protocol;
    const struct site_listen *listen;
    const struct net_address *listen_address;
    const struct settings *listen_settings; /* of its default server */
    uint64_t connection_id;
    uint64_t since_ms; /* when the connection was accepted */
    uint64_t requests; /* of the connection, this one included */
    int socket;        /* for the server's own address, or -1 */
    int remote_len;    /* 4, 16, or 0 for a unix socket */
    /* Address and port of an IP client, in network order. */
    unsigned char remote[18];
    bool pipelined;
    bool http2;
    bool no_upgrade; /* it cannot change to another protocol */
    /* It has sent plain text where TLS is due. */
    bool plain_in_place_of_tls;
    const struct net_stream *tls; /* NULL: plain */
    /* Of a connection with many requests at a time: what its handlers share. NULL: each stands for itself. */
    struct http_lead **lead;
    /* of the connection, where real_ip took another address from a header */
    struct slice direct_addr, direct_port;
};

/* The request's body, while and after it is read. */
struct http_body {
    struct spool kept;      /* in memory, or all of it in a file; first */
    struct slice file;      /* the path of the temporary file, if named */
    uint64_t left;          /* of a body with a length */
    uint64_t len;           /* what is kept: in memory or in the file */
    uint64_t seen;          /* what has arrived, kept or not */
    uint64_t waited_ms;     /* for the client to send it */
    uint64_t wait_since_ms; /* when the wait began; 0: nobody waits */
    struct http_chunked chunked;
    bool file_stays; /* client_body_in_file_only */
    /* Some of the body has gone to an upstream and is not kept: no other location can have it. */
    bool taken;
    /* Some of the body was read, or the client was told to send it. */
    bool begun;
    bool whole;      /* nothing of it is still to come */
    bool to_handler; /* which reads it while it comes */
};

/* Where the request stands: its server and location, and the ways that have led there. */
struct http_route {
    const struct vserver *server;
    const struct location *location;
    const struct settings *settings; /* of the location */
    struct slice server_name;        /* the server block's first name */
    /* Of the location; NULL: the usual error log. */
    const struct error_file *error_files;
    const struct http_template *return_text;
    int return_code; /* of "return", for this location; 0: none */
    /* Of the response that an error page belongs to; 0: none. */
    int forced_status;
    /* Internal ones: bounded, so that error pages cannot lead to each other for ever. */
    int redirects;
    /* What try_files has found behind the alias of an expression's location. */
    struct slice alias_rest;
    /* The method of the request that asks, while auth_request's question stands in its place. */
    struct slice first_method;
    bool in_error_page; /* an error of the page is shown plainly */
    /* The URI is no longer the one that the client has sent: for `internal`. */
    bool is_internal;
    bool files_tried; /* try_files of the location has chosen */
    /* By rewrite ... break: proxy_pass passes the path on as it is. */
    bool path_is_final;
    /* The path is no longer that of the request line. */
    bool rewritten;
    struct http_captures server_captures, location_captures; /* of regular expressions that chose them */
};

/* What upstreams were asked for the request, and said: for variables and the error log. */
struct http_upstream_record {
    struct http_try *tries, *last_try;
    const struct http_header *headers; /* of the last response */
    int header_count;
    int status;             /* of that response */
    struct slice trailers;  /* lines, as they came */
    struct slice addr, uri; /* of the server that has the request */
    struct slice host;      /* $proxy_host, once an upstream is asked */
    bool is_unix;           /* the host: it has no port */
    bool tls;               /* it is spoken to in TLS */
    enum conf_pass_kind kind;
    uint64_t queue_us; /* in upstreams' queues */
};

/* How fast the response's body may go out. */
struct http_pace {
    uint64_t rate, after; /* limit_rate: bytes a second, 0: no bound */
    uint64_t from_ms;     /* when that began */
    bool is_set;          /* by the upstream: limit_rate is ignored */
};

/* Something that a request holds until it is over. */
struct http_cleanup {
    struct http_cleanup *next;
    void (*run)(struct http_exchange *ex);
};

enum { HTTP_PERMITS_MAX = 8 /* of each kind */ };

/* What limits have said of the request, and what it holds of them. */
struct http_limits {
    struct permits *permits; /* of concurrency */
    /* With permits: the work is done; see http_served. */
    void (*served)(struct http_exchange *ex);
    /* With permits: a thread of the worker of this slot does the work. */
    void (*runs_in)(struct http_exchange *ex, int slot);
    /* With permits: gives them back though the request goes on. */
    void (*let_go)(struct http_exchange *ex);
    /* Of the worker's permits of concurrency, those that the request holds. */
    uint32_t held[HTTP_PERMITS_MAX];
    int held_count;
    /* Of the limits of concurrency; NULL where none applies. */
    const char *status, *reason;
    struct slice zone;
    uint64_t queue_ms;
    /* Of limit_conn and limit_req; NULL where none applies. */
    const char *conn_status, *req_status;
    uint32_t conn_permits[HTTP_PERMITS_MAX];
    int conn_permit_count;
    struct http_cleanup conn_cleanup; /* with any of those */
};

/* What has been found out of the client's right to come in. */
struct http_access {
    /* The auth_basic that has let the request pass, or has refused it. */
    const struct location_auth *authorized_by, *refused_by;
    const struct location *asked_by; /* whose auth_request has been answered, */
    struct auth_question *question;  /* VERDICT_CHECK_PASSWORD */
    int status;                      /* and how */
    /* By auth_delay: the response, once its time has come. */
    int delayed_status;
    struct slice www_authenticate; /* of a 401, whatever page is shown */
    struct slice link_expires;     /* once $secure_link has been asked for */
};

/* The response on its way out. */
struct http_sent {
    uint64_t head, body;         /* bytes, as queued for the socket */
    struct body_filter *filters; /* what the body goes through, or NULL */
    uint64_t gzip_in, gzip_out;  /* bytes, for $gzip_ratio */
    /* That an upstream wants: the directive does not count then; empty: none. */
    struct slice charset;
    bool whole; /* $request_completion */
};

/* aio: what is in memory of the file that is being sent. */
struct http_reading {
    off_t from, until;
    struct file_read *at_work; /* what a thread is reading; NULL: nothing */
};

/* What a request is at, and so what it waits for. */
enum request_state {
    REQUEST_RUNS,    /* its phases run */
    REQUEST_BODY,    /* the client sends the request's body */
    REQUEST_DELAYED, /* limit_req or auth_delay says so */
    REQUEST_QUEUED,  /* waits for a permit */
    REQUEST_HANDLER, /* a handler has it */
    /* An upstream has the request; its response has not begun. */
    REQUEST_PROXY,
    /* What the request waited for has come: it goes on before this turn ends. */
    REQUEST_READY,
    REQUEST_SEND, /* its response goes out */
    /* Over before the response was out: the memory stays to the end of the turn. */
    REQUEST_GONE
};

struct http_exchange {
    struct arena arena;
    struct http_request req; /* what came */
    struct http_body body;
    struct http_route route;
    /* What goes out: this and all that follows begins as zeroes. */
    struct http_response res;
    struct http_sent sent;
    struct http_pace pace;
    struct http_client client;
    struct connection *connection; /* the client's */
    struct h2_stream *stream;      /* of it, with HTTP/2 */
    /* GONE, and freed when the turn ends. */
    struct http_exchange *next_buried;
    struct worker *worker;
    struct wheel_entry timer;                  /* of the wait for anything but the client */
    void (*on_time)(struct http_exchange *ex); /* with timer */
    /* Where the response's body comes from, once somebody works at the request; NULL: nobody does. */
    const struct source *source;
    /* With REQUEST_PROXY, and while the upstream's response is passed on. */
    struct proxy *proxy;
    /* With REQUEST_HANDLER, and while the handler's output is streamed. */
    struct weir_request *job;
    /* Whose thread runs the handler or has run it: a slot, from 1; 0: nobody's. */
    int ran_in;
    /* How long it has waited for one, if it had to have one; and how long that has taken, if it has begun. */
    bool has_queued, has_run;
    uint64_t queue_us, handler_us;
    enum request_state state;
    bool more_later; /* the body has had its share of this turn */
    bool throttled;  /* limit_rate: the timer says when to go on */
    struct http_upstream_record upstream;
    struct http_limits limits;
    struct http_access access;
    struct http_reading reading;
    struct slice head;                /* the request's, in the arena */
    uint64_t request_bytes;           /* head and body as received */
    uint64_t start_ms, start_wall_ms; /* when the head's first byte was read */
    const uint64_t *now_ms;           /* the owner's clock */
    struct http_cleanup *cleanups;    /* run when it is over, the last one first */
    /* Called with `held` when the response has been sent, unless NULL. */
    void (*release)(void *held);
    void *held;
    struct slice request_id, traceparent; /* once something has asked for them */
    struct http_named *named;             /* of `set`, and groups that have matched */
    /* The client's own request, while auth_request's question stands in its place. */
    struct http_aside *aside;
    struct slice leads_to; /* VERDICT_REDIRECT */
    /* What has ended the wait, until the loop takes it up; VERDICT_NEXT: nothing. */
    struct verdict resumed;
    /* Maps being looked up: bounded, so that they cannot lead to each other for ever. */
    int map_depth;
    /* While a directory's name is expanded: the name must not ask for itself. */
    bool in_folder;
    /* While a replacement is expanded: captures become arguments. */
    bool escape_captures;
};

/* Whether what comes of the body goes on at once: to an upstream, or to a handler that reads it while it comes. */
static inline bool http_passes_body(const struct http_exchange *ex)
{
    bool is_taken =
        ex->state == REQUEST_PROXY || (ex->state == REQUEST_HANDLER && ex->job && ex->body.to_handler);
    return is_taken && !ex->body.whole;
}

/* Puts something on the list of what the request holds. It is the caller's memory, and must live as long as the request. */
void http_add_cleanup(struct http_exchange *ex, struct http_cleanup *cleanup);

/* Gives back all that is on the list. */
void http_run_cleanups(struct http_exchange *ex);

/* Lets go of what the response held, for another in its place; and of the request's body with it. */
void http_drop_held(struct http_exchange *ex);
void http_drop_bodies(struct http_exchange *ex);

/* The request's work is done, though its response has still to go: for limits that measure. */
static inline void http_served(struct http_exchange *ex)
{
    if (ex->limits.served)
        ex->limits.served(ex);
}

/* $request_id: the client's X-Request-ID where that is well-formed, else a random one. $traceparent: likewise. */
struct slice http_request_id(struct http_exchange *ex);
struct slice http_traceparent(struct http_exchange *ex);

/* The variable of that name gets this value, which must live as long as the exchange; the last one counts. */
void http_set_named(struct http_exchange *ex, struct slice name, struct slice value);

/* The variable of that name; NULL: it has no value yet. */
const struct http_named *http_find_named(const struct http_exchange *ex, struct slice name);

/* The named groups of a match become variables. */
void http_keep_named(struct http_exchange *ex, const struct http_captures *captures);

/* A line of the error log with connection, client, server, request and host behind it, as nginx has them. */
void http_log(struct http_exchange *ex, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
