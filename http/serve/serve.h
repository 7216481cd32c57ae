/*
 * http/serve/serve.h - the loop that runs a request: its phases, error pages, other URIs in its place.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SERVE_SERVE_H
#define WEIR_HTTP_SERVE_SERVE_H

#include "http/request/exchange.h"

/*
 * The one loop that runs a request, from what v says on: phases, error pages, other URIs, until it waits or its response is on
 * its way. Its connection is being driven; the request may be over, and freed, afterwards.
 */
void request_serve(struct http_exchange *ex, struct verdict v);

/* The same with REQUEST_READY: from what has ended the wait. */
void request_serve_resumed(struct http_exchange *ex);

#endif
