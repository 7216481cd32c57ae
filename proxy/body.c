/*
 * proxy/body.c - the body of an upstream's answer: decoded as it comes, kept while the client is slow, passed on.
 *
 * What the client has not taken waits in memory up to proxy_buffers, and behind that in a file up to
 * proxy_max_temp_file_size; when both are full, or with proxy_buffering off, the upstream is not read. The upstream's
 * connection is free for others as soon as the body is here, however slow the client is.
 */
#include "proxy/internal.h"
#include "proxy/upstream.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/slice.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/wire/request.h"
#include "http/wire/response_head.h"
#include "net/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { UNBUFFERED_BYTES = 16 << 10 };

static uint64_t spooled(const struct proxy *p)
{
    return p->spool.end - p->spool.start;
}

static size_t memory_most(const struct proxy *p)
{
    size_t most = (size_t)(p->buffered ? proxy_settings(p)->proxy.upstream.buffers_bytes
                                       : proxy_settings(p)->proxy.upstream.buffer_bytes);
    return most > UNBUFFERED_BYTES ? most : UNBUFFERED_BYTES;
}

void proxy_free_body(struct proxy *p)
{
    buf_free(&p->in);
    buf_free(&p->spool.behind);
    buf_free(&p->body.trailers);
    if (p->spool.fd >= 0)
        close(p->spool.fd);
    p->spool.fd = -1;
}

/* --- what comes --- */

/* Once the body is here the server is done with, however long the client takes. */
static void settle_end(struct proxy *p)
{
    if (!p->body.is_whole || p->state != PROXY_BODY)
        return;
    bool keep = p->body.may_keep && !p->eof && p->sent;
    p->state = PROXY_END;
    if (p->body.trailers.data)
        p->ex->upstream.trailers = arena_dup(&p->ex->arena, buf_slice(&p->body.trailers));
    proxy_end_try(p, UPSTREAM_SERVED, p->ex->upstream.status, keep);
}

/* Decodes what has come, in place: its first *body_len bytes are body then. False: it is none, which has been logged. */
static bool decode(struct proxy *p, char *data, size_t len, size_t *body_len)
{
    const char *why = NULL;
    bool ok = p->protocol->decode(&p->body, data, len, body_len, &why);
    if (!ok)
        proxy_log(p, why);
    return ok;
}

bool proxy_begin_body(struct proxy *p, const struct http_response_head *head)
{
    size_t body_len = 0, len = buf_len(&p->in);
    p->state = PROXY_BODY;
    p->read_from_ms = proxy_worker(p)->now_ms;
    p->protocol->begin_body(&p->body, head);
    bool ok = len == 0 || decode(p, p->in.data + p->in.start, len, &body_len);
    p->in.end = p->in.start + body_len;
    if (p->eof)
        p->protocol->on_close(&p->body);
    if (ok)
        settle_end(p);
    return ok;
}

/* --- the file --- */

static bool may_spool(const struct proxy *p)
{
    uint64_t most = (uint64_t)proxy_settings(p)->proxy.upstream.max_temp_bytes;
    return p->buffered && !p->spool.failed && p->spool.end < most;
}

static void spool_failed(struct proxy *p, const char *what)
{
    http_log(p->ex, LOG_LEVEL_CRIT, "%s() in proxy_temp_path \"%s\" failed (%d: %s); going on without a file",
             what, proxy_settings(p)->proxy.upstream.temp_path.data, errno, strerror(errno));
    p->spool.failed = true;
}

/* Appends to the file. Returns how much it took. */
static size_t append_to_file(struct proxy *p, const char *data, size_t len)
{
    size_t done = 0;
    if (p->spool.fd < 0) {
        p->spool.fd = fd_open_unnamed(proxy_settings(p)->proxy.upstream.temp_path.data);
        if (p->spool.fd < 0) {
            spool_failed(p, "open");
            return 0;
        }
        http_log(p->ex, LOG_LEVEL_WARN, "an upstream response is buffered to a temporary file");
    }
    while (done < len) {
        ssize_t n = pwrite(p->spool.fd, data + done, len - done, (off_t)p->spool.end);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            spool_failed(p, "write");
            break;
        }
        done += (size_t)n;
        p->spool.end += (uint64_t)n;
    }
    return done;
}

/* Behind all that has come before, wherever there is room. False: there is none. */
static bool spool(struct proxy *p, const char *data, size_t len)
{
    size_t done = append_to_file(p, data, len);
    struct buf *rest = spooled(p) > 0 ? &p->spool.behind : &p->in;
    return done == len || buf_append(rest, data + done, len - done);
}

/* The client has taken all that was in the file: its room is free again, and what came behind it is next. */
static void empty_file(struct proxy *p)
{
    if (p->spool.start < p->spool.end)
        return;
    if (p->spool.end > 0 && ftruncate(p->spool.fd, 0) < 0)
        spool_failed(p, "truncate");
    p->spool.start = p->spool.end = 0;
    if (buf_len(&p->in) == 0 && buf_len(&p->spool.behind) > 0) {
        struct buf empty = p->in;
        p->in = p->spool.behind;
        p->spool.behind = empty;
    }
}

/* --- reading --- */

/* Of proxy_limit_rate: how long reading has to stop, in ms. */
static int64_t pause_ms(const struct proxy *p)
{
    int64_t rate = p->rate;
    if (rate <= 0 || !p->buffered)
        return 0;
    int64_t due_ms = (int64_t)(p->body.seen * 1000 / (uint64_t)rate);
    return due_ms - (int64_t)(proxy_worker(p)->now_ms - p->read_from_ms);
}

/*
 * How much of `room` proxy_limit_rate lets be read now: what the time since the answer's begin has left over, and a tenth of a
 * second's worth ahead of it. More would be a burst that a short answer consists of.
 */
static size_t share_of(const struct proxy *p, size_t room)
{
    uint64_t rate = (uint64_t)p->rate, share = rate / 10 + 1;
    if (p->rate <= 0 || !p->buffered || share >= room)
        return room;
    int64_t left_ms = -pause_ms(p);
    share += left_ms > 0 ? (uint64_t)left_ms * rate / 1000 : 0;
    return share < room ? (size_t)share : room;
}

/* True: the upstream is not read before proxy_limit_rate allows it. */
static bool pause_for_rate(struct proxy *p)
{
    int64_t stop_ms = pause_ms(p);
    if (stop_ms <= 0)
        return false;
    p->paused = true;
    proxy_watch(p, 0);
    proxy_set_timer(p, stop_ms);
    return true;
}

static void go_on(struct proxy *p)
{
    struct http_exchange *ex = p->ex;
    if (ex->more_later || ex->throttled || ex->client.protocol->is_behind(ex))
        return; /* the client does not keep up; its own events bring us back */
    client_go_on(ex);
}

static void broken_off(struct proxy *p, int error)
{
    p->eof = true;
    p->broken = error;
    proxy_watch(p, 0);
    proxy_set_timer(p, 0);
    if (error == 0 && p->send_error)
        p->broken = p->send_error; /* a reset that send() has been told of reads as an end */
    if (!p->broken)
        p->protocol->on_close(&p->body);
    settle_end(p);
    go_on(p);
}

static void after_reading(struct proxy *p)
{
    if (p->state == PROXY_BODY && !pause_for_rate(p))
        proxy_set_timer(p, proxy_settings(p)->proxy.upstream.read_timeout_ms);
    go_on(p);
}

/* Reads and decodes. False: there is nothing for now, or it has ended, or the connection has been closed. */
static bool receive(struct proxy *p, char *data, size_t room, size_t *body_len)
{
    ssize_t n = net_stream_read(&p->uc->stream, data, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        broken_off(p, n < 0 ? errno : 0);
        return false;
    }
    p->try->received += (uint64_t)n;
    if (!decode(p, data, (size_t)n, body_len)) {
        client_reset(p->ex);
        return false;
    }
    settle_end(p);
    return true;
}

/* More comes than the memory may hold. */
static void read_to_spool(struct proxy *p)
{
    static char bytes[PROXY_READ_BYTES];
    size_t body_len;
    if (!receive(p, bytes, share_of(p, sizeof bytes), &body_len))
        return;
    if (body_len && !spool(p, bytes, body_len))
        client_reset(p->ex); /* neither disk nor memory */
    else
        after_reading(p);
}

void proxy_read_body(struct proxy *p)
{
    size_t most = memory_most(p), have = buf_len(&p->in), body_len;
    if (pause_for_rate(p)) /* what came with the head counts, too */
        return;
    if (have >= most || spooled(p) > 0 || buf_len(&p->spool.behind) > 0) {
        if (may_spool(p)) {
            read_to_spool(p);
        } else {
            p->paused = true; /* until the client has taken some */
            proxy_watch(p, 0);
            proxy_set_timer(p, 0);
        }
        return;
    }
    size_t room = share_of(p, most - have < PROXY_READ_BYTES ? most - have : PROXY_READ_BYTES);
    if (!buf_reserve(&p->in, room)) {
        client_reset(p->ex);
    } else if (receive(p, p->in.data + p->in.end, room, &body_len)) {
        p->in.end += body_len;
        after_reading(p);
    }
}

/* --- as a response's body --- */

/* Cut off, so that the client sees that the answer is not whole. */
static enum source_says cut(struct proxy *p)
{
    if (p->broken)
        proxy_log_errno(p, "recv()", p->broken);
    else
        proxy_log(p, "upstream prematurely closed connection while reading upstream");
    proxy_end_try(p, UPSTREAM_LEFT, p->ex->upstream.status, false);
    return SOURCE_FAILED;
}

/* TE: trailers (RFC 9110 section 10.1.4) */
static bool accepts_trailers(const struct http_request *req)
{
    for (int i = 0; i < req->header_count; i++) {
        struct slice list = req->headers[i].value, option;
        if (!slice_eq_nocase(req->headers[i].name, SLICE("TE")))
            continue;
        while (slice_next_in_list(&list, &option)) {
            const char *semicolon = memchr(option.data, ';', option.len);
            struct slice name = {option.data, semicolon ? (size_t)(semicolon - option.data) : option.len};
            if (slice_eq_nocase(slice_trim(name), SLICE("trailers")))
                return true;
        }
    }
    return false;
}

/* Trailers that would change what an answer is are left out (RFC 9110 section 6.5.1). */
static bool add_trailers(struct http_exchange *ex, struct buf *out)
{
    const struct proxy *p = ex->proxy;
    struct slice rest = buf_slice(&p->body.trailers);
    bool ok = true, wanted = accepts_trailers(&ex->req);
    while (ok && wanted && proxy_settings(p)->proxy.pass_trailers && rest.len) {
        struct http_header h;
        const char *end = memmem(rest.data, rest.len, "\r\n", 2);
        if (!end || !http_parse_field(&h, rest.data, end))
            break;
        if (http_may_be_trailer(h.name))
            ok = buf_append(out, rest.data, (size_t)(end - rest.data) + 2);
        rest = slice_from(rest, (size_t)(end - rest.data) + 2);
    }
    return ok;
}

/* The client has taken something: the upstream may be read again. */
static void resume(struct proxy *p)
{
    if (p->state != PROXY_BODY || p->eof)
        return;
    int64_t stop_ms = pause_ms(p);
    if (stop_ms > 0) {
        proxy_set_timer(p, stop_ms);
        return;
    }
    p->paused = false;
    proxy_watch(p, EV_READ);
    proxy_set_timer(p, proxy_settings(p)->proxy.upstream.read_timeout_ms);
}

static enum source_says look(struct http_exchange *ex, struct http_piece *stretch)
{
    struct proxy *p = ex->proxy;
    if (p->state == PROXY_TUNNEL)
        return SOURCE_TUNNEL;
    if (spooled(p) == 0)
        empty_file(p);
    if (buf_len(&p->in) > 0) {
        stretch->data = p->in.data + p->in.start;
        stretch->len = buf_len(&p->in);
        return SOURCE_HAS;
    }
    if (spooled(p) > 0) {
        stretch->fd = p->spool.fd;
        stretch->offset = (off_t)p->spool.start;
        stretch->len = spooled(p);
        return SOURCE_HAS;
    }
    if (p->state == PROXY_END)
        return SOURCE_END;
    if (p->eof)
        return cut(p);
    if (p->paused)
        resume(p);
    return SOURCE_LATER;
}

static void take(struct http_exchange *ex, size_t n)
{
    struct proxy *p = ex->proxy;
    if (buf_len(&p->in) > 0)
        buf_consume(&p->in, n);
    else
        p->spool.start += n;
    if (p->paused)
        resume(p);
}

static void stop(struct http_exchange *ex)
{
    proxy_destroy(ex->proxy);
}

/* It is the upstream that is waited for, and has a timer. */
static int64_t time_left_ms(const struct http_exchange *ex, int64_t at_most_ms)
{
    (void)ex;
    return at_most_ms;
}

static bool outlives_client(const struct http_exchange *ex)
{
    return proxy_settings(ex->proxy)->proxy.upstream.ignore_client_abort;
}

const struct source source_upstream = {.look = look,
                                       .take = take,
                                       .add_trailers = add_trailers,
                                       .stop = stop,
                                       .time_left_ms = time_left_ms,
                                       .tunnel = tunnel_begin,
                                       .body_came = proxy_body_came,
                                       .body_is_full = proxy_body_is_full,
                                       .outlives_client = outlives_client,
                                       .is_live = true,
                                       .needs_client = true};
