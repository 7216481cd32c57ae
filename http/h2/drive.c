/*
 * http/h2/drive.c - moving a connection of HTTP/2 forward: its input, its streams' turns, its output, what it waits for then.
 */
#include "http/h2/drive.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "http/client/connection.h"
#include "http/client/linger.h"
#include "http/client/output.h"
#include "http/h2/body.h"
#include "http/h2/defence.h"
#include "http/h2/head.h"
#include "http/h2/leave.h"
#include "http/h2/memory.h"
#include "http/h2/response.h"
#include "http/h2/stream.h"
#include "http/h2/tunnel.h"
#include "http/request/exchange.h"
#include "http/serve/serve.h"
#include "net/stream.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

/* --- input --- */

static enum shm_http2_close reason_of(const struct h2_session *s, ssize_t error)
{
    return error == NGHTTP2_ERR_NOMEM || s->memory.is_exceeded          ? SHM_HTTP2_MEMORY
           : error == NGHTTP2_ERR_FLOODED || error == NGHTTP2_ERR_PROTO ? SHM_HTTP2_FLOOD
                                                                        : SHM_HTTP2_PROTOCOL;
}

static void use_input(struct h2_session *s, const char *data, size_t len)
{
    ssize_t n = nghttp2_session_mem_recv(s->ng, (const uint8_t *)data, len);
    if (n >= 0)
        return;
    log_info("*%llu client broke HTTP/2: %s; closing its connection", (unsigned long long)s->c->id,
             nghttp2_strerror((int)n));
    h2_end_for(s, reason_of(s, n));
    h2_terminate(s, n == NGHTTP2_ERR_FLOODED || s->memory.is_exceeded ? NGHTTP2_ENHANCE_YOUR_CALM
                    : n == NGHTTP2_ERR_NOMEM                          ? NGHTTP2_INTERNAL_ERROR
                                                                      : NGHTTP2_PROTOCOL_ERROR);
}

/* --- streams --- */

static void run(struct h2_stream *st)
{
    st->session->current = st;
    if (st->ex && !st->has_begun)
        h2_start(st);
    if (st->ex && st->ex->state == REQUEST_READY)
        request_serve_resumed(st->ex);
    h2_body_go_on(st);
    if (st->tunnel)
        h2_tunnel_go_on(st);
    else if (st->ex && st->ex->state == REQUEST_SEND)
        h2_send_on(st);
    st->session->current = NULL;
    if (st->is_gone && (!st->ex || st->ex->state == REQUEST_GONE))
        h2_stream_free(st);
}

/* What they have made has to go first: heads that wait are held by nghttp2, whose memory has a bound. */
static bool has_made_much(const struct h2_session *s)
{
    return s->memory.held > s->memory.held_max / 2;
}

/* As many as stand there now; who comes back has had its turn. */
static void run_ready(struct h2_session *s)
{
    struct list_node turn;
    list_move_all(&turn, &s->ready);
    do {
        if (list_empty(&turn))
            return;
        struct h2_stream *st = container_of(turn.next, struct h2_stream, ready);
        list_remove(&st->ready);
        run(st);
    } while (!has_made_much(s));
    while (!list_empty(&turn)) {
        struct list_node *last = turn.prev;
        list_remove(last);
        list_push_front(&s->ready, last);
    }
}

/* --- output --- */

/*
 * nghttp2 would end a connection with a stream too many, where that stream is to be refused (RFC 9113 section 5.1.2): so it knows of no
 * limit, and what the client is told of it is put in here.
 */
static void put_limit_in(const struct h2_session *s, unsigned char *frame, size_t len)
{
    enum { TYPE_AT = 3, HEAD_BYTES = 9, ENTRY_BYTES = 6 };
    if (frame[TYPE_AT] != NGHTTP2_SETTINGS)
        return;
    for (unsigned char *e = frame + HEAD_BYTES; e + ENTRY_BYTES <= frame + len; e += ENTRY_BYTES)
        if ((e[0] << 8 | e[1]) == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
            for (int i = 0; i < 4; i++)
                e[2 + i] = (unsigned char)(s->max_streams >> (24 - 8 * i));
}

/* Frames into the output, to about OUTPUT_FLUSH_BYTES. False: nghttp2 has no more for now. */
static bool fill_output(struct h2_session *s)
{
    struct connection *c = s->c;
    struct buf *out = connection_output(c);
    s->is_paused = false;
    while (buf_len(out) < OUTPUT_FLUSH_BYTES) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(s->ng, &data);
        if (n < 0 || s->memory.is_exceeded || (n > 0 && !buf_append(out, data, (size_t)n))) {
            h2_end_for(s, SHM_HTTP2_MEMORY);
            s->is_over = true;
        }
        if (n <= 0 || s->is_over)
            return s->is_paused;
        put_limit_in(s, (unsigned char *)out->data + out->end - n, (size_t)n);
    }
    return true;
}

static void set_send_timer(struct connection *c)
{
    connection_set_timer(c, c->settings->client.send_timeout_ms);
}

/* Sends what there is, as far as the socket and the connection's share of the turn go. False: nothing more goes now. */
static bool send_frames(struct h2_session *s)
{
    struct connection *c = s->c;
    struct worker *w = connection_worker(c);
    bool moved, more = true;
    s->more_later = false;
    while (more) {
        if (w->streamed_bytes >= SEND_AT_ONCE_BYTES) {
            s->more_later = true;
            return false;
        }
        /* What the socket has not taken goes first, and nothing is added to it. */
        more = c->out || fill_output(s);
        bool all = connection_flush(c, more, &moved);
        if (moved)
            set_send_timer(c);
        if (c->dead || !all)
            return false;
    }
    return true;
}

/* --- what it waits for --- */

static bool has_streams(const struct h2_session *s)
{
    return s->stream_count > 0;
}

static bool is_old(const struct connection *c)
{
    const struct client_settings *s = &c->settings->client;
    return c->requests >= (uint64_t)s->keepalive_requests ||
           connection_worker(c)->now_ms - c->since_ms > (uint64_t)s->keepalive_time_ms;
}

static void settle_idle(struct connection *c)
{
    struct worker *w = connection_worker(c);
    const struct client_settings *s = &c->settings->client;
    if (c->session->leave == H2_HAS_WARNED) {
        uint64_t by_ms = c->session->leave_by_ms;
        list_remove(&c->link);
        list_push_back(&w->idle, &c->link);
        connection_set_timer(c, by_ms > w->now_ms ? (int64_t)(by_ms - w->now_ms) : 1);
        connection_show(c, SHM_CONNECTION_WAITING);
        return;
    }
    /* Idle as before: PINGs win no time. */
    if (c->shown_state == SHM_CONNECTION_WAITING && c->timer.deadline_ms != 0 &&
        c->requests == c->session->requests_at_idle)
        return;
    c->session->requests_at_idle = c->requests;
    c->session->idle_ms = w->now_ms;
    int64_t least_ms = s->keepalive_min_timeout_ms;
    list_remove(&c->link);
    list_push_back(&w->idle, &c->link);
    connection_show(c, SHM_CONNECTION_WAITING);
    c->until_ms =
        w->now_ms + (uint64_t)(least_ms < s->keepalive.timeout_ms ? least_ms : s->keepalive.timeout_ms);
    connection_set_timer(c, s->keepalive.timeout_ms > 0 ? s->keepalive.timeout_ms : 1);
}

static void settle_busy(struct connection *c)
{
    list_remove(&c->link);
    list_push_back(&connection_worker(c)->busy, &c->link);
    /* Each stream has its own time; the connection has one while its socket takes nothing, or a head is not whole. */
    if (c->session->head_of) {
        if (c->shown_state != SHM_CONNECTION_READING)
            connection_set_timer(c, c->settings->client.header_timeout_ms);
        connection_show(c, SHM_CONNECTION_READING);
    } else {
        if (!c->out)
            connection_set_timer(c, 0);
        connection_show(c, SHM_CONNECTION_WRITING);
    }
}

static bool is_at_end(const struct h2_session *s)
{
    bool has_left = s->leave == H2_HAS_SAID && !has_streams(s) && !nghttp2_session_want_write(s->ng);
    return has_left || (!nghttp2_session_want_read(s->ng) && !nghttp2_session_want_write(s->ng));
}

static void settle(struct h2_session *s)
{
    struct connection *c = s->c;
    if (c->out || has_streams(s))
        settle_busy(c);
    /* Before its first request client_header_timeout runs, since the connection was accepted. */
    else if (c->requests > 0 || s->leave != H2_STAYS)
        settle_idle(c);
}

static void watch(struct h2_session *s)
{
    struct connection *c = s->c;
    bool wants_write = c->out || s->more_later;
    net_stream_watch(&c->stream, connection_worker(c)->loop, EV_READ | (wants_write ? EV_WRITE : 0));
}

/* Nothing is to come and nothing to go. */
static void finish(struct h2_session *s)
{
    struct connection *c = s->c;
    h2_end_for(s, SHM_HTTP2_CLIENT);
    /* After a mistake of the client's what still runs has nobody to go to, and more may be on its way. */
    c->linger_after = s->reason == SHM_HTTP2_PROTOCOL || s->reason == SHM_HTTP2_FLOOD;
    while (!list_empty(&s->streams))
        h2_stream_free(container_of(s->streams.next, struct h2_stream, link));
    connection_finish(c);
    if (!c->dead)
        net_stream_watch(&c->stream, connection_worker(c)->loop, EV_READ);
}

static void give_up(struct h2_session *s)
{
    if (!s->has_reason)
        log_info("*%llu a connection of HTTP/2 takes too much memory; closing it",
                 (unsigned long long)s->c->id);
    h2_end_for(s, SHM_HTTP2_MEMORY);
    connection_close(s->c);
}

/* That it is to end is said whatever else goes on. */
static void look_at_end(struct h2_session *s)
{
    struct worker *w = connection_worker(s->c);
    if (w->draining)
        h2_leave(s, SHM_HTTP2_DRAINING);
    else if (is_old(s->c))
        h2_leave(s, SHM_HTTP2_AGED);
    if (s->leave == H2_HAS_WARNED && w->now_ms >= s->leave_by_ms)
        h2_leave_now(s);
}

/* Requests that nobody waits for come to their end. */
static void drive_alone(struct h2_session *s)
{
    struct connection *c = s->c;
    struct worker *w = connection_worker(c);
    w->driving = c;
    run_ready(s);
    w->driving = NULL;
    if (!has_streams(s))
        connection_close(c);
    else if (!list_empty(&s->ready))
        connection_ready(c);
}

void h2_drive_with(struct connection *c, const char *data, size_t len)
{
    struct worker *w = connection_worker(c);
    struct h2_session *s = c->session;
    assert(!w->driving && !c->dead && buf_len(&w->output) == 0);
    w->driving = c;
    w->streamed_bytes = 0;
    s->windows_changed = false;
    h2_memory_unpack(s);
    if (len)
        use_input(s, data, len);
    look_at_end(s);
    bool goes_on;
    do {
        run_ready(s);
        goes_on = !s->is_over && send_frames(s);
    } while (goes_on && !list_empty(&s->ready));
    /* Who floods and does not read is not waited for. */
    if (!c->dead && (s->is_over || (s->is_flooded && c->out)))
        give_up(s);
    else if (!c->dead && !c->out && list_empty(&s->ready) && is_at_end(s))
        finish(s);
    else if (!c->dead) {
        settle(s);
        watch(s);
    }
    w->driving = NULL;
    /* Else its socket says when to go on. */
    if (!c->dead && !list_empty(&s->ready) && !c->out && !s->more_later)
        connection_ready(c);
}

void h2_drive(struct connection *c)
{
    if (c->state == CONNECTION_LINGER)
        return;
    if (c->session->is_client_gone)
        drive_alone(c->session);
    else
        h2_drive_with(c, NULL, 0);
}
