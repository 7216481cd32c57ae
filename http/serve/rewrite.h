/*
 * http/serve/rewrite.h - the steps of rewrite, set, if and return, which find a location.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SERVE_REWRITE_H
#define WEIR_HTTP_SERVE_REWRITE_H

#include "http/request/exchange.h"

struct location;

/* The server block of ex->route.server is known: runs its steps, and finds the location with those of the locations. */
void rewrite_route(struct http_exchange *ex);

/* This location, after its steps; they may lead on to another one. */
void rewrite_in_location(struct http_exchange *ex, const struct location *l);

#endif
