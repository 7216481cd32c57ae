/*
 * worker/proxy_internal.h - a request at an upstream; what the files of the proxy share.
 */
#ifndef WEIR_WORKER_PROXY_INTERNAL_H
#define WEIR_WORKER_PROXY_INTERNAL_H

#include "http/answer.h"
#include "worker/proxy.h"
#include "worker/upstream.h"

enum { PROXY_PASS_BYTES = 64 << 10 /* of an answer's body that wait here for the client */ };

enum proxy_state {
    PROXY_CONNECT,
    PROXY_SEND,
    PROXY_HEAD, /* the request is sent; the answer has not begun */
    PROXY_BODY, /* the head is with the client's connection */
    PROXY_END   /* the body is all here */
};

struct proxy {
    struct connection *c;
    const struct location_proxy *to;
    struct upstream_connection *uc;
    struct buf request; /* head, and the body where it is in memory */
    size_t request_sent;
    uint64_t body_sent; /* of a body in a file */
    struct buf in;      /* received, and not passed on */
    struct http_answer answer;
    struct http_chunked chunked;
    uint64_t body_left; /* with a length */
    bool *tried;        /* servers, in the order of the upstream's */
    enum proxy_state state;
    int tries;     /* servers asked */
    bool sent;     /* the whole request */
    bool reused;   /* the connection has carried a request before */
    bool any_read; /* of this answer */
    bool eof;
    int send_error; /* why sending stopped early */
    int broken;     /* errno with which reading ended: no proper end of an answer */
    int status;     /* for the client, should no server answer: what the last one did */
};

static inline const struct settings *proxy_settings(const struct proxy *p)
{
    return p->c->location->settings;
}

/* --- proxy.c --- */
void proxy_watch(struct proxy *p, int events);

/* An error of the upstream's, with its address and the URI behind it. */
void proxy_log(struct proxy *p, const char *what);

/* Lets go of the connection to the upstream. */
void proxy_drop_upstream(struct proxy *p, bool keep);
void proxy_destroy(struct proxy *p);

/* The request ends with this status: no answer of an upstream has begun to go to the client. */
void proxy_fail(struct proxy *p, int status);

/* --- proxy_answer.c --- */

/* The head is in p->answer; its texts still lie in the first head_len bytes of p->in. */
void proxy_answer_client(struct proxy *p, size_t head_len);

#endif
