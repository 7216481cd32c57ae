/*
 * http/wire/credentials.c - user and password of a request (RFC 7617).
 */
#include "http/wire/credentials.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

/* EVP_DecodeBlock passes over more than that: blanks and "-" around the text, "=" inside of it. */
static bool is_base64(const char *digits, size_t len)
{
    size_t n = 0;
    while (n < len && (isalnum((unsigned char)digits[n]) || digits[n] == '+' || digits[n] == '/'))
        n++;
    return n == len;
}

bool auth_basic_parse(const char *value, size_t len, char *text, const char **user, const char **password)
{
    size_t skip = 6, padding = 0;
    if (len < skip || strncasecmp(value, "Basic ", skip) != 0)
        return false;
    while (skip < len && value[skip] == ' ')
        skip++;
    len -= skip;
    while (padding < 2 && padding < len && value[skip + len - 1 - padding] == '=')
        padding++;
    int n = len && len % 4 == 0 && is_base64(value + skip, len - padding)
                ? EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)value + skip, (int)len)
                : -1;
    if (n < (int)padding)
        return false;
    text[(size_t)n - padding] = '\0';
    char *colon = strchr(text, ':');
    if (!colon || strlen(text) != (size_t)n - padding)
        return false; /* no colon, or a zero byte */
    *colon = '\0';
    *user = text;
    *password = colon + 1;
    return text[0] != '\0';
}
