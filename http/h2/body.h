/*
 * http/h2/body.h - a request's body: DATA frames, kept until the request wants them, and the windows that let more come.
 *
 * A window is opened again by what has been used: a stream that waits has at most http2_body_preread_size here, and all of a connection
 * together what h2_open says.
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H2_BODY_H
#define WEIR_HTTP_H2_BODY_H

#include "http/h2/session.h"

/* Bytes of a stream's body have come. Within one of nghttp2's calls: the request goes on later. */
void h2_body_came(struct h2_stream *st, const char *data, size_t len);

/* The stream's turn: what there is of the body goes where the request wants it. */
void h2_body_go_on(struct h2_stream *st);

/* What is still to come of the body is not wanted. */
void h2_drop_body(struct http_exchange *ex);

#endif
