/*
 * http/h2/leave.h - how a connection ends without losing a request (RFC 9113 section 6.8): first a GOAWAY that lets everything in which
 * is on its way, and once the client must have seen that, one with the last stream that is served.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H2_LEAVE_H
#define WEIR_HTTP_H2_LEAVE_H

#include "http/h2/session.h"

/* The connection is going to end for that reason, unless there is an earlier one. */
void h2_end_for(struct h2_session *s, enum shm_http2_close reason);

/* The first GOAWAY; harmless where it has been said. */
void h2_leave(struct h2_session *s, enum shm_http2_close reason);

/* The first GOAWAY has gone: a PING follows it. */
void h2_ask_whether_seen(struct h2_session *s);

/* The client has answered the PING behind the first one, or its time for that is over: the second. */
void h2_leave_now(struct h2_session *s);

/* Says which stream is the last one: those behind it are not served. */
void h2_say_last(struct h2_session *s, uint32_t code);

/* Nothing more is read of the client, which is told why. */
void h2_terminate(struct h2_session *s, uint32_t code);

/* Whether that PING is this one. */
bool h2_is_leaving_ping(const uint8_t *data);

#endif
