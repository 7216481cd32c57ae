/*
 * http/serve/rewrite.h - the steps of rewrite, set, if and return, which find a location.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SERVE_REWRITE_H
#define WEIR_HTTP_SERVE_REWRITE_H

#include "http/request/exchange.h"

struct location;

/* With ex->route.server: runs the server block's steps and those of the locations, and so finds the location. */
void rewrite_route(struct http_exchange *ex);

/* Puts the request at this location and runs its steps, which may lead on to another one. */
void rewrite_in_location(struct http_exchange *ex, const struct location *l);

#endif
