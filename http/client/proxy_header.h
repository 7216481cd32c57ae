/*
 * http/client/proxy_header.h - a connection whose address says so (listen ... proxy_protocol) begins with a header of the PROXY
 * protocol.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_CLIENT_PROXY_HEADER_H
#define WEIR_HTTP_CLIENT_PROXY_HEADER_H

#include "http/client/connection.h"

/* The header, of *used bytes, becomes c->told. False when more is needed, or the connection has ended. */
bool connection_take_proxy_header(struct connection *c, const char *data, size_t len, size_t *used);

/* What has come is no header: a line of the error log, in nginx's words. */
void connection_log_broken_header(struct connection *c, struct slice in);

#endif
