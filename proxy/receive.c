/*
 * proxy/receive.c - the head of an upstream's answer: reading it, interim answers, and whether another server is to
 * be asked instead.
 */
#include "proxy/internal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/site/site.h"
#include "http/wire/response_head.h"
#include "net/stream.h"

#include <errno.h>

enum { INTERIMS_MAX = 16, INTERIMS_READ_MAX = 1000, READ_AHEAD_BYTES = 4096 /* of the body */ };

static struct http_response_head answer; /* of the head at hand: no two are looked at at a time */

static enum http_response_head_result refuse(const char **why, const char *text)
{
    *why = text;
    return HTTP_RESPONSE_HEAD_BAD;
}

/* Looks at what has come. Interim answers are passed on or dropped; *interim says that there were some. */
static enum http_response_head_result look_at_head(struct proxy *p, size_t *head_len, bool *interim,
                                                   bool *passed, const char **why)
{
    size_t most = (size_t)proxy_settings(p)->proxy.upstream.buffer_bytes;
    for (;;) {
        struct slice in = buf_slice(&p->in);
        enum http_response_head_result result = HTTP_RESPONSE_HEAD_MORE;
        if (in.len)
            result = p->protocol->read_head(&p->asked, &answer, in.data, in.len, head_len, why);
        if ((result == HTTP_RESPONSE_HEAD_MORE && in.len >= most) ||
            (result == HTTP_RESPONSE_HEAD_DONE && *head_len > most))
            return refuse(why, "upstream sent too big header");
        if (result != HTTP_RESPONSE_HEAD_DONE || answer.status >= 200 ||
            (answer.status == 101 && p->asked.asks_upgrade && p->sent))
            return result;
        if (answer.status == 101)
            return refuse(why, "upstream sent 101 without having been asked");
        if (++p->interims > INTERIMS_READ_MAX)
            return refuse(why, "upstream sent too many interim responses");
        if (answer.status != 100 && p->interims <= INTERIMS_MAX)
            *passed |= proxy_pass_interim(p, &answer);
        buf_consume(&p->in, *head_len);
        *interim = true;
    }
}

/* Interim answers that have been passed on lie in the output: they go out whatever comes next. */
static void next_server(struct proxy *p, enum conf_next_upstream why, int status)
{
    client_go_on(p->ex);
    proxy_next(p, why, status);
}

/* An answer that another server may take the place of. */
static bool is_to_be_replaced(struct proxy *p)
{
    static const struct {
        int status;
        enum conf_next_upstream why;
    } conditions[] = {{500, CONF_NEXT_HTTP_500}, {502, CONF_NEXT_HTTP_502}, {503, CONF_NEXT_HTTP_503},
                      {504, CONF_NEXT_HTTP_504}, {403, CONF_NEXT_HTTP_403}, {404, CONF_NEXT_HTTP_404},
                      {429, CONF_NEXT_HTTP_429}};
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        if (conditions[i].status != answer.status || !proxy_may_go_on(p, conditions[i].why))
            continue;
        next_server(p, conditions[i].why, answer.status);
        return true;
    }
    return false;
}

static void use_head(struct proxy *p)
{
    struct http_exchange *ex = p->ex;
    size_t head_len = 0;
    const char *why = NULL;
    bool interim = false, passed = false;
    enum http_response_head_result result = look_at_head(p, &head_len, &interim, &passed, &why);
    if (result == HTTP_RESPONSE_HEAD_DONE) {
        p->try->header_us = clock_mono_us() - p->try->start_us;
        if (!is_to_be_replaced(p))
            proxy_answer_client(p, &answer, head_len);
        return;
    }
    if (result == HTTP_RESPONSE_HEAD_BAD || p->eof) {
        http_log(ex, LOG_LEVEL_ERROR, "%s while reading response header from upstream",
                 why ? why : "upstream prematurely closed connection");
        next_server(p, why ? CONF_NEXT_INVALID_HEADER : CONF_NEXT_ERROR, 502);
        return;
    }
    if (p->state == PROXY_HEAD && !interim) /* between two reads; interim answers win no time */
        proxy_set_timer(p, proxy_settings(p)->proxy.upstream.read_timeout_ms);
    if (passed)
        client_go_on(ex);
}

void proxy_read_head(struct proxy *p)
{
    /* With proxy_limit_rate, as in nginx, what lies behind the head in its buffer is all that comes at once. */
    size_t more = p->ex->route.location->proxy_rate ? 0 : READ_AHEAD_BYTES;
    size_t room = (size_t)proxy_settings(p)->proxy.upstream.buffer_bytes + more;
    size_t have = buf_len(&p->in);
    if (!buf_reserve(&p->in, have < room ? room - have : 1)) {
        proxy_fail(p, 500);
        return;
    }
    ssize_t n = net_stream_read(&p->uc->stream, p->in.data + p->in.end, p->in.cap - p->in.end);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        proxy_log_errno(p, "recv()", errno);
        proxy_next(p, CONF_NEXT_ERROR, 502);
        return;
    }
    p->eof = n == 0;
    p->broken = n == 0 ? p->send_error : 0; /* a reset that send() has been told of reads as an end */
    p->any_read |= n > 0;
    p->in.end += (size_t)n;
    p->try->received += (uint64_t)n;
    if (p->eof)
        proxy_watch(p, 0);
    use_head(p);
}
