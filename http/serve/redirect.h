/*
 * http/serve/redirect.h - finding the location for a request, and another URI in its place.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SERVE_REDIRECT_H
#define WEIR_HTTP_SERVE_REDIRECT_H

#include "http/request/exchange.h"

/* Finds server and location for the request's host and path, and runs the steps of rewrite that lead there. */
void request_route(struct http_exchange *ex);

/* Counts a redirect to `to`. False: there were ten already, which has been logged; the request ends with 500. */
bool request_count_redirect(struct http_exchange *ex, struct slice to);

/*
 * error_page, not of a request that is put aside: VERDICT_ROUTE or the like where the page's URI takes the request's place;
 * VERDICT_SEND: the plain page.
 */
struct verdict request_error_page(struct http_exchange *ex, int status);

/* Another URI stands in place of this one: "/path?args", or a named location. */
struct verdict request_redirect(struct http_exchange *ex, struct slice uri);

/* The same with a URI as an upstream has written it, for a GET without a body. */
struct verdict request_redirect_away(struct http_exchange *ex, struct slice uri);

#endif
