/*
 * http/h1/protocol.h - HTTP/1 as requests see it.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_PROTOCOL_H
#define WEIR_HTTP_H1_PROTOCOL_H

#include "http/request/client.h"

/* What requests of HTTP/1 may ask of their connection. */
extern const struct client_protocol h1_protocol;

#endif
