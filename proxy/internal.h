/*
 * proxy/internal.h - a request at an upstream; what the files of the proxy share.
 */
#ifndef WEIR_PROXY_INTERNAL_H
#define WEIR_PROXY_INTERNAL_H

#include "base/spool.h"
#include "http/request/source.h"
#include "http/request/verdict.h"
#include "http/wire/response_head.h"
#include "proxy/protocol.h"
#include "proxy/proxy.h"
#include "proxy/upstream.h"

enum proxy_state {
    /* The upstream's name is being asked for. */
    PROXY_RESOLVE,
    PROXY_WAIT, /* in the upstream's queue */
    PROXY_CONNECT,
    PROXY_SEND,
    /* The request is sent; the response has not begun. */
    PROXY_HEAD,
    PROXY_BODY, /* the head is with the client's connection */
    /* The body is all here; the upstream has been let go. */
    PROXY_END,
    PROXY_TUNNEL
};

/* Where the body of the request comes from that the upstream gets. */
enum proxy_sends {
    /* The body lies behind the head, or there is none. */
    PROXY_SENDS_MEMORY,
    PROXY_SENDS_FILE,
    PROXY_SENDS_STREAM /* the client, as it sends it */
};

/* Whether the upstream is read. */
enum proxy_input {
    PROXY_INPUT_OPEN,
    /* The client takes no more, or proxy_limit_rate has it wait. */
    PROXY_INPUT_PAUSED,
    PROXY_INPUT_ENDED /* it has closed the connection */
};

struct proxy_tunnel {
    struct net_stream *client; /* NULL: the head is still on its way there */
    bool client_ended, upstream_ended;
};

/* A request at an upstream. Fetching fills `kept`, and source.c passes on what is there. */
struct proxy {
    struct http_exchange *ex;
    const struct location_proxy *to;
    const struct upstream_protocol *protocol;
    struct upstream_request asked;
    struct upstream *u;
    struct slice host; /* $proxy_host */
    /* What replaces the location's part of the URI; data NULL: nothing. */
    struct slice uri;
    struct slice hash_key, wanted;
    struct peer *peer; /* counts this request as active */
    struct upstream_connection *uc;
    void (*on_event)(struct ev_loop *loop, ev_io *io, int events); /* of uc */
    struct http_try *try;
    /* The upstream's time; the client's is its connection's. */
    struct wheel_entry timer;
    struct list_node link; /* in the upstream's queue */
    uint64_t start_us, queued_us, wait_from_us, read_from_ms;
    /* Of a gRPC call: when all of it must be over; 0: no bound. */
    uint64_t deadline_ms;
    /* For those that wait in a queue or for a name: a server is to be looked for. */
    void (*go_on)(struct proxy *p);
    /* The head, and the body where it is in memory; then what a tunnel has for the upstream. */
    struct buf request;
    size_t request_sent;
    /* Of `request`: what is behind it goes when it has been sent. */
    size_t head_bytes;
    uint64_t body_sent; /* of a body in a file */
    /* With PROXY_HAS_INTERIM and PROXY_HAS_HEAD: its texts lie in the first head_len bytes of `kept`. */
    struct http_response_head *head;
    size_t head_len;
    /* What has been received: in its memory a head; then a body, decoded, or what a tunnel has for the client. */
    struct spool kept;
    struct spool_reader reader;
    struct fastcgi_reader frames; /* where the protocol has records */
    size_t errors_bytes;          /* of stderr that has been logged */
    struct upstream_body body;
    struct proxy_tunnel tunnel;
    /* See struct upstream_ask; in the request's arena, from the first server that did not do. */
    uint64_t *tried;
    enum proxy_state state;
    enum proxy_sends sends;
    enum proxy_input input;
    /* Bytes a second that are read of the response, by proxy_limit_rate; 0: no bound. */
    int64_t rate;
    int tries;    /* servers asked */
    int repeats;  /* because a kept connection was no good */
    int interims; /* read of this server */
    /* What the last server has come to: the client's, should no other one answer. */
    int status;
    int send_error; /* why sending stopped early */
    /* The errno with which reading ended: no proper end of a response. */
    int broken;
    int64_t idle_s; /* of struct http_response_head */
    bool begun_try; /* at a server of this upstream */
    bool sent;      /* the whole request */
    /* For the upstream to take more of the request. */
    bool waits_to_send;
    bool waits_for_client; /* to send on its body */
    /* Of a body that is sent on as it comes: its end lies in `request`; and a part has gone that lies there no more. */
    bool has_body_end, is_partly_gone;
    bool buffered;
    /* The connection begins with the PROXY protocol's header, so it is nobody else's, whatever the settings say by now. */
    bool named_client;
    /* How it is spoken to in TLS; NULL: not at all. By which names; and what goes there in plain text before. */
    const struct upstream_tls *tls;
    struct upstream_as tls_as;
    size_t plain_bytes;
};

/* What a step of a try has led to. The steps return it, proxy.c acts on it. */
enum proxy_says {
    /* It goes on with an event of the upstream or the client, or in time. */
    PROXY_WAITS,
    /* The server did not do, for the reason `why`: another one is to, or the client gets the status. */
    PROXY_ASKS_NEXT,
    /* The client gets the status: nothing of a response has begun to go to it. */
    PROXY_FAILS,
    PROXY_HAS_INTERIM, /* an interim response: p->head, head_len */
    PROXY_HAS_HEAD,    /* the response: likewise */
    /* The client's response begins, with the verdict; the body follows. */
    PROXY_ANSWERS,
    /* The upstream is done with: the request goes on with the verdict. */
    PROXY_ENDS,
    PROXY_PASSES_ON, /* there is more of the body, or its end */
    /* The rest will never come: the client must see that. */
    PROXY_BREAKS_OFF
};

/* As small as two registers, since every step returns one. */
struct proxy_step {
    enum proxy_says says;
    enum conf_next_upstream why;
    struct verdict verdict; /* of ASKS_NEXT and FAILS the status only */
};

static inline struct proxy_step proxy_step_of(enum proxy_says says)
{
    return (struct proxy_step){.says = says};
}

static inline struct proxy_step proxy_step_fails(int status)
{
    return (struct proxy_step){.says = PROXY_FAILS, .verdict = verdict_answer(status)};
}

static inline struct proxy_step proxy_step_next(enum conf_next_upstream why, int status)
{
    return (struct proxy_step){.says = PROXY_ASKS_NEXT, .why = why, .verdict = verdict_answer(status)};
}

static inline const struct settings *proxy_settings(const struct proxy *p)
{
    return p->ex->route.settings;
}

/* Of proxy_pass, grpc_pass or fastcgi_pass. */
static inline const struct proxy_settings *proxy_how(const struct proxy *p)
{
    return location_passes(p->ex->route.settings, p->to);
}

static inline struct worker *proxy_worker(const struct proxy *p)
{
    return p->ex->worker;
}

/* --- try.c --- */
void proxy_watch(struct proxy *p, int events);
void proxy_set_timer(struct proxy *p, int64_t after_ms);

/* An error of the upstream's, with its address and the URI behind it. */
void proxy_log(struct proxy *p, const char *what);
void proxy_log_errno(struct proxy *p, const char *call, int error);
void proxy_log_timeout(struct proxy *p);

/* A server is asked, or none can be: for $upstream_addr and its kin. False: out of memory. */
bool proxy_begin_try(struct proxy *p, struct slice addr);
void proxy_mark_tried(struct proxy *p);

/* The server is done with: counts what became of it, and keeps or closes the connection. */
void proxy_end_try(struct proxy *p, enum upstream_result result, int status, bool keep);

/* Whether what has been sent may be sent again; whether another server may be asked for this reason. */
bool proxy_may_repeat(const struct proxy *p);
bool proxy_may_go_on(const struct proxy *p, enum conf_next_upstream why);

/* Out of tries, or of time for them. */
bool proxy_is_exhausted(const struct proxy *p);

/* --- target.c --- */

/* Finds the upstream and writes the request. 0, or a status for the client. */
int proxy_prepare(struct proxy *p);

/* --- proxy.c --- */
void proxy_destroy(struct proxy *p);

/* --- connect.c --- */

/* A connection to p->peer, whose events go to on_event. False: there is none, which has been logged. */
bool proxy_connect(struct proxy *p, void (*on_event)(struct ev_loop *loop, ev_io *io, int events));
struct proxy_step proxy_on_connected(struct proxy *p);

/* --- send.c --- */
void proxy_begin_to_send(struct proxy *p);

/* Whether the rest of the request still goes there when the response has begun: where both ends can do that. */
bool proxy_sends_on(const struct proxy *p);
void proxy_go_on_sending(struct proxy *p);

/* Of a body that is sent on while it comes. */
void proxy_body_came(struct http_exchange *ex, bool whole);
bool proxy_body_is_full(const struct http_exchange *ex);

/* --- receive.c --- */
struct proxy_step proxy_read_head(struct proxy *p);

/* The interim response p->head has been seen: what is behind it? */
struct proxy_step proxy_after_interim(struct proxy *p);

/* Takes n bytes that have come out of the protocol's records, in place; logs what is for people. False: with a sentence in *why. */
bool proxy_unframe(struct proxy *p, char *data, size_t n, size_t *left, const char **why);

/* --- body.c --- */

/* The state is PROXY_BODY; what already lies in p->kept is the body's beginning. False: it is no body, which has been logged. */
bool proxy_begin_body(struct proxy *p, const struct http_response_head *head);
struct proxy_step proxy_read_body(struct proxy *p);

/* The input is paused, and the client has taken something or waits: it is read again once proxy_limit_rate lets it be. */
void proxy_resume_reading(struct proxy *p);

/* What proxy_limit_rate has paused for is over. */
void proxy_read_again(struct proxy *p);

/* An errno of the disk, after p->kept has failed. */
void proxy_log_disk(struct proxy *p);

/* --- answer.c --- */

/* What becomes of p->head. */
struct proxy_step proxy_answer_client(struct proxy *p);

/* False: out of memory. */
bool proxy_pass_interim(struct proxy *p);

/* --- rewrite.c --- */
struct slice proxy_rewrite_location(struct proxy *p, struct slice value);
struct slice proxy_rewrite_refresh(struct proxy *p, struct slice value);
struct slice proxy_rewrite_cookie(struct proxy *p, struct slice value);

/* --- queue.c --- */

/* Waits for a server. False: there is no queue, or no room in it. */
bool proxy_enqueue(struct proxy *p);
void proxy_leave_queue(struct proxy *p);

/* The timer of one that waits. True: it has left the queue to look for a server again. False: its time is over. */
bool proxy_looks_again(struct proxy *p);

/* --- tunnel.c --- */

/* The response's head is with the client, whose stream is the tunnel's from now on; it may be closed at once. */
void tunnel_begin(struct http_exchange *ex);
void tunnel_on_upstream(struct proxy *p, int events);

#endif
