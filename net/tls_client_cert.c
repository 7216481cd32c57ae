/*
 * net/tls_client_cert.c - what a client has shown and offered, as texts: its certificate, what the authorities have said of that, and the
 * ciphers and curves of its first words.
 */
#include "net/tls_internal.h"

#include "base/buf.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <time.h>

enum { SECONDS_PER_DAY = 86400 };

/* Takes what has been written there. False: nothing has, or memory is out. */
static bool take_bio(BIO *bio, bool ok, struct buf *out)
{
    char *data = NULL;
    long len = bio && ok ? BIO_get_mem_data(bio, &data) : 0;
    ok = len > 0 && buf_append(out, data, (size_t)len);
    BIO_free(bio);
    ERR_clear_error();
    return ok;
}

static bool write_name(const X509_NAME *name, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return take_bio(bio, bio && name && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0, out);
}

/* "/C=.../CN=..." */
static bool write_legacy_name(const X509_NAME *name, struct buf *out)
{
    char *text = name ? X509_NAME_oneline(name, NULL, 0) : NULL;
    bool ok = text && buf_append(out, text, strlen(text));
    OPENSSL_free(text);
    return ok;
}

static bool write_time(const ASN1_TIME *time, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return take_bio(bio, bio && time && ASN1_TIME_print(bio, time) == 1, out);
}

/* Days until it ends to be valid. */
static bool write_days_left(const ASN1_TIME *end, struct buf *out)
{
    struct tm parts;
    if (!end || ASN1_TIME_to_tm(end, &parts) != 1)
        return false;
    time_t left = timegm(&parts) - time(NULL);
    return buf_printf(out, "%lld", left > 0 ? (long long)(left / SECONDS_PER_DAY) : 0);
}

static bool write_fingerprint(const X509 *certificate, struct buf *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool ok = X509_digest(certificate, EVP_sha1(), digest, &len) == 1;
    for (unsigned i = 0; ok && i < len; i++)
        ok = buf_printf(out, "%02x", digest[i]);
    return ok;
}

static bool write_of_certificate(X509 *c, enum net_tls_client_text what, struct buf *out)
{
    BIO *bio;
    switch (what) {
    case NET_TLS_CLIENT_PEM:
        bio = BIO_new(BIO_s_mem());
        return take_bio(bio, bio && PEM_write_bio_X509(bio, c) == 1, out);
    case NET_TLS_CLIENT_SUBJECT:
        return write_name(X509_get_subject_name(c), out);
    case NET_TLS_CLIENT_ISSUER:
        return write_name(X509_get_issuer_name(c), out);
    case NET_TLS_CLIENT_SUBJECT_LEGACY:
        return write_legacy_name(X509_get_subject_name(c), out);
    case NET_TLS_CLIENT_ISSUER_LEGACY:
        return write_legacy_name(X509_get_issuer_name(c), out);
    case NET_TLS_CLIENT_SERIAL:
        bio = BIO_new(BIO_s_mem());
        return take_bio(bio, bio && i2a_ASN1_INTEGER(bio, X509_get0_serialNumber(c)) > 0, out);
    case NET_TLS_CLIENT_FINGERPRINT:
        return write_fingerprint(c, out);
    case NET_TLS_CLIENT_VALID_FROM:
        return write_time(X509_get0_notBefore(c), out);
    case NET_TLS_CLIENT_VALID_TO:
        return write_time(X509_get0_notAfter(c), out);
    default:
        return write_days_left(X509_get0_notAfter(c), out);
    }
}

/* A number that nobody here has a name for is shown as it is, as of those that clients make up (RFC 8701). */
static bool write_in_list(struct buf *out, const char *name, unsigned number)
{
    return (buf_len(out) == 0 || buf_append(out, ":", 1)) &&
           (name ? buf_append(out, name, strlen(name)) : buf_printf(out, "0x%04x", number));
}

/* RFC 8446 section 4.1.2: two bytes each. */
static bool write_ciphers(SSL *ssl, struct buf *out)
{
    unsigned char *bytes = NULL;
    int len = (int)SSL_get0_raw_cipherlist(ssl, &bytes);
    bool ok = len > 0;
    for (int i = 0; ok && i + 1 < len; i += 2) {
        const SSL_CIPHER *c = SSL_CIPHER_find(ssl, bytes + i);
        ok = write_in_list(out, c ? SSL_CIPHER_get_name(c) : NULL, (unsigned)(bytes[i] << 8 | bytes[i + 1]));
    }
    return ok;
}

static bool write_curves(SSL *ssl, struct buf *out)
{
    int ids[64], count = (int)SSL_get1_groups(ssl, NULL);
    if (count <= 0 || count > (int)(sizeof ids / sizeof ids[0]))
        return false;
    SSL_get1_groups(ssl, ids);
    bool ok = true;
    for (int i = 0; ok && i < count; i++)
        ok = write_in_list(out, ids[i] & TLSEXT_nid_unknown ? NULL : OBJ_nid2sn(ids[i]),
                           (unsigned)ids[i] & 0xffff);
    return ok;
}

bool net_tls_write_client(const struct net_stream *s, enum net_tls_client_text what, struct buf *out)
{
    const struct net_tls *t = net_tls_of(s);
    if (!t || !t->ready)
        return false;
    if (what == NET_TLS_CLIENT_CIPHERS)
        return write_ciphers(t->ssl, out);
    if (what == NET_TLS_CLIENT_CURVES)
        return write_curves(t->ssl, out);
    X509 *c = SSL_get0_peer_certificate(t->ssl);
    return c && write_of_certificate(c, what, out);
}

const char *net_tls_client_doubt(const struct net_stream *s)
{
    const struct net_tls *t = net_tls_of(s);
    if (!t->status.is_known)
        return NULL;
    if (t->status.has_failed)
        return "certificate status request failed";
    return t->status.found == NET_TLS_STATUS_GOOD      ? NULL
           : t->status.found == NET_TLS_STATUS_REVOKED ? "certificate revoked"
                                                       : "certificate status unknown";
}

const char *net_tls_complaint(const struct net_stream *s)
{
    const struct net_tls *t = net_tls_of(s);
    const char *error = t ? net_tls_loading_error(t) : NULL;
    return error || !t ? error : t->status.error;
}
