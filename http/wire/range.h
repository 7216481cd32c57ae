/*
 * http/wire/range.h - byte ranges and conditional requests (RFC 9110 sections 13 and 14).
 */
#ifndef WEIR_HTTP_WIRE_RANGE_H
#define WEIR_HTTP_WIRE_RANGE_H

#include "http/wire/request.h"

#include <time.h>

struct http_range {
    uint64_t first, last; /* first <= last < size */
};

enum http_ranges_result {
    /* No ranges of bytes, or more than a reasonable client asks: send all. */
    HTTP_RANGES_IGNORE,
    HTTP_RANGES_UNSATISFIABLE, /* or malformed, as nginx has it: 416 */
    HTTP_RANGES_OK,
};

/*
 * Reads the value of a Range header for a body of size bytes. There is room for `most` ranges; *count is how many of them
 * are set.
 */
enum http_ranges_result http_parse_ranges(struct slice value, uint64_t size, struct http_range *ranges,
                                          int most, int *count);

/* What a request's conditions mean for a representation with these validators. */
enum http_condition { HTTP_CONDITION_NONE, HTTP_NOT_MODIFIED, HTTP_PRECONDITION_FAILED };

/* When If-Modified-Since leads to 304: never, for this very time, or for any time that is not before it. */
enum http_since { HTTP_SINCE_OFF, HTTP_SINCE_EXACT, HTTP_SINCE_BEFORE };

enum http_condition http_check_conditions(const struct http_request *req, struct slice etag, time_t modified,
                                          enum http_since since);

/* Whether Range applies: there is no If-Range, or it matches. modified -1: it is not known. */
bool http_if_range_matches(const struct http_request *req, struct slice etag, time_t modified);

#endif
