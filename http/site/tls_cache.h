/*
 * http/site/tls_cache.h - ssl_session_cache: where a server's sessions are kept for clients without a ticket.
 *
 * Threads: built by one.
 */
#ifndef WEIR_HTTP_SITE_TLS_CACHE_H
#define WEIR_HTTP_SITE_TLS_CACHE_H

#include "http/site/site.h"
#include "net/tls.h"

extern const struct feature feature_tls_cache;

/* By the settings of a server. The site holds it. */
struct net_tls_cache tls_cache_of(struct site *site, const struct settings *s);

#endif
