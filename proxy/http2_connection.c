/*
 * proxy/http2_connection.c - a connection of HTTP/2 to an upstream's server: its frames, who is on it, its end.
 */
#include "proxy/http2.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "base/slice.h"
#include "base/wheel.h"
#include "net/stream.h"
#include "proxy/upstream.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    WINDOW_BYTES = 64 << 10,      /* of a response that nobody reads */
    CONNECTION_WINDOW = 16 << 20, /* so that none of them holds up the others */
    STREAMS_MOST = 128,
    OUT_AT_ONCE_BYTES = 64 << 10,
    HEAD_SENT_MAX_BYTES = 1 << 20,
    /* A socket that takes nothing for so long is no way for others. */
    BLOCKED_MS = 1000,
    /* For a server to show that it is there. */
    DOUBT_MS = 1000
};

/* --- the end --- */

/* Nothing comes or goes any more; who is on it is told. It stays until they have left. */
static void lose(struct http2_connection *h, int error)
{
    struct upstream_connection *uc = h->uc;
    if (!uc)
        return;
    h->is_leaving = true;
    h->uc = NULL;
    list_remove(&h->link);
    for (struct list_node *n = h->streams.next; n != &h->streams; n = n->next) {
        struct http2_stream *st = container_of(n, struct http2_stream, link);
        st->uc.is_refused |= st->part == HTTP2_HEAD; /* it has never gone */
        http2_stream_fail(st, error);
    }
    upstream_close(uc);
}

static void free_if_unused(struct http2_connection *h)
{
    if (h->uc || h->stream_count)
        return;
    list_remove(&h->waits);
    nghttp2_session_del(h->ng);
    buf_free(&h->out);
    free(h);
}

/* How many requests its server takes at a time. */
static uint32_t limit_of(const struct http2_connection *h)
{
    uint32_t most = nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return most < STREAMS_MOST ? most : STREAMS_MOST;
}

static uint64_t end_ms_of(const struct http2_connection *h)
{
    return h->uc->made_ms + (uint64_t)h->upstream->keepalive_time_ms;
}

/* Whether another request may go this way, now or later. */
static bool is_of_use(const struct http2_connection *h)
{
    return !h->is_leaving && !h->is_doubted && limit_of(h) > 0 &&
           nghttp2_session_check_request_allowed(h->ng) && !h->uc->peer->gone &&
           h->uc->requests + 1 < (uint64_t)h->upstream->keepalive_requests &&
           h->worker->now_ms < end_ms_of(h) &&
           (!h->blocked_ms || h->worker->now_ms < h->blocked_ms + BLOCKED_MS);
}

static bool may_stay(const struct http2_connection *h)
{
    return is_of_use(h) && h->upstream->keepalive > 0 && !h->worker->draining;
}

static int64_t count_idle(const struct upstream *u)
{
    int64_t count = 0;
    for (const struct list_node *n = u->carriers.next; n != &u->carriers; n = n->next)
        count += container_of(n, struct http2_connection, link)->stream_count == 0;
    return count;
}

/* Those beyond `keepalive` wait for the requests that follow a burst of responses. */
static uint64_t idle_until_ms(const struct http2_connection *h)
{
    uint64_t now_ms = h->worker->now_ms, end_ms = end_ms_of(h);
    bool is_surplus = count_idle(h->upstream) > h->upstream->keepalive;
    uint64_t until_ms = now_ms + (h->is_doubted ? DOUBT_MS
                                  : is_surplus  ? UPSTREAM_SURPLUS_MS
                                                : (uint64_t)h->upstream->keepalive_timeout_ms);
    return until_ms < end_ms ? until_ms : end_ms;
}

static void become_idle(struct http2_connection *h)
{
    if (!h->uc || h->stream_count)
        return;
    if (!may_stay(h) && !h->is_doubted)
        lose(h, 0);
    /* What its server says by itself wins no time. */
    else if (h->uc->timer.deadline_ms == 0)
        wheel_set(&h->worker->wheel, &h->uc->timer, idle_until_ms(h));
}

void http2_on_timer(struct wheel_entry *e)
{
    struct http2_connection *h = container_of(e, struct upstream_connection, timer)->carrier;
    lose(h, 0);
    free_if_unused(h);
}

static void close_those(struct upstream *u, bool useless_only)
{
    struct list_node *next;
    for (struct list_node *n = u->carriers.next; n != &u->carriers; n = next) {
        struct http2_connection *h = container_of(n, struct http2_connection, link);
        next = n->next;
        if (h->stream_count || (useless_only && may_stay(h)))
            continue;
        lose(h, 0);
        free_if_unused(h);
    }
}

void http2_close_idle(struct upstream *u)
{
    close_those(u, false);
    assert(list_empty(&u->carriers));
}

void http2_look_after(struct worker *w)
{
    for (struct upstream *u = w->site->upstreams; u; u = u->next)
        close_those(u, true);
}

/* --- what comes --- */

static struct http2_stream *stream_of(nghttp2_session *ng, int32_t id)
{
    return id ? nghttp2_session_get_stream_user_data(ng, id) : NULL;
}

static int give_up(struct http2_stream *st, uint32_t code)
{
    http2_stream_fail(st, EPROTO);
    return nghttp2_submit_rst_stream(st->h->ng, NGHTTP2_FLAG_NONE, st->id, code) == 0
               ? 0
               : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *connection)
{
    struct http2_stream *st = stream_of(ng, frame->hd.stream_id);
    nghttp2_vec n = nghttp2_rcbuf_get_buf(name), v = nghttp2_rcbuf_get_buf(value);
    (void)flags;
    (void)connection;
    if (!st || st->error)
        return 0;
    return http2_take_field(st, (struct slice){(const char *)n.base, n.len},
                            (struct slice){(const char *)v.base, v.len}, st->has_begun_body)
               ? 0
               : give_up(st, NGHTTP2_INTERNAL_ERROR);
}

static void on_end(struct http2_stream *st)
{
    if (!http2_take_end(st)) {
        http2_stream_fail(st, ENOMEM);
        return;
    }
    st->has_ended = true;
    http2_stream_tell(st);
}

/* As many as the server takes; the others go another way. */
static void begin_those_who_wait(struct http2_connection *h)
{
    uint32_t left = limit_of(h);
    h->knows_limit = true;
    for (struct list_node *n = h->streams.next; n != &h->streams; n = n->next) {
        struct http2_stream *st = container_of(n, struct http2_stream, link);
        if (left > 0) {
            left--;
            http2_stream_go(st);
        } else if (st->part == HTTP2_HEAD) {
            st->uc.is_refused = true;
            http2_stream_fail(st, ECONNRESET);
        }
    }
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *connection)
{
    struct http2_connection *h = connection;
    struct http2_stream *st = stream_of(ng, frame->hd.stream_id);
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        h->is_leaving = true;
    if (frame->hd.type == NGHTTP2_SETTINGS && !h->knows_limit)
        begin_those_who_wait(h);
    if (!st || st->error || frame->hd.type > NGHTTP2_HEADERS)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !st->has_begun_body) {
        if (!http2_take_head_end(st))
            return give_up(st, NGHTTP2_INTERNAL_ERROR);
        st->has_begun_body = st->has_head;
        http2_stream_tell(st);
    }
    if (ends)
        on_end(st);
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                   void *connection)
{
    struct http2_stream *st = stream_of(ng, id);
    (void)flags;
    (void)connection;
    if (!st || st->error)
        return nghttp2_session_consume(ng, id, len);
    if (!http2_take_body(st, (struct slice){(const char *)data, len}))
        return give_up(st, NGHTTP2_INTERNAL_ERROR);
    st->unused += len;
    http2_stream_tell(st);
    return 0;
}

/* A stream that its server has refused has not been looked at (RFC 9113 section 8.7): it may be sent anew, whatever it is. */
static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *connection)
{
    struct http2_stream *st = stream_of(ng, id);
    (void)connection;
    if (!st)
        return 0;
    if (!st->has_ended) {
        st->uc.is_refused = code == NGHTTP2_REFUSED_STREAM;
        st->uc.is_reset = true;
        st->uc.reset_code = code;
        /* It is not that the connection had just been closed. */
        st->uc.requests = 0;
    }
    http2_stream_fail(st, ECONNRESET);
    st->id = 0;
    return 0;
}

/* --- what goes, and when --- */

static bool send_out(struct http2_connection *h)
{
    while (buf_len(&h->out)) {
        ssize_t n = net_stream_write(&h->uc->stream, h->out.data + h->out.start, buf_len(&h->out), false);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            h->blocked_ms = h->blocked_ms ? h->blocked_ms : h->worker->now_ms;
            return false;
        }
        if (n < 0) {
            lose(h, errno);
            return false;
        }
        h->blocked_ms = 0;
        h->sent_in_turn += (size_t)n;
        buf_consume(&h->out, (size_t)n);
    }
    return true;
}

/* Others have their turn, however fast its server reads. */
static bool has_had_its_share(struct http2_connection *h)
{
    if (h->turn != h->worker->files.turn)
        h->sent_in_turn = 0;
    h->turn = h->worker->files.turn;
    return h->sent_in_turn >= SEND_AT_ONCE_BYTES;
}

static void flush(struct http2_connection *h)
{
    ssize_t n = 1;
    while (h->uc && n > 0 && !has_had_its_share(h) && send_out(h)) {
        const uint8_t *data;
        while (buf_len(&h->out) < OUT_AT_ONCE_BYTES && (n = nghttp2_session_mem_send(h->ng, &data)) > 0)
            if (!buf_append(&h->out, data, (size_t)n))
                n = NGHTTP2_ERR_NOMEM;
        if (n < 0)
            lose(h, ENOMEM);
    }
    if (!h->uc)
        return;
    bool more = buf_len(&h->out) > 0 || has_had_its_share(h);
    if (buf_len(&h->out) == 0)
        buf_free(&h->out);
    net_stream_watch(&h->uc->stream, h->worker->loop, EV_READ | (more ? EV_WRITE : 0));
    if (!nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng))
        lose(h, ECONNRESET);
}

/* Who is told may write more, and what has gone makes room for that. */
static void go_on(struct http2_connection *h)
{
    do {
        while (http2_stream_deliver(h)) {
        }
        flush(h);
    } while (!list_empty(&h->told) && (!h->uc || !has_had_its_share(h)));
    list_remove(&h->waits);
    become_idle(h);
}

bool http2_go_on(struct worker *w)
{
    if (list_empty(&w->carriers))
        return false;
    while (!list_empty(&w->carriers)) {
        struct http2_connection *h = container_of(w->carriers.next, struct http2_connection, waits);
        list_remove(&h->waits);
        go_on(h);
        free_if_unused(h);
    }
    return true;
}

static void note_heard(struct http2_connection *h)
{
    h->silent_ms = h->worker->now_ms;
    if (!h->is_doubted)
        return;
    h->is_doubted = false;
    wheel_clear(&h->uc->timer);
}

static void on_event(struct ev_loop *loop, ev_io *io, int events)
{
    struct http2_connection *h = io->data;
    struct worker *w = h->worker;
    (void)loop;
    http2_wake(h);
    if (!(events & EV_READ))
        return;
    ssize_t n = net_stream_read(&h->uc->stream, w->input, INPUT_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        note_heard(h);
    if (n <= 0)
        lose(h, n < 0 ? errno : ECONNRESET);
    else if (nghttp2_session_mem_recv(h->ng, (const uint8_t *)w->input, (size_t)n) < 0)
        lose(h, EPROTO);
}

/* --- the beginning --- */

static nghttp2_session_callbacks *the_callbacks(void)
{
    static nghttp2_session_callbacks *all;
    if (all || nghttp2_session_callbacks_new(&all) != 0)
        return all;
    nghttp2_session_callbacks_set_on_header_callback2(all, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(all, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(all, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(all, on_close);
    return all;
}

static nghttp2_option *the_options(void)
{
    static nghttp2_option *all;
    if (all || nghttp2_option_new(&all) != 0)
        return all;
    nghttp2_option_set_no_auto_window_update(all, 1);
    nghttp2_option_set_no_closed_streams(all, 1);
    nghttp2_option_set_max_send_header_block_length(all, HEAD_SENT_MAX_BYTES);
    return all;
}

static bool open_session(struct http2_connection *h)
{
    nghttp2_settings_entry list[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                     {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES}};
    nghttp2_session_callbacks *callbacks = the_callbacks();
    nghttp2_option *options = the_options();
    return callbacks && options && nghttp2_session_client_new2(&h->ng, callbacks, h, options) == 0 &&
           nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, list, sizeof list / sizeof list[0]) == 0 &&
           nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) == 0;
}

struct upstream_connection *http2_begin(struct upstream_connection *uc, bool alone)
{
    struct http2_connection *h = calloc(1, sizeof *h);
    if (!h) {
        upstream_close(uc);
        return NULL;
    }
    *h = (struct http2_connection){
        .uc = uc, .worker = uc->worker, .upstream = uc->upstream, .is_leaving = alone};
    list_init(&h->waits);
    list_init(&h->streams);
    list_init(&h->told);
    list_push_back(&uc->upstream->carriers, &h->link);
    uc->carrier = h;
    uc->timer.kind = WORKER_TIMER_CARRIER;
    net_stream_set_user(&uc->stream, h, on_event);
    struct http2_stream *st = open_session(h) ? http2_stream_new(h) : NULL;
    http2_wake(h);
    if (!st)
        lose(h, ENOMEM);
    return st ? &st->uc : NULL;
}

static bool has_room(const struct http2_connection *h)
{
    return is_of_use(h) && h->stream_count < limit_of(h);
}

/* The fullest one: so that the others become idle, and end. */
struct upstream_connection *http2_join(struct upstream *u, const struct peer *peer,
                                       const struct upstream_dial *dial)
{
    struct http2_connection *best = NULL;

    for (struct list_node *n = u->carriers.next; n != &u->carriers; n = n->next) {
        struct http2_connection *h = container_of(n, struct http2_connection, link);
        if (h->uc->peer == peer && upstream_is_of_kind(h->uc, dial) && has_room(h) &&
            (!best || h->stream_count > best->stream_count))
            best = h;
    }
    if (!best)
        return NULL;
    wheel_clear(&best->uc->timer);
    best->uc->requests++;
    struct http2_stream *st = http2_stream_new(best);
    http2_wake(best);
    return st ? &st->uc : NULL;
}
