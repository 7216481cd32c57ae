/*
 * net/tls_client_status.c - what authorities say of a client's certificate, before its handshake counts as over (ssl_ocsp).
 *
 * Whom it was signed by is asked about each certificate up to a known authority's own, unless the cache has it. All of it is done on a
 * thread, as costly handshakes are; the loop is told the result alone.
 */
#include "net/tls_status.h"

#include "net/tls_internal.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DIGEST_BYTES = 32 };

/* What the cache keeps of a certificate. */
struct kept {
    int64_t valid_until_s;
    uint8_t status; /* enum net_tls_status */
};

static bool digest_of(X509 *certificate, unsigned char digest[DIGEST_BYTES])
{
    unsigned len = 0;
    return X509_digest(certificate, EVP_sha256(), digest, &len) == 1 && len == DIGEST_BYTES;
}

static bool recall(const struct net_tls_cache *cache, X509 *certificate, enum net_tls_status *status)
{
    unsigned char digest[DIGEST_BYTES];
    char text[NET_TLS_SESSION_MAX];
    struct kept kept;
    if (!cache->find || !digest_of(certificate, digest) ||
        cache->find(cache->with, (struct slice){(const char *)digest, sizeof digest}, text) != sizeof kept)
        return false;
    memcpy(&kept, text, sizeof kept);
    *status = kept.status <= NET_TLS_STATUS_UNKNOWN ? kept.status : NET_TLS_STATUS_UNKNOWN;
    return kept.valid_until_s > (int64_t)time(NULL);
}

/* What does not say how long it holds may be another thing the next time. */
static void remember(const struct net_tls_cache *cache, X509 *certificate, const struct net_tls_question *q)
{
    unsigned char digest[DIGEST_BYTES];
    struct kept kept;
    memset(&kept, 0, sizeof kept);
    kept.valid_until_s = q->valid_until_s;
    kept.status = (uint8_t)q->status;
    if (cache->keep && q->valid_until_s != INT64_MAX && digest_of(certificate, digest))
        cache->keep(cache->with, (struct slice){(const char *)digest, sizeof digest},
                    (struct slice){(const char *)&kept, sizeof kept});
}

static bool ask_about(struct net_tls *t, int place, STACK_OF(X509) * chain, enum net_tls_status *status)
{
    X509 *certificate = sk_X509_value(chain, place), *issuer = sk_X509_value(chain, place + 1);
    const struct net_tls_context *c = t->context;
    char error[NET_TLS_ERROR_BYTES];
    struct net_tls_question q;
    if (recall(&c->client_status.cache, certificate, status))
        return true;
    bool ok = net_tls_question_begin(&q, certificate, issuer, chain, SSL_CTX_get_cert_store(c->ctx),
                                     c->client_status.responder, error);
    if (ok) {
        ok = net_tls_ask(&q, 0, error);
        *status = q.status;
        if (ok)
            remember(&c->client_status.cache, certificate, &q);
        net_tls_question_end(&q);
    }
    if (!ok) {
        free(t->status.error);
        if (asprintf(&t->status.error, "client's certificate: %s", error) < 0)
            t->status.error = NULL; /* it is not known, then */
    }
    return ok;
}

void net_tls_ask_about_client(struct net_tls *t)
{
    /* From the client's up to a known authority's. */
    STACK_OF(X509) *chain = SSL_get0_verified_chain(t->ssl);
    int count = sk_X509_num(chain) - 1; /* the last one is known */
    if (count > 1 && t->context->client_status.depth == NET_TLS_STATUS_LEAF)
        count = 1;
    t->status.is_known = true;
    t->status.has_failed = !chain;
    t->status.found = NET_TLS_STATUS_GOOD;
    for (int i = 0; i < count && !t->status.has_failed && t->status.found == NET_TLS_STATUS_GOOD; i++)
        t->status.has_failed = !ask_about(t, i, chain, &t->status.found);
}
