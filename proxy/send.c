/*
 * proxy/send.c - a request on its way to an upstream: its head, and its body from memory, from a file, or as it
 * comes from the client.
 */
#include "proxy/internal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/slice.h"
#include "http/request/body.h"
#include "http/request/client.h"
#include "net/stream.h"

#include <assert.h>
#include <errno.h>

enum {
    FILE_AT_ONCE_BYTES = 2 << 20,
    KEPT_BYTES = 64 << 10 /* head and body */,
    FRAMED_BYTES = 65528 /* of a file, for one record */
};

void proxy_begin_to_send(struct proxy *p)
{
    p->state = PROXY_SEND;
    /* What goes before all else has gone by itself. */
    p->request_sent = p->tls || p->uc->is_stream ? p->plain_bytes : 0;
    p->body_sent = 0;
    p->sent = false;
    if (p->sends == PROXY_SENDS_FILE)
        p->request.end = p->request.start + p->head_bytes;
    proxy_set_timer(p, proxy_how(p)->upstream.send_timeout_ms);
}

bool proxy_sends_on(const struct proxy *p)
{
    return p->state == PROXY_BODY && p->sends == PROXY_SENDS_STREAM && !p->sent && !p->send_error && p->uc &&
           p->uc->is_stream && p->ex->client.http2;
}

/* Once the response has begun the time is that of reading it. */
static void set_timer(struct proxy *p, int64_t after_ms)
{
    if (p->state != PROXY_BODY)
        proxy_set_timer(p, after_ms);
}

static void watch(struct proxy *p, bool waits_to_send)
{
    p->waits_to_send = waits_to_send;
    bool reads = p->state != PROXY_BODY || p->input == PROXY_INPUT_OPEN;
    proxy_watch(p, (reads ? EV_READ : 0) | (waits_to_send ? EV_WRITE : 0));
}

enum progress { ALL_SENT, SEND_LATER, SEND_FAILED };

static void note_sent(struct proxy *p, size_t n)
{
    p->try->sent += n;
    p->waits_for_client = false;
    set_timer(p, proxy_how(p)->upstream.send_timeout_ms);
}

static enum progress send_memory(struct proxy *p, bool more)
{
    assert(p->request_sent <= buf_len(&p->request));
    while (p->request_sent < buf_len(&p->request)) {
        struct slice rest = slice_from(buf_slice(&p->request), p->request_sent);
        ssize_t n = net_stream_write(&p->uc->stream, rest.data, rest.len, more);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? SEND_LATER : SEND_FAILED;
        p->request_sent += (size_t)n;
        note_sent(p, (size_t)n);
    }
    return ALL_SENT;
}

/* The next part of a file in records; the one before has been sent. False: there is no more, or errno says why there is none. */
static bool take_from_file(struct proxy *p)
{
    static char bytes[FRAMED_BYTES];
    const struct http_exchange *ex = p->ex;
    uint64_t left = ex->body.len - p->body_sent;
    if (p->body_sent > 0 && left == 0)
        return errno = 0, false;
    size_t now = left < sizeof bytes ? (size_t)left : sizeof bytes;
    ssize_t n = now ? pread(ex->body.kept.fd, bytes, now, (off_t)p->body_sent) : 0;
    if (n < (ssize_t)now)
        return errno = n < 0 ? errno : EIO, false;
    p->body_sent += now;
    p->request.end = p->request.start + p->head_bytes;
    p->request_sent = p->head_bytes;
    bool ok = p->protocol->write_body(&p->asked, (struct slice){bytes, now}, now == left, &p->request);
    return ok || (errno = ENOMEM, false);
}

static enum progress send_file_in_records(struct proxy *p)
{
    enum progress progress = ALL_SENT;
    for (uint64_t now = 0; progress == ALL_SENT; now += FRAMED_BYTES) {
        if (now >= FILE_AT_ONCE_BYTES)
            return SEND_LATER;
        if (!take_from_file(p))
            return errno ? SEND_FAILED : ALL_SENT;
        progress = send_memory(p, p->body_sent < p->ex->body.len);
    }
    return progress;
}

/* Of a body in a file; others have their turn after a while. */
static enum progress send_file(struct proxy *p)
{
    const struct http_exchange *ex = p->ex;
    uint64_t now = 0;
    if (p->sends != PROXY_SENDS_FILE)
        return ALL_SENT;
    if (p->protocol->unframe)
        return send_file_in_records(p);
    while (ex->body.kept.fd >= 0 && p->body_sent < ex->body.len) {
        if (now >= FILE_AT_ONCE_BYTES)
            return SEND_LATER;
        uint64_t left = ex->body.len - p->body_sent;
        ssize_t n = net_stream_send_file(&p->uc->stream, ex->body.kept.fd, (off_t)p->body_sent,
                                         left < FILE_AT_ONCE_BYTES ? (size_t)left : FILE_AT_ONCE_BYTES);
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EINTR) ? SEND_LATER : SEND_FAILED;
        p->body_sent += (uint64_t)n;
        now += (uint64_t)n;
        note_sent(p, (size_t)n);
    }
    return ALL_SENT;
}

/*
 * What has come of a body that is sent on as it comes follows what has been sent, which stays for another server as long as that is
 * little, and then goes. False: nothing has come, or, with *failed, a part of it is lost.
 */
static bool take_from_client(struct proxy *p, bool *failed)
{
    struct http_exchange *ex = p->ex;
    struct slice part = buf_slice(&ex->body.kept.memory);
    bool last = ex->body.whole;
    if (p->sends != PROXY_SENDS_STREAM || p->sent)
        return false;
    if (part.len == 0 && (!last || p->has_body_end))
        return false;
    assert(ex->body.kept.fd < 0 && !p->has_body_end);
    assert(p->request_sent == buf_len(&p->request));
    ex->body.taken = true;
    p->has_body_end = last;
    p->is_partly_gone |= buf_len(&p->request) + part.len > KEPT_BYTES;
    if (p->is_partly_gone)
        p->request.start = p->request.end = p->request_sent = 0;
    *failed = !p->protocol->write_body(&p->asked, part, last, &p->request);
    spool_empty(&ex->body.kept);
    return !*failed && p->request_sent < buf_len(&p->request);
}

static void receive(struct proxy *p)
{
    if (p->state != PROXY_BODY)
        p->state = PROXY_HEAD;
    set_timer(p, proxy_how(p)->upstream.read_timeout_ms);
    watch(p, false);
}

/* Sending failed: the other side may have answered before it closed, so what has come decides. */
static void stop_sending(struct proxy *p)
{
    p->send_error = errno;
    receive(p); /* not sent: the connection is not kept */
}

static void all_is_sent(struct proxy *p)
{
    assert(p->request_sent == buf_len(&p->request));
    assert(p->sends != PROXY_SENDS_STREAM || p->ex->body.whole);
    p->sent = true;
    receive(p);
}

void proxy_go_on_sending(struct proxy *p)
{
    assert((p->state == PROXY_SEND || proxy_sends_on(p)) && !p->sent);
    enum progress progress;
    bool failed = false;
    do {
        progress = send_memory(p, p->sends == PROXY_SENDS_FILE);
    } while (progress == ALL_SENT && take_from_client(p, &failed));
    /* The body has a hole then: nobody may take it for whole. */
    if (failed) {
        errno = ENOMEM;
        progress = SEND_FAILED;
    }
    if (progress == ALL_SENT)
        progress = send_file(p);
    if (progress == SEND_FAILED) {
        stop_sending(p);
        return;
    }
    bool client_is_slow = progress == ALL_SENT && p->sends == PROXY_SENDS_STREAM && !p->ex->body.whole;
    if (client_is_slow) {
        /* The client has to go on, within its own time. */
        p->waits_for_client = true;
        set_timer(p, 0);
        watch(p, false);
        if (p->state == PROXY_SEND)
            body_wait(p->ex);
        /* Reading it may have been stopped, and begins again. */
        client_go_on(p->ex);
    } else if (progress == ALL_SENT) {
        all_is_sent(p);
    } else {
        if (p->waits_for_client)
            set_timer(p, proxy_how(p)->upstream.send_timeout_ms);
        p->waits_for_client = false;
        watch(p, true);
    }
}

/* --- a body that is sent on while it comes --- */

bool proxy_body_is_full(const struct http_exchange *ex)
{
    const struct proxy *p = ex->proxy;
    size_t most = (size_t)ex->route.settings->client.body_buffer_bytes;
    return p && p->sends == PROXY_SENDS_STREAM &&
           buf_len(&ex->body.kept.memory) >= (most > 4096 ? most : 4096);
}

void proxy_body_came(struct http_exchange *ex, bool whole)
{
    struct proxy *p = ex->proxy;
    if (proxy_sends_on(p)) {
        proxy_go_on_sending(p);
        return;
    }
    if (whole || proxy_body_is_full(ex))
        body_wait_over(ex);
    else
        body_wait(ex);
    if (p->state == PROXY_SEND)
        proxy_go_on_sending(p);
}
