/*
 * tests/fuzz/fuzz_template.c - texts with variables: compiling any text, and expanding it for a request.
 */
#include "tests/fuzz/fuzz.h"

#include "http/request/template.h"

static const struct http_peer *peer(struct http_exchange *ex)
{
    static const struct http_peer p = {{"127.0.0.1", 9}, {"1", 1},       {"127.0.0.1", 9},
                                       {"80", 2},        {127, 0, 0, 1}, 4};
    (void)ex;
    return &p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] =
        "GET /a/b?x=1&y=%22 HTTP/1.1\r\nHost: h\r\nCookie: a=b; c=d\r\nAuthorization: Basic dTpw\r\n\r\n";
    static const uint64_t now_ms = 5;
    static struct http_exchange ex;
    struct slice unknown;
    struct http_error error;
    struct buf out = {0};
    /* What the request remembers is in the last input's arena. */
    memset(&ex, 0, sizeof ex);
    arena_init(&ex.arena, 4096);
    FUZZ_CHECK(http_parse_head(&ex.req, &ex.arena, head, sizeof head - 1, &http_parse_defaults, &error));
    ex.client.peer = ex.client.own = peer;
    ex.now_ms = &now_ms;
    struct http_template *t =
        http_template_compile(&ex.arena, (struct slice){(const char *)data, size}, NULL, &unknown);
    FUZZ_CHECK(t || unknown.data);
    if (t) {
        FUZZ_CHECK(http_template_expand(t, &ex).data);
        FUZZ_CHECK(http_template_log(t, HTTP_ESCAPE_DEFAULT, &ex, &out));
        FUZZ_CHECK(http_template_log(t, HTTP_ESCAPE_JSON, &ex, &out));
    }
    buf_free(&out);
    arena_free(&ex.arena);
    return 0;
}
