/*
 * http/h1/body.c - the body of a request of HTTP/1: where it ends, and how its rest is skipped when nobody wants it.
 */
#include "http/h1/body.h"

#include "base/log.h"
#include "http/h1/state.h"
#include "http/request/body.h"
#include "http/request/exchange.h"
#include "http/wire/chunked.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>

/*
 * What nobody wants of a body is thrown away as it comes, so that the next request is found behind it. Not where the client waits for
 * "100 Continue", which it does not get: whether it sends the body then is not known (RFC 9110 section 10.1.1).
 */
void h1_drop_body(struct http_exchange *ex)
{
    struct connection *c = ex->connection;
    assert(c->ex == ex);
    if (ex->body.whole)
        return;
    assert(!c->rest && !ex->aside);
    bool follows = !ex->body.begun && !ex->req.expect_continue;
    ex->body.whole = true;
    c->rest = follows ? calloc(1, sizeof *c->rest) : NULL;
    if (!c->rest) {
        ex->res.close = c->linger_after = true;
        return;
    }
    c->rest->is_chunked = ex->req.framing == HTTP_BODY_CHUNKED;
    c->rest->left = ex->body.left;
    c->rest->until_ms = ex->worker->now_ms + (uint64_t)connection_settings(c)->client.lingering_time_ms;
}

size_t h1_skip_body(struct connection *c, char *data, size_t len)
{
    struct body_rest *rest = c->rest;
    assert(!c->dead && rest && (rest->is_chunked || rest->left > 0));
    enum http_chunked_result result = HTTP_CHUNKED_MORE;
    size_t body_len, used = rest->left < len ? (size_t)rest->left : len;
    if (rest->is_chunked) {
        result = http_chunked_decode(&rest->chunked, data, len, &body_len, &used);
    } else {
        rest->left -= used;
        result = rest->left == 0 ? HTTP_CHUNKED_DONE : HTTP_CHUNKED_MORE;
    }
    assert(used <= len);
    if (result == HTTP_CHUNKED_MORE)
        return used;
    free(rest);
    c->rest = NULL;
    /* Neither of the states between requests, so that the next head has its own time, whichever timer has run until now. */
    if (connection_is_between(c))
        connection_show(c, SHM_CONNECTION_WRITING);
    if (result == HTTP_CHUNKED_DONE)
        return used;
    log_info("client sent invalid chunked body, which nobody wanted; closing its connection");
    *(c->ex ? &c->ex->res.close : &c->close_after) = c->linger_after = true;
    return len;
}

size_t h1_take_body(struct http_exchange *ex, char *data, size_t len, bool *done, int *error)
{
    assert(ex->state == REQUEST_BODY || http_passes_body(ex));
    assert(!ex->body.whole && !ex->aside && !ex->connection->rest);
    ex->body.begun = true;
    if (ex->req.framing == HTTP_BODY_LENGTH) {
        assert(ex->body.left > 0);
        size_t n = ex->body.left < len ? (size_t)ex->body.left : len;
        ex->body.left -= n;
        ex->request_bytes += n;
        *error = body_keep(ex, data, n, 0);
        *done = ex->body.left == 0;
        return n;
    }
    size_t body_len, used;
    assert(ex->req.framing == HTTP_BODY_CHUNKED);
    enum http_chunked_result result = http_chunked_decode(&ex->body.chunked, data, len, &body_len, &used);
    assert(body_len <= used && used <= len);
    /* With the chunks' framing, as it was received. */
    ex->request_bytes += used;
    *error = body_keep(ex, data, body_len, ex->body.chunked.left);
    if (result == HTTP_CHUNKED_ERROR) {
        http_log(ex, LOG_LEVEL_INFO, "client sent invalid chunked body");
        *error = 400;
    }
    *done = result == HTTP_CHUNKED_DONE;
    return used;
}
