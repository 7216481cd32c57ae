/*
 * proxy/proxy.h - passing requests on to upstreams.
 *
 * Everything belongs to the loop's thread.
 */
#ifndef WEIR_PROXY_PROXY_H
#define WEIR_PROXY_PROXY_H

#include "http/request/exchange.h"
#include "http/site/site.h"

/* The request of c goes to the location's upstream: its body is there, or comes while it is sent on. */
struct verdict proxy_start(struct http_exchange *ex);

/* Whether a proxy_pass with variables leads anywhere, which needs no body to be known. 0, or a status for the client. */
int proxy_check_target(struct http_exchange *ex);

/* The upstream has taken too long, or its reading goes on. */
void proxy_on_timer(struct wheel_entry *e);

/* Requests that wait for a server of an upstream look again. */
void proxy_settle_queues(struct worker *w);

/* Names have been resolved: requests that wait for this upstream go on. */
void proxy_resolved(struct upstream *u);

#endif
