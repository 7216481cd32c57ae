/*
 * http/h1/response.h - a response on its way from its source to a client of HTTP/1.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_RESPONSE_H
#define WEIR_HTTP_H1_RESPONSE_H

#include "http/h1/connection.h"
#include "http/request/client.h"

/* What requests of HTTP/1 may ask of their connection. */
extern const struct client_protocol h1_protocol;

/*
 * With REQUEST_SEND, of the connection being driven: goes on with the body. True when something came of it, or it has ended
 * (then the connection has no request any more): there may be more to do.
 */
bool h1_send_body(struct http_exchange *ex);

#endif
