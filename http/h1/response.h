/*
 * http/h1/response.h - a response on its way from its source to a client of HTTP/1.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_RESPONSE_H
#define WEIR_HTTP_H1_RESPONSE_H

#include "http/client/connection.h"

/*
 * With REQUEST_SEND, of the connection being driven, once for a request: puts the head into the output, and with it what there
 * is of a short body, which may end the request. False: out of memory.
 */
bool h1_respond(struct http_exchange *ex);

/* A stretch of the body as it is to go out, into the output: chunked where the body is. False: out of memory. */
bool h1_send_framed(struct http_exchange *ex, struct slice stretch);

/*
 * With REQUEST_SEND, of the connection being driven: goes on with the body. True when something came of it, or it has ended
 * (then the connection has no request any more): there may be more to do.
 */
bool h1_send_body(struct http_exchange *ex);

#endif
