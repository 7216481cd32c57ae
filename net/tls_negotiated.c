/*
 * net/tls_negotiated.c - what both sides have agreed on: protocol, cipher, curve, names, session; and the verdict on a client.
 */
#include "net/tls_internal.h"

#include <string.h>

/* NULL before anything is known. */
static SSL *ready_ssl(const struct net_stream *s)
{
    const struct net_tls *t = net_tls_of(s);
    return t && (t->ready || t->is_early) ? t->ssl : NULL;
}

bool net_tls_is_early(const struct net_stream *s)
{
    const struct net_tls *t = net_tls_of(s);
    return t && t->is_early && !t->ready;
}

static struct slice text_of(const char *text)
{
    return text ? slice_of(text) : SLICE("");
}

struct slice net_tls_protocol_name(const struct net_stream *s)
{
    SSL *ssl = ready_ssl(s);
    return text_of(ssl ? SSL_get_version(ssl) : NULL);
}

struct slice net_tls_cipher_name(const struct net_stream *s)
{
    SSL *ssl = ready_ssl(s);
    return text_of(ssl ? SSL_get_cipher_name(ssl) : NULL);
}

struct slice net_tls_curve_name(const struct net_stream *s)
{
    SSL *ssl = ready_ssl(s);
    int id = ssl ? (int)SSL_get_negotiated_group(ssl) : 0;
    return text_of(id > 0 ? OBJ_nid2sn(id) : NULL);
}

struct slice net_tls_server_name(const struct net_stream *s)
{
    const struct net_tls *t = net_tls_of(s);
    bool is_known = t && !t->away && (t->ready || t->has_chosen);
    return text_of(is_known ? SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name) : NULL);
}

struct slice net_tls_inner_protocol(const struct net_stream *s)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    SSL *ssl = ready_ssl(s);
    if (ssl)
        SSL_get0_alpn_selected(ssl, &name, &len);
    return (struct slice){(const char *)name, len};
}

bool net_tls_is_resumed(const struct net_stream *s)
{
    SSL *ssl = ready_ssl(s);
    return ssl && SSL_session_reused(ssl);
}

struct slice net_tls_session_id(const struct net_stream *s, char *text, size_t room)
{
    static const char digits[] = "0123456789abcdef";
    SSL *ssl = ready_ssl(s);
    SSL_SESSION *session = ssl ? SSL_get0_session(ssl) : NULL;
    unsigned len = 0;
    const unsigned char *id = session ? SSL_SESSION_get_id(session, &len) : NULL;
    if (!id || 2 * (size_t)len > room)
        return SLICE("");
    for (unsigned i = 0; i < len; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    return (struct slice){text, 2 * (size_t)len};
}

long net_tls_client_verdict(const struct net_stream *s)
{
    SSL *ssl = ready_ssl(s);
    X509 *certificate = ssl ? SSL_get0_peer_certificate(ssl) : NULL;
    return certificate ? SSL_get_verify_result(ssl) : -1;
}

const char *net_tls_verdict_text(long verdict)
{
    return X509_verify_cert_error_string(verdict);
}

bool net_tls_is_of_unknown_authority(long verdict)
{
    return verdict == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
           verdict == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
           verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
           verdict == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
}
