/*
 * http/wire/chars.h - classes of bytes, as one table.
 */
#ifndef WEIR_HTTP_WIRE_CHARS_H
#define WEIR_HTTP_WIRE_CHARS_H

enum {
    CHAR_TOKEN = 1, /* tchar, RFC 9110 section 5.6.2 */
    /* May stand in a field value: VCHAR, obs-text, SP, HTAB (RFC 9110 section 5.5). */
    CHAR_FIELD = 2,
    /* May stand in a request target: VCHAR and obs-text, but no control, SP, DEL or "#". */
    CHAR_URI = 4,
    /* Of a header's name that everybody takes as it is: letters, digits, "-". */
    CHAR_NAME = 16,
    /* URI bytes that need no decoding: all but "%", "/", ".", "?", "#". */
    CHAR_PLAIN = 8,
    /* Of a host's name in a request: URI bytes but delimiters of URIs and fields. */
    CHAR_HOST = 32,
};

extern const unsigned char http_chars[256];

static inline int char_is(char c, int kind)
{
    return http_chars[(unsigned char)c] & kind;
}

/* 0..15, or -1. */
static inline int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
