/*
 * worker/proxy.h - passing requests on to upstreams.
 *
 * Everything belongs to the loop's thread.
 */
#ifndef WEIR_WORKER_PROXY_H
#define WEIR_WORKER_PROXY_H

#include "worker/core.h"

/* The request of c, whose body is there, goes to the location's upstream. */
void proxy_start(struct connection *c);

/* Takes what the upstream has sent into the output. False when there was nothing. */
bool proxy_pull(struct connection *c);

/* The upstream, or a client of its answer, has taken too long. */
void proxy_timeout(struct connection *c);

/* The client is gone. */
void proxy_abort(struct connection *c);

/* The request as the upstream is to see it: its head, and its body where that is in memory. 0, or a status for the client. */
int proxy_build_request(struct http_exchange *ex, const struct location *l, struct buf *out);

#endif
