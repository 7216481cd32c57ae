/*
 * http/access/limit_keyed.h - limit_req and limit_conn on the way of a request.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_ACCESS_LIMIT_KEYED_H
#define WEIR_HTTP_ACCESS_LIMIT_KEYED_H

#include "http/request/exchange.h"

struct feature;

extern const struct feature feature_limit_keyed;

/* nginx's limits. VERDICT_WAIT: it is delayed. */
struct verdict keyed_pass(struct http_exchange *ex);

#endif
