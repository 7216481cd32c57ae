/*
 * http/serve/serve.h - the loop that runs a request: its phases, error pages, other URIs in its place.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SERVE_SERVE_H
#define WEIR_HTTP_SERVE_SERVE_H

#include "http/request/exchange.h"

/* The one loop that runs a request: phases, error pages, other URIs, until it waits or has been answered. c is being driven. */
void request_serve(struct http_exchange *ex, struct verdict v);

/* With c being driven: serves what has been resumed. */
void request_serve_resumed(struct http_exchange *ex);

#endif
