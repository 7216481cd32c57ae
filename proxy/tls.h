/*
 * proxy/tls.h - upstreams that are spoken to in TLS (proxy_pass https://): proxy_ssl_verify and its kin.
 *
 * Threads: built by one; then the loop's.
 */
#ifndef WEIR_PROXY_TLS_H
#define WEIR_PROXY_TLS_H

#include "http/site/site.h"
#include "net/tls.h"

extern const struct feature feature_proxy_tls;

enum { UPSTREAM_TLS_NAME_MAX = 256 };

/* What a location's connections to upstreams are like; NULL: it passes nothing on, or not in TLS. */
struct upstream_tls {
    struct net_tls_context *context;
    /* proxy_ssl_name; NULL: the host that is passed on to. */
    const struct http_template *name;
    struct slice fixed_name; /* as it is, if it has no variables */
    bool asks_for_name, verifies, reuses;
};

const struct upstream_tls *upstream_tls_of(const struct location *l);

/* The last session of a server, for the same rules and name as it was made with. Belongs to its peer. */
struct upstream_session;
void upstream_session_free(struct upstream_session *session);

/* The connection, which is made, begins to speak TLS. False: out of memory. */
struct upstream_connection;
bool upstream_begin_tls(struct upstream_connection *uc, const struct upstream_tls *tls, struct slice name);

/* The handshake is over: "" the server may be used; else why not, in nginx's words. The text lives until the next call. */
const char *upstream_doubt(const struct net_stream *s, const struct upstream_tls *tls, struct slice name);

/* After that: its session is its server's to be taken up again, or nobody's. */
void upstream_settle_session(struct upstream_connection *uc, bool is_trusted);

/* A host without its port. */
struct slice upstream_name_of(struct slice host);

#endif
