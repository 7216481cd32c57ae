/*
 * http/site/deadline.h - until when a request has to be answered.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SITE_DEADLINE_H
#define WEIR_HTTP_SITE_DEADLINE_H

#include "http/request/exchange.h"

/* In ms of the loop's clock: what a gRPC call's grpc-timeout says. 0: it has no bound. */
uint64_t request_deadline_ms(const struct http_exchange *ex);

/* Whether it has passed: there is nobody left to answer. */
bool request_is_late(const struct http_exchange *ex);

#endif
