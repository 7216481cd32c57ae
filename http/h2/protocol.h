/*
 * http/h2/protocol.h - HTTP/2 as requests see it.
 */
#ifndef WEIR_HTTP_H2_PROTOCOL_H
#define WEIR_HTTP_H2_PROTOCOL_H

#include "http/request/client.h"

extern const struct client_protocol h2_protocol;

#endif
