/*
 * proxy/body.c - fetching the body of an upstream's response: decoded as it comes, and kept for whoever passes it on.
 *
 * What the client has not taken waits in memory up to proxy_buffers, and behind that in a file up to
 * proxy_max_temp_file_size; when both are full, or with proxy_buffering off, the upstream is not read. The upstream's
 * connection is free for others as soon as the body is here, however slow the client is.
 */
#include "proxy/internal.h"
#include "proxy/upstream.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/spool.h"
#include "http/request/exchange.h"
#include "http/wire/response_head.h"
#include "net/stream.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    PROXY_READ_BYTES = 64 << 10, /* at once */
    UNBUFFERED_BYTES = 16 << 10
};

static size_t memory_most(const struct proxy *p)
{
    size_t most =
        (size_t)(p->buffered ? proxy_how(p)->upstream.buffers_bytes : proxy_how(p)->upstream.buffer_bytes);
    return most > UNBUFFERED_BYTES ? most : UNBUFFERED_BYTES;
}

/* --- what comes --- */

/* Where the protocol has records these may say that nothing more comes, though the connection stays. */
static bool body_is_cut(const struct proxy *p)
{
    return p->protocol->on_end && p->frames.is_over && !p->body.is_whole;
}

static void body_look_at_records(struct proxy *p)
{
    if (p->protocol->on_end)
        p->protocol->on_end(&p->asked, &p->frames, &p->body);
    if (!body_is_cut(p))
        return;
    p->input = PROXY_INPUT_ENDED;
    proxy_watch(p, 0);
    proxy_set_timer(p, 0);
}

/* Once the body is here the server is done with, however long the client takes. */
static void body_settle_end(struct proxy *p)
{
    if (p->state == PROXY_BODY)
        body_look_at_records(p);
    if (!p->body.is_whole || p->state != PROXY_BODY)
        return;
    assert(p->uc && p->try);
    bool keep = p->body.may_keep && p->input != PROXY_INPUT_ENDED && p->sent;
    p->state = PROXY_END;
    if (p->body.trailers.data)
        p->ex->upstream.trailers = arena_dup(&p->ex->arena, buf_slice(&p->body.trailers));
    proxy_end_try(p, UPSTREAM_SERVED, p->ex->upstream.status, keep);
}

/* Decodes what has come, in place: its first *body_len bytes are body then. False: it is none, which has been logged. */
static bool body_decode_in_place(struct proxy *p, char *data, size_t len, size_t *body_len)
{
    const char *why = NULL;
    bool ok = p->protocol->decode(&p->body, data, len, body_len, &why);
    if (!ok)
        proxy_log(p, why);
    return ok;
}

/* The same of what has just been read. */
static bool body_unframe_in_place(struct proxy *p, char *data, size_t n, size_t *body_len)
{
    const char *why = NULL;
    size_t left;
    if (proxy_unframe(p, data, n, &left, &why))
        return body_decode_in_place(p, data, left, body_len);
    proxy_log(p, why);
    return false;
}

bool proxy_begin_body(struct proxy *p, const struct http_response_head *head)
{
    size_t body_len = 0, len = buf_len(&p->kept.memory);
    p->state = PROXY_BODY;
    p->read_from_ms = proxy_worker(p)->now_ms;
    assert(p->body.seen == 0 && spool_in_file(&p->kept) == 0); /* one body for each request */
    p->protocol->begin_body(&p->body, head);
    bool ok = len == 0 || body_decode_in_place(p, p->kept.memory.data + p->kept.memory.start, len, &body_len);
    p->kept.memory.end = p->kept.memory.start + body_len;
    if (p->input == PROXY_INPUT_ENDED)
        p->protocol->on_close(&p->body);
    if (ok)
        body_settle_end(p);
    /* Nothing has gone to the client yet. */
    if (!ok || !body_is_cut(p))
        return ok;
    http_log(p->ex, LOG_LEVEL_ERROR, "upstream prematurely closed FastCGI request while reading upstream");
    return false;
}

/* --- the file --- */

static bool may_go_to_file(const struct proxy *p)
{
    uint64_t most = (uint64_t)proxy_how(p)->upstream.max_temp_bytes;
    return p->buffered && !p->kept.failed && p->kept.file_end < most;
}

void proxy_log_disk(struct proxy *p)
{
    assert(p->kept.failed);
    http_log(p->ex, LOG_LEVEL_CRIT, "%s() in proxy_temp_path \"%s\" failed (%d: %s); going on without a file",
             p->kept.failed, proxy_how(p)->upstream.temp_path.data, p->kept.error, strerror(p->kept.error));
}

/* Behind all that has come before, wherever there is room. False: there is none. */
static bool keep_in_file(struct proxy *p, const char *data, size_t len)
{
    bool had_file = p->kept.fd >= 0;
    enum spool_result result =
        spool_append_to_file(&p->kept, proxy_how(p)->upstream.temp_path.data, data, len);
    if (!had_file && p->kept.fd >= 0)
        http_log(p->ex, LOG_LEVEL_WARN, "an upstream response is buffered to a temporary file");
    if (p->kept.failed)
        proxy_log_disk(p);
    return result != SPOOL_NO_MEMORY;
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
static size_t rate_share_of(const struct proxy *p, size_t room)
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
    p->input = PROXY_INPUT_PAUSED;
    proxy_watch(p, 0);
    proxy_set_timer(p, stop_ms);
    return true;
}

/* The connection has ended, which may be the body's end. */
static struct proxy_step body_break_off(struct proxy *p, int error)
{
    p->input = PROXY_INPUT_ENDED;
    p->broken = error;
    proxy_watch(p, 0);
    proxy_set_timer(p, 0);
    /* A reset that send() has been told of reads as an end. */
    if (error == 0 && p->send_error)
        p->broken = p->send_error;
    if (!p->broken)
        p->protocol->on_close(&p->body);
    body_settle_end(p);
    return proxy_step_of(PROXY_PASSES_ON);
}

/* Reads and decodes. PROXY_PASSES_ON with *body_len bytes: that much is there. Else nothing is to be kept. */
static struct proxy_step body_receive(struct proxy *p, char *data, size_t room, size_t *body_len)
{
    assert(room > 0 && p->input == PROXY_INPUT_OPEN);
    *body_len = 0;
    ssize_t n = net_stream_read(&p->uc->stream, data, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return proxy_step_of(PROXY_WAITS);
    if (n <= 0)
        return body_break_off(p, n < 0 ? errno : 0);
    p->try->received += (uint64_t)n;
    if (!body_unframe_in_place(p, data, (size_t)n, body_len))
        return proxy_step_of(PROXY_BREAKS_OFF);
    body_settle_end(p);
    if (p->state == PROXY_BODY && p->input == PROXY_INPUT_OPEN && !pause_for_rate(p))
        proxy_set_timer(p, proxy_how(p)->upstream.read_timeout_ms);
    return proxy_step_of(PROXY_PASSES_ON);
}

/* More comes than the memory may hold. */
static struct proxy_step read_to_file(struct proxy *p)
{
    static char bytes[PROXY_READ_BYTES];
    size_t body_len;
    struct proxy_step step = body_receive(p, bytes, rate_share_of(p, sizeof bytes), &body_len);
    if (body_len > 0 && !keep_in_file(p, bytes, body_len))
        return proxy_step_of(PROXY_BREAKS_OFF); /* neither disk nor memory */
    return step;
}

static struct proxy_step read_to_memory(struct proxy *p, size_t room)
{
    size_t body_len;
    char *data = spool_reserve(&p->kept, room);
    if (!data)
        return proxy_step_of(PROXY_BREAKS_OFF);
    struct proxy_step step = body_receive(p, data, room, &body_len);
    spool_commit(&p->kept, body_len);
    return step;
}

struct proxy_step proxy_read_body(struct proxy *p)
{
    size_t most = memory_most(p), have = spool_in_memory(&p->kept);
    assert(p->state == PROXY_BODY && p->uc);
    if (pause_for_rate(p)) /* what came with the head counts, too */
        return proxy_step_of(PROXY_WAITS);
    if (have < most && spool_in_file(&p->kept) == 0)
        return read_to_memory(
            p, rate_share_of(p, most - have < PROXY_READ_BYTES ? most - have : (size_t)PROXY_READ_BYTES));
    if (may_go_to_file(p))
        return read_to_file(p);
    p->input = PROXY_INPUT_PAUSED; /* until the client has taken some */
    proxy_watch(p, 0);
    proxy_set_timer(p, 0);
    return proxy_step_of(PROXY_WAITS);
}

void proxy_read_again(struct proxy *p)
{
    assert(p->state == PROXY_BODY && p->input != PROXY_INPUT_ENDED);
    p->input = PROXY_INPUT_OPEN;
    proxy_watch(p, EV_READ);
    proxy_set_timer(p, proxy_how(p)->upstream.read_timeout_ms);
}

void proxy_resume_reading(struct proxy *p)
{
    assert(p->input == PROXY_INPUT_PAUSED);
    if (p->state != PROXY_BODY)
        return;
    int64_t stop_ms = pause_ms(p);
    if (stop_ms > 0)
        proxy_set_timer(p, stop_ms);
    else
        proxy_read_again(p);
}
