/*
 * http/exchange.h - one request and its answer, with the memory of both.
 *
 * Ownership: owned by a connection, or by a pool task while a handler runs on a thread; see worker/offload.c.
 * Threads:   its owner's.
 */
#ifndef WEIR_HTTP_EXCHANGE_H
#define WEIR_HTTP_EXCHANGE_H

#include "base/log.h"
#include "base/logfile.h"
#include "http/chunked.h"
#include "http/regex.h"
#include "http/request.h"
#include "http/response.h"
#include "http/verdict.h"

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
    int status; /* of its answer, or what its failure means; 0: none */
    uint64_t start_us, connect_us, header_us, response_us;
    uint64_t sent, received; /* bytes */
    uint64_t body_len;       /* of its answer, decoded */
    bool new_group;          /* another upstream than the one before: after an internal redirect */
};

/* A variable that `set`, its kin or a named group of an expression that has matched gave a value: one name is one variable. */
struct http_named {
    struct slice name, value;
    struct http_named *next;
};

struct permits;
struct body_filter;
struct auth_detour;

struct http_exchange {
    struct arena arena;
    struct http_request req;
    struct http_captures server_captures, location_captures; /* of regular expressions that chose them */
    struct http_response res;
    struct slice head;        /* the request's head, in the arena */
    uint64_t request_bytes;   /* head and body as received */
    uint64_t body_bytes_sent; /* of the answer's body, as queued for the socket */
    uint64_t head_bytes_sent;
    uint64_t start_ms, start_wall_ms; /* when the head's first byte was read */
    uint64_t connection_id;
    uint64_t connection_since_ms; /* when it was accepted */
    uint64_t connection_requests;
    bool pipelined;
    bool complete;            /* the answer has gone out whole: $request_completion */
    struct slice server_name; /* the server block's first name */
    /* the request's body while and after it is read */
    struct http_chunked chunked;
    uint64_t body_left;     /* of a body with a length */
    struct buf body;        /* what is in memory */
    int body_fd;            /* its temporary file once it outgrew the memory, or -1 */
    struct slice body_file; /* its path where it has one: client_body_in_file_only */
    bool body_file_stays;
    uint64_t body_len;  /* what is kept: in memory or in the file */
    uint64_t body_seen; /* what has arrived, kept or not */
    bool body_taken; /* some of it has gone to an upstream, and is not kept: no other location can have it */
    uint64_t body_waited_ms;     /* for the client to send it */
    uint64_t body_wait_since_ms; /* likewise, since when now; 0: we do not */
    bool body_begun;             /* some of it was read, or the client was told to send it */
    bool body_whole;             /* nothing of it is still to come */
    uint64_t rate, rate_after;   /* limit_rate: bytes a second of the answer's body, 0: no bound */
    uint64_t rate_from_ms;       /* when that began */
    bool rate_is_set;            /* by the upstream: limit_rate does not count */
    struct slice charset; /* that an upstream wants for the answer: charset does not count; empty: none */
    const struct http_peer *(*peer)(struct http_exchange *ex); /* texts of the client's end */
    const struct http_peer *(*own)(struct http_exchange *ex);  /* of both: costs a system call */
    const struct http_peer *known_peer;                        /* what peer made, or NULL */
    unsigned char remote[18];    /* address and port of an IP client, in network order */
    int remote_len;              /* 4, 16, or 0 for a unix socket */
    int socket;                  /* for the server's own address, or -1 */
    const void *listen;          /* where the connection was accepted: for peer */
    const uint64_t *now_ms;      /* the owner's clock */
    off_t aio_from, aio_until;   /* worker/aio.c: of the body's file, what is in memory */
    struct file_read *reading;   /* and what is being read; NULL: nothing */
    void (*release)(void *held); /* called with held when the answer has been sent, unless NULL */
    void *held;
    const char *limit_status, *limit_reason; /* of the limits of concurrency; NULL where none applies */
    struct slice limit_zone;
    uint64_t limit_queue_ms;
    struct body_filter *filters; /* worker/filter.c: what the answer's body goes through; NULL: nothing */
    uint64_t gzip_in, gzip_out;  /* bytes, for $gzip_ratio */
    struct permits *permits;     /* worker/limit.c: what the request holds */
    const char *limit_conn_status, *limit_req_status; /* of nginx's limits; NULL where none applies */
    uint32_t conn_permits[8];                         /* worker/limit_keyed.c */
    int conn_permit_count;
    const struct error_file *error_files;     /* of its location; NULL: the usual error log */
    struct slice upstream_addr, upstream_uri; /* of the server that has the request: for the error log */
    struct slice request_id, traceparent;     /* once something has asked for them */
    struct slice direct_addr,
        direct_port; /* of the connection, where real_ip took another address from a header */
    const struct http_peer *told_peer; /* what the PROXY protocol said; NULL: nothing */
    struct http_try *tries, *last_try;
    uint64_t upstream_queue_us;                 /* in upstreams' queues */
    const struct http_header *upstream_headers; /* of the last answer */
    int upstream_header_count;
    struct slice upstream_trailers;         /* its lines */
    int upstream_status;                    /* of that answer */
    struct slice proxy_host;                /* $proxy_host, once a proxy has the request */
    bool proxy_is_unix;                     /* then it has no port */
    int forced_status;                      /* of the answer that an error page belongs to; 0: none */
    bool in_error_page;                     /* its own errors are shown plainly */
    struct http_named *named;               /* variables of `set` and of groups that have matched */
    bool is_internal;                       /* no longer the URI that the client has sent: for `internal` */
    bool escape_captures;                   /* while a replacement is expanded: captures become arguments */
    struct slice www_authenticate;          /* of a 401, whatever page is shown */
    const void *authorized_by, *refused_by; /* the auth_basic that has let the request pass, or not */
    const void *auth_asked_by;              /* the location whose auth_request has been answered, */
    int auth_status;                        /* and how */
    struct auth_detour
        *detour; /* worker/auth_request.c: the request, while another one stands in its place; or NULL */
    struct slice first_method;        /* with detour: of the request that asks */
    struct slice secure_link_expires; /* once $secure_link has been asked for */
    int delayed_status;               /* auth_delay: the answer, once its time has come */
    bool files_tried;                 /* try_files of its location has chosen */
    bool path_is_final;               /* by rewrite ... break: proxy_pass passes it on as it is */
    bool rewritten;                   /* the path is no longer that of the request line */
    struct slice alias_rest; /* what try_files has found behind the alias of an expression's location */
    bool in_folder;          /* while a folder's name is expanded: it must not ask for itself */
    int map_depth;           /* maps being looked up: bounded, so that they cannot go round */
    int return_code;         /* of "return", for this location; 0: none */
    const void *return_text; /* a struct http_template, or NULL */
    const void *location;    /* for variables */
    const void *server;      /* the server block: for named locations */
    struct slice leads_to;   /* VERDICT_REDIRECT */
    struct verdict resumed;  /* what has ended its wait, until the loop takes it up; VERDICT_NEXT: nothing */
    int internal_redirects;  /* bounded, so that error pages cannot go round */
};

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
