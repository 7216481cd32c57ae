/*
 * proxy/http2_stream.c - one request on a connection of HTTP/2 as a net_stream: a layer that makes frames of HTTP/1's text.
 */
#include "proxy/http2.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"
#include "net/stream.h"
#include "proxy/upstream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct http2_stream *stream_of(struct net_stream *s)
{
    /* The first member of its first member. */
    return (struct http2_stream *)s;
}

static ssize_t fail(int error)
{
    errno = error;
    return -1;
}

/* --- reading --- */

static ssize_t peek(struct net_stream *s, void *data, size_t room)
{
    struct http2_stream *st = stream_of(s);
    size_t n = buf_len(&st->in) < room ? buf_len(&st->in) : room;
    if (n)
        memcpy(data, st->in.data + st->in.start, n);
    if (n == 0 && st->error)
        return fail(st->error);
    return n || st->has_ended ? (ssize_t)n : fail(EAGAIN);
}

/* What has been read makes room for as much; text is more than what it is made of. */
static void open_window(struct http2_stream *st, size_t n)
{
    size_t opened = n < st->unused && buf_len(&st->in) ? n : st->unused;
    st->unused -= opened;
    if (!opened || !st->h->uc)
        return;
    /* nghttp2 forgets a stream when its end has come, read or not. */
    if (st->id)
        nghttp2_session_consume(st->h->ng, st->id, opened);
    else
        nghttp2_session_consume_connection(st->h->ng, opened);
    http2_wake(st->h);
}

static ssize_t take(struct net_stream *s, void *data, size_t room)
{
    struct http2_stream *st = stream_of(s);
    ssize_t n = peek(s, data, room);
    if (n <= 0)
        return n;
    buf_consume(&st->in, (size_t)n);
    open_window(st, (size_t)n);
    return n;
}

/* --- writing --- */

/* What has come behind `from` of the request's text is decoded where it lies. False: it is none. */
static bool take_body(struct http2_stream *st, size_t from)
{
    size_t len = st->out.end - from, body_len = len, used = len;
    if (st->is_chunked) {
        enum http_chunked_result result =
            http_chunked_decode(&st->chunked, st->out.data + from, len, &body_len, &used);
        if (result == HTTP_CHUNKED_DONE)
            st->part = HTTP2_ENDED;
        st->out.end = from + body_len;
        return result != HTTP_CHUNKED_ERROR && used == len;
    }
    if (len > st->left)
        return false;
    st->left -= len;
    if (st->left == 0)
        st->part = HTTP2_ENDED;
    return true;
}

static ssize_t give(nghttp2_session *ng, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                    nghttp2_data_source *from, void *connection)
{
    struct http2_stream *st = from->ptr;
    size_t n = buf_len(&st->out) < room ? buf_len(&st->out) : room;
    (void)ng;
    (void)id;
    (void)connection;
    if (n) {
        memcpy(to, st->out.data + st->out.start, n);
        buf_consume(&st->out, n);
        http2_stream_tell(st);
    }
    st->has_said_end = st->part == HTTP2_ENDED && buf_len(&st->out) == 0;
    if (st->has_said_end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (n == 0) {
        st->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)n;
}

/* The head goes once it is whole; what is behind it is the body's beginning. */
static bool take_request(struct http2_stream *st, size_t had)
{
    if (st->part == HTTP2_HEAD) {
        const char *end = memmem(st->out.data + st->out.start, buf_len(&st->out), "\r\n\r\n", 4);
        if (!end)
            return true;
        /* One request goes before the server has said how many it takes. */
        st->head_is_whole = true;
        if (!st->h->knows_limit && st->h->has_asked)
            return true;
        st->h->has_asked = true;
        size_t head_len = (size_t)(end - (st->out.data + st->out.start)) + 4;
        if (!http2_send_head(st, head_len, give))
            return false;
        buf_consume(&st->out, head_len);
        had = st->out.start;
    }
    if (st->out.end > had && (st->part == HTTP2_ENDED || !take_body(st, had)))
        return false;
    if (st->is_deferred && nghttp2_session_resume_data(st->h->ng, st->id) == 0)
        st->is_deferred = false;
    http2_wake(st->h);
    return true;
}

void http2_stream_go(struct http2_stream *st)
{
    if (st->part != HTTP2_HEAD || st->error)
        return;
    if (!take_request(st, st->out.start))
        http2_stream_fail(st, EPIPE);
    http2_stream_tell(st); /* there is room again */
}

static ssize_t put(struct net_stream *s, const void *data, size_t len, bool more_follows)
{
    struct http2_stream *st = stream_of(s);
    size_t room = http2_stream_room(st), n = room < len ? room : len;
    (void)more_follows;
    if (st->error || !st->h->uc)
        return fail(EPIPE);
    if (n == 0)
        return fail(EAGAIN);
    if (!buf_append(&st->out, data, n))
        return fail(ENOMEM);
    if (take_request(st, st->out.end - n))
        return (ssize_t)n;
    http2_stream_fail(st, EPIPE);
    return fail(EPIPE);
}

static ssize_t put_file(struct net_stream *s, int fd, off_t offset, size_t len)
{
    struct http2_stream *st = stream_of(s);
    size_t n = http2_stream_room(st) < len ? http2_stream_room(st) : len;
    if (st->error || !st->h->uc)
        return fail(EPIPE);
    if (n == 0)
        return fail(EAGAIN);
    if (!buf_reserve(&st->out, n))
        return fail(ENOMEM);
    size_t from = st->out.end;
    ssize_t got = pread(fd, st->out.data + from, n, offset);
    if (got <= 0)
        return got;
    st->out.end += (size_t)got;
    return take_request(st, from) ? got : fail(EPIPE);
}

/* Tunnels are not made of these streams. */
static int end_writing(struct net_stream *s)
{
    (void)s;
    return 0;
}

/* --- waiting --- */

static void watch(struct net_stream *s, struct ev_loop *loop, int events)
{
    struct http2_stream *st = stream_of(s);
    (void)loop;
    st->events = events;
    if (events & http2_stream_events(st))
        http2_stream_tell(st);
}

static void set_user(struct net_stream *s, net_on_event *on_event)
{
    stream_of(s)->on_event = on_event;
}

static void leave(struct net_stream *s)
{
    struct http2_stream *st = stream_of(s);
    buf_free(&st->in);
    buf_free(&st->out);
    buf_free(&st->trailers);
    http2_part(st);
}

static const struct net_layer layer = {.read = take,
                                       .peek = peek,
                                       .write = put,
                                       .send_file = put_file,
                                       .end_writing = end_writing,
                                       .watch = watch,
                                       .set_user = set_user,
                                       .close = leave};

struct http2_stream *http2_stream_new(struct http2_connection *h)
{
    struct http2_stream *st = calloc(1, sizeof *st);
    const struct upstream_connection *real = h->uc;
    if (!st)
        return NULL;
    st->uc = (struct upstream_connection){.worker = h->worker,
                                          .upstream = h->upstream,
                                          .peer = real->peer,
                                          .made_ms = real->made_ms,
                                          .kind = real->kind,
                                          .requests = real->requests,
                                          .is_stream = true};
    real->peer->refs++;
    list_init(&st->uc.link);
    wheel_entry_init(&st->uc.timer);
    net_stream_init(&st->uc.stream, -1, NULL);
    st->uc.stream.layer = &layer;
    st->h = h;
    if (h->stream_count == 0)
        h->silent_ms = h->worker->now_ms;
    list_init(&st->told);
    list_push_back(&h->streams, &st->link);
    h->stream_count++;
    return st;
}
