/*
 * proxy/receive.c - the head of an upstream's response: reading it, interim ones before it, and whether another server is to be
 * asked instead.
 */
#include "proxy/internal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "http/request/exchange.h"
#include "http/site/site.h"
#include "http/wire/response_head.h"
#include "net/stream.h"

#include <assert.h>
#include <errno.h>

enum {
    INTERIMS_READ_MAX = 1000,
    READ_AHEAD_BYTES = 4096 /* of the body */,
    /* Of what one request's application says on stderr. */
    ERRORS_BYTES_MAX = 64 << 10,
    ERRORS_AT_ONCE = 800
};

/* The head at hand: no two are looked at at a time. */
static struct http_response_head response;

static enum http_response_head_result refuse_response(const char **why, const char *text)
{
    *why = text;
    return HTTP_RESPONSE_HEAD_BAD;
}

static bool is_interim(const struct proxy *p)
{
    return response.status < 200 && !(response.status == 101 && p->asked.asks_upgrade && p->sent);
}

/* Looks for a head in what has come. */
static enum http_response_head_result look_for_head(struct proxy *p, const char **why)
{
    size_t most = (size_t)proxy_how(p)->upstream.buffer_bytes;
    struct slice in = buf_slice(&p->kept.memory);
    enum http_response_head_result result = HTTP_RESPONSE_HEAD_MORE;
    if (in.len)
        result = p->protocol->read_head(&p->asked, &response, in.data, in.len, &p->head_len, why);
    if ((result == HTTP_RESPONSE_HEAD_MORE && in.len >= most) ||
        (result == HTTP_RESPONSE_HEAD_DONE && p->head_len > most))
        return refuse_response(why, "upstream sent too big header");
    if (result != HTTP_RESPONSE_HEAD_DONE || !is_interim(p))
        return result;
    if (response.status == 101)
        return refuse_response(why, "upstream sent 101 without having been asked");
    if (++p->interims > INTERIMS_READ_MAX)
        return refuse_response(why, "upstream sent too many interim responses");
    return result;
}

/* Why another server may be asked in place of this response; 0: none may. */
static enum conf_next_upstream why_replace(const struct proxy *p)
{
    static const struct {
        int status;
        enum conf_next_upstream why;
    } conditions[] = {{500, CONF_NEXT_HTTP_500}, {502, CONF_NEXT_HTTP_502}, {503, CONF_NEXT_HTTP_503},
                      {504, CONF_NEXT_HTTP_504}, {403, CONF_NEXT_HTTP_403}, {404, CONF_NEXT_HTTP_404},
                      {429, CONF_NEXT_HTTP_429}};
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++)
        if (conditions[i].status == response.status && proxy_may_go_on(p, conditions[i].why))
            return conditions[i].why;
    return 0;
}

static struct proxy_step use_response_head(struct proxy *p)
{
    assert(p->head_len > 0 && p->head_len <= buf_len(&p->kept.memory));
    p->head = &response;
    if (is_interim(p))
        return proxy_step_of(PROXY_HAS_INTERIM);
    p->try->header_us = clock_mono_us() - p->try->start_us;
    enum conf_next_upstream why = why_replace(p);
    return why ? proxy_step_next(why, response.status) : proxy_step_of(PROXY_HAS_HEAD);
}

/* begins: it is the first look since something was read. */
static struct proxy_step look_at_input(struct proxy *p, bool begins)
{
    const char *why = p->frames.output_is_over ? "upstream prematurely closed FastCGI stdout" : NULL;
    enum http_response_head_result result = look_for_head(p, &why);
    if (result == HTTP_RESPONSE_HEAD_DONE)
        return use_response_head(p);
    if (result == HTTP_RESPONSE_HEAD_BAD || p->input == PROXY_INPUT_ENDED || p->frames.output_is_over) {
        http_log(p->ex, LOG_LEVEL_ERROR, "%s while reading response header from upstream",
                 why ? why : "upstream prematurely closed connection");
        return proxy_step_next(why ? CONF_NEXT_INVALID_HEADER : CONF_NEXT_ERROR, 502);
    }
    /* The time is that between two reads; interim responses win none. */
    if (p->state == PROXY_HEAD && begins)
        proxy_set_timer(p, proxy_how(p)->upstream.read_timeout_ms);
    return proxy_step_of(PROXY_WAITS);
}

/* A line of the log has room for so much of it. */
static void log_piece(struct proxy *p, struct slice piece)
{
    http_log(p->ex, LOG_LEVEL_ERROR, "FastCGI sent in stderr: \"%.*s\" while reading %s", SLICE_ARGS(piece),
             p->state < PROXY_BODY ? "response header from upstream" : "upstream");
    p->errors_bytes += piece.len;
    if (p->errors_bytes >= ERRORS_BYTES_MAX)
        http_log(p->ex, LOG_LEVEL_ERROR, "FastCGI sent more in stderr than is logged for one request");
}

static void log_errors(struct proxy *p)
{
    struct buf *errors = &p->frames.errors;
    char *text = errors->data + errors->start;
    size_t len = buf_len(errors);
    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    for (size_t i = 0; i < len; i++)
        text[i] = text[i] ? text[i] : '?';
    for (size_t at = 0; at < len && p->errors_bytes < ERRORS_BYTES_MAX; at += ERRORS_AT_ONCE)
        log_piece(p, (struct slice){text + at, len - at < ERRORS_AT_ONCE ? len - at : ERRORS_AT_ONCE});
    buf_consume(errors, buf_len(errors));
}

bool proxy_unframe(struct proxy *p, char *data, size_t n, size_t *left, const char **why)
{
    *left = n;
    if (!p->protocol->unframe)
        return true;
    bool ok = p->protocol->unframe(&p->frames, data, n, left, why);
    if (buf_len(&p->frames.errors))
        log_errors(p);
    return ok;
}

struct proxy_step proxy_after_interim(struct proxy *p)
{
    buf_consume(&p->kept.memory, p->head_len);
    return look_at_input(p, false);
}

struct proxy_step proxy_read_head(struct proxy *p)
{
    /* With proxy_limit_rate, as in nginx, what lies behind the head in its buffer is all that comes at once. */
    size_t more = p->ex->route.location->proxy_rate ? 0 : READ_AHEAD_BYTES;
    size_t room = (size_t)proxy_how(p)->upstream.buffer_bytes + more;
    size_t have = buf_len(&p->kept.memory);
    if (!buf_reserve(&p->kept.memory, have < room ? room - have : 1))
        return proxy_step_fails(500);
    ssize_t n = net_stream_read(&p->uc->stream, p->kept.memory.data + p->kept.memory.end,
                                p->kept.memory.cap - p->kept.memory.end);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return proxy_step_of(PROXY_WAITS);
    if (n < 0) {
        proxy_log_errno(p, "recv()", errno);
        return proxy_step_next(CONF_NEXT_ERROR, 502);
    }
    size_t left = 0;
    const char *why = NULL;
    if (n > 0 && !proxy_unframe(p, p->kept.memory.data + p->kept.memory.end, (size_t)n, &left, &why)) {
        http_log(p->ex, LOG_LEVEL_ERROR, "%s while reading response header from upstream", why);
        return proxy_step_next(CONF_NEXT_INVALID_HEADER, 502);
    }
    p->kept.memory.end += left;
    p->try->received += (uint64_t)n;
    if (n == 0) {
        p->input = PROXY_INPUT_ENDED;
        /* A reset that send() has been told of reads as an end. */
        p->broken = p->send_error;
        proxy_watch(p, 0);
    }
    return look_at_input(p, true);
}
