/*
 * http/h1/output.h - what waits to be sent: its buffers, and how they go.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_OUTPUT_H
#define WEIR_HTTP_H1_OUTPUT_H

#include "http/h1/connection.h"

/* Where output goes now, of a connection that is being driven, or that has a buffer of its own. */
struct buf *h1_output(struct connection *c);

/* A buffer of its own for output, for a connection that is not being driven. NULL: out of memory. */
struct buf *h1_own_output(struct connection *c);

/* Whether output has to go before any more input may be used. */
bool h1_output_waits(const struct connection *c);

/*
 * Of the connection being driven: sends what waits. False: the socket takes no more for now, or failed (then the connection is
 * dead).
 */
bool h1_flush(struct connection *c, bool more_follows);

/* With errno of a send: closes, unless the socket only takes no more for now. Always false. */
bool h1_send_failed(struct connection *c);

/* The client has to take what waits within send_timeout, or what is left of the time of the response's source. */
void h1_set_send_timer(struct connection *c);

#endif
