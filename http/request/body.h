/*
 * http/request/body.h - a request's body: read when it is wanted, in memory and then in a file.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_REQUEST_BODY_H
#define WEIR_HTTP_REQUEST_BODY_H

#include "http/request/exchange.h"

/* client_max_body_size by the location's settings and the head. */
struct verdict body_pass(struct http_exchange *ex);

/* The body is wanted, and goes on while it comes: the client is told so. */
struct verdict body_begin(struct http_exchange *ex);

/* The body is wanted whole: reads it. */
struct verdict body_read(struct http_exchange *ex);

/* The client has to go on sending its body within its time; or it need not, as we are not ready for more. */
void body_wait(struct http_exchange *ex);
void body_wait_over(struct http_exchange *ex);

/* More of the body has come; `announced` bytes are known to follow. Returns 0 or a status. */
int body_keep(struct http_exchange *ex, const char *data, size_t len, uint64_t announced);

/* The body is complete: what belongs into its file goes there. Returns 0 or a status. */
int body_finish(struct http_exchange *ex);

#endif
