/*
 * worker/proxy.c - a request's way through an upstream: connecting, sending, the answer's head, its body.
 *
 * Everything happens on the loop. The request's body has been read whole before; the answer's body is passed on as it comes,
 * and the upstream is read only as fast as the client takes it: at most PROXY_PASS_BYTES wait here.
 */
#include "worker/proxy.h"

#include "worker/proxy_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_BYTES = 32 << 10 };

static void on_upstream_event(struct ev_loop *loop, ev_io *io, int events);
static void try_next(struct proxy *p, int status);

static struct worker *worker_of(const struct proxy *p)
{
    return connection_worker(p->c);
}

void proxy_watch(struct proxy *p, int events)
{
    ev_io *io = &p->uc->io;
    if ((io->events & (EV_READ | EV_WRITE)) == events && ev_is_active(io))
        return;
    ev_io_stop(worker_of(p)->loop, io);
    ev_io_set(io, io->fd, events);
    if (events)
        ev_io_start(worker_of(p)->loop, io);
}

void proxy_log(struct proxy *p, const char *what)
{
    http_log(p->c->ex, LOG_LEVEL_ERROR, "%s", what);
}

/* "http://ADDRESS/URI", the URI as the request line has it. */
static void name_upstream(struct proxy *p, const struct peer *peer)
{
    struct slice line = buf_slice(&p->request);
    size_t start = 0, end;
    while (start < line.len && line.data[start++] != ' ') {
    }
    for (end = start; end < line.len && line.data[end] != ' '; end++) {
    }
    const char *colon = peer->address.addr.ss_family == AF_UNIX ? ":" : "";
    p->c->ex->upstream = arena_printf(&p->c->ex->arena, "http://%s%s%.*s", peer->text, colon,
                                      (int)(end - start), line.data + start);
}

static void log_upstream_errno(struct proxy *p, const char *call, int error)
{
    char text[128];
    snprintf(text, sizeof text, "%s failed (%d: %s) while %s upstream", call, error, strerror(error),
             p->state == PROXY_CONNECT ? "connecting to"
             : p->state == PROXY_SEND  ? "sending request to"
             : p->state == PROXY_HEAD  ? "reading response header from"
                                       : "reading");
    proxy_log(p, text);
}

/* Lets go of the connection to the upstream. */
void proxy_drop_upstream(struct proxy *p, bool keep)
{
    if (!p->uc)
        return;
    if (keep)
        upstream_keep(p->uc);
    else
        upstream_close(p->uc);
    p->uc = NULL;
}

void proxy_destroy(struct proxy *p)
{
    proxy_drop_upstream(p, false);
    p->c->proxy = NULL;
    buf_free(&p->request);
    buf_free(&p->in);
    free(p);
}

/* The request ends with this status: no answer of an upstream has begun to go to the client. */
void proxy_fail(struct proxy *p, int status)
{
    struct connection *c = p->c;
    bool driven = c->in_drive; /* by whoever has called: it goes on itself */
    proxy_destroy(p);
    connection_hold(c);
    request_answer(c, status);
    if (!driven)
        connection_drive(c);
}

/* --- connecting and sending --- */

static void begin_to_send(struct proxy *p)
{
    p->state = PROXY_SEND;
    p->request_sent = 0;
    p->body_sent = 0;
    p->sent = false;
    connection_set_timer(p->c, proxy_settings(p)->proxy_send_timeout_ms);
}

static void note_failure(struct proxy *p, struct peer *peer)
{
    upstream_failed(peer, worker_of(p)->now_ms);
    p->tried[peer - p->to->upstream->peers] = true;
    p->tries++;
}

/* One server after the other, until one takes a connection or none is left. */
static void connect_somewhere(struct proxy *p)
{
    struct worker *w = worker_of(p);
    struct upstream *u = p->to->upstream;
    struct peer *peer;
    while ((peer = p->tries < u->peer_count ? upstream_choose(u, p->tried, w->now_ms) : NULL)) {
        name_upstream(p, peer);
        p->uc = upstream_connect(w, u, peer, true);
        if (p->uc)
            break;
        p->state = PROXY_CONNECT;
        http_log(p->c->ex, LOG_LEVEL_ERROR, "connect() to %s failed (%d: %s) while connecting to upstream",
                 peer->text, errno, strerror(errno));
        note_failure(p, peer);
    }
    if (!peer) {
        if (p->tries == 0)
            proxy_log(p, "no live upstreams while connecting to upstream");
        proxy_fail(p, p->status ? p->status : 502);
        return;
    }
    p->reused = p->uc->requests > 0;
    p->any_read = p->eof = false;
    p->broken = p->send_error = 0;
    p->in.start = p->in.end = 0;
    p->uc->io.data = p;
    ev_set_cb(&p->uc->io, on_upstream_event);
    if (p->reused) {
        begin_to_send(p);
    } else {
        p->state = PROXY_CONNECT;
        connection_set_timer(p->c, proxy_settings(p)->proxy_connect_timeout_ms);
    }
    proxy_watch(p, EV_WRITE);
}

/* Sends the piece of a body that is in a file. 1: all, 0: wait, -1: failed. */
static int send_file(struct proxy *p)
{
    static char bytes[FILE_BYTES];
    const struct http_exchange *ex = p->c->ex;
    while (ex->body_fd >= 0 && p->body_sent < ex->body_len) {
        ssize_t n = pread(ex->body_fd, bytes, sizeof bytes, (off_t)p->body_sent);
        ssize_t sent = n <= 0 ? -1 : send(p->uc->io.fd, bytes, (size_t)n, MSG_NOSIGNAL);
        if (sent < 0)
            return n > 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
        p->body_sent += (uint64_t)sent;
        connection_set_timer(p->c, proxy_settings(p)->proxy_send_timeout_ms);
    }
    return 1;
}

/* Sending failed: the other side may have answered before it closed, so what has come decides. */
static void stop_sending(struct proxy *p)
{
    p->send_error = errno;
    p->state = PROXY_HEAD; /* not sent: the connection is not kept */
    proxy_watch(p, EV_READ);
}

static void go_on_sending(struct proxy *p)
{
    while (p->request_sent < buf_len(&p->request)) {
        struct slice rest = slice_from(buf_slice(&p->request), p->request_sent);
        bool more = p->c->ex->body_fd >= 0;
        ssize_t n = send(p->uc->io.fd, rest.data, rest.len, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            proxy_watch(p, EV_WRITE | EV_READ);
            return;
        }
        if (n < 0) {
            stop_sending(p);
            return;
        }
        p->request_sent += (size_t)n;
        connection_set_timer(p->c, proxy_settings(p)->proxy_send_timeout_ms);
    }
    int result = send_file(p);
    if (result < 0) {
        stop_sending(p);
        return;
    }
    if (result > 0) {
        p->sent = true;
        p->state = PROXY_HEAD;
        connection_set_timer(p->c, proxy_settings(p)->proxy_read_timeout_ms);
    }
    proxy_watch(p, result > 0 ? EV_READ : EV_READ | EV_WRITE);
}

/* Requests that must not be sent twice (RFC 9110 section 9.2.2). */
static bool may_repeat(const struct proxy *p)
{
    enum http_method m = p->c->ex->req.method;
    return p->request_sent == 0 || (m != HTTP_POST && m != HTTP_PATCH && m != HTTP_OTHER);
}

/* The server failed before its answer began: another one is asked, where that may be; else the client gets the status. */
static void try_next(struct proxy *p, int status)
{
    struct peer *peer = p->uc->peer;
    bool stale =
        p->reused && !p->any_read && status == 502; /* a kept connection that was just being closed */
    proxy_drop_upstream(p, false);
    if (!stale)
        note_failure(p, peer);
    p->status = status;
    if (may_repeat(p) && (stale || p->to->upstream->peer_count > 1))
        connect_somewhere(p);
    else
        proxy_fail(p, status);
}

static void on_connected(struct proxy *p)
{
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(p->uc->io.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        log_upstream_errno(p, "connect()", error);
        try_next(p, 502);
        return;
    }
    begin_to_send(p);
    go_on_sending(p);
}

/* --- the answer --- */

/* Looks at what has come. Interim answers are dropped; *interim says that there were some. */
static enum http_answer_result look_at_head(struct proxy *p, size_t *head_len, bool *interim,
                                            const char **why)
{
    size_t most = (size_t)proxy_settings(p)->proxy_buffer_bytes;
    for (;;) {
        struct slice in = buf_slice(&p->in);
        enum http_answer_result result = HTTP_ANSWER_MORE;
        if (in.len)
            result = http_parse_answer(&p->answer, in.data, in.len, p->c->ex->req.method == HTTP_HEAD,
                                       head_len, why);
        if ((result == HTTP_ANSWER_MORE && in.len >= most) ||
            (result == HTTP_ANSWER_DONE && *head_len > most)) {
            *why = "upstream sent too big header";
            return HTTP_ANSWER_BAD;
        }
        if (result != HTTP_ANSWER_DONE || p->answer.status >= 200)
            return result;
        if (p->answer.status == 101) {
            *why = "upstream sent 101 without having been asked";
            return HTTP_ANSWER_BAD;
        }
        buf_consume(&p->in, *head_len);
        *interim = true;
    }
}

static void read_head(struct proxy *p)
{
    size_t head_len = 0;
    const char *why = NULL;
    bool interim = false;
    enum http_answer_result result = look_at_head(p, &head_len, &interim, &why);
    if (result == HTTP_ANSWER_DONE) {
        proxy_answer_client(p, head_len);
    } else if (result == HTTP_ANSWER_MORE && !p->eof) {
        if (p->state == PROXY_HEAD && !interim) /* between two reads; interim answers win no time */
            connection_set_timer(p->c, proxy_settings(p)->proxy_read_timeout_ms);
    } else {
        http_log(p->c->ex, LOG_LEVEL_ERROR, "%s while reading response header from upstream",
                 why ? why : "upstream prematurely closed connection");
        try_next(p, 502);
    }
}

static void read_upstream(struct proxy *p)
{
    size_t room =
        p->state == PROXY_BODY ? PROXY_PASS_BYTES : (size_t)proxy_settings(p)->proxy_buffer_bytes + 4096;
    if (buf_len(&p->in) >= room || !buf_reserve(&p->in, room - buf_len(&p->in))) {
        proxy_watch(p, 0);
        return;
    }
    ssize_t n = recv(p->uc->io.fd, p->in.data + p->in.end, p->in.cap - p->in.end, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0 && p->state < PROXY_BODY) {
        log_upstream_errno(p, "recv()", errno);
        try_next(p, 502);
        return;
    }
    p->eof = n <= 0;
    p->broken = n < 0    ? errno
                : n == 0 ? p->send_error
                         : 0; /* a reset that send() has been told of reads as an end */
    p->any_read |= n > 0;
    p->in.end += n > 0 ? (size_t)n : 0;
    if (p->eof)
        proxy_watch(p, 0);
    if (p->state < PROXY_BODY) {
        read_head(p);
        return;
    }
    connection_hold(p->c);
    connection_drive(p->c);
}

static void on_upstream_event(struct ev_loop *loop, ev_io *io, int events)
{
    struct proxy *p = io->data;
    (void)loop;
    if (p->state == PROXY_CONNECT && events & EV_WRITE)
        on_connected(p);
    else if (events & EV_READ)
        read_upstream(p); /* also while sending: an early answer */
    else if (p->state == PROXY_SEND)
        go_on_sending(p);
}

/* --- from outside --- */

void proxy_start(struct connection *c)
{
    int error = body_finish(c);
    struct proxy *p = error ? NULL : calloc(1, sizeof *p);
    if (!p) {
        request_answer(c, error ? error : 500);
        return;
    }
    p->c = c;
    p->to = c->location->proxy;
    p->tried = arena_zalloc(&c->ex->arena, (size_t)p->to->upstream->peer_count);
    c->proxy = p;
    c->state = CONNECTION_PROXY;
    c->ex->proxy_host = p->to->host;
    error = p->tried ? proxy_build_request(c->ex, c->location, &p->request) : 500;
    if (error) {
        proxy_fail(p, error);
        return;
    }
    connect_somewhere(p);
}

void proxy_timeout(struct connection *c)
{
    struct proxy *p = c->proxy;
    if (p->state >= PROXY_BODY) {
        if (!c->out) /* else it is the client that takes nothing */
            proxy_log(p, "upstream timed out (110: Connection timed out) while reading upstream");
        connection_close(c);
        return;
    }
    proxy_log(
        p,
        p->state == PROXY_CONNECT
            ? "upstream timed out (110: Connection timed out) while connecting to upstream"
        : p->state == PROXY_SEND
            ? "upstream timed out (110: Connection timed out) while sending request to upstream"
            : "upstream timed out (110: Connection timed out) while reading response header from upstream");
    try_next(p, 504);
}

void proxy_abort(struct connection *c)
{
    proxy_destroy(c->proxy);
}
