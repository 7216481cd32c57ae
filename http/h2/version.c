/*
 * http/h2/version.c - HTTP/2 as a client's connection sees it: its beginning, its events, its times, its end.
 */
#include "http/h2/version.h"

#include "base/list.h"
#include "base/log.h"
#include "base/wheel.h"
#include "http/client/connection.h"
#include "http/client/linger.h"
#include "http/h2/concurrency.h"
#include "http/h2/defence.h"
#include "http/h2/drive.h"
#include "http/h2/frames.h"
#include "http/h2/head.h"
#include "http/h2/leave.h"
#include "http/h2/memory.h"
#include "http/h2/protocol.h"
#include "http/h2/response.h"
#include "http/h2/stream.h"
#include "http/request/exchange.h"
#include "http/request/lead.h"
#include "http/request/source.h"
#include "http/request/verdict.h"
#include "http/site/site.h"
#include "net/stream.h"
#include "worker/loop/urgent.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    /* Of a connection: what may lie here of bodies that nobody wants yet. */
    WINDOW_BYTES = 3 << 20,
    DRAIN_GRACE_MS = 200,
    IDLE_FOR_LONG_MS = 1000
};

/* --- the beginning --- */

static bool say_settings(struct h2_session *s)
{
    const struct http2_settings *conf = &s->c->settings->http2;
    nghttp2_settings_entry list[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, NGHTTP2_INITIAL_MAX_CONCURRENT_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)conf->preread_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1}};
    h2_concurrency_open(s);
    return nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, list, sizeof list / sizeof list[0]) == 0 &&
           nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES) == 0;
}

static void begin(struct connection *c, const char *data, size_t len)
{
    struct h2_session *s = calloc(1, sizeof *s);
    assert(!c->ex && !c->session && !c->rest);
    net_stream_set_user(&c->stream, c->stream.io.data, h2_version.on_event);
    c->session = s;
    if (s) {
        s->c = c;
        list_init(&s->streams);
        list_init(&s->ready);
        h2_budget_open(s);
        counter_set(&connection_worker(c)->slot->http2.connections,
                    ++connection_worker(c)->http2_connections);
    }
    if (!s || !h2_frames_open(s) || !say_settings(s)) {
        log_error("out of memory for a connection of HTTP/2; closing it");
        connection_close(c);
        return;
    }
    h2_drive_with(c, data, len);
}

/* --- events --- */

static bool read_input(struct connection *c)
{
    struct worker *w = connection_worker(c);
    ssize_t n = net_stream_read(&c->stream, w->input, INPUT_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n > 0)
        h2_drive_with(c, w->input, (size_t)n);
    else
        c->version->at_end(c, n < 0 ? errno : 0);
    return true;
}

static void on_event(struct ev_loop *loop, ev_io *io, int events)
{
    struct connection *c = (struct connection *)io; /* its first member */
    struct worker *w = connection_worker(c);
    (void)loop;
    assert(!c->dead && !w->driving);
    /* What is read is driven on with what there is to write. */
    if (c->state == CONNECTION_LINGER)
        connection_linger(c);
    else if (!(events & EV_READ) || !read_input(c))
        h2_drive(c);
    w->served_in_turn++;
    if (++w->served_since_urgent >= URGENT_EVERY)
        worker_do_urgent(w);
}

/* Requests that go on without their client keep its connection for what belongs to it. False: there is none. */
static bool stays_for_requests(struct h2_session *s)
{
    struct list_node *next;
    for (struct list_node *n = s->streams.next; n != &s->streams; n = next) {
        next = n->next;
        h2_stream_leave(container_of(n, struct h2_stream, link));
    }
    return s->stream_count > 0;
}

/* The client sends nothing more: nobody is there to take what is still to come. */
static void at_end(struct connection *c, int error)
{
    struct h2_session *s = c->session;
    (void)error;
    h2_end_for(s, SHM_HTTP2_CLIENT);
    if (!stays_for_requests(s)) {
        connection_close(c);
        return;
    }
    s->is_client_gone = true;
    connection_drop_output(c);
    connection_set_timer(c, 0);
    net_stream_watch(&c->stream, connection_worker(c)->loop, 0);
}

/* --- times --- */

static void on_time(struct connection *c)
{
    struct h2_session *s = c->session;
    h2_memory_unpack(s);
    bool is_idle = s->stream_count == 0 && !c->out && c->state == CONNECTION_OPEN && c->requests > 0;
    if (is_idle && s->leave == H2_HAS_WARNED) {
        h2_leave_now(s);
        return;
    }
    if (is_idle && s->leave == H2_STAYS) {
        h2_leave(s, SHM_HTTP2_IDLE);
        return;
    }
    h2_end_for(s, SHM_HTTP2_TIMEOUT);
    connection_reset(c);
    connection_close(c);
}

void h2_look_after_idle(struct worker *w)
{
    for (struct list_node *n = w->idle.next; w->http2_connections && n != &w->idle; n = n->next) {
        struct connection *c = container_of(n, struct connection, link);
        if (c->session && c->session->idle_ms + IDLE_FOR_LONG_MS <= w->now_ms)
            h2_memory_pack(c->session);
    }
}

/* The client has not gone on sending the request's body. */
static void end_late_body(struct h2_stream *st)
{
    struct http_exchange *ex = st->ex;
    http_log(ex, LOG_LEVEL_INFO,
             "client timed out (110: Connection timed out) while reading client request body");
    /* The body was sent on while it came. */
    if (ex->source)
        ex->source->stop(ex);
    if (st->ex)
        request_resume(st->ex, verdict_answer(408));
    else
        h2_stream_reset(st, NGHTTP2_INTERNAL_ERROR);
}

void h2_stream_on_timer(struct wheel_entry *e)
{
    struct h2_stream *st = container_of(e, struct h2_stream, timer);
    struct http_exchange *ex = st->ex;
    assert(ex && st->timer.deadline_ms == 0);
    if (ex->state == REQUEST_BODY || http_passes_body(ex))
        end_late_body(st);
    else if (ex->state == REQUEST_SEND)
        h2_response_on_time(st);
    else
        h2_stream_reset(st, NGHTTP2_CANCEL);
}

/* --- the end --- */

static void drain(struct connection *c)
{
    h2_memory_unpack(c->session);
    if (c->state == CONNECTION_OPEN)
        h2_leave(c->session, SHM_HTTP2_DRAINING);
    else
        connection_set_timer(c, DRAIN_GRACE_MS);
}

static void end(struct connection *c)
{
    struct h2_session *s = c->session;
    struct worker *w = connection_worker(c);
    if (!s)
        return;
    /* To make room for others. */
    h2_end_for(s, SHM_HTTP2_IDLE);
    while (!list_empty(&s->streams))
        h2_stream_free(container_of(s->streams.next, struct h2_stream, link));
    h2_memory_unpack(s);
    nghttp2_session_del(s->ng);
    h2_memory_free(s);
    h2_head_free(s);
    http_lead_let_go(s->lead);
    counter_set(&w->slot->http2.connections, --w->http2_connections);
    counter_add(&w->slot->http2.closed[s->reason], 1);
    free(s);
    c->session = NULL;
}

static const struct http_exchange *at_work(const struct connection *c)
{
    const struct h2_stream *st = c->session ? c->session->current : NULL;
    return st ? st->ex : NULL;
}

const struct connection_version h2_version = {.protocol = &h2_protocol,
                                              .on_event = on_event,
                                              .begin = begin,
                                              .read = read_input,
                                              .drive = h2_drive,
                                              .on_time = on_time,
                                              .at_end = at_end,
                                              .drain = drain,
                                              .close = end,
                                              .at_work = at_work};
