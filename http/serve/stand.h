/*
 * http/serve/stand.h - where a request stands: its server block and its location.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SERVE_STAND_H
#define WEIR_HTTP_SERVE_STAND_H

#include "http/request/exchange.h"

struct location;
struct vserver;

/* The server block for the request's host, which becomes the request's. Never NULL. */
const struct vserver *request_find_server(struct http_exchange *ex);

/* This location's settings and error pages are those of the request from now on, and its "return", if it has one. */
void request_use_location(struct http_exchange *ex, const struct location *l);

#endif
