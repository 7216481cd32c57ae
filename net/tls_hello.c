/*
 * net/tls_hello.c - a client's first words: the name that it asks for chooses the context, before anything is negotiated.
 */
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <string.h>

/* A client's list of names has one of a host, by RFC 6066: two lengths, a type, a third length. */
static struct slice name_in_hello(SSL *ssl)
{
    const unsigned char *ext;
    size_t len;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) != 1 || len < 5)
        return (struct slice){"", 0};
    size_t list = (size_t)ext[0] << 8 | ext[1], name = (size_t)ext[3] << 8 | ext[4];
    if (list + 2 != len || ext[2] != TLSEXT_NAMETYPE_host_name || name + 5 > len || name == 0)
        return (struct slice){"", 0};
    return (struct slice){(const char *)ext + 5, name};
}

/* Letters are made small: servers are found so. A zero within is no name. */
static struct slice lower_name(struct slice name, char to[TLSEXT_MAXLEN_host_name + 1])
{
    if (name.len > TLSEXT_MAXLEN_host_name || (name.len && memchr(name.data, 0, name.len)))
        return (struct slice){"", 0};
    for (size_t i = 0; i < name.len; i++)
        to[i] = name.data[i] >= 'A' && name.data[i] <= 'Z' ? (char)(name.data[i] + 32) : name.data[i];
    return (struct slice){to, name.len};
}

/* NULL: what the library would take by itself, with one of those first that no quantum computer breaks, where it has one. */
static void set_curves(SSL *ssl, const char *curves)
{
    if (curves)
        SSL_set1_groups_list(ssl, curves);
    else if (SSL_set1_groups_list(ssl, "X25519MLKEM768:X25519:P-256:X448:P-384:P-521") != 1)
        SSL_set1_groups_list(ssl, "X25519:P-256:X448:P-384:P-521");
    ERR_clear_error();
}

/* All that a connection takes from its context when it is made has to be taken again. */
static void use_context(struct net_tls *t, const struct net_tls_context *context)
{
    const struct net_tls_context *before = t->context;
    SSL_CTX *ctx = context->ctx;
    t->context = context;
    SSL_set_SSL_CTX(t->ssl, ctx);
    SSL_set_verify(t->ssl, SSL_CTX_get_verify_mode(ctx), SSL_CTX_get_verify_callback(ctx));
    SSL_set_verify_depth(t->ssl, SSL_CTX_get_verify_depth(ctx));
    SSL_clear_options(t->ssl, SSL_get_options(t->ssl) & ~SSL_CTX_get_options(ctx));
    SSL_set_options(t->ssl, SSL_CTX_get_options(ctx));
    if (before->curves || context->curves)
        set_curves(t->ssl, context->curves);
    SSL_set_min_proto_version(t->ssl, (int)SSL_CTX_get_min_proto_version(ctx));
    SSL_set_max_proto_version(t->ssl, (int)SSL_CTX_get_max_proto_version(ctx));
    SSL_set_max_early_data(t->ssl, SSL_CTX_get_max_early_data(ctx));
}

static int on_hello(SSL *ssl, int *alert, void *with)
{
    char lower[TLSEXT_MAXLEN_host_name + 1];
    struct net_tls *t = SSL_get_app_data(ssl);
    (void)with;
    /* The second one, after a HelloRetryRequest, may ask for no other name (RFC 8446 section 4.1.2); and a thread may be at it. */
    if (t->has_chosen)
        return SSL_CLIENT_HELLO_SUCCESS;
    t->has_chosen = true;
    const struct net_tls_context *chosen = t->server->choose(t->with, lower_name(name_in_hello(ssl), lower));
    if (chosen && chosen != t->context)
        use_context(t, chosen);
    t->staples = net_tls_staples_hold(t->context->staples);
    /* A server without a context of its own shows the certificate of the default one, which may refuse its own clients. */
    bool rejects = t->context->rejects && (chosen || !t->context->wants_to_reject);
    if (!rejects)
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_CLIENT_HELLO_ERROR;
}

/* The server has been chosen by then: the client is told that its name was looked at. */
static int on_server_name(SSL *ssl, int *alert, void *with)
{
    (void)ssl;
    (void)alert;
    (void)with;
    return SSL_TLSEXT_ERR_OK;
}

/* A client that asks for other protocols only is told so (RFC 7301 section 3.2). */
static int on_inner_protocols(SSL *ssl, const unsigned char **chosen, unsigned char *len,
                              const unsigned char *asked, unsigned asked_len, void *with)
{
    const struct net_tls *t = SSL_get_app_data(ssl);
    struct slice own = t->context->inner_protocols;
    (void)with;
    if (own.len == 0)
        return SSL_TLSEXT_ERR_NOACK;
    int found = SSL_select_next_proto((unsigned char **)(uintptr_t)chosen, len,
                                      (const unsigned char *)own.data, (unsigned)own.len, asked, asked_len);
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

void net_tls_watch_hello(SSL_CTX *ctx)
{
    SSL_CTX_set_alpn_select_cb(ctx, on_inner_protocols, NULL);
    SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
}
