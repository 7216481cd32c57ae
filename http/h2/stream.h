/*
 * http/h2/stream.h - a stream's memory, its place on the ready list, its timer, and its end before its request's.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H2_STREAM_H
#define WEIR_HTTP_H2_STREAM_H

#include "http/h2/session.h"

/* NULL: out of memory. */
struct h2_stream *h2_stream_new(struct h2_session *s, int32_t id);

/* nghttp2 has forgotten the stream. A request that is not over ends where it stands. */
void h2_stream_free(struct h2_stream *st);

/* The same, but a request that outlives its client (proxy_ignore_client_abort) goes on: its stream stays as long as that. */
void h2_stream_leave(struct h2_stream *st);

/* There is something to do: its connection is driven before this turn ends. */
void h2_stream_ready(struct h2_stream *st);

/* What is expected of the client has to come within this time; 0: nothing is expected. */
void h2_stream_set_timer(struct h2_stream *st, int64_t after_ms);

/* The request ends where it stands, with a line of the log; whatever works for it is told. */
void h2_stream_end_request(struct h2_stream *st);

/* The same, and the client is told so: RST_STREAM (RFC 9113 section 6.4). */
void h2_stream_reset(struct h2_stream *st, uint32_t code);

#endif
