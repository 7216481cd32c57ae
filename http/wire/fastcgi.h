/*
 * http/wire/fastcgi.h - FastCGI's records as data (FastCGI Specification 1.0): writing a request's, and taking a response out of them.
 *
 * One request at a time on a connection, whose number is 1, by a responder.
 * Ownership: the caller's buffers; a reader's errors are freed with fastcgi_reader_free.
 * Threads:   plain functions over the caller's memory.
 */
#ifndef WEIR_HTTP_WIRE_FASTCGI_H
#define WEIR_HTTP_WIRE_FASTCGI_H

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fastcgi_type {
    FASTCGI_BEGIN_REQUEST = 1,
    FASTCGI_END_REQUEST = 3,
    FASTCGI_PARAMS = 4,
    FASTCGI_STDIN = 5,
    FASTCGI_STDOUT = 6,
    FASTCGI_STDERR = 7
};

enum { FASTCGI_HEAD_BYTES = 8, FASTCGI_ERRORS_BYTES = 2048 /* of one look that are shown */ };

/* --- a request; all are false where memory is out --- */

/* keep: the application is to leave the connection open behind its response (section 5.1). */
bool fastcgi_write_begin(struct buf *out, bool keep);

/* A stream's bytes, in as many records as they take; none for an empty one. */
bool fastcgi_write_stream(struct buf *out, enum fastcgi_type type, struct slice bytes);

/* The stream's end: an empty record. */
bool fastcgi_write_end(struct buf *out, enum fastcgi_type type);

/* A name-value pair (section 3.4), for the stream of parameters; or all of it but a value of so many bytes, which are to follow. */
bool fastcgi_begin_pair(struct buf *params, struct slice name, size_t value_bytes);
bool fastcgi_write_pair(struct buf *params, struct slice name, struct slice value);

/* --- a response --- */

struct fastcgi_reader {
    unsigned char head[FASTCGI_HEAD_BYTES]; /* of the record at hand, */
    size_t head_bytes;                      /* of which so many have come */
    size_t content, padding;                /* bytes of it to come */
    struct buf errors;                      /* of stderr: the caller empties it */
    bool output_is_over;                    /* stdout has ended; */
    bool is_over;                           /* the request has: nothing may follow */
    bool is_surplus;                        /* the record at hand: stdout has ended */
    bool has_surplus;                       /* something came behind an end */
};

/*
 * Takes data[0..len) and leaves in its first *left bytes what of it the application has written to stdout. False: these are no records,
 * with a sentence for the error log in *why.
 */
bool fastcgi_read(struct fastcgi_reader *r, char *data, size_t len, size_t *left, const char **why);

void fastcgi_reader_free(struct fastcgi_reader *r);

#endif
