/*
 * http/request/assign.h - giving a variable a value: set, auth_request_set.
 *
 * Threads: the request's owner's.
 */
#ifndef WEIR_HTTP_REQUEST_ASSIGN_H
#define WEIR_HTTP_REQUEST_ASSIGN_H

#include "http/request/exchange.h"

/* $args and $limit_rate change what they are about; any other name is a variable with this value from now on. */
void http_assign(struct http_exchange *ex, struct slice name, struct slice value);

#endif
