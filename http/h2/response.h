/*
 * http/h2/response.h - a response on its way from its source to a client of HTTP/2.
 *
 * nghttp2 asks for a stream's body when its windows and its turn allow for a frame (RFC 9218 decides whose turn it is), and is told how
 * much there is; then the bytes go straight from their source behind the frame's head.
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H2_RESPONSE_H
#define WEIR_HTTP_H2_RESPONSE_H

#include "http/h2/session.h"

/* With REQUEST_SEND, once for a request: its head, and the promise of its body. False: out of memory. */
bool h2_respond(struct http_exchange *ex);

/* A stretch of the body from the end of the filters. False: out of memory. */
bool h2_take_filtered(struct http_exchange *ex, struct slice stretch);

/* The stream's turn, with REQUEST_SEND: there is more, where there was none. */
void h2_send_on(struct h2_stream *st);

/* The client has not taken enough of the response in its time, or the source's is over; or nothing is wrong. */
void h2_response_on_time(struct h2_stream *st);

/* nghttp2_send_data_callback: a frame of the body, into the output. */
int h2_write_body(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t len,
                  nghttp2_data_source *from, void *session);

/* The head has gone, and ends the response. */
void h2_response_is_out(struct h2_stream *st);

#endif
