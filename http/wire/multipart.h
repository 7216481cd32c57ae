/*
 * http/wire/multipart.h - the parts of a form's body in multipart/form-data (RFC 7578, in the format of RFC 2046 section 5.1).
 *
 * Nothing is copied: all slices are pieces of the texts given. No state, any thread.
 */
#ifndef WEIR_HTTP_WIRE_MULTIPART_H
#define WEIR_HTTP_WIRE_MULTIPART_H

#include "base/arena.h"

struct http_part {
    /* The name, and the next, with their escapes: http_part_text. */
    struct slice name;
    /* The file's name as sent: a path if it is one, or what filename* has; data NULL: a field, not a file. */
    struct slice filename;
    /* Content-Type; text/plain where the part has none (RFC 7578 section 4.4). */
    struct slice type;
    struct slice content;
};

/* The boundary that a Content-Type names; false: it is no multipart/form-data, or has none of 1 to 70 bytes. */
bool http_multipart_boundary(struct slice content_type, struct slice *boundary);

enum http_part_result {
    HTTP_PART_FOUND,
    HTTP_PART_NONE, /* the last one was before */
    /* A part without an end, with a malformed head or without a name. */
    HTTP_PART_BROKEN
};

/* The part behind *at, which begins with 0 and moves on. */
enum http_part_result http_next_part(struct slice body, struct slice boundary, size_t *at,
                                     struct http_part *part);

/*
 * A name or filename without escapes: \" and \\ stand for " and \; any other backslash is itself, as some send paths. Nothing
 * is done about %22, which browsers write for ": it may be meant. A copy where there is a backslash; data NULL: out of memory.
 */
struct slice http_part_text(struct arena *arena, struct slice text);

#endif
