/*
 * http/h1/events.h - a client's socket can be read or written.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_EVENTS_H
#define WEIR_HTTP_H1_EVENTS_H

#include "http/client/connection.h"

/* The event callback of a connection, whose stream has the watcher. */
void h1_on_event(struct ev_loop *loop, ev_io *io, int events);

/* Reads what is there, and uses it. False when there is nothing now; the connection may be dead afterwards. */
bool h1_read(struct connection *c);

#endif
