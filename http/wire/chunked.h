/*
 * http/wire/chunked.h - the chunked transfer coding of requests (RFC 9112 section 7.1), decoded in place.
 */
#ifndef WEIR_HTTP_WIRE_CHUNKED_H
#define WEIR_HTTP_WIRE_CHUNKED_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHUNK_LINE_MAX = 4096, CHUNK_TRAILERS_MAX = 8192 };

/* Zero it before a body's first byte. */
struct http_chunked {
    int state;
    uint64_t left;   /* of the chunk being read */
    int size_digits; /* hexadecimal digits of the size so far */
    /* Of the extension or trailer line being read. */
    size_t line_bytes;
    bool in_value; /* of a trailer line: its colon has come */
    /* Of all extensions and trailers: bounded, they could go on for ever. */
    size_t meta_bytes;
    /* Extensions are bounded line by line only, not over the whole body. */
    bool any_extensions;
    /* Takes the trailer section's lines; NULL: they are dropped. */
    struct buf *trailers;
};

enum http_chunked_result { HTTP_CHUNKED_MORE, HTTP_CHUNKED_DONE, HTTP_CHUNKED_ERROR };

/*
 * Decodes data[0..*len) in place. On return *body_len bytes at data are body and *used bytes of the input have been
 * read; with DONE what follows belongs to the next request. Chunk extensions are read and dropped.
 */
enum http_chunked_result http_chunked_decode(struct http_chunked *c, char *data, size_t len, size_t *body_len,
                                             size_t *used);

#endif
