/*
 * http/h1/settle.h - what a connection waits for once nothing goes on any more: its list, its gauge, its timer and its events.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_SETTLE_H
#define WEIR_HTTP_H1_SETTLE_H

#include "http/client/connection.h"

/* By what the connection is at: puts it among the busy or the idle ones, with a time for its next head. May close it. */
void h1_settle(struct connection *c);

/* Watches the stream for what the connection can use. */
void h1_watch(struct connection *c);

#endif
