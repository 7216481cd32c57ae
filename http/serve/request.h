/*
 * http/serve/request.h - how a request begins, is answered, and comes to its line of the log.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SERVE_REQUEST_H
#define WEIR_HTTP_SERVE_REQUEST_H

#include "http/request/exchange.h"

struct location;

/* A request comes: it is counted, and stands at this location until its own is found. */
void request_begin(struct http_exchange *ex, const struct location *l);

/* Its head is parsed: it is routed. */
struct verdict request_start(struct http_exchange *ex);

/* Its head is none, or not whole: the error log is told why, as the server that the head names wants it. */
void request_log_refusal(struct http_exchange *ex, const char *why, bool in_headers);

/* It ends with this status and not a byte of a response: counts and logs it. Its memory stays to the end of the turn. */
void request_end_unanswered(struct http_exchange *ex, int status);

/* The response is complete (status 0: make the error page of `error`), or its head is. It goes out, and with it what there is of its body. */
struct verdict request_send(struct http_exchange *ex, int error);

/* The answer's last byte is with the kernel or in the output: logs and counts it. */
void request_done(struct http_exchange *ex);

/* The client went away: logs 499, or 400 where its request is not whole. */
void request_gone(struct http_exchange *ex);
void request_log(struct http_exchange *ex);

#endif
