/*
 * http/request/pace.h - limit_rate: how much of a response's body may go out by now.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_REQUEST_PACE_H
#define WEIR_HTTP_REQUEST_PACE_H

#include "http/request/exchange.h"

/* In bytes; UINT64_MAX: no bound. 0: none, and more in *wait_ms. */
uint64_t pace_allows(struct http_exchange *ex, int64_t *wait_ms);

#endif
