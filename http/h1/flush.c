/*
 * http/h1/flush.c - output to a client of HTTP/1, and the time that it has for it.
 */
#include "http/h1/flush.h"

#include "http/client/output.h"
#include "http/request/exchange.h"
#include "http/request/source.h"

#include <assert.h>

void h1_set_send_timer(struct connection *c)
{
    const struct http_exchange *ex = c->ex;
    assert(!c->dead);
    int64_t timeout_ms = connection_settings(c)->client.send_timeout_ms;
    /* Another timer says when to go on, or what waits is of an earlier response and the request at work has its own. */
    if (ex && (ex->throttled || ex->state != REQUEST_SEND))
        return;
    if (ex && ex->source->time_left_ms)
        timeout_ms = ex->source->time_left_ms(ex, timeout_ms);
    connection_set_timer(c, timeout_ms);
}

bool h1_flush(struct connection *c, bool more_follows)
{
    bool moved = false, all = connection_flush(c, more_follows, &moved);
    if (moved)
        h1_set_send_timer(c);
    return all;
}
