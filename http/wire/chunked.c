/*
 * http/wire/chunked.c - decoder of the chunked coding, one byte of framing at a time.
 *
 * Strict: sizes of at most 15 hexadecimal digits, CRLF everywhere, no blank before or after a size (RFC 9112 allows
 * BWS around extensions only; being lenient here is how requests get smuggled).
 */
#include "http/wire/chunked.h"

#include "base/buf.h"
#include "http/wire/chars.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

enum state { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER_START, TRAILER, TRAILER_LF, END_LF };

enum { SIZE_DIGITS_MAX = 15 };

/* A byte of an extension or a trailer line; line ends are handled by the caller. */
static bool take_meta(struct http_chunked *c, char byte)
{
    bool counts = c->state != EXTENSION || !c->any_extensions;
    c->meta_bytes += counts;
    return char_is(byte, CHAR_FIELD) && ++c->line_bytes <= CHUNK_LINE_MAX &&
           c->meta_bytes <= CHUNK_TRAILERS_MAX;
}

static bool take_size(struct http_chunked *c, char byte)
{
    int digit = hex_value(byte);
    if (digit >= 0) {
        c->left = c->left * 16 + (uint64_t)digit;
        return ++c->size_digits <= SIZE_DIGITS_MAX;
    }
    if (c->size_digits == 0 || (byte != '\r' && byte != ';'))
        return false;
    c->state = byte == ';' ? EXTENSION : SIZE_LF;
    c->line_bytes = 0;
    return true;
}

static bool keep_trailer(struct http_chunked *c, char byte)
{
    return !c->trailers || buf_append(c->trailers, &byte, 1);
}

/* field-line of RFC 9112 section 5: a token, a colon at once, a value. */
static bool take_trailer(struct http_chunked *c, char byte)
{
    if (byte == '\r') {
        c->state = TRAILER_LF;
        return c->in_value && keep_trailer(c, byte);
    }
    bool in_name = !c->in_value;
    c->in_value |= byte == ':';
    return take_meta(c, byte) && (!in_name || byte == ':' || char_is(byte, CHAR_TOKEN)) &&
           keep_trailer(c, byte);
}

/* Runs the machine for one byte of framing. Returns false on an error. */
static bool take_framing(struct http_chunked *c, char byte)
{
    switch (c->state) {
    case SIZE:
        return take_size(c, byte);
    case EXTENSION:
        if (byte == '\r') {
            c->state = SIZE_LF;
            return true;
        }
        return take_meta(c, byte);
    case SIZE_LF:
        c->state = c->left ? DATA : TRAILER_START;
        c->size_digits = 0;
        return byte == '\n';
    case DATA_CR:
        c->state = DATA_LF;
        return byte == '\r';
    case DATA_LF:
        c->state = SIZE;
        return byte == '\n';
    case TRAILER_START:
        c->line_bytes = 0;
        c->in_value = false;
        c->state = byte == '\r' ? END_LF : TRAILER;
        return byte == '\r' || (char_is(byte, CHAR_TOKEN) && take_meta(c, byte) && keep_trailer(c, byte));
    case TRAILER:
        return take_trailer(c, byte);
    case TRAILER_LF:
        c->state = TRAILER_START;
        return byte == '\n' && keep_trailer(c, byte);
    default:
        return false;
    }
}

enum http_chunked_result http_chunked_decode(struct http_chunked *c, char *data, size_t len, size_t *body_len,
                                             size_t *used)
{
    size_t out = 0, i = 0;
    enum http_chunked_result result = HTTP_CHUNKED_MORE;
    while (i < len && result == HTTP_CHUNKED_MORE) {
        if (c->state == DATA) {
            size_t n = c->left < len - i ? (size_t)c->left : len - i;
            assert(c->left > 0 && out <= i);
            if (out != i)
                memmove(data + out, data + i, n);
            out += n;
            i += n;
            c->left -= n;
            if (c->left == 0)
                c->state = DATA_CR;
        } else if (c->state == END_LF) {
            result = data[i++] == '\n' ? HTTP_CHUNKED_DONE : HTTP_CHUNKED_ERROR;
        } else if (!take_framing(c, data[i++])) {
            result = HTTP_CHUNKED_ERROR;
        }
    }
    assert(out <= i && i <= len);
    *body_len = out;
    *used = i;
    return result;
}
