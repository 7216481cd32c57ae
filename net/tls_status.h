/*
 * net/tls_status.h - what authorities say of certificates (OCSP, RFC 6960): of the server's own, to be stapled (RFC 6066 section 8), and of
 * clients'.
 *
 * Threads: the loop's, but for what asks: that waits for a responder, and is for a thread that may.
 */
#ifndef WEIR_NET_TLS_STATUS_H
#define WEIR_NET_TLS_STATUS_H

#include "net/tls.h"

enum net_tls_status { NET_TLS_STATUS_GOOD, NET_TLS_STATUS_REVOKED, NET_TLS_STATUS_UNKNOWN };

/* --- stapling, by net_tls_rules.staples --- */

/* Whether somebody can be asked about the pair's certificate; else `error` says why not, and nobody will be. */
bool net_tls_staple_check(struct net_tls_context *context, int pair, char error[NET_TLS_ERROR_BYTES]);

/* When somebody is to be asked, in seconds since 1970; 0: never. */
int64_t net_tls_staple_due_s(const struct net_tls_context *context, int pair);

/* A question that stands by itself; it is due again later. NULL: `error` says why nobody can be asked, now or later. */
struct net_tls_staple_question;
struct net_tls_staple_question *net_tls_staple_begin(struct net_tls_context *context, int pair,
                                                     char error[NET_TLS_ERROR_BYTES]);
/* On a thread that may wait, or not at all. */
void net_tls_staple_ask(struct net_tls_staple_question *question);

/* Takes it; what was answered is stapled from now on. NULL, or what has gone wrong, a text that stands until the next call. */
const char *net_tls_staple_end(struct net_tls_context *context, int pair,
                               struct net_tls_staple_question *question);

/* --- clients, by net_tls_rules.client_status --- */

/* NULL, or why the certificate's authority is in the way. */
const char *net_tls_client_doubt(const struct net_stream *s);

#endif
