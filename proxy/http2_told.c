/*
 * proxy/http2_told.c - streams of HTTP/2 to upstreams that have something to hear, and connections that have something to do.
 */
#include "proxy/http2.h"

#include "base/buf.h"
#include "base/list.h"
#include "net/stream.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

enum { AHEAD_BYTES = 64 << 10 /* of a request's body */, SILENT_MS = 100 };

void http2_wake(struct http2_connection *h)
{
    if (list_empty(&h->waits))
        list_push_back(&h->worker->carriers, &h->waits);
}

/* A head goes as a whole, however long. */
size_t http2_stream_room(const struct http2_stream *st)
{
    if (st->part == HTTP2_HEAD && !st->head_is_whole)
        return SIZE_MAX;
    return buf_len(&st->out) < AHEAD_BYTES ? AHEAD_BYTES - buf_len(&st->out) : 0;
}

int http2_stream_events(const struct http2_stream *st)
{
    bool can_read = buf_len(&st->in) > 0 || st->has_ended || st->error;
    return (can_read ? EV_READ : 0) | (http2_stream_room(st) > 0 || st->error ? EV_WRITE : 0);
}

void http2_stream_tell(struct http2_stream *st)
{
    if (!list_empty(&st->told))
        return;
    list_push_back(&st->h->told, &st->told);
    http2_wake(st->h);
}

bool http2_stream_deliver(struct http2_connection *h)
{
    if (list_empty(&h->told))
        return false;
    struct http2_stream *st = container_of(h->told.next, struct http2_stream, told);
    list_remove(&st->told);
    int events = st->events & http2_stream_events(st);
    h->current = st;
    if (events && st->on_event)
        st->on_event(h->worker->loop, &st->uc.stream.io, events);
    /* As a socket does: what has not been used is told of again. */
    if (h->current == st && st->events & http2_stream_events(st))
        http2_stream_tell(st);
    h->current = NULL;
    return true;
}

void http2_stream_fail(struct http2_stream *st, int error)
{
    if (st->error || st->has_ended)
        return;
    st->error = error;
    http2_stream_tell(st);
}

void http2_distrust(struct upstream_connection *stream)
{
    ((struct http2_stream *)stream)->h->is_leaving = true; /* its first member */
}

/* A request ends without a response: no others go that way until the server has shown that it is there, if it has said nothing for a while. */
static void doubt_if_silent(struct http2_connection *h)
{
    if (h->is_doubted || h->worker->now_ms - h->silent_ms < SILENT_MS)
        return;
    h->is_doubted = true;
    nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL);
}

/* The response is whole, though its end may still come in a frame of its own. */
static bool is_whole(const struct http2_stream *st)
{
    return st->has_ended || (st->has_begun_body && !st->chunks && (st->no_body || st->expected == 0));
}

void http2_part(struct http2_stream *st)
{
    struct http2_connection *h = st->h;
    assert(h->stream_count > 0);
    list_remove(&st->told);
    list_remove(&st->link);
    if (h->current == st)
        h->current = NULL;
    h->stream_count--;
    if (h->uc && st->unused)
        nghttp2_session_consume_connection(h->ng, st->unused);
    if (h->uc && st->id) {
        nghttp2_session_set_stream_user_data(h->ng, st->id, NULL);
        if (!is_whole(st) || !st->has_said_end)
            nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_CANCEL);
        if (!is_whole(st))
            doubt_if_silent(h);
    }
    http2_wake(h); /* which finds out whether anybody is left */
}
