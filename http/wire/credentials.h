/*
 * http/wire/credentials.h - user and password of a request (RFC 7617).
 */
#ifndef WEIR_HTTP_WIRE_CREDENTIALS_H
#define WEIR_HTTP_WIRE_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

/* What one request asks; in its exchange's arena. */
struct auth_question {
    const char *file, *user, *password;
};

/* Cuts "Basic BASE64" apart, into text of at least len bytes. False: it is none. */
bool auth_basic_parse(const char *value, size_t len, char *text, const char **user, const char **password);

#endif
