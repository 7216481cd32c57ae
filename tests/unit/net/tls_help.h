/*
 * tests/unit/net/tls_help.h - two streams that speak TLS to each other over a pair of sockets, and a certificate that is made here.
 */
#ifndef WEIR_TESTS_UNIT_NET_TLS_HELP_H
#define WEIR_TESTS_UNIT_NET_TLS_HELP_H

#include "net/tls.h"

#include "base/buf.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* "data:" and a certificate with its key, of its own authority; of malloc. */
static inline char *tls_help_pair(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    char *data, *text;
    if (!key || !x || !bio)
        abort();
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    X509_sign(x, key, EVP_sha256());
    BIO_puts(bio, "data:");
    PEM_write_bio_X509(bio, x);
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    long len = BIO_get_mem_data(bio, &data);
    text = strndup(data, (size_t)len);
    BIO_free(bio);
    X509_free(x);
    EVP_PKEY_free(key);
    return text;
}

static inline struct net_tls_context *tls_help_context(const char *pair, bool is_client)
{
    static char error[NET_TLS_ERROR_BYTES];
    struct net_tls_pair pairs[1] = {{pair, pair}};
    struct net_tls_rules rules = {.pairs = pairs,
                                  .pair_count = is_client ? 0 : 1,
                                  .protocols = NET_TLS_1_2 | NET_TLS_1_3,
                                  .record_bytes = NET_TLS_RECORD_MAX,
                                  .tickets = true,
                                  .inner_protocols = SLICE("\x08http/1.1"),
                                  .where = -1,
                                  .is_client = is_client};
    struct net_tls_context *c = net_tls_context_new(&rules, error);
    if (!c) {
        fprintf(stderr, "%s\n", error);
        abort();
    }
    return c;
}

#endif
