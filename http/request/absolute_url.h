/*
 * http/request/absolute_url.h - a path of this server as a client may be sent to it.
 *
 * Threads: the request's owner's.
 */
#ifndef WEIR_HTTP_REQUEST_ABSOLUTE_URL_H
#define WEIR_HTTP_REQUEST_ABSOLUTE_URL_H

#include "conf/settings.h"
#include "http/request/exchange.h"

/* "http[s]://HOST[:PORT]PATH" for a path of this server, or the path, as the settings want it; data NULL when memory is out. */
struct slice http_absolute_url(struct http_exchange *ex, const struct settings *s, struct slice path);

#endif
