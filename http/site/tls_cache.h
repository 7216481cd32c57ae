/*
 * http/site/tls_cache.h - ssl_session_cache: where a server's sessions are kept for clients without a ticket.
 *
 * Threads: built by one.
 */
#ifndef WEIR_HTTP_SITE_TLS_CACHE_H
#define WEIR_HTTP_SITE_TLS_CACHE_H

#include "conf/directive.h"
#include "http/site/site.h"
#include "net/tls.h"

extern const struct feature feature_tls_cache;

/* By the settings of a server. The site holds it. */
struct net_tls_cache tls_cache_of(struct site *site, const struct settings *s);

/* Likewise a cache of what authorities say of clients' certificates, and what is wrong with its words. */
struct net_tls_cache tls_status_cache(struct site *site, const struct conf_node *n);
void tls_status_cache_check(struct conf_walk *w, const struct conf_node *n);

#endif
