/*
 * http/h1/state.h - what a connection of HTTP/1 is at, by its request.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_STATE_H
#define WEIR_HTTP_H1_STATE_H

#include "http/client/connection.h"
#include "http/request/exchange.h"
#include "http/wire/chunked.h"

/* Of a request's body that nobody wants: what is still to come. */
struct body_rest {
    struct http_chunked chunked;
    uint64_t left;     /* of a body with a length */
    uint64_t until_ms; /* lingering_time */
    bool is_chunked;
};

/* Whether there is a request, and in this state. */
static inline bool h1_request_is(const struct connection *c, enum request_state state)
{
    return c->ex && c->ex->state == state;
}

/* The request is with its upstream or handler, and its body still comes. */
static inline bool h1_passes_body(const struct connection *c)
{
    return c->ex && http_passes_body(c->ex);
}

/* The request is read as far as it has to be, and not yet answered. */
bool h1_has_request_at_work(const struct connection *c);

/* Whether the request goes on without its client: proxy_ignore_client_abort. */
bool h1_ignores_abort(const struct connection *c);

/* Whether output has to go before any more input may be used. */
bool h1_output_waits(const struct connection *c);

#endif
