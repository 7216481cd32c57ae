/*
 * http/site/tls_status.h - ssl_stapling, ssl_ocsp and their kin: what authorities are asked about certificates.
 *
 * Threads: built by one.
 */
#ifndef WEIR_HTTP_SITE_TLS_STATUS_H
#define WEIR_HTTP_SITE_TLS_STATUS_H

#include "conf/tree.h"
#include "http/site/site.h"
#include "net/tls.h"

extern const struct feature feature_tls_status;

/* Into the rules of a server, by its settings; the rest of them is known. default_pool: where to ask in place of the loop. Says what is wrong. */
void tls_status_set(struct site *site, const struct conf_location *server, int default_pool,
                    struct net_tls_rules *rules);

/* Warns of certificates about which nobody can be asked. */
void tls_status_check(struct site *site, const struct conf_lines *certificates,
                      struct net_tls_context *context);

#endif
