/*
 * http/wire/encoding.h - which content codings a client takes.
 */
#ifndef WEIR_HTTP_WIRE_ENCODING_H
#define WEIR_HTTP_WIRE_ENCODING_H

#include "http/wire/request.h"

/* A weight, "q=0.5", in thousandths (RFC 9110 section 12.4.2); -1: it is none. */
int http_weight(struct slice parameter);

/* Whether Accept-Encoding names gzip, or "*", with a weight above 0 (RFC 9110 section 12.5.3). */
bool http_accepts_gzip(const struct http_request *req);

#endif
