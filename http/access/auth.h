/*
 * http/access/auth.h - who may see a location: allow and deny, auth_basic, auth_request, and satisfy over them.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_ACCESS_AUTH_H
#define WEIR_HTTP_ACCESS_AUTH_H

#include "http/request/exchange.h"

struct feature;

/* satisfy, auth_delay */
extern const struct feature feature_satisfy;

struct verdict auth_pass(struct http_exchange *ex);

/* A thread has checked the password: `result` is 0 or a status; done false: it could not. */
struct verdict auth_answered(struct http_exchange *ex, bool done, int result);

#endif
