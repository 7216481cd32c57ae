/*
 * tests/unit/http/bench_upstream.h - upstreams of a bench, without sockets: where a location passes its requests on, the test says what
 * becomes of them. For programs that are linked so (see GNUmakefile): proxy_start is the test's.
 *
 * What a test may do follows from the state of the request: its body is taken, and it is answered, while that is PROXY; the response's
 * body comes while it is SEND.
 */
#ifndef WEIR_TESTS_UNIT_HTTP_BENCH_UPSTREAM_H
#define WEIR_TESTS_UNIT_HTTP_BENCH_UPSTREAM_H

#include "http/request/body.h"
#include "http/request/verdict.h"
#include "tests/unit/http/bench.h"

enum { UPSTREAMS_MAX = 1024, UPSTREAM_TEXT_BYTES = 64 << 10, UPSTREAM_FULL_BYTES = 4096 };

struct upstream_stub {
    struct http_exchange *ex; /* whose it is; NULL: nobody's */
    size_t taken;             /* of the request's body */
    size_t there;             /* of the response's, and not passed on */
    /* Of its length, and not there yet; -1: it has said none. */
    int64_t left;
    bool has_all; /* of the request's body */
    bool ended, failed;
    bool has_trailers;
};

static struct upstream_stub upstreams[UPSTREAMS_MAX];

static inline struct upstream_stub *upstream_of(const struct http_exchange *ex)
{
    for (size_t i = 0; i < UPSTREAMS_MAX; i++)
        if (upstreams[i].ex == ex)
            return &upstreams[i];
    abort();
}

static inline int upstream_count(void)
{
    int count = 0;
    for (size_t i = 0; i < UPSTREAMS_MAX; i++)
        count += upstreams[i].ex != NULL;
    return count;
}

/* --- as a source --- */

static inline enum source_says upstream_look(struct http_exchange *ex, struct http_piece *stretch)
{
    static char text[UPSTREAM_TEXT_BYTES];
    struct upstream_stub *u = upstream_of(ex);
    if (u->there) {
        memset(text, 'u', sizeof text);
        stretch->data = text;
        stretch->len = u->there < sizeof text ? u->there : sizeof text;
        return SOURCE_HAS;
    }
    return u->failed ? SOURCE_FAILED : u->ended ? SOURCE_END : SOURCE_LATER;
}

static inline void upstream_take(struct http_exchange *ex, size_t n)
{
    struct upstream_stub *u = upstream_of(ex);
    CU_ASSERT_FATAL(n > 0 && n <= u->there);
    u->there -= n;
}

static inline bool upstream_add_trailers(struct http_exchange *ex, struct buf *out)
{
    return !upstream_of(ex)->has_trailers || buf_append_slice(out, SLICE("X-Sum: 1\r\n"));
}

static inline void upstream_stop(struct http_exchange *ex)
{
    *upstream_of(ex) = (struct upstream_stub){0};
    ex->source = NULL;
}

static inline int64_t upstream_time_left_ms(const struct http_exchange *ex, int64_t at_most_ms)
{
    (void)ex;
    return at_most_ms;
}

static inline bool upstream_body_is_full(const struct http_exchange *ex)
{
    return buf_len(&ex->body.kept.memory) >= UPSTREAM_FULL_BYTES;
}

static inline void upstream_body_came(struct http_exchange *ex, bool whole)
{
    if (whole || upstream_body_is_full(ex))
        body_wait_over(ex);
    else
        body_wait(ex);
}

static const struct source source_stub = {.look = upstream_look,
                                          .take = upstream_take,
                                          .add_trailers = upstream_add_trailers,
                                          .stop = upstream_stop,
                                          .time_left_ms = upstream_time_left_ms,
                                          .body_came = upstream_body_came,
                                          .body_is_full = upstream_body_is_full,
                                          .is_live = true,
                                          .needs_client = true};

struct verdict __wrap_proxy_start(struct http_exchange *ex);

struct verdict __wrap_proxy_start(struct http_exchange *ex)
{
    bool streams = !ex->body.whole;
    struct verdict v = streams ? body_begin(ex) : verdict_of(VERDICT_NEXT);
    if (v.kind != VERDICT_NEXT)
        return v;
    *upstream_of(NULL) = (struct upstream_stub){.ex = ex, .has_all = !streams};
    ex->source = &source_stub;
    ex->state = REQUEST_PROXY;
    if (streams)
        body_wait(ex);
    else
        client_expect(ex, 0);
    return verdict_of(VERDICT_WAIT);
}

/* --- what it does --- */

static inline bool upstream_waits(const struct upstream_stub *u)
{
    return u->ex && u->ex->state == REQUEST_PROXY;
}

static inline bool upstream_sends(const struct upstream_stub *u)
{
    return u->ex && u->ex->state == REQUEST_SEND;
}

/* All of the request's body that is there. */
static inline void upstream_take_body(struct upstream_stub *u)
{
    struct http_exchange *ex = u->ex;
    u->taken += buf_len(&ex->body.kept.memory);
    u->has_all |= ex->body.whole;
    spool_empty(&ex->body.kept);
    if (!ex->body.whole)
        body_wait(ex);
    client_go_on(ex);
}

/* The head of a response; length -1: it says none. */
static inline void upstream_answer(struct upstream_stub *u, int status, int64_t length)
{
    struct http_exchange *ex = u->ex;
    struct http_response *res = &ex->res;
    http_response_init(res);
    res->status = status;
    res->content_length = length >= 0 ? length : HTTP_LENGTH_UNKNOWN;
    u->there = 0;
    u->left = length;
    u->ended = length == 0;
    /* Of what auth_request asks the head says it all. */
    if (ex->aside)
        upstream_stop(ex);
    request_resume(ex, verdict_answer(0));
}

static inline void upstream_fail(struct upstream_stub *u, int status)
{
    struct http_exchange *ex = u->ex;
    upstream_stop(ex);
    request_resume(ex, verdict_answer(status));
}

static inline bool upstream_say_interim(struct upstream_stub *u)
{
    static const struct http_header hint = {{"Link", 4}, {"</a>", 4}};
    return u->ex->client.protocol->interim(u->ex, 103, SLICE("Early Hints"), &hint, 1);
}

/* No more than the response has announced, after which it ends. */
static inline void upstream_give(struct upstream_stub *u, size_t bytes)
{
    if (u->left >= 0 && bytes >= (uint64_t)u->left)
        bytes = (size_t)u->left;
    if (u->left >= 0)
        u->left -= (int64_t)bytes;
    u->there += bytes;
    u->ended |= u->left == 0;
    client_go_on(u->ex);
}

/* Before its length that is a failure. */
static inline void upstream_end(struct upstream_stub *u)
{
    u->ended |= u->left <= 0;
    u->failed = !u->ended;
    client_go_on(u->ex);
}

static inline void upstream_break(struct upstream_stub *u)
{
    u->failed = true;
    client_go_on(u->ex);
}

#endif
