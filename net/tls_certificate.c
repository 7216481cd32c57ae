/*
 * net/tls_certificate.c - a certificate with those between it and its authority, and its key: read from texts in PEM, checked against
 * each other, and given to a context, also while that is in use.
 */
#include "net/tls_internal.h"

#include "base/buf.h"
#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PASSWORD_MAX = 1024, PASSWORDS_MAX = 64, TEXT_MAX = 1 << 20 };

static const char in_place[] = "data:";

const char *net_tls_shown(const char *name)
{
    return strncmp(name, in_place, sizeof in_place - 1) == 0 ? in_place : name;
}

const char *net_tls_last_refusal(void)
{
    return net_tls_last_error();
}

struct net_tls_certificate {
    unsigned holders;
    X509 *leaf;
    STACK_OF(X509) * between;
    EVP_PKEY *key;
};

void net_tls_certificate_free(struct net_tls_certificate *c)
{
    if (!c || --c->holders > 0)
        return;
    X509_free(c->leaf);
    sk_X509_pop_free(c->between, X509_free);
    EVP_PKEY_free(c->key);
    free(c);
}

struct net_tls_certificate *net_tls_certificate_hold(struct net_tls_certificate *c)
{
    c->holders++;
    return c;
}

bool net_tls_certificate_use(SSL *ssl, const struct net_tls_certificate *c)
{
    return SSL_use_cert_and_key(ssl, c->leaf, c->key, c->between, 1) == 1;
}

/* --- keys --- */

struct phrases {
    struct slice left; /* a phrase in each line */
};

/* The next phrase, for a key that asks for one. */
static int next_phrase(char *to, int room, int writes, void *with)
{
    struct phrases *p = with;
    (void)writes;
    if (p->left.len == 0)
        return -1;
    const char *end = memchr(p->left.data, '\n', p->left.len);
    size_t line = end ? (size_t)(end - p->left.data) : p->left.len, len = line;
    while (len > 0 && p->left.data[len - 1] == '\r')
        len--;
    if (len > (size_t)room || len > PASSWORD_MAX)
        return -1;
    memcpy(to, p->left.data, len);
    size_t used = end ? line + 1 : line;
    p->left = (struct slice){p->left.data + used, p->left.len - used};
    return (int)len;
}

/* With each phrase in turn, as long as the key wants another one. */
static EVP_PKEY *read_key(struct slice text, struct slice phrases)
{
    struct phrases p = {phrases};
    EVP_PKEY *key = NULL;
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.len);
    for (int i = 0; bio && !key && i < PASSWORDS_MAX && BIO_seek(bio, 0) >= 0; i++) {
        ERR_clear_error(); /* what was wrong with the phrase before */
        key = PEM_read_bio_PrivateKey(bio, NULL, next_phrase, &p);
        if (p.left.len == 0)
            break;
    }
    BIO_free(bio);
    return key;
}

bool net_tls_key_is_open(const char *file)
{
    struct stat st;
    return stat(file, &st) == 0 && (st.st_mode & S_IROTH);
}

/* --- certificates --- */

/* The leaf first, then those in between, up to the end of the text. */
static bool read_chain(struct net_tls_certificate *c, struct slice text)
{
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.len);
    X509 *one;
    c->leaf = bio ? PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL) : NULL;
    c->between = sk_X509_new_null();
    bool ok = c->leaf && c->between;
    while (ok && (one = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        ok = sk_X509_push(c->between, one) > 0;
    if (ok && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
        ERR_clear_error(); /* there are no more */
    BIO_free(bio);
    return ok && ERR_peek_error() == 0;
}

struct net_tls_certificate *net_tls_certificate_new(const struct net_tls_pair *names,
                                                    struct slice certificate, struct slice key,
                                                    struct slice phrases, char error[NET_TLS_ERROR_BYTES])
{
    struct net_tls_certificate *c = calloc(1, sizeof *c);
    const char *what = NULL;
    ERR_clear_error();
    if (c)
        c->holders = 1;
    if (!c || !read_chain(c, certificate))
        what = "certificate";
    else if (!(c->key = read_key(key, phrases)) || X509_check_private_key(c->leaf, c->key) != 1)
        what = "certificate key";
    if (!what)
        return c;
    snprintf(error, NET_TLS_ERROR_BYTES, "cannot load %s \"%s\": %s", what,
             net_tls_shown(what[sizeof "certificate" - 1] ? names->key : names->certificate),
             net_tls_last_error());
    net_tls_certificate_free(c);
    return NULL;
}

bool net_tls_certificate_pack(const struct net_tls_certificate *c, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    bool ok = bio && PEM_write_bio_X509_AUX(bio, c->leaf) == 1 &&
              PEM_write_bio_PrivateKey(bio, c->key, NULL, NULL, 0, NULL, NULL) == 1;
    for (int i = 0; ok && i < sk_X509_num(c->between); i++)
        ok = PEM_write_bio_X509(bio, sk_X509_value(c->between, i)) == 1;
    long len = ok ? BIO_get_mem_data(bio, &data) : 0;
    ok = len > 0 && buf_append(out, data, (size_t)len);
    BIO_free(bio);
    return ok;
}

/* What kind of key the certificate is for: a server may have one of each. */
static int kind_of(const struct net_tls_certificate *c)
{
    return EVP_PKEY_get_base_id(c->key);
}

bool net_tls_context_has_kind(const struct net_tls_context *context, int pair,
                              const struct net_tls_certificate *c)
{
    assert(pair >= 0 && pair < context->pair_count);
    return context->pairs[pair].kind == 0 || context->pairs[pair].kind == kind_of(c);
}

/* Texts as nginx has them: the name of a file, or "data:" and what would be in one. False: errno says why not. */
bool net_tls_read_text(const char *name, struct buf *text)
{
    static const char data[] = "data:";
    if (strncmp(name, data, sizeof data - 1) == 0)
        return buf_append(text, name + sizeof data - 1, strlen(name + sizeof data - 1));
    /* A pipe in its place must not be waited for; room for all of it leaves no copies of a key behind. */
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    bool ok = fd >= 0 && fstat(fd, &st) == 0;
    if (ok && !S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        ok = false;
    }
    ok = ok && st.st_size <= TEXT_MAX && buf_reserve(text, (size_t)st.st_size + 1) &&
         fd_read_all(fd, TEXT_MAX, text) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return ok;
}

/* NULL: `error` says why not. */
static struct net_tls_certificate *read_pair(const struct net_tls_pair *pair, const char *password_file,
                                             char error[NET_TLS_ERROR_BYTES])
{
    struct buf certificate = {0}, key = {0}, phrases = {0};
    struct net_tls_certificate *c = NULL;
    bool has_certificate = net_tls_read_text(pair->certificate, &certificate);
    if (!has_certificate || !net_tls_read_text(pair->key, &key))
        snprintf(error, NET_TLS_ERROR_BYTES, "cannot load %s \"%s\": %s",
                 has_certificate ? "certificate key" : "certificate",
                 net_tls_shown(has_certificate ? pair->key : pair->certificate), strerrordesc_np(errno));
    else if (password_file && !net_tls_read_text(password_file, &phrases))
        snprintf(error, NET_TLS_ERROR_BYTES, "cannot load the phrases of \"%s\": %s", password_file,
                 strerrordesc_np(errno));
    else
        c = net_tls_certificate_new(pair, buf_slice(&certificate), buf_slice(&key), buf_slice(&phrases),
                                    error);
    if (key.data)
        OPENSSL_cleanse(key.data, key.cap);
    if (phrases.data)
        OPENSSL_cleanse(phrases.data, phrases.cap);
    buf_free(&certificate);
    buf_free(&key);
    buf_free(&phrases);
    return c;
}

struct net_tls_certificate *net_tls_certificate_load(const struct net_tls_rules *rules, int pair,
                                                     char error[NET_TLS_ERROR_BYTES])
{
    assert(pair >= 0 && pair < rules->pair_count);
    return read_pair(&rules->pairs[pair], rules->password_file, error);
}

bool net_tls_context_use(struct net_tls_context *context, int pair, const struct net_tls_certificate *c)
{
    assert(net_tls_context_has_kind(context, pair, c));
    ERR_clear_error();
    if (SSL_CTX_use_cert_and_key(context->ctx, c->leaf, c->key, c->between, 1) != 1)
        return false;
    struct net_tls_known *known = &context->pairs[pair];
    X509_free(known->leaf);
    sk_X509_pop_free(known->between, X509_free);
    X509_up_ref(c->leaf);
    known->leaf = c->leaf;
    known->between = X509_chain_up_ref(c->between);
    known->kind = kind_of(c);
    known->expires_s = net_tls_seconds_of(X509_get0_notAfter(c->leaf));
    net_tls_staple_forget(context, pair);
    return true;
}

int64_t net_tls_context_expiry(const struct net_tls_context *context, int pair)
{
    assert(pair >= 0 && pair < context->pair_count);
    return context->pairs[pair].expires_s;
}

bool net_tls_context_is_whole(const struct net_tls_context *context)
{
    for (int i = 0; i < context->pair_count; i++)
        if (context->pairs[i].kind == 0)
            return false;
    return true;
}

void net_tls_context_serve(struct net_tls_context *context)
{
    context->rejects = context->wants_to_reject;
}
