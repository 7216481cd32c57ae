/*
 * http/access/realip.h - the client's address from where a trusted proxy says it.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_ACCESS_REALIP_H
#define WEIR_HTTP_ACCESS_REALIP_H

#include "http/request/exchange.h"

struct feature;
struct location;

extern const struct feature feature_realip;

/* Takes the client's address from where these settings say. */
void realip_apply(struct http_exchange *ex, const struct location *l);

#endif
