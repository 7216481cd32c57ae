/*
 * http/site/tls.h - servers that speak TLS: ssl_certificate and its kin, and which of them a client has asked for.
 *
 * Threads: built by one; then the loop's.
 */
#ifndef WEIR_HTTP_SITE_TLS_H
#define WEIR_HTTP_SITE_TLS_H

#include "http/request/verdict.h"
#include "http/site/site.h"
#include "net/tls.h"

extern const struct feature feature_tls;

/* Once all servers of all addresses are built: an address with "ssl" needs a certificate. */
void tls_check_listens(struct site *site);

/* So long tickets and sessions can be valid; 0: no server speaks TLS. */
uint64_t tls_longest_session_ms(const struct site *site);

/* What clients of that address begin with; and what the rules of server_name choose by a name, which may be empty. */
const struct net_tls_context *tls_context(const struct site_listen *listen);
const struct net_tls_context *tls_context_for(const struct site_listen *listen, struct slice name);

/* 0: the handshake has no time of its own. */
int64_t tls_handshake_timeout_ms(const struct site_listen *listen);

/* Before a request is served: plain text where TLS is due is 497, a client's certificate that is wrong 495, one that is missing 496. */
struct verdict tls_pass(struct http_exchange *ex);

#endif
