/*
 * http/wire/hop_by_hop.h - fields that are between two neighbours only (RFC 9110 section 7.6.1), and have no place in HTTP/2 (RFC 9113
 * section 8.2.2).
 *
 * Threads: plain functions.
 */
#ifndef WEIR_HTTP_WIRE_HOP_BY_HOP_H
#define WEIR_HTTP_WIRE_HOP_BY_HOP_H

#include "base/slice.h"

struct http_request;

bool http_is_hop_by_hop(struct slice name);

/* Whether who has sent it takes trailers: TE (RFC 9110 section 10.1.4). */
bool http_accepts_trailers(const struct http_request *req);

#endif
