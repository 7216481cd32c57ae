/*
 * http/h1/drive.c - moving a connection forward: it alternates between using input and sending output until one of
 * them has to wait.
 *
 * Input is read into one buffer of the worker, and most answers are built in another; only what has to wait gets
 * memory of its own. So an idle connection holds no buffer, and pipelined requests are answered with one write.
 */
#include "http/h1/connections.h"
#include "http/h1/h1.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/request/verdict.h"
#include "http/serve/serve.h"
#include "http/wire/request.h"
#include "net/address.h"
#include "net/proxy_protocol.h"
#include "net/stream.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/urgent.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PIPELINE_MAX_BYTES = 64 << 10,
    READ_AHEAD_BYTES = 4096,
    LINGER_READS_AT_ONCE = 4,
    SHOWN_HEADER_BYTES = 107,
    SHOWN_ERROR_BYTES = 128
};

/* Input that is being used: in the worker's buffer, or in the connection's. */
struct input {
    char *data;
    size_t len;
    struct http_scan *scan;
};

/* In nginx's words. There is no request yet whose line it could be. */
static void log_broken_header(struct connection *c, struct slice in)
{
    const struct site_listen *listen = c->listener->listen;
    struct http_exchange *ex = exchange_new(connection_worker(c));
    char server[NET_ADDRESS_TEXT_BYTES];
    if (!ex)
        return;
    h1_identify(c, &ex->client);
    exchange_begin(ex, connection_worker(c));
    ex->route.error_files = listen->default_server->top->error_files;
    ex->route.server_name = slice_of(net_address_text(&listen->address, server));
    http_log(ex, LOG_LEVEL_ERROR, "broken header: \"%.*s\" while reading PROXY protocol",
             (int)(in.len < SHOWN_HEADER_BYTES ? in.len : SHOWN_HEADER_BYTES), in.data);
    exchange_free(connection_worker(c), ex);
}

/* listen ... proxy_protocol: a connection begins with its header. False when more is needed. */
static bool use_proxy_header(struct connection *c, struct input *in)
{
    struct net_proxy_header header;
    size_t used = 0;
    enum net_proxy_result result = net_proxy_parse(&header, in->data, in->len, &used);
    if (result == NET_PROXY_MORE)
        return false;
    if (result == NET_PROXY_DONE && (c->told = malloc(sizeof *c->told + header.tlvs.len))) {
        char *tlvs = (char *)(c->told + 1);
        if (header.tlvs.len)
            memcpy(tlvs, header.tlvs.data, header.tlvs.len);
        header.tlvs.data = tlvs;
        *c->told = header;
        in->data += used;
        in->len -= used;
        return true;
    }
    log_broken_header(c, (struct slice){in->data, in->len});
    connection_close(c);
    return false;
}

/* As in nginx a head may fill its first buffer, and after that the large ones; each line lies whole in one of them. */
static struct http_head_limits head_limits(const struct connection *c)
{
    const struct settings *s = c->listener->listen->default_server->top->settings;
    size_t first = (size_t)s->client.header_buffer_bytes, large = (size_t)s->client.large_header.bytes;
    return (struct http_head_limits){.line_bytes = first > large ? first : large,
                                     .head_bytes = first + large * (size_t)s->client.large_header.count};
}

static void serve(struct connection *c, struct verdict v)
{
    if (v.kind != VERDICT_GONE)
        request_serve(c->ex, v);
}

/* Looks for a head in the input. False when more is needed. */
static bool use_head(struct connection *c, struct input *in)
{
    struct http_head_limits limits = head_limits(c);
    struct http_error error;
    size_t head_len = 0;
    switch (http_scan_head(in->scan, &limits, in->data, in->len, &head_len, &error)) {
    case HTTP_SCAN_ERROR:
        serve(c, h1_refuse(c, (struct slice){in->data, in->len}, in->scan->line_start, &error));
        in->len = 0;
        return true;
    case HTTP_SCAN_MORE:
        return false;
    default:
        break;
    }
    if (head_len > 2)
        serve(c, h1_start(c, (struct slice){in->data, head_len}));
    if (c->dead) /* and with it its input */
        return false;
    *in->scan = (struct http_scan){0};
    in->data += head_len;
    in->len -= head_len;
    return true;
}

/* What takes the body while it comes takes no more for now. */
static bool body_is_full(const struct connection *c)
{
    return c->ex->source->body_is_full(c->ex);
}

/* A body that is sent on to an upstream while it comes. */
static bool use_passing_body(struct connection *c, struct input *in)
{
    bool done = false;
    int error = 0;
    if (body_is_full(c))
        return false;
    size_t n = h1_take_body(c->ex, in->data, in->len, &done, &error);
    in->data += n;
    in->len -= n;
    if (error) {
        in->len = 0;
        c->ex->res.close = c->linger_after = true;
        c->ex->source->stop(c->ex);
        request_serve(c->ex, verdict_answer(error));
        return true;
    }
    c->ex->body.whole = done;
    c->ex->source->body_came(c->ex, done);
    return in->len > 0;
}

static bool use_body(struct connection *c, struct input *in)
{
    bool done = false;
    int error = 0;
    size_t n = h1_take_body(c->ex, in->data, in->len, &done, &error);
    in->data += n;
    in->len -= n;
    if (error) {
        in->len = 0;
        c->ex->res.close = c->linger_after = true;
        request_serve(c->ex, verdict_answer(error));
    } else if (done) {
        c->ex->body.whole = true;
        request_serve(c->ex, verdict_of(VERDICT_AGAIN));
    } else {
        connection_set_timer(c, connection_settings(c)->client.body_timeout_ms);
    }
    return error || done;
}

/* The request is with its upstream, and its body still comes. */
static bool passes_body(const struct connection *c)
{
    return request_is(c, REQUEST_PROXY) && !c->ex->body.whole;
}

/* No more input may be used before output has gone. */
static bool output_waits(const struct connection *c)
{
    return c->out || request_is(c, REQUEST_SEND) || c->close_after ||
           buf_len(&connection_worker(c)->output) >= OUTPUT_FLUSH_BYTES;
}

/* One step of using input. False when there is none, or it has to wait for a handler or for the socket. */
static bool use_input(struct connection *c, struct input *in)
{
    if (c->dead || in->len == 0)
        return false;
    if (c->rest) {
        size_t n = h1_skip_body(c, in->data, in->len);
        in->data += n;
        in->len -= n;
        return in->len > 0;
    }
    if (output_waits(c))
        return false;
    if (connection_is_between(c) && c->listener->listen->proxy_protocol && !c->told)
        return use_proxy_header(c, in);
    if (connection_is_between(c))
        return use_head(c, in);
    if (passes_body(c))
        return use_passing_body(c, in);
    return request_is(c, REQUEST_BODY) && use_body(c, in);
}

static bool has_output(const struct connection *c)
{
    return output_waits(c) || buf_len(&connection_worker(c)->output) > 0;
}

/* Sends what there is. True when all of it went and the connection goes on. */
static bool send_step(struct connection *c)
{
    bool more = request_is(c, REQUEST_SEND) && c->ex->source == &source_pieces && c->ex->res.body;
    if (!h1_flush(c, more))
        return false;
    if (request_is(c, REQUEST_SEND))
        return h1_send_body(c->ex);
    if (c->close_after)
        connection_finish(c);
    return !c->dead && c->state != CONNECTION_LINGER;
}

static void drive(struct connection *c, struct input *in)
{
    do {
        if (request_is(c, REQUEST_READY))
            request_serve_resumed(c->ex);
        while (use_input(c, in)) {
        }
        /* Requests that stay unanswered must not cost the responses of others. */
        c->linger_after |= c->close_after && in->len > 0;
    } while (!c->dead && (request_is(c, REQUEST_READY) || (has_output(c) && send_step(c))));
}

/* Puts what was not used where it outlives this turn. False when memory is out. */
static bool keep_input(struct connection *c, const struct input *in)
{
    if (c->in) {
        /* What is left began to come now at the earliest. */
        if (in->len < buf_len(&c->in->buf))
            c->in->since_ms = connection_worker(c)->now_ms;
        buf_consume(&c->in->buf, buf_len(&c->in->buf) - in->len);
        if (in->len == 0)
            connection_drop_input(c);
        return true;
    }
    if (in->len == 0)
        return true;
    c->in = calloc(1, sizeof *c->in);
    if (!c->in)
        return false;
    const struct settings *s = c->listener->listen->default_server->top->settings;
    c->in->scan = *in->scan;
    c->in->since_ms = connection_worker(c)->now_ms;
    return buf_reserve(&c->in->buf, (size_t)s->client.header_buffer_bytes) &&
           buf_append(&c->in->buf, in->data, in->len);
}

/* Of a head; empty lines before it are nothing (RFC 9112 section 2.2). */
static bool has_begun(const struct connection *c)
{
    struct slice in = c->in ? buf_slice(&c->in->buf) : (struct slice){0};
    size_t i = 0;
    while (i < in.len && (in.data[i] == '\r' || in.data[i] == '\n'))
        i++;
    return i < in.len;
}

void connection_end_head(struct connection *c, int status, const char *why)
{
    if (!c->in || !has_begun(c)) {
        connection_close(c);
        return;
    }
    struct slice head = buf_slice(&c->in->buf);
    if (c->listener->listen->proxy_protocol && !c->told) {
        log_broken_header(c, head);
        connection_close(c);
        return;
    }
    h1_leave_unfinished(c, head, c->in->scan.line_start, status, why);
}

/* recv() has ended with 0, or failed. */
static void close_at_end(struct connection *c, int error)
{
    char why[SHOWN_ERROR_BYTES] = "client prematurely closed connection";
    if (error)
        snprintf(why, sizeof why, "recv() failed (%d: %s)", error, strerror(error));
    if (connection_is_between(c) && !c->rest && !c->out) {
        connection_end_head(c, 400, why);
        return;
    }
    if (request_is(c, REQUEST_BODY) || passes_body(c))
        http_log(c->ex, LOG_LEVEL_INFO, "%s while reading client request body", why);
    connection_close(c);
}

/* Answered, while a body that nobody wants still comes: for as long as a lingering close would wait. */
static void settle_rest(struct connection *c)
{
    uint64_t now_ms = connection_worker(c)->now_ms;
    int64_t silence = connection_settings(c)->client.lingering_timeout_ms;
    int64_t left = c->rest->until_ms > now_ms ? (int64_t)(c->rest->until_ms - now_ms) : 1;
    connection_show(c, SHM_CONNECTION_READING);
    connection_set_timer(c, silence && silence < left ? silence : left);
}

/* A head has begun to arrive, or the connection has become idle: list, gauge and timer follow. */
static void settle_head(struct connection *c)
{
    struct worker *w = connection_worker(c);
    if (c->eof) { /* all before the end has its response */
        close_at_end(c, 0);
        return;
    }
    if (c->rest) {
        list_remove(&c->link);
        list_push_back(&w->busy, &c->link);
        settle_rest(c);
        return;
    }
    bool begun = has_begun(c);
    bool as_before = begun || c->requests == 0 ? c->shown_state == SHM_CONNECTION_READING
                                               : c->shown_state == SHM_CONNECTION_WAITING;
    /* The time was over, and what came late was not enough. */
    if (as_before && c->timer.deadline_ms == 0) {
        connection_end_head(c, 408, "client timed out (110: Connection timed out)");
        return;
    }
    /* Idle as before: empty lines win no time, and no place. */
    if (as_before && c->shown_state == SHM_CONNECTION_WAITING && !w->draining)
        return;
    list_remove(&c->link);
    if (begun || c->requests == 0) {
        list_push_back(&w->busy, &c->link);
        /* From the head's first byte on; a first head's time runs from accept. */
        if (c->shown_state != SHM_CONNECTION_READING)
            connection_set_timer(c, connection_settings(c)->client.header_timeout_ms);
        connection_show(c, SHM_CONNECTION_READING);
        return;
    }
    if (w->draining) {
        connection_close(c);
        return;
    }
    list_push_back(&w->idle, &c->link);
    connection_show(c, SHM_CONNECTION_WAITING);
    const struct settings *s = connection_settings(c);
    c->until_ms = w->now_ms + (uint64_t)(s->client.keepalive_min_timeout_ms < s->client.keepalive.timeout_ms
                                             ? s->client.keepalive_min_timeout_ms
                                             : s->client.keepalive.timeout_ms);
    connection_set_timer(c, s->client.keepalive.timeout_ms);
}

/* proxy_ignore_client_abort */
static bool ignores_abort(const struct connection *c)
{
    const struct source *s = c->ex ? c->ex->source : NULL;
    return s && s->outlives_client && s->outlives_client(c->ex);
}

/* The response's source ends with the client. */
static bool needs_client(const struct connection *c)
{
    return c->ex && c->ex->source && c->ex->source->needs_client;
}

/* Read as far as it has to be, and not yet answered. */
static bool has_request_at_work(const struct connection *c)
{
    return request_is(c, REQUEST_HANDLER) || request_is(c, REQUEST_PROXY) || request_is(c, REQUEST_QUEUED) ||
           request_is(c, REQUEST_DELAYED) || request_is(c, REQUEST_READY);
}

static void watch(struct connection *c)
{
    bool bounded =
        request_is(c, REQUEST_BODY) || (connection_is_between(c) && !c->out); /* by limits of their own */
    bool full = c->in && buf_len(&c->in->buf) >= PIPELINE_MAX_BYTES && !bounded;
    const struct http_exchange *ex = c->ex;
    bool want_write = c->out || (request_is(c, REQUEST_SEND) && ex->more_later);
    bool is_reading = c->ex && c->ex->reading.at_work; /* from a disk */
    full |= passes_body(c) && body_is_full(c);
    c->deaf = full && has_request_at_work(c);
    int events =
        (full || c->eof ? 0 : EV_READ) | (want_write && !(ex && ex->throttled) && !is_reading ? EV_WRITE : 0);
    net_stream_watch(&c->stream, connection_worker(c)->loop, events);
}

/* It has a request: it is none of those that are closed first when connections run out or the worker drains. */
static void become_busy(struct connection *c)
{
    list_remove(&c->link);
    list_push_back(&connection_worker(c)->busy, &c->link);
}

static void drive_and_settle(struct connection *c, struct input *in)
{
    struct worker *w = connection_worker(c);
    assert(!w->driving && !c->dead);
    w->driving = c;
    w->streamed_bytes = 0;
    drive(c, in);
    /* The client's leaving was ignored before: the rest of the body will never come. */
    if (!c->dead && c->eof && in->len == 0 && passes_body(c))
        close_at_end(c, 0);
    if (!c->dead && c->state != CONNECTION_LINGER && !keep_input(c, in))
        connection_close(c);
    /* What is missing of the body will not come. */
    if (!c->dead && c->eof && request_is(c, REQUEST_BODY))
        close_at_end(c, 0);
    if (!c->dead && connection_is_between(c) && !c->out)
        settle_head(c);
    else if (!c->dead && c->state != CONNECTION_LINGER)
        become_busy(c);
    if (!c->dead && c->state == CONNECTION_TUNNEL)
        c->ex->source->tunnel(c->ex);
    else if (!c->dead)
        watch(c);
    w->driving = NULL;
}

void connection_drive(struct connection *c)
{
    struct http_scan none = {0};
    struct input in = {.scan = &none};
    if (c->in)
        in = (struct input){c->in->buf.data + c->in->buf.start, buf_len(&c->in->buf), &c->in->scan};
    drive_and_settle(c, &in);
}

void connection_ready(struct connection *c)
{
    struct worker *w = connection_worker(c);
    if (c->is_ready || c->dead || w->driving == c) /* that goes on until it has to wait */
        return;
    c->is_ready = true;
    c->next_ready = NULL;
    *w->ready_end = c;
    w->ready_end = &c->next_ready;
}

void connection_run_ready(struct worker *w)
{
    struct connection *c;
    while ((c = w->ready)) {
        w->ready = c->next_ready;
        if (!w->ready)
            w->ready_end = &w->ready;
        c->is_ready = false;
        if (!c->dead)
            connection_drive(c);
    }
}

/* Reads what is there, and uses it. False when there is nothing now. */
static bool read_and_drive(struct connection *c)
{
    struct worker *w = connection_worker(c);
    struct http_scan fresh = {0};
    struct input in = {w->input, 0, &fresh};
    ssize_t n;
    if (c->in) {
        struct buf *b = &c->in->buf;
        if (!buf_reserve(b, buf_len(b) < READ_AHEAD_BYTES ? 1024 : buf_len(b))) {
            connection_close(c);
            return true;
        }
        n = net_stream_read(&c->stream, b->data + b->end, b->cap - b->end);
        b->end += n > 0 ? (size_t)n : 0;
        in = (struct input){b->data + b->start, buf_len(b), &c->in->scan};
    } else {
        n = net_stream_read(&c->stream, w->input, INPUT_BYTES);
        in.len = n > 0 ? (size_t)n : 0;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n > 0)
        drive_and_settle(c, &in);
    else
        close_at_end(c, n < 0 ? errno : 0);
    return true;
}

void connection_try_read(struct connection *c)
{
    read_and_drive(c);
}

void connection_expire(struct connection *c)
{
    if (!read_and_drive(c))
        connection_close(c);
}

/* While a handler runs or an answer is being sent: later requests are kept, and a client that leaves is noticed. */
static void read_ahead(struct connection *c)
{
    struct worker *w = connection_worker(c);
    char *data = w->input;
    ssize_t n = net_stream_read(&c->stream, data, c->rest ? INPUT_BYTES : READ_AHEAD_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && c->rest) {
        size_t skipped = h1_skip_body(c, data, (size_t)n);
        data += skipped;
        n -= (ssize_t)skipped;
        if (n == 0)
            return;
    }
    if ((n == 0 || (n < 0 && request_is(c, REQUEST_PROXY))) && ignores_abort(c)) {
        c->eof = true;
        watch(c);
        return;
    }
    /* The client may only have closed its sending side: it still gets its response. */
    if (n == 0 && !has_request_at_work(c) && !needs_client(c)) {
        c->eof = true;
        watch(c);
        return;
    }
    if (n > 0 && !c->in)
        c->in = calloc(1, sizeof *c->in);
    if (n <= 0 || !c->in || !buf_append(&c->in->buf, data, (size_t)n))
        connection_close(c);
    else
        watch(c);
}

void connection_look_for_leavers(struct worker *w)
{
    struct list_node *next;
    for (struct list_node *n = w->busy.next; n != &w->busy; n = next) {
        struct connection *c = container_of(n, struct connection, link);
        next = n->next;
        if (c->deaf && !ignores_abort(c) && net_stream_has_ended(&c->stream))
            connection_close(c);
    }
}

static void linger(struct connection *c)
{
    struct worker *w = connection_worker(c);
    ssize_t n;
    int reads = LINGER_READS_AT_ONCE;
    while ((n = net_stream_read(&c->stream, w->input, INPUT_BYTES)) > 0 && --reads > 0) {
    }
    if (n > 0 && w->now_ms < c->until_ms)
        return; /* the others' turn */
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && w->now_ms < c->until_ms)
        connection_set_linger_timer(c);
    else
        connection_close(c);
}

void connection_on_event(struct ev_loop *loop, ev_io *io, int events)
{
    struct connection *c = (struct connection *)io; /* its first member */
    struct worker *w = connection_worker(c);
    (void)loop;
    /* With both, what can be read comes with the next turn. */
    if (events & EV_WRITE)
        connection_drive(c);
    else if (c->state == CONNECTION_LINGER)
        linger(c);
    else if (!passes_body(c) && (has_request_at_work(c) || request_is(c, REQUEST_SEND) || c->out))
        read_ahead(c);
    else
        read_and_drive(c);
    w->served_in_turn++;
    if (++w->served_since_urgent >= URGENT_EVERY)
        worker_do_urgent(w);
}
