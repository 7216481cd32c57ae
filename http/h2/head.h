/*
 * http/h2/head.h - a request's head: from fields as they are decompressed to a request that is served.
 *
 * The head is put into HTTP/1's form, as that is what all of the server reads: pseudo-header fields become its first line and Host.
 * So a request is the same one, and is refused for the same things, whatever its client speaks.
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H2_HEAD_H
#define WEIR_HTTP_H2_HEAD_H

#include "http/h2/session.h"

/* A head begins; the one before is forgotten. */
void h2_head_begin(struct h2_session *s, struct h2_stream *st);

/* One field of it. */
void h2_head_add(struct h2_session *s, struct slice name, struct slice value);

/*
 * It is whole: its stream has a request, which begins when it is the stream's turn. False: it is malformed (RFC 9113 section 8.1.1),
 * or memory is out.
 */
bool h2_head_end(struct h2_session *s, struct h2_stream *st, bool has_body);

void h2_head_free(struct h2_session *s);

/* The stream's turn: the request begins, or is refused. */
void h2_start(struct h2_stream *st);

#endif
