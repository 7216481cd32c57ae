/*
 * http/access/realip.h - the client's address from where a trusted proxy says it.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_ACCESS_REALIP_H
#define WEIR_HTTP_ACCESS_REALIP_H

#include "http/request/exchange.h"

struct location;
struct realip;

/* Takes the client's address from where these settings say. */
void realip_apply(struct http_exchange *ex, const struct location *l);

#endif
