/*
 * http/site/deadline.c - until when a request has to be answered.
 */
#include "http/site/deadline.h"

#include "http/site/site.h"
#include "http/wire/grpc.h"

uint64_t request_deadline_ms(const struct http_exchange *ex)
{
    const struct location_proxy *to = ex->route.location->proxy;
    const struct slice *timeout =
        to && to->kind == CONF_PASS_GRPC ? http_find_header(&ex->req, SLICE("grpc-timeout")) : NULL;
    int64_t ms;
    return timeout && grpc_parse_timeout(*timeout, &ms) ? ex->start_ms + (uint64_t)ms : 0;
}

bool request_is_late(const struct http_exchange *ex)
{
    uint64_t deadline_ms = request_deadline_ms(ex);
    return deadline_ms && *ex->now_ms >= deadline_ms;
}
