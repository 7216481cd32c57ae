/*
 * proxy/http2.h - HTTP/2 to upstreams: many requests on few connections (RFC 9113).
 *
 * To a request its part of such a connection is an upstream_connection like any other, whose stream has a layer: what is written is
 * HTTP/1's text, and goes out as frames; what is read is HTTP/1's text, made of frames. So how requests are sent, tried again, buffered
 * and timed is the same code, whatever the upstream speaks.
 * Ownership: a connection lives as long as it is good or somebody is on it; a stream is its request's, as any upstream_connection.
 * Threads:   the loop's.
 */
#ifndef WEIR_PROXY_HTTP2_H
#define WEIR_PROXY_HTTP2_H

#include "base/buf.h"
#include "base/list.h"
#include "http/wire/chunked.h"
#include "proxy/upstream.h"

#include <nghttp2/nghttp2.h>

struct http2_connection {
    struct upstream_connection *uc; /* the real one; NULL: it has ended */
    nghttp2_session *ng;
    struct worker *worker;
    struct upstream *upstream;
    struct list_node link; /* in the upstream's `carriers` */
    /* In the worker's list of those with something to do, or in none. */
    struct list_node waits;
    struct list_node streams;     /* all of them */
    struct list_node told;        /* of those: what they wait for has come */
    struct buf out;               /* made, and not taken by the socket */
    struct http2_stream *current; /* who is being told */
    unsigned stream_count;
    uint64_t blocked_ms; /* since when its socket is full, or 0 */
    /* In which turn of the loop it has sent how much. */
    uint64_t turn;
    size_t sent_in_turn;
    /* Since when its server has said nothing, though there are requests. */
    uint64_t silent_ms;
    bool is_doubted;  /* a PING asks whether it is there */
    bool is_leaving;  /* takes no more requests */
    bool has_asked;   /* a request has gone */
    bool knows_limit; /* its server's SETTINGS have come */
};

enum http2_request_part { HTTP2_HEAD, HTTP2_BODY, HTTP2_ENDED };

/* A request and its response. Texts of both are HTTP/1's. */
struct http2_stream {
    struct upstream_connection uc; /* first */
    struct http2_connection *h;
    struct list_node link, told;
    net_on_event *on_event;
    int events; /* what its user waits for */
    int32_t id; /* 0: its head has not gone */
    int error;  /* an errno; 0: it is well */
    /* The request: its head until it is whole, then its body, and how that is framed. */
    struct buf out;
    enum http2_request_part part;
    struct http_chunked chunked;
    uint64_t left;
    bool is_chunked, is_deferred;
    bool head_is_whole; /* and waits for the server's SETTINGS */
    bool has_said_end;  /* nghttp2 looks at the stream no more */
    /* The response. */
    struct buf in;
    struct buf trailers;
    size_t unused;         /* bytes of DATA whose window is closed */
    uint64_t expected;     /* of a body with a length: still to come */
    bool chunks;           /* its body goes in chunks to the reader */
    bool has_head;         /* not an interim one */
    bool has_begun_body;   /* next are its body and trailers */
    bool no_body, is_head; /* the request is HEAD */
    bool is_grpc;          /* trailers follow in any case */
    bool has_ended;
};

/* --- http2_connection.c --- */

/*
 * The connection, which has been made, speaks HTTP/2 from now on, and is not the caller's any more: what is returned is, a stream on it.
 * alone: no other request may have it. NULL: memory is out, and the connection is closed.
 */
struct upstream_connection *http2_begin(struct upstream_connection *uc, bool alone);

/* A stream on a connection to that server that there is. NULL: there is none with room. */
struct upstream_connection *http2_join(struct upstream *u, const struct peer *peer,
                                       const struct upstream_dial *dial);

/* The time of an idle one is over. */
void http2_on_timer(struct wheel_entry *e);

/* The upstream goes, and nobody asks it: its connections are closed. */
void http2_close_idle(struct upstream *u);

/* Once a second: those without a request that are of no use any more are closed. */
void http2_look_after(struct worker *w);

/* Before the worker waits: what has been written goes out, and who waits is told. False: there was nothing to do. */
bool http2_go_on(struct worker *w);

/* --- http2_stream.c --- */

/* A stream whose request is still to come. NULL: out of memory. */
struct http2_stream *http2_stream_new(struct http2_connection *h);

/* How many requests the server takes is known: one that has waited for that goes. */
void http2_stream_go(struct http2_stream *st);

/* --- http2_told.c --- */

/* There is something to do before the turn ends. */
void http2_wake(struct http2_connection *h);

/* How much of a request's body may be written; and whether that, or reading, leads to something: EV_READ, EV_WRITE. */
size_t http2_stream_room(const struct http2_stream *st);
int http2_stream_events(const struct http2_stream *st);

/* What it waits for has come: its user is told before the turn ends. */
void http2_stream_tell(struct http2_stream *st);

/* The next of the streams that are told something hears of it. False: there is none. */
bool http2_stream_deliver(struct http2_connection *h);

/* Nothing more comes or goes: an errno, with which reading and writing fail. */
void http2_stream_fail(struct http2_stream *st, int error);

/* The server has not answered in time: no other request goes that way. */
void http2_distrust(struct upstream_connection *stream);

/* A stream leaves. */
void http2_part(struct http2_stream *st);

/* --- http2_text.c --- */

/* The head in st->out is whole: it goes out. False: it cannot. */
bool http2_send_head(struct http2_stream *st, size_t head_len, nghttp2_data_source_read_callback give);

/* Of the response: a field, the head's end, bytes of the body, its end. False: out of memory, or it is too large. */
bool http2_take_field(struct http2_stream *st, struct slice name, struct slice value, bool is_trailer);
bool http2_take_head_end(struct http2_stream *st);
bool http2_take_body(struct http2_stream *st, struct slice part);
bool http2_take_end(struct http2_stream *st);

#endif
