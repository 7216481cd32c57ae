/*
 * http/h1/body.h - the body of a request of HTTP/1: where it ends, and how its rest is skipped when nobody wants it.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_BODY_H
#define WEIR_HTTP_H1_BODY_H

#include "http/client/connection.h"

/*
 * Takes bytes of the request's body off data, which has room for len and is written to where chunks are decoded. Returns how
 * many; sets *done when the body has ended, or *error to a status.
 */
size_t h1_take_body(struct http_exchange *ex, char *data, size_t len, bool *done, int *error);

/* What is still to come of the body is not wanted, and must not be taken for another request. */
void h1_drop_body(struct http_exchange *ex);

/* With c->rest: takes bytes of the unwanted body off data. Returns how many. */
size_t h1_skip_body(struct connection *c, char *data, size_t len);

#endif
