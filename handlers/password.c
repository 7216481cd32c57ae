/*
 * handlers/password.c - the kinds of hashes that password files hold.
 *
 * crypt_r does what the system knows; Apache's variant of MD5-crypt and the LDAP schemes are made here from digests of
 * OpenSSL's libcrypto.
 */
#include "handlers/password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MD5_BYTES = 16,
    SHA1_BYTES = 20,
    APR1_ROUNDS = 1000,
    APR1_SALT_MAX = 8,
    SALT_MAX = 64,
    APR1_TEXT_BYTES = 48
};

static bool equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

/* --- {SHA}, {SSHA} --- */

static bool matches_sha1(const char *password, const char *base64)
{
    unsigned char decoded[SHA1_BYTES + SALT_MAX + 3], digest[EVP_MAX_MD_SIZE];
    size_t len = strlen(base64), padding = 0;
    if (len == 0 || len % 4 || len / 4 * 3 > sizeof decoded)
        return false;
    while (padding < 2 && base64[len - 1 - padding] == '=')
        padding++;
    int n = EVP_DecodeBlock(decoded, (const unsigned char *)base64, (int)len);
    if (n < SHA1_BYTES + (int)padding)
        return false;
    size_t salt_len = (size_t)n - padding - SHA1_BYTES;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) &&
              EVP_DigestUpdate(ctx, password, strlen(password)) &&
              EVP_DigestUpdate(ctx, decoded + SHA1_BYTES, salt_len) && EVP_DigestFinal_ex(ctx, digest, NULL);
    EVP_MD_CTX_free(ctx);
    return ok && equal(digest, decoded, SHA1_BYTES);
}

/* --- $apr1$: MD5-crypt with another magic --- */

struct md5 {
    EVP_MD_CTX *ctx;
    bool ok;
};

static void digest_begin(struct md5 *m)
{
    m->ok = m->ok && EVP_DigestInit_ex(m->ctx, EVP_md5(), NULL);
}

static void digest_add(struct md5 *m, const void *data, size_t len)
{
    m->ok = m->ok && EVP_DigestUpdate(m->ctx, data, len);
}

static void end(struct md5 *m, unsigned char out[MD5_BYTES])
{
    m->ok = m->ok && EVP_DigestFinal_ex(m->ctx, out, NULL);
}

/* The digest as the scheme prints it: six bits a character, the bytes in an order of its own. */
static void print_apr1(const unsigned char d[MD5_BYTES], char *out)
{
    static const char digits[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const int order[5][3] = {{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}};
    for (int i = 0; i < 5; i++) {
        unsigned v = (unsigned)d[order[i][0]] << 16 | (unsigned)d[order[i][1]] << 8 | d[order[i][2]];
        for (int k = 0; k < 4; k++, v >>= 6)
            *out++ = digits[v & 63];
    }
    *out++ = digits[d[11] & 63];
    *out++ = digits[d[11] >> 6];
    *out = '\0';
}

static void apr1_first(struct md5 *m, const char *password, size_t len, const char *salt, size_t salt_len,
                       unsigned char out[MD5_BYTES])
{
    unsigned char other[MD5_BYTES];
    digest_begin(m);
    digest_add(m, password, len);
    digest_add(m, salt, salt_len);
    digest_add(m, password, len);
    end(m, other);
    digest_begin(m);
    digest_add(m, password, len);
    digest_add(m, "$apr1$", 6);
    digest_add(m, salt, salt_len);
    for (size_t left = len; left > 0; left -= left < MD5_BYTES ? left : MD5_BYTES)
        digest_add(m, other, left < MD5_BYTES ? left : MD5_BYTES);
    for (size_t bits = len; bits > 0; bits >>= 1)
        digest_add(m, bits & 1 ? "" : password, 1);
    end(m, out);
}

static bool matches_apr1(const char *password, const char *hash)
{
    unsigned char digest[MD5_BYTES] = {0};
    char text[APR1_TEXT_BYTES];
    const char *salt = hash + 6;
    size_t len = strlen(password), salt_len = strcspn(salt, "$");
    if (salt_len > APR1_SALT_MAX)
        salt_len = APR1_SALT_MAX;
    struct md5 m = {EVP_MD_CTX_new(), true};
    m.ok = m.ctx != NULL;
    apr1_first(&m, password, len, salt, salt_len, digest);
    for (int i = 0; m.ok && i < APR1_ROUNDS; i++) {
        digest_begin(&m);
        digest_add(&m, i & 1 ? (const void *)password : digest, i & 1 ? len : MD5_BYTES);
        if (i % 3)
            digest_add(&m, salt, salt_len);
        if (i % 7)
            digest_add(&m, password, len);
        digest_add(&m, i & 1 ? (const void *)digest : password, i & 1 ? MD5_BYTES : len);
        end(&m, digest);
    }
    EVP_MD_CTX_free(m.ctx);
    print_apr1(digest, text);
    const char *expected = salt[salt_len] == '$' ? salt + salt_len + 1 : "";
    return m.ok && strlen(expected) == strlen(text) && equal(expected, text, strlen(text));
}

/* --- all of them --- */

static bool matches_crypt(const char *password, const char *hash)
{
    struct crypt_data *data = calloc(1, sizeof *data); /* 32 KiB: too much for a small stack */
    const char *made = data ? crypt_r(password, hash, data) : NULL;
    bool ok = made && made[0] != '*' && strlen(made) == strlen(hash) && equal(made, hash, strlen(hash));
    free(data);
    return ok;
}

bool password_matches(const char *password, const char *hash)
{
    if (strncmp(hash, "{PLAIN}", 7) == 0)
        return strlen(password) == strlen(hash + 7) && equal(password, hash + 7, strlen(password));
    if (strncmp(hash, "{SHA}", 5) == 0)
        return matches_sha1(password, hash + 5);
    if (strncmp(hash, "{SSHA}", 6) == 0)
        return matches_sha1(password, hash + 6);
    if (strncmp(hash, "$apr1$", 6) == 0)
        return matches_apr1(password, hash);
    return hash[0] != '\0' && matches_crypt(password, hash);
}
