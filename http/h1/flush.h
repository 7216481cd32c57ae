/*
 * http/h1/flush.h - output to a client of HTTP/1, and the time that it has for it.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_FLUSH_H
#define WEIR_HTTP_H1_FLUSH_H

#include "http/client/connection.h"

/*
 * Of the connection being driven: sends what waits. False: the socket takes no more for now, or failed (then the connection is
 * dead).
 */
bool h1_flush(struct connection *c, bool more_follows);

/* The client has to take what waits within send_timeout, or what is left of the time of the response's source. */
void h1_set_send_timer(struct connection *c);

#endif
