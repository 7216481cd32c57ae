/*
 * http/client/output.h - what waits to be sent: its buffers, and how they go.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_CLIENT_OUTPUT_H
#define WEIR_HTTP_CLIENT_OUTPUT_H

#include "http/client/connection.h"

/* Where output goes now, of a connection that is being driven, or that has a buffer of its own. */
struct buf *connection_output(struct connection *c);

/* A buffer of its own for output, for a connection that is not being driven. NULL: out of memory. */
struct buf *connection_own_output(struct connection *c);

/*
 * Of the connection being driven: sends what waits. False: the socket takes no more for now, or failed (then the connection is
 * dead). *moved: the socket has taken some of it, and the rest waits for the client.
 */
bool connection_flush(struct connection *c, bool more_follows, bool *moved);

/* With errno of a send: closes, unless the socket only takes no more for now. Always false. */
bool connection_send_failed(struct connection *c);

#endif
