/*
 * http/client/connections.h - what a worker does with its connections as a whole.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_CLIENT_CONNECTIONS_H
#define WEIR_HTTP_CLIENT_CONNECTIONS_H

#include "base/wheel.h"

#include <stdbool.h>
#include <sys/socket.h>

struct http_exchange;
struct listener;
struct worker;

/* A client has been accepted: fd belongs to the new connection, or is closed where memory is out. */
void connection_new(struct listener *l, int fd, const struct sockaddr_storage *peer);

/* The end of a turn, with nothing on the ready list: frees the connections that were closed in it. */
void connection_free_dead(struct worker *w);

/* Closes the connection that has been idle longest. False when none may be closed. */
bool connection_close_oldest_idle(struct worker *w);

/* The time of a connection is over: its timer's entry. */
void connection_on_timer(struct wheel_entry *e);

/* Drives what is on the ready list, and what comes onto it meanwhile, until the list is empty. */
void connection_run_ready(struct worker *w);

/* The worker stops: idle clients get a moment for a request that is just on its way. */
void connection_drain(struct worker *w);

/* The request of the connection that is being driven, or NULL. Safe in a signal handler. */
const struct http_exchange *connection_at_work(const struct worker *w);

#endif
