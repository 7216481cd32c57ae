/*
 * http/h2/stream.c - a stream's memory, its place on the ready list, its timer, and its end before its request's.
 */
#include "http/h2/stream.h"

#include "base/list.h"
#include "base/wheel.h"
#include "http/access/limit.h"
#include "http/client/connection.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/serve/request.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>

struct h2_stream *h2_stream_new(struct h2_session *s, int32_t id)
{
    struct h2_stream *st = calloc(1, sizeof *st);
    if (!st)
        return NULL;
    st->session = s;
    st->id = id;
    st->piece.fd = -1;
    list_init(&st->ready);
    wheel_entry_init(&st->timer);
    st->timer.kind = WORKER_TIMER_STREAM;
    list_push_back(&s->streams, &st->link);
    s->stream_count++;
    struct worker *w = connection_worker(s->c);
    counter_set(&w->slot->http2.streams, ++w->http2_streams);
    return st;
}

void h2_stream_ready(struct h2_stream *st)
{
    if (!list_empty(&st->ready))
        return;
    list_push_back(&st->session->ready, &st->ready);
    connection_ready(st->session->c);
}

void h2_stream_set_timer(struct h2_stream *st, int64_t after_ms)
{
    struct worker *w = connection_worker(st->session->c);
    if (after_ms <= 0)
        wheel_clear(&st->timer);
    else
        wheel_set(&w->wheel, &st->timer, w->now_ms + (uint64_t)after_ms);
}

void h2_stream_end_request(struct h2_stream *st)
{
    if (!st->ex || st->ex->state == REQUEST_GONE)
        return;
    h2_stream_set_timer(st, 0);
    if (!st->has_begun) {
        /* It has never been at work, and nobody has seen it. */
        exchange_recycle(connection_worker(st->session->c), st->ex);
        st->ex = NULL;
        return;
    }
    if (st->ex->source)
        st->ex->source->stop(st->ex);
    /* Once its source has stopped, a copy may stand in the request's place, or nothing. */
    if (!st->ex)
        return;
    if (st->ex->state == REQUEST_QUEUED)
        limit_client_gone(st->ex);
    request_gone(st->ex);
    assert(st->ex->state == REQUEST_GONE);
}

void h2_stream_reset(struct h2_stream *st, uint32_t code)
{
    struct h2_session *s = st->session;
    h2_stream_end_request(st);
    if (st->is_gone)
        h2_stream_ready(st);
    else if (nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, st->id, code) != 0)
        s->is_over = true;
    connection_ready(s->c);
}

void h2_stream_free(struct h2_stream *st)
{
    struct h2_session *s = st->session;
    struct worker *w = connection_worker(s->c);
    assert(s->stream_count > 0);
    h2_stream_end_request(st);
    if (st->ex) {
        st->ex->stream = NULL;
        exchange_bury(w, st->ex);
    }
    h2_stream_set_timer(st, 0);
    if (s->head_of == st)
        s->head_of = NULL;
    if (s->current == st)
        s->current = NULL;
    list_remove(&st->ready);
    list_remove(&st->link);
    /* What lies here of its body takes none of the connection's window any more. */
    if (buf_len(&st->in) && !s->c->dead && !st->is_gone &&
        nghttp2_session_consume_connection(s->ng, buf_len(&st->in)) != 0)
        s->is_over = true;
    buf_free(&st->in);
    buf_free(&st->out);
    buf_free(&st->trailers);
    free(st->tunnel);
    s->stream_count--;
    s->heads_bytes -= st->head_bytes;
    counter_set(&w->slot->http2.streams, --w->http2_streams);
    free(st);
}

void h2_stream_leave(struct h2_stream *st)
{
    const struct http_exchange *ex = st->ex;
    bool stays = ex && st->has_begun && st->has_ended && ex->state != REQUEST_GONE &&
                 ex->state != REQUEST_SEND && ex->source && ex->source->outlives_client &&
                 ex->source->outlives_client(ex);
    st->is_gone = stays;
    if (!stays)
        h2_stream_free(st);
}
