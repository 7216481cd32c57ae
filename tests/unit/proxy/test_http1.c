/*
 * tests/unit/proxy/test_http1.c - HTTP/1 to upstreams as a protocol: where a response's body ends, what spoils its connection, and how a
 * request's body goes out while it comes.
 */
#include "proxy/protocol.h"

#include "tests/unit/check.h"

enum { BYTES_MAX = 256 };

static const struct upstream_protocol *http1 = &upstream_http1;

/* A body as it has been decoded, in pieces of `step` bytes. */
struct fetched {
    struct upstream_body body;
    char text[BYTES_MAX];
    size_t len;
    bool ok;
};

static void begin(struct upstream_body *body, const char *head_text, bool to_head)
{
    struct http_response_head head;
    const struct upstream_request written = {.head_only = to_head};
    struct slice text = slice_of(head_text);
    size_t head_len = 0;
    const char *why = NULL;
    CHECK_FOR(head_text, http1->read_head(&written, &head, text.data, text.len, &head_len, &why) ==
                             HTTP_RESPONSE_HEAD_DONE);
    CHECK_NUMBER(head_len, text.len);
    http1->begin_body(body, &head);
}

static void fetch(struct fetched *f, const char *head, const char *bytes, size_t step)
{
    struct slice rest = slice_of(bytes);
    f->len = 0;
    f->ok = true;
    begin(&f->body, head, false);
    while (f->ok && rest.len > 0) {
        char piece[BYTES_MAX];
        const char *why = NULL;
        size_t n = rest.len < step ? rest.len : step, body_len = 0;
        memcpy(piece, rest.data, n);
        f->ok = http1->decode(&f->body, piece, n, &body_len, &why);
        CU_ASSERT(f->ok || (why && why[0]));
        if (f->ok) {
            memcpy(f->text + f->len, piece, body_len);
            f->len += body_len;
        }
        rest = slice_from(rest, n);
    }
}

static const struct {
    const char *head, *bytes, *body;
    bool is_whole, may_keep;
} responses[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello", "hello", true, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hell", "hell", false, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello!", "hello", true, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", "hello", "hello", true, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", "", true, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "x", "", true, false},
    {"HTTP/1.1 204 No\r\n\r\n", "", "", true, true},
    {"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", "x", "", true, false},
    {"HTTP/1.1 200 OK\r\n\r\n", "hello", "hello", false, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello",
     true, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n", "hello", false, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n0\r\n\r\nHTTP", "hello", true,
     false},
};

static void ends_where_the_head_says(void)
{
    for (size_t i = 0; i < sizeof responses / sizeof responses[0]; i++) {
        for (size_t step = 1; step < 30; step++) {
            struct fetched f;
            fetch(&f, responses[i].head, responses[i].bytes, step);
            CHECK_FOR(responses[i].head, f.ok);
            CHECK_FOR(responses[i].head,
                      slice_eq((struct slice){f.text, f.len}, slice_of(responses[i].body)));
            CHECK_FOR(responses[i].head, f.body.is_whole == responses[i].is_whole);
            CHECK_FOR(responses[i].head, f.body.may_keep == responses[i].may_keep);
            CHECK_FOR(responses[i].head, f.body.seen == f.len);
            buf_free(&f.body.trailers);
        }
    }
}

static void refuses_what_is_no_chunk(void)
{
    struct fetched f;
    fetch(&f, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\nx", 100);
    CU_ASSERT_FALSE(f.ok);
    CU_ASSERT_FALSE(f.body.is_whole);
    buf_free(&f.body.trailers);
}

static void keeps_trailers(void)
{
    struct fetched f;
    fetch(&f, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
          "1;x=y\r\na\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n", 3);
    CU_ASSERT(f.ok && f.body.is_whole && f.body.may_keep);
    CHECK_SLICE(buf_slice(&f.body.trailers), "X-Sum: 1\r\nX-More: 2\r\n");
    buf_free(&f.body.trailers);
}

static void knows_that_head_has_no_body(void)
{
    struct upstream_body body;
    begin(&body, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true);
    CU_ASSERT(body.is_whole && body.may_keep);
}

/* Only a body without a length ends with its connection. */
static void ends_by_closing(void)
{
    struct fetched f;
    fetch(&f, "HTTP/1.1 200 OK\r\n\r\n", "hello", 100);
    http1->on_close(&f.body);
    CU_ASSERT(f.body.is_whole && !f.body.may_keep);
    fetch(&f, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", "hello", 100);
    http1->on_close(&f.body);
    CU_ASSERT(!f.body.is_whole && !f.body.may_keep);
    fetch(&f, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n", 100);
    http1->on_close(&f.body);
    CU_ASSERT(!f.body.is_whole && !f.body.may_keep);
    buf_free(&f.body.trailers);
}

static void writes_a_body_as_it_comes(void)
{
    const struct upstream_request chunked = {.chunked = true}, plain = {0};
    struct buf out = {0};
    CU_ASSERT(http1->write_body(&chunked, SLICE("hello, world"), false, &out));
    CHECK_SLICE(buf_slice(&out), "c\r\nhello, world\r\n");
    out.start = out.end = 0;
    CU_ASSERT(http1->write_body(&chunked, SLICE("!"), true, &out));
    CHECK_SLICE(buf_slice(&out), "1\r\n!\r\n0\r\n\r\n");
    out.start = out.end = 0;
    CU_ASSERT(http1->write_body(&chunked, (struct slice){0}, true, &out));
    CHECK_SLICE(buf_slice(&out), "0\r\n\r\n");
    out.start = out.end = 0;
    CU_ASSERT(http1->write_body(&plain, SLICE("hello"), false, &out));
    CU_ASSERT(http1->write_body(&plain, (struct slice){0}, true, &out));
    CHECK_SLICE(buf_slice(&out), "hello");
    buf_free(&out);
}

static const struct check_case cases[] = {
    {"ends where the head says", ends_where_the_head_says},
    {"refuses what is no chunk", refuses_what_is_no_chunk},
    {"keeps trailers", keeps_trailers},
    {"knows that HEAD has no body", knows_that_head_has_no_body},
    {"ends by closing", ends_by_closing},
    {"writes a body as it comes", writes_a_body_as_it_comes},
};

CHECK_MAIN("proxy/http1", cases)
