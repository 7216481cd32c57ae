/*
 * http/h1/drive.c - moving a connection forward: it alternates between using input and sending output until one of
 * them has to wait.
 *
 * Most responses are built in one buffer of the worker, which is empty but while a connection is being driven; only what has to
 * wait gets memory of its own. So pipelined requests are answered with one write.
 */
#include "http/h1/drive.h"

#include "base/buf.h"
#include "http/client/linger.h"
#include "http/client/output.h"
#include "http/h1/flush.h"
#include "http/h1/input.h"
#include "http/h1/response.h"
#include "http/h1/settle.h"
#include "http/h1/state.h"
#include "http/h1/version.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/serve/serve.h"
#include "http/wire/request.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>

static bool has_output(const struct connection *c)
{
    return h1_output_waits(c) || buf_len(&connection_worker(c)->output) > 0;
}

/* Sends what there is. True when all of it went and the connection goes on. */
static bool send_step(struct connection *c)
{
    bool more = h1_request_is(c, REQUEST_SEND) && c->ex->source == &source_pieces && c->ex->res.body;
    if (!h1_flush(c, more))
        return false;
    if (h1_request_is(c, REQUEST_SEND))
        return h1_send_body(c->ex);
    if (c->close_after)
        connection_finish(c);
    return !c->dead && c->state != CONNECTION_LINGER;
}

/* Uses input and sends output by turns, until one of them has to wait. */
static void alternate(struct connection *c, struct h1_input *in)
{
    do {
        if (h1_request_is(c, REQUEST_READY))
            request_serve_resumed(c->ex);
        while (h1_use_input(c, in)) {
        }
        /* Requests that stay unanswered must not cost the responses of others. */
        c->linger_after |= c->close_after && in->len > 0;
    } while (!c->dead && (h1_request_is(c, REQUEST_READY) || (has_output(c) && send_step(c))));
}

/* It is HTTP/2, and this has been the first of it. */
static void hand_over(struct connection *c, const struct h1_input *in)
{
    struct pending_input *kept = c->in;
    c->in = NULL;
    connection_worker(c)->driving = NULL;
    c->version->begin(c, in->data, in->len);
    if (kept)
        buf_free(&kept->buf);
    free(kept);
}

void h1_drive_with(struct connection *c, struct h1_input *in)
{
    struct worker *w = connection_worker(c);
    assert(!w->driving && !c->dead && buf_len(&w->output) == 0);
    w->driving = c;
    w->streamed_bytes = 0;
    alternate(c, in);
    assert(buf_len(&w->output) == 0);
    if (!c->dead && c->version != &h1_version) {
        hand_over(c, in);
        return;
    }
    assert(c->dead || !(h1_request_is(c, REQUEST_RUNS) || h1_request_is(c, REQUEST_GONE)));
    /* The client's leaving was ignored before: the rest of the body will never come. */
    if (!c->dead && c->eof && in->len == 0 && h1_passes_body(c))
        h1_close_at_end(c, 0);
    if (!c->dead && c->state != CONNECTION_LINGER && !h1_keep_input(c, in))
        connection_close(c);
    /* What is missing of the body will not come. */
    if (!c->dead && c->eof && h1_request_is(c, REQUEST_BODY))
        h1_close_at_end(c, 0);
    if (!c->dead)
        h1_settle(c);
    if (!c->dead && c->state == CONNECTION_TUNNEL)
        c->ex->source->tunnel(c->ex);
    else if (!c->dead)
        h1_watch(c);
    w->driving = NULL;
}

void h1_drive(struct connection *c)
{
    struct http_scan fresh = {0};
    struct h1_input in = h1_kept_input(c, &fresh);
    h1_drive_with(c, &in);
}
