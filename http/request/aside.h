/*
 * http/request/aside.h - a request that is put aside whole while another one stands in its place: auth_request's question.
 *
 * Ownership: what is put aside lives in the request's arena.
 * Threads:   the request's owner's.
 */
#ifndef WEIR_HTTP_REQUEST_ASIDE_H
#define WEIR_HTTP_REQUEST_ASIDE_H

#include "http/request/exchange.h"

/* What makes a request, whole. */
struct http_aside {
    struct http_request req;
    struct http_route route;
    struct http_response res;
    struct http_body body;
    struct http_upstream_record upstream;
    struct slice www_authenticate;
};

/* With none aside: all that makes the request goes to `aside`; what stands in its place has no body, and no response yet. */
void http_put_aside(struct http_exchange *ex, struct http_aside *aside);

/* With ex->aside: the client's own request is back, or only its body is. */
void http_take_back(struct http_exchange *ex);
void http_take_back_body(struct http_exchange *ex);

/* The client's own request, also while another one stands in its place. */
const struct http_route *http_own_route(const struct http_exchange *ex);
const struct http_body *http_own_body(const struct http_exchange *ex);

#endif
