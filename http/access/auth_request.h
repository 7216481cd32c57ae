/*
 * http/access/auth_request.h - another location is asked whether a request may pass.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_ACCESS_AUTH_REQUEST_H
#define WEIR_HTTP_ACCESS_AUTH_REQUEST_H

#include "http/request/exchange.h"

struct feature;

extern const struct feature feature_auth_request;

bool auth_request_is_asked(const struct location *l);

/* Asks the location of auth_request: it takes the request's place; auth_pass comes again when it has answered. */
struct verdict auth_request_ask(struct http_exchange *ex);

/* With ex->aside: it has answered. The request is itself again. */
struct verdict auth_request_ended(struct http_exchange *ex, int status);

#endif
