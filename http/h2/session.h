/*
 * http/h2/session.h - a client's connection of HTTP/2 (RFC 9113): what it holds beside struct connection, and its streams.
 *
 * nghttp2 has the frames, the compressed heads and the windows of the protocol; here are the requests, what they may use, and when
 * who goes on. A stream of which there is something to do stands on the session's list `ready`, and the session's connection on the
 * worker's; so nothing of a request ever runs inside of one of nghttp2's calls but the sending of its body.
 * Ownership: the connection's.
 * Threads:   the loop's.
 */
#ifndef WEIR_HTTP_H2_SESSION_H
#define WEIR_HTTP_H2_SESSION_H

#include "base/buf.h"
#include "base/list.h"
#include "base/wheel.h"
#include "http/client/connection.h"
#include "http/request/exchange.h"

#include <nghttp2/nghttp2.h>

/* A request's head while it comes, which no other frame may interrupt (RFC 9113 section 6.10). */
struct h2_head {
    struct buf fields;             /* "name: value\r\n" and so on, in order */
    struct buf cookie;             /* its crumbs (RFC 9113 section 8.2.3) */
    struct buf method, path, host; /* of pseudo-header fields */
    struct http_head_limits limits;
    /* What is wrong with it, or NULL. */
    const struct http_error *refuse;
    unsigned count; /* of fields */
    bool has_host_field, has_priority, has_key;
    bool is_tunnel; /* :protocol is websocket */
    bool is_malformed;
};

/* What a client may do without being answered: http/h2/defence.c. */
struct h2_budget {
    uint64_t refilled_ms;
    int tokens;
};

/* What nghttp2 holds for the connection: http/h2/memory.c. */
struct h2_memory {
    size_t held, held_max; /* bytes */
    char *block;
    size_t tables_used; /* bytes of the block, from its start */
    /* While the connection is idle: what the block had, */
    struct h2_packed *packed;
    nghttp2_session *ng; /* and whose it is */
    bool is_being_made;  /* what is asked for stays to the end */
    bool has_frame;      /* at the block's end */
    bool stays;          /* cannot be packed */
    bool is_exceeded;    /* it has been more than held_max */
};

/* What a client has been told of the connection's end: http/h2/leave.c. */
enum h2_leave { H2_STAYS, H2_HAS_WARNED, H2_HAS_SAID };

struct h2_session {
    struct connection *c;
    nghttp2_session *ng; /* NULL: it is packed */
    nghttp2_mem allocator;
    struct h2_memory memory;
    struct h2_budget budget;
    struct list_node streams; /* all of them */
    struct list_node ready;   /* those with something to do */
    struct h2_stream *current;
    struct h2_head head;
    struct h2_stream *head_of; /* whose head comes; NULL: none */
    unsigned stream_count;
    size_t heads_bytes;     /* of the heads of all streams */
    struct http_lead *lead; /* NULL: no handler has had one */
    /* At a time, as it has been said last; and as the client has acknowledged. */
    unsigned max_streams, known_streams;
    uint64_t limited_ms;  /* when it changed */
    bool follows_permits; /* http2_max_concurrent_streams auto */
    /* When it last became idle, and how many requests there had been then. */
    uint64_t idle_ms;
    uint32_t requests_at_idle;
    int32_t last_said;    /* with H2_HAS_SAID: the last one served */
    int32_t last_id;      /* of the newest stream, */
    unsigned opened;      /* and how many there have been */
    uint64_t leave_by_ms; /* with H2_HAS_WARNED: the end of that */
    /* Its requests that are left go on by themselves. */
    bool is_client_gone;
    uint8_t leave;  /* enum h2_leave */
    uint8_t reason; /* with has_reason: an enum shm_http2_close */
    bool has_reason;
    uint64_t sent_bytes;  /* of all bodies */
    bool windows_changed; /* by SETTINGS, in this turn */
    /* The client has been told to go, and nothing of it is read any more. */
    bool is_flooded;
    bool is_paused;  /* the output has enough for now */
    bool more_later; /* has had its share of this turn */
    bool is_over;    /* to be closed, whatever still waits */
};

/* A request, from the first frame of its head until nghttp2 forgets the stream. */
struct h2_stream {
    struct h2_session *session;
    /* Its request; GONE, once it is over before the stream is; NULL: there is none, or none any more. */
    struct http_exchange *ex;
    struct list_node link;  /* in the session's streams */
    struct list_node ready; /* in its ready list, or in none */
    /* What the client has to do, and by when. */
    struct wheel_entry timer;
    struct buf in;            /* of the body: come and not wanted yet */
    struct buf out;           /* of the response's: behind the filters */
    struct http_piece piece;  /* what goes out next, where `out` is empty */
    struct buf trailers;      /* lines */
    struct h2_tunnel *tunnel; /* with is_tunnel, from the response on */
    /* Of the response's body, when the timer was set. */
    uint64_t sent_at_timer, session_at_timer;
    unsigned interims;               /* responses that are not sent yet */
    const struct http_error *refuse; /* what is wrong with its head */
    size_t head_bytes;               /* what its head takes */
    int32_t id;
    int body_error; /* a status: the body cannot be kept; or 0 */
    bool has_begun; /* request_start has seen it */
    bool is_tunnel; /* it asks for another protocol */
    bool has_ended; /* the client sends nothing more of it */
    /* nghttp2 has forgotten it, and its request goes on. */
    bool is_gone;
    bool is_wanted; /* its body, and its window is open */
    bool discards;  /* what comes of the body is not wanted */
    bool sends;     /* nghttp2 has the head of its response */
    /* nghttp2 does not ask for the body before it is told to. */
    bool is_deferred;
    bool body_is_out;    /* through the filters, to its end */
    bool has_failed;     /* the rest of the body will never come */
    bool ends_with_head; /* the response has no body */
    bool ends_with_this; /* the frame being sent is the last one */
    bool has_trailers;   /* add_trailer has some */
    bool head_was_all;   /* of the request: nothing was to follow */
};

#endif
