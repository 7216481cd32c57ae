/*
 * http/serve/redirect.h - finding the location for a request, and another URI in its place.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SERVE_REDIRECT_H
#define WEIR_HTTP_SERVE_REDIRECT_H

#include "http/request/exchange.h"

struct location;
struct vserver;

/* The settings of this location are those of the request from now on. */
void request_use_location(struct http_exchange *ex, const struct location *l);

/* Finds server and location for the exchange's host and path. */
void request_route(struct http_exchange *ex);

/* The server block for the request's host, which becomes the exchange's. */
const struct vserver *request_find_server(struct http_exchange *ex);

/* False: it has gone round too often. */
bool request_count_redirect(struct http_exchange *ex, struct slice to);

/* error_page: the page's URI takes the place of the request. VERDICT_SEND: the plain page is to be shown. */
struct verdict request_error_page(struct http_exchange *ex, int status);

/* Another URI answers in place of this one: "/path?args", or a named location. */
struct verdict request_redirect(struct http_exchange *ex, struct slice uri);

/* The same with a URI as an upstream has written it, for a GET without a body. */
struct verdict request_redirect_away(struct http_exchange *ex, struct slice uri);

#endif
