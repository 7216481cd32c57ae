/*
 * http/h1/state.c - what a connection of HTTP/1 is at, by its request.
 */
#include "http/h1/state.h"

#include "base/buf.h"
#include "http/request/source.h"
#include "worker/loop/worker_state.h"

bool h1_ignores_abort(const struct connection *c)
{
    const struct source *s = c->ex ? c->ex->source : NULL;
    return s && s->outlives_client && s->outlives_client(c->ex);
}

bool h1_has_request_at_work(const struct connection *c)
{
    return h1_request_is(c, REQUEST_HANDLER) || h1_request_is(c, REQUEST_PROXY) ||
           h1_request_is(c, REQUEST_QUEUED) || h1_request_is(c, REQUEST_DELAYED) ||
           h1_request_is(c, REQUEST_READY);
}

bool h1_output_waits(const struct connection *c)
{
    return c->out || h1_request_is(c, REQUEST_SEND) || c->close_after ||
           buf_len(&connection_worker(c)->output) >= OUTPUT_FLUSH_BYTES;
}
