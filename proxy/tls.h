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

/* Who is spoken to, and who speaks: connections and sessions are used again for the same alone. */
struct upstream_as {
    struct slice name; /* the server's */
    /* The name, and our certificate's files where those vary. */
    struct slice whole;
    const char *certificate, *key; /* NULL: what is the context's */
};

/* What a location's connections to upstreams are like; NULL: it passes nothing on, or not in TLS. */
struct upstream_tls {
    struct net_tls_context *context;
    /* proxy_ssl_name; NULL: the host that is passed on to. */
    const struct http_template *name;
    struct slice fixed_name; /* as it is, if it has no variables */
    /* Of files with our certificate that vary, and where they are kept; NULL: they do not, or nowhere. */
    const struct http_template *certificate, *key;
    const char *password_file;
    struct net_tls_loaded *loaded;
    bool asks_for_name, verifies, reuses;
};

const struct upstream_tls *upstream_tls_of(const struct location *l);

/* The last session of a server, for the same rules and name as it was made with. Belongs to its peer. */
struct upstream_session;
void upstream_session_free(struct upstream_session *session);

/* What they are for a request. False: out of memory. */
bool upstream_tls_identify(struct http_exchange *ex, const struct upstream_tls *tls, struct slice name,
                           struct upstream_as *as);

/* The connection, which is made, begins to speak TLS. False: it cannot, which has been logged, or memory is out. */
struct upstream_connection;
bool upstream_begin_tls(struct http_exchange *ex, struct upstream_connection *uc,
                        const struct upstream_tls *tls, const struct upstream_as *as);

/* The handshake is over: "" the server may be used; else why not, in nginx's words. The text lives until the next call. */
const char *upstream_doubt(const struct net_stream *s, const struct upstream_tls *tls, struct slice name);

/* After that: its session is its server's to be taken up again, or nobody's. */
void upstream_settle_session(struct upstream_connection *uc, bool is_trusted);

/* A host without its port. */
struct slice upstream_name_of(struct slice host);

#endif
