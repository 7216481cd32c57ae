/*
 * http/request/aside.h - a request that is put aside whole while another one stands in its place: auth_request's question.
 *
 * Ownership: what is put aside lives in the exchange's arena.
 * Threads:   the exchange's owner's.
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

/* With no other one aside: what the exchange is goes to `aside`; it is a request without a body then, and not answered. */
void http_put_aside(struct http_exchange *ex, struct http_aside *aside);

/* With ex->aside: the exchange is the request's again, or only its body. */
void http_take_back(struct http_exchange *ex);
void http_take_back_body(struct http_exchange *ex);

/* The client's own request, also while another one stands in its place. */
const struct http_route *http_own_route(const struct http_exchange *ex);
const struct http_body *http_own_body(const struct http_exchange *ex);

#endif
