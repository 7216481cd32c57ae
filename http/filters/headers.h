/*
 * http/filters/headers.h - what the configuration adds to responses.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_FILTERS_HEADERS_H
#define WEIR_HTTP_FILTERS_HEADERS_H

#include "http/request/exchange.h"

struct feature;

extern const struct feature feature_headers;

/* Adds what the configuration adds to answers. False: out of memory. */
bool headers_add(struct http_exchange *ex);

/* Whether add_trailer has something for this answer: then it goes out in chunks. */
bool headers_want_trailers(struct http_exchange *ex);

/* Appends the lines of add_trailer. */
bool headers_add_trailers(struct http_exchange *ex, struct buf *out);

#endif
