/*
 * net/tls_cache.c - sessions that a server keeps for clients without a ticket: the library gives them out, and asks for them, by their ids.
 *
 * The library's own cache is one process's, and one context's, whatever server the client's name has led to: it is not used.
 */
#include "net/tls_internal.h"

#include <openssl/err.h>

static struct slice id_of(const SSL_SESSION *session)
{
    unsigned len = 0;
    const unsigned char *id = SSL_SESSION_get_id(session, &len);
    return (struct slice){(const char *)id, len};
}

/* A session of TLS 1.3 is in its ticket, unless there are none. */
static bool is_in_ticket(const SSL *ssl)
{
    return SSL_version(ssl) >= TLS1_3_VERSION && !(SSL_get_options(ssl) & SSL_OP_NO_TICKET);
}

/* Returns 0: it stays the library's. */
static int on_new(SSL *ssl, SSL_SESSION *session)
{
    const struct net_tls *t = SSL_get_app_data(ssl);
    const struct net_tls_cache *cache = &t->context->cache;
    unsigned char bytes[NET_TLS_SESSION_MAX], *end = bytes;
    if (!cache->keep || !net_tls_takes_sessions(t->context) || is_in_ticket(ssl) ||
        i2d_SSL_SESSION(session, NULL) > (int)sizeof bytes)
        return 0;
    int len = i2d_SSL_SESSION(session, &end);
    if (len > 0)
        cache->keep(cache->with, id_of(session), (struct slice){(const char *)bytes, (size_t)len});
    OPENSSL_cleanse(bytes, sizeof bytes);
    return 0;
}

static SSL_SESSION *on_find(SSL *ssl, const unsigned char *id, int len, int *copies)
{
    const struct net_tls *t = SSL_get_app_data(ssl);
    const struct net_tls_cache *cache = &t->context->cache;
    char bytes[NET_TLS_SESSION_MAX];
    const unsigned char *at = (const unsigned char *)bytes;
    *copies = 0;
    if (!cache->find || !net_tls_takes_sessions(t->context))
        return NULL;
    size_t found = cache->find(cache->with, (struct slice){(const char *)id, (size_t)len}, bytes);
    SSL_SESSION *session = found ? d2i_SSL_SESSION(NULL, &at, (long)found) : NULL;
    OPENSSL_cleanse(bytes, sizeof bytes);
    ERR_clear_error();
    return session;
}

/* The context is that of the address's default server, wherever the name has led to. */
static void on_drop(SSL_CTX *ctx, SSL_SESSION *session)
{
    const struct net_tls_context *context = SSL_CTX_get_app_data(ctx);
    context->cache.drop(id_of(session));
}

void net_tls_watch_sessions(struct net_tls_context *context)
{
    SSL_CTX *ctx = context->ctx;
    SSL_CTX_set_session_cache_mode(ctx, context->cache.says_no
                                            ? SSL_SESS_CACHE_OFF
                                            : SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new);
    SSL_CTX_sess_set_get_cb(ctx, on_find);
    SSL_CTX_set_app_data(ctx, context);
    if (context->cache.drop)
        SSL_CTX_sess_set_remove_cb(ctx, on_drop);
}
