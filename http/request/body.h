/*
 * http/request/body.h - a request's body: read when it is wanted, in memory and then in a file.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_REQUEST_BODY_H
#define WEIR_HTTP_REQUEST_BODY_H

#include "http/request/exchange.h"

/* client_max_body_size, by the location's settings and the head. VERDICT_NEXT, or 413. */
struct verdict body_pass(struct http_exchange *ex);

/*
 * The body is wanted, and goes on while it comes: a client that waits for that is told so. VERDICT_NEXT, or 413, or
 * VERDICT_GONE.
 */
struct verdict body_begin(struct http_exchange *ex);

/* The body is wanted whole: VERDICT_WAIT, and the phases run again when it is there; else as above. */
struct verdict body_read(struct http_exchange *ex);

/*
 * While it goes to an upstream or a handler: the client has to go on sending its body within its time; or it need not, as no more can be taken for
 * now.
 */
void body_wait(struct http_exchange *ex);
void body_wait_over(struct http_exchange *ex);

/* More of the body has come; `announced` bytes are known to follow at once. Returns 0, or the status of an error. */
int body_keep(struct http_exchange *ex, const char *data, size_t len, uint64_t announced);

/* The body is complete: what belongs into its file goes there. Returns 0, or the status of an error. */
int body_finish(struct http_exchange *ex);

#endif
