/*
 * http/serve/request.h - how a request begins, is answered, and comes to its line of the log.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SERVE_REQUEST_H
#define WEIR_HTTP_SERVE_REQUEST_H

#include "http/request/exchange.h"

struct location;

/*
 * A request comes: counts it, and puts it at this location until its own is found. Each that has begun is concluded once,
 * below.
 */
void request_begin(struct http_exchange *ex, const struct location *l);

/* The head is parsed: finds the location, and looks at the announced length of the body. VERDICT_NEXT, or 413. */
struct verdict request_start(struct http_exchange *ex);

/* The head is none, or not whole: says why in the error log of the server that the head names. */
void request_log_refusal(struct http_exchange *ex, const char *why, bool in_headers);

/*
 * Ends the request with this status and not a byte of a response: counts and logs it. Its memory stays to the end of the turn.
 */
void request_end_unanswered(struct http_exchange *ex, int status);

/*
 * Sends the response, which is complete or whose head is; with an error its plain page instead. What there is of the body goes
 * out with the head. VERDICT_GONE, or another error to look at.
 */
struct verdict request_send(struct http_exchange *ex, int error);

/* The response's last byte is with the kernel or in the output: logs and counts the request, and frees it. */
void request_done(struct http_exchange *ex);

/* The client went away: logs and counts 499, or 400 where its request is not whole, unless the request is over already. */
void request_gone(struct http_exchange *ex);

/* Writes the request's lines of the access logs. */
void request_log(struct http_exchange *ex);

#endif
