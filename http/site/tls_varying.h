/*
 * http/site/tls_varying.h - certificates with variables in their names, and where they are kept (ssl_certificate_cache).
 *
 * Threads: built by one; then the loop's.
 */
#ifndef WEIR_HTTP_SITE_TLS_VARYING_H
#define WEIR_HTTP_SITE_TLS_VARYING_H

#include "conf/directive.h"
#include "conf/tree.h"
#include "http/site/site.h"
#include "net/tls_loaded.h"

extern const struct feature feature_tls_varying;

/* off, or how certificates are kept: of ssl_certificate_cache and of proxy_ssl_certificate_cache. */
struct tls_keeping {
    const struct conf_node *node; /* NULL: off */
    struct net_tls_loaded_rules rules;
};

void tls_keeping_set(struct conf_walk *w, const struct conf_node *n, struct tls_keeping *keeping);

/* What is kept by that statement, by all whom it is for; NULL: nothing. Is the site's. */
struct net_tls_loaded *tls_kept_by(struct site *site, const struct tls_keeping *keeping);

/* Whether a file's name, or a text, has a variable. */
bool tls_has_variable(struct slice name);

/* Names of a server's pairs, if one of them has a variable; else NULL. As many keys as certificates. */
struct tls_varying;
const struct tls_varying *tls_varying_of(struct site *site, const struct conf_lines *certificates,
                                         const struct conf_lines *keys);

/* Into the rules of the server with these settings. */
void tls_varying_set(struct site *site, const struct settings *s, const struct tls_varying *varying,
                     struct net_tls_rules *rules);

/* Appends what they are for this client: `owner` is a struct tls_varying. False: out of memory. */
bool tls_name_pair(struct http_exchange *ex, const void *owner, int pair, struct buf *certificate,
                   struct buf *key);

/* Appends what a template is for the request: a file's whole path, or "data:" and a text. */
bool tls_name_file(struct http_exchange *ex, const struct http_template *name, struct buf *out);

#endif
