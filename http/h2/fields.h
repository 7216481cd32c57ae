/*
 * http/h2/fields.h - heads that go out, as nghttp2 takes them.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H2_FIELDS_H
#define WEIR_HTTP_H2_FIELDS_H

#include "http/request/exchange.h"

#include <nghttp2/nghttp2.h>

/* A list in the request's arena. Texts are not copied. */
struct h2_fields {
    nghttp2_nv *list;
    size_t count, room;
};

/* Of the response: status, what has a place of its own, then the list, in nginx's order. False: out of memory. */
bool h2_fields_of_response(struct h2_fields *f, struct http_exchange *ex);

/* Of an interim response. False: out of memory. */
bool h2_fields_of_interim(struct h2_fields *f, struct http_exchange *ex, int status,
                          const struct http_header *fields, int count);

/* Of trailers as lines. False: out of memory. */
bool h2_fields_of_lines(struct h2_fields *f, struct http_exchange *ex, struct slice lines);

#endif
