/*
 * proxy/internal.h - a request at an upstream; what the files of the proxy share.
 */
#ifndef WEIR_PROXY_INTERNAL_H
#define WEIR_PROXY_INTERNAL_H

#include "http/request/source.h"
#include "http/wire/response_head.h"
#include "proxy/protocol.h"
#include "proxy/proxy.h"
#include "proxy/upstream.h"

enum {
    PROXY_READ_BYTES = 64 << 10 /* at once, of an answer's body */
};

enum proxy_state {
    PROXY_RESOLVE, /* the name of its upstream is being asked for */
    PROXY_WAIT,    /* in the upstream's queue */
    PROXY_CONNECT,
    PROXY_SEND,
    PROXY_HEAD, /* the request is sent; the answer has not begun */
    PROXY_BODY, /* the head is with the client's connection */
    PROXY_END,  /* the body is all here; the upstream has been let go */
    PROXY_TUNNEL
};

/* What of an answer's body the client has not taken, beyond what the memory holds: a file without a name. */
struct proxy_spool {
    int fd; /* -1: none */
    uint64_t start, end;
    struct buf behind; /* what came behind the file when it took no more */
    bool failed;       /* the disk is full, say: no more goes there */
};

struct proxy {
    struct http_exchange *ex;
    const struct location_proxy *to;
    const struct upstream_protocol *protocol;
    struct upstream_request asked;
    struct upstream *u;
    struct slice host, uri; /* $proxy_host; what replaces the location's part, data NULL: nothing */
    struct slice hash_key, wanted;
    struct peer *peer; /* counts this request as active */
    struct upstream_connection *uc;
    struct http_try *try;
    struct net_stream *client; /* once it is a tunnel */
    struct wheel_entry timer;  /* the upstream's; the client's is the connection's */
    struct list_node link;     /* in the upstream's queue */
    uint64_t start_us, queued_us, wait_from_us, read_from_ms;
    /* The head, and the body where it is in memory; then what a tunnel has for the upstream. */
    struct buf request;
    size_t request_sent;
    uint64_t body_sent; /* of a body in a file */
    struct buf in;      /* received: of the head; then of the body, decoded, not passed on */
    struct proxy_spool spool;
    struct upstream_body body;
    uint64_t
        *tried; /* of struct upstream_ask; the request's arena's, from the first server that did not do */
    enum proxy_state state;
    int64_t rate;   /* proxy_limit_rate: bytes a second that are read of the answer; 0: no bound */
    int tries;      /* servers asked */
    int interims;   /* passed on */
    int status;     /* for the client, should no server answer: what the last one did */
    int send_error; /* why sending stopped early */
    int broken;     /* errno with which reading ended: no proper end of an answer */
    int64_t idle_s; /* of struct http_response_head */
    bool begun_try; /* at a server of this upstream */
    bool streams;   /* the request's body goes on while it comes */
    bool streamed;  /* some of it is gone, so that no other server can be asked */
    bool end_taken; /* and so is its end */
    bool sent;      /* the whole request */
    bool reused;    /* the connection has carried a request before */
    bool any_read;  /* of this answer */
    bool eof;
    bool sends_file;    /* the request's body lies in a file */
    bool out_of_memory; /* a part of the body is lost */
    bool named_client;  /* the connection began with the PROXY protocol's header: it is nobody else's */
    bool client_ended;  /* of a tunnel */
    bool buffered;
    bool paused; /* the upstream is not read: the client takes no more, or proxy_limit_rate */
};

static inline const struct settings *proxy_settings(const struct proxy *p)
{
    return p->ex->route.settings;
}

static inline struct worker *proxy_worker(const struct proxy *p)
{
    return p->ex->worker;
}

/* --- proxy.c --- */
void proxy_watch(struct proxy *p, int events);
void proxy_set_timer(struct proxy *p, int64_t after_ms);

/* An error of the upstream's, with its address and the URI behind it. */
void proxy_log(struct proxy *p, const char *what);
void proxy_log_errno(struct proxy *p, const char *call, int error);

/* The server is done with: counts what became of it, and keeps or closes the connection. */
void proxy_end_try(struct proxy *p, enum upstream_result result, int status, bool keep);
void proxy_destroy(struct proxy *p);

/* The request ends with this status: no answer of an upstream has begun to go to the client. */
void proxy_fail(struct proxy *p, int status);

/*
 * The server did not do: `why` is a bit of enum conf_next_upstream. Another one is asked, where that may be; else the client
 * gets the status.
 */
void proxy_next(struct proxy *p, enum conf_next_upstream why, int status);

/* Whether another server may be asked for this reason. */
bool proxy_may_go_on(const struct proxy *p, enum conf_next_upstream why);
void proxy_on_upstream_event(struct ev_loop *loop, ev_io *io, int events);

/* --- proxy_send.c --- */
void proxy_begin_to_send(struct proxy *p);
void proxy_go_on_sending(struct proxy *p);
void proxy_on_connected(struct proxy *p);

/* Of a body that is sent on while it comes. */
void proxy_body_came(struct http_exchange *ex, bool whole);
bool proxy_body_is_full(const struct http_exchange *ex);

/* --- proxy_receive.c --- */
void proxy_read_head(struct proxy *p);

/* --- proxy_body.c --- */

/* The state is PROXY_BODY; what already lies in p->in is the body's beginning. False: it is no body, which has been logged. */
bool proxy_begin_body(struct proxy *p, const struct http_response_head *head);
void proxy_read_body(struct proxy *p);
void proxy_free_body(struct proxy *p);

/* --- proxy_answer.c --- */

/* The head's texts lie in the first head_len bytes of p->in. */
void proxy_answer_client(struct proxy *p, struct http_response_head *a, size_t head_len);
bool proxy_pass_interim(struct proxy *p, const struct http_response_head *a);

/* --- proxy_rewrite.c --- */
struct slice proxy_rewrite_location(struct proxy *p, struct slice value);
struct slice proxy_rewrite_refresh(struct proxy *p, struct slice value);
struct slice proxy_rewrite_cookie(struct proxy *p, struct slice value);

/* --- proxy_queue.c --- */

/* Waits for a server. False: there is no queue, or no room in it. */
bool proxy_enqueue(struct proxy *p);
void proxy_leave_queue(struct proxy *p);

/* The timer of one that waits: it looks for a server again, and is answered or waits on. False: its time is over. */
bool proxy_looks_again(struct proxy *p);

/* --- proxy.c, for proxy_queue.c and resolve.c --- */
void proxy_find_server(struct proxy *p);

/* --- tunnel.c --- */

/* The response's head is with the client, whose stream is the tunnel's from now on; it may be closed at once. */
void tunnel_begin(struct http_exchange *ex);
void tunnel_on_upstream(struct proxy *p, int events);

#endif
