/*
 * tests/fuzz/fuzz_auth.c - passwords: the Authorization header is read as RFC 7617 has it or not at all, and only who the file
 * names is let in, with the password that the line holds.
 *
 * The input is the credentials, an empty line, and the file. Credentials that begin with "+" are encoded here, as a fuzzer
 * seldom guesses base64; others are the header's value as it stands. In place of crypt(3), whose hashes are slow by
 * design, stands a quick one, so that what the target sees is the handler alone.
 */
#include "tests/fuzz/fuzz.h"

#include "base/log.h"
#include "handlers/auth_basic.h"

#include <crypt.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SHA1_BYTES = 20, SALTED_MAX = 84, TEXT_MAX = 2000 };

/* --- what the handler calls --- */

struct weir_request {
    struct auth_question question;
    int lines; /* of the error log */
};

void *weir_settings(weir_request *r)
{
    return &r->question;
}

void job_log(struct weir_request *r, enum log_level level, const char *format, ...)
{
    char line[TEXT_MAX * 2];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    FUZZ_CHECK(level == LOG_LEVEL_ERROR && line[0]);
    r->lines++;
}

/* A hash is its first three bytes as the salt, then the password; "*0" or NULL, as of crypt(3), for some salts. */
static const char *quick_hash(const char *password, const char *setting, char *out, size_t bytes)
{
    if (setting[0] == '!')
        return NULL;
    if (setting[0] == '*' || setting[0] == ':' || strlen(password) + 4 > bytes)
        return setting[0] == '*' && setting[1] == '0' ? "*1" : "*0";
    snprintf(out, bytes, "%.3s%s", setting, password);
    return out;
}

char *crypt_r(const char *password, const char *setting, struct crypt_data *data)
{
    FUZZ_CHECK(setting[0] && strncmp(setting, "{PLAIN}", 7) != 0 && strncmp(setting, "{SHA}", 5) != 0);
    return (char *)(uintptr_t)quick_hash(password, setting, data->output, sizeof data->output);
}

/* --- base64, strictly: the alphabet, and padding at the end alone --- */

static int digit(unsigned char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Into out, which has room for all of it. The length, or -1. */
static int decode(const char *text, size_t len, unsigned char *out)
{
    size_t padding = 0, n = 0;
    if (len == 0 || len % 4)
        return -1;
    while (padding < 2 && text[len - 1 - padding] == '=')
        padding++;
    unsigned bits = 0;
    for (size_t i = 0; i < len - padding; i++) {
        int d = digit((unsigned char)text[i]);
        if (d < 0)
            return -1;
        bits = bits << 6 | (unsigned)d;
        if (i % 4)
            out[n++] = (unsigned char)(bits >> (6 - i % 4 * 2));
    }
    return (int)n;
}

/* --- what should come out --- */

/* The value of the header, in a block of exactly its size. */
static char *header_of(const char *credentials, size_t len, size_t *header_len)
{
    if (len == 0 || credentials[0] != '+') {
        *header_len = len;
        return fuzz_copy(credentials, len);
    }
    char *text = malloc(6 + (len + 2) / 3 * 4 + 1);
    memcpy(text, "bAsIc ", 6);
    int n = EVP_EncodeBlock((unsigned char *)text + 6, (const unsigned char *)credentials + 1, (int)len - 1);
    *header_len = 6 + (size_t)n;
    char *header = fuzz_copy(text, *header_len);
    free(text);
    return header;
}

/* Whether a header holds a user and a password: "Basic", blanks, and base64 of a text with a colon and no zero byte. */
static bool holds_credentials(const char *header, size_t len)
{
    size_t at = 6;
    if (len < at || strncasecmp(header, "Basic ", at) != 0)
        return false;
    while (at < len && header[at] == ' ')
        at++;
    unsigned char *decoded = malloc(len);
    int n = decode(header + at, len - at, decoded);
    bool ok =
        n > 0 && !memchr(decoded, '\0', (size_t)n) && memchr(decoded, ':', (size_t)n) && decoded[0] != ':';
    free(decoded);
    return ok;
}

/* The hash of a user's first line; the caller frees it. NULL: the file does not name the user. */
static char *hash_in(const char *file, size_t len, const char *user)
{
    char *hash = NULL;
    size_t user_len = strlen(user);
    char *text = malloc(len + 2), *key = malloc(user_len + 3);
    text[0] = '\n';
    if (len)
        memcpy(text + 1, file, len);
    text[len + 1] = '\0';
    snprintf(key, user_len + 3, "\n%s:", user);
    if (user[0] != '#' && !strchr(user, '\n')) {
        const char *at = memmem(text, len + 1, key, user_len + 2);
        if (at)
            hash = strndup(at + user_len + 2, strcspn(at + user_len + 2, ":\r\n"));
    }
    free(text);
    free(key);
    return hash;
}

/* 1 or 0 for a hash of SHA-1 with a salt, which may be empty; -1 where the base64 is not strict. */
static int sha1_fits(const char *password, const char *base64)
{
    unsigned char *decoded = malloc(strlen(base64) + 1), digest[EVP_MAX_MD_SIZE];
    int n = decode(base64, strlen(base64), decoded), fits = n < 0 ? -1 : 0;
    if (n >= SHA1_BYTES && n <= SALTED_MAX) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_DigestInit_ex(ctx, EVP_sha1(), NULL);
        EVP_DigestUpdate(ctx, password, strlen(password));
        EVP_DigestUpdate(ctx, decoded + SHA1_BYTES, (size_t)(n - SHA1_BYTES));
        EVP_DigestFinal_ex(ctx, digest, NULL);
        EVP_MD_CTX_free(ctx);
        fits = memcmp(digest, decoded, SHA1_BYTES) == 0;
    }
    free(decoded);
    return fits;
}

/* 1: this password is let in, 0: it is not, -1: it cannot be told here. */
static int should_match(const char *password, const char *hash)
{
    char out[CRYPT_OUTPUT_SIZE];
    if (strncmp(hash, "{PLAIN}", 7) == 0)
        return strcmp(password, hash + 7) == 0;
    if (strncmp(hash, "{SHA}", 5) == 0)
        return sha1_fits(password, hash + 5);
    if (strncmp(hash, "{SSHA}", 6) == 0)
        return sha1_fits(password, hash + 6);
    /* Salt, "$", and 22 digits; the seeds have one that fits. */
    if (strncmp(hash, "$apr1$", 6) == 0)
        return strlen(hash) < 6 + 1 + 22 ? 0 : -1;
    const char *made = hash[0] ? quick_hash(password, hash, out, sizeof out) : NULL;
    return made && made[0] != '*' && strcmp(made, hash) == 0;
}

/* --- both, side by side --- */

/* The file's path: one file in memory, written anew for each input. */
static const char *write_file(const char *content, size_t len)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("users", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    FUZZ_CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, content, len, 0) == (ssize_t)len);
    return path;
}

static void check_file(const char *file, size_t len, const char *user, const char *password)
{
    weir_request r = {.question = {write_file(file, len), user, password}};
    int result = auth_basic_handler.run(&r);
    char *hash = hash_in(file, len, user);
    int wanted = hash ? should_match(password, hash) : 0;
    FUZZ_CHECK(result == 0 || result == 401);
    FUZZ_CHECK(wanted == -1 || wanted == (result == 0));
    FUZZ_CHECK(r.lines == (result != 0));
    free(hash);
}

/* Control bytes never come as far as this in a header. */
static bool has_controls(const char *header, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)header[i] < 0x20 || header[i] == 0x7f)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *user = NULL, *password = NULL, *split = memmem(data, size, "\n\n", 2);
    size_t len = split ? (size_t)(split - (const char *)data) : size, header_len;
    if (size > TEXT_MAX)
        return 0;
    char *header = header_of((const char *)data, len, &header_len);
    if (!has_controls(header, header_len)) {
        char *text = malloc(header_len);
        bool ok = auth_basic_parse(header, header_len, text, &user, &password);
        FUZZ_CHECK(ok == holds_credentials(header, header_len));
        if (ok) {
            FUZZ_CHECK(user[0] && !strchr(user, ':'));
            check_file(split ? split + 2 : "", split ? size - len - 2 : 0, user, password);
        }
        free(text);
    }
    free(header);
    return 0;
}
