/*
 * net/tls_client.c - the side of a client: a stream to a server begins to speak TLS, its handshake, and who the server has shown to be.
 */
#include "net/tls_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 256 };

/* Tickets of TLS 1.3 come after the handshake, one by one: the last one is kept. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    const struct net_tls *t = SSL_get_app_data(ssl);
    if (!t->keep)
        return 0;
    t->keep(t->with, (struct net_tls_session *)session);
    return 1;
}

void net_tls_keep_sessions(SSL_CTX *ctx)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
}

void net_tls_session_free(struct net_tls_session *session)
{
    SSL_SESSION_free((SSL_SESSION *)session);
}

/* A text of the library's kind. False: it is too long, or no name. */
static bool copy_name(char to[NAME_BYTES], struct slice name)
{
    if (name.len == 0 || name.len >= NAME_BYTES || memchr(name.data, 0, name.len))
        return false;
    memcpy(to, name.data, name.len);
    to[name.len] = '\0';
    return true;
}

static bool is_address(const char *name)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

bool net_tls_connect(struct net_stream *s, struct ev_loop *loop, const struct net_tls_context *context,
                     const struct net_tls_target *target)
{
    char name[NAME_BYTES];
    if (!net_tls_begin(s, loop, context))
        return false;
    struct net_tls *t = net_tls_of(s);
    t->keep = target->keep;
    t->with = target->with;
    SSL_set_connect_state(t->ssl);
    /* Addresses are not asked for (RFC 6066 section 3). */
    if (copy_name(name, target->asked_name) && !is_address(name))
        SSL_set_tlsext_host_name(t->ssl, name);
    /* 0: it is set. */
    if (target->inner_protocols.len &&
        SSL_set_alpn_protos(t->ssl, (const unsigned char *)target->inner_protocols.data,
                            (unsigned)target->inner_protocols.len) != 0)
        return false;
    if (target->certificate && !net_tls_certificate_use(t->ssl, target->certificate)) {
        ERR_clear_error();
        return false;
    }
    if (target->session)
        SSL_set_session(t->ssl, (SSL_SESSION *)target->session);
    ERR_clear_error(); /* a session that is no good is not used */
    return true;
}

int net_tls_shake_hands(struct net_stream *s)
{
    struct net_tls *t = net_tls_of(s);
    net_tls_begin_call(t);
    int n = SSL_do_handshake(t->ssl);
    if (n == 1) {
        net_tls_note_ready(t);
        return 1;
    }
    t->write_wants_read = SSL_want_read(t->ssl);
    net_tls_watch_socket(s, t);
    ssize_t result = net_tls_settle(t, n);
    if (result < 0 && errno == EAGAIN)
        return 0;
    if (result == 0)
        errno = ECONNRESET;
    return -1;
}

long net_tls_server_verdict(const struct net_stream *s)
{
    const struct net_tls *t = net_tls_of(s);
    assert(t->ready);
    return SSL_get_verify_result(t->ssl);
}

bool net_tls_server_is(const struct net_stream *s, struct slice wanted)
{
    const struct net_tls *t = net_tls_of(s);
    X509 *certificate = SSL_get0_peer_certificate(t->ssl);
    char name[NAME_BYTES];
    if (!certificate || !copy_name(name, wanted))
        return false;
    return is_address(name) ? X509_check_ip_asc(certificate, name, 0) == 1
                            : X509_check_host(certificate, name, wanted.len, 0, NULL) == 1;
}
