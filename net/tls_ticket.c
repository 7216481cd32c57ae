/*
 * net/tls_ticket.c - session tickets (RFC 5077, RFC 8446 section 4.6.1): sealed with keys that the library is given here.
 */
#include "net/tls_internal.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 16, SECRET_BYTES = 32, SHORT_SECRET_BYTES = 16, SHORT_FILE_BYTES = 48 };

/* As nginx reads a file: 80 bytes, or 48 with other places and AES-128. */
static void read_key(struct net_tls_ticket_key *key, const unsigned char *bytes, size_t len)
{
    bool is_short = len == SHORT_FILE_BYTES;
    size_t secret = is_short ? SHORT_SECRET_BYTES : SECRET_BYTES;
    const unsigned char *first = bytes + NAME_BYTES, *second = first + secret;
    memcpy(key->name, bytes, NAME_BYTES);
    memcpy(key->aes, is_short ? first : second, secret);
    memcpy(key->hmac, is_short ? second : first, secret);
    key->secret_bytes = secret;
}

bool net_tls_read_ticket_key(struct net_tls_ticket_key *key, const char *file)
{
    unsigned char bytes[NET_TLS_TICKET_KEY_BYTES + 1];
    FILE *f = fopen(file, "re");
    size_t len = f ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (f)
        fclose(f);
    if (len != SHORT_FILE_BYTES && len != NET_TLS_TICKET_KEY_BYTES)
        return false;
    read_key(key, bytes, len);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return true;
}

/* What new tickets are sealed with. */
static bool current_key(const struct net_tls_context *c, struct net_tls_ticket_key *key)
{
    unsigned char bytes[NET_TLS_TICKET_KEY_BYTES];
    if (c->ticket_key_count > 0) {
        *key = c->ticket_keys[0];
        return true;
    }
    if (!c->ring || !c->ring->current(bytes))
        return false;
    read_key(key, bytes, sizeof bytes);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return true;
}

/* 0: it is not known; 2: it is to be renewed, as one that the ring says this of, or any but a server's first. */
static int find_key(const struct net_tls_context *c, const unsigned char *name,
                    struct net_tls_ticket_key *key)
{
    unsigned char bytes[NET_TLS_TICKET_KEY_BYTES];
    for (int i = 0; i < c->ticket_key_count; i++)
        if (memcmp(c->ticket_keys[i].name, name, NAME_BYTES) == 0) {
            *key = c->ticket_keys[i];
            return i == 0 ? 1 : 2;
        }
    int found = c->ticket_key_count == 0 && c->ring ? c->ring->find(name, bytes) : 0;
    if (found)
        read_key(key, bytes, sizeof bytes);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return found;
}

static bool start_mac(EVP_MAC_CTX *mac, struct net_tls_ticket_key *key)
{
    static char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, key->secret_bytes),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int seal(const struct net_tls_context *c, unsigned char *name, unsigned char *iv,
                EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct net_tls_ticket_key key;
    if (!current_key(c, &key))
        return 0;
    const EVP_CIPHER *kind = key.secret_bytes == SECRET_BYTES ? EVP_aes_256_cbc() : EVP_aes_128_cbc();
    memcpy(name, key.name, NAME_BYTES);
    bool ok = RAND_bytes(iv, EVP_CIPHER_get_iv_length(kind)) == 1 &&
              EVP_EncryptInit_ex(cipher, kind, NULL, key.aes, iv) == 1 && start_mac(mac, &key);
    OPENSSL_cleanse(&key, sizeof key);
    return ok ? 1 : -1;
}

static int open_sealed(const struct net_tls_context *c, const unsigned char *name, const unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct net_tls_ticket_key key;
    int found = net_tls_takes_sessions(c) ? find_key(c, name, &key) : 0;
    if (!found)
        return 0;
    const EVP_CIPHER *kind = key.secret_bytes == SECRET_BYTES ? EVP_aes_256_cbc() : EVP_aes_128_cbc();
    bool ok = EVP_DecryptInit_ex(cipher, kind, NULL, key.aes, iv) == 1 && start_mac(mac, &key);
    OPENSSL_cleanse(&key, sizeof key);
    return ok ? found : -1;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int seals)
{
    const struct net_tls *t = SSL_get_app_data(ssl);
    if (seals)
        return seal(t->context, name, iv, cipher, mac);
    int found = open_sealed(t->context, name, iv, cipher, mac);
    /* With TLS 1.3 each is to be used once (RFC 8446 appendix C.4): there is another one. */
    return found == 1 && SSL_version(ssl) == TLS1_3_VERSION ? 2 : found;
}

void net_tls_watch_tickets(SSL_CTX *ctx)
{
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}
