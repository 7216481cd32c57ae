/*
 * http/access/access.h - allow, deny and limit_except: what they say of a client.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_ACCESS_ACCESS_H
#define WEIR_HTTP_ACCESS_ACCESS_H

#include "http/request/exchange.h"

struct feature;
struct location;

extern const struct feature feature_access;

/* Whether there are allow and deny. */
bool access_has_rules(const struct location *l);

/* What allow and deny say of the client. */
enum access_verdict { ACCESS_UNKNOWN /* no line is for it */, ACCESS_ALLOWED, ACCESS_DENIED };
enum access_verdict access_look(struct http_exchange *ex);

/* limit_except: the location with its limits, where the method is not excepted; else l. */
const struct location *access_limited(const struct http_exchange *ex, const struct location *l);

#endif
