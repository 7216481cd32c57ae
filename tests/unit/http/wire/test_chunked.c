/*
 * tests/unit/http/wire/test_chunked.c - the chunked coding: whole, cut at every byte, in place against a guard page.
 */
#include "http/wire/chunked.h"

#include "tests/unit/check.h"

enum { BODY_MAX = 20000 };

struct decoded {
    enum http_chunked_result result;
    char body[BODY_MAX];
    size_t body_len, used;
};

/* Decodes in pieces that end at `first`, and then every `step` bytes (0: the rest at once). */
static void decode(struct decoded *d, struct slice text, size_t first, size_t step)
{
    struct http_chunked c = {0};
    char copy[BODY_MAX];
    *d = (struct decoded){.result = HTTP_CHUNKED_MORE};
    memcpy(copy, text.data, text.len);
    for (size_t at = 0, end = first < text.len ? first : text.len;;) {
        size_t body_len, used;
        d->result = http_chunked_decode(&c, copy + at, end - at, &body_len, &used);
        CU_ASSERT_FATAL(used <= end - at && body_len <= used);
        memcpy(d->body + d->body_len, copy + at, body_len);
        d->body_len += body_len;
        d->used += used;
        if (d->result != HTTP_CHUNKED_MORE || end == text.len)
            return;
        CHECK_NUMBER(used, end - at); /* while more is wanted, all has been taken */
        at = end;
        end = step && end + step < text.len ? end + step : text.len;
    }
}

static const struct {
    const char *text;
    enum http_chunked_result result;
    const char *body;
    size_t rest; /* bytes behind the body's end */
} cases_of_text[] = {
    {"0\r\n\r\n", HTTP_CHUNKED_DONE, "", 0},
    {"5\r\nhello\r\n0\r\n\r\n", HTTP_CHUNKED_DONE, "hello", 0},
    {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /", HTTP_CHUNKED_DONE, "hello world", 5},
    {"A\r\n0123456789\r\n000\r\n\r\n", HTTP_CHUNKED_DONE, "0123456789", 0},
    {"9\r\n\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", HTTP_CHUNKED_DONE, "\r\n\r\n0\r\n\r\n", 0},
    {"00000000000000a\r\n0123456789\r\n0\r\n\r\n", HTTP_CHUNKED_DONE, "0123456789", 0},
    {"3;name=value;q=\"x y\"\r\nabc\r\n0;last\r\n\r\n", HTTP_CHUNKED_DONE, "abc", 0},
    {"3;\r\nabc\r\n0\r\n\r\n", HTTP_CHUNKED_DONE, "abc", 0},
    {"0\r\nTrailer: value\r\nX:y\r\n\r\nrest", HTTP_CHUNKED_DONE, "", 4},
    {"0\r\nEmpty:\r\n\r\n", HTTP_CHUNKED_DONE, "", 0},
    {"", HTTP_CHUNKED_MORE, "", 0},
    {"5\r\nhel", HTTP_CHUNKED_MORE, "hel", 0},
    {"5\r\nhello", HTTP_CHUNKED_MORE, "hello", 0},
    {"0\r\n", HTTP_CHUNKED_MORE, "", 0},
    {"0\r\n\r", HTTP_CHUNKED_MORE, "", 0},
    {"\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {";x\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"g\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"-1\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"+1\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"0x1\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {" 1\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"1 \r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"1 ;x\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"1\t\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"1\n", HTTP_CHUNKED_ERROR, "", 0},
    {"1\ra", HTTP_CHUNKED_ERROR, "", 0},
    {"1;x\n", HTTP_CHUNKED_ERROR, "", 0},
    {"1;\x01\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"1;x\rx\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"1\r\nab", HTTP_CHUNKED_ERROR, "a", 0},
    {"1\r\na\n", HTTP_CHUNKED_ERROR, "a", 0},
    {"1\r\na\rb", HTTP_CHUNKED_ERROR, "a", 0},
    {"1\r\na\r\n\r\n", HTTP_CHUNKED_ERROR, "a", 0},
    {"0000000000000001\r\n", HTTP_CHUNKED_ERROR, "", 0}, /* sixteen digits, whatever they say */
    {"fffffffffffffffff\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"0\r\n\n", HTTP_CHUNKED_ERROR, "", 0},
    {"0\r\n\rx", HTTP_CHUNKED_ERROR, "", 0},
    {"0\r\n Folded: x\r\n\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"0\r\n: x\r\n\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"0\r\nno colon\r\n\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"0\r\nName : x\r\n\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"0\r\nX: \x7f\r\n\r\n", HTTP_CHUNKED_ERROR, "", 0},
    {"0\r\nX: y\n\r\n", HTTP_CHUNKED_ERROR, "", 0},
};

enum { TEXTS = sizeof cases_of_text / sizeof cases_of_text[0] };

static void each_text_has_its_result(void)
{
    static struct decoded d;
    for (size_t i = 0; i < TEXTS; i++) {
        const char *text = cases_of_text[i].text;
        decode(&d, slice_of(text), SIZE_MAX, 0);
        CHECK_FOR(text, d.result == cases_of_text[i].result);
        CHECK_FOR(text, slice_eq((struct slice){d.body, d.body_len}, slice_of(cases_of_text[i].body)));
        if (d.result == HTTP_CHUNKED_DONE)
            CHECK_FOR(text, d.used == strlen(text) - cases_of_text[i].rest);
    }
}

static void cut_at_every_byte(void)
{
    static struct decoded whole, cut;
    for (size_t i = 0; i < TEXTS; i++) {
        struct slice text = slice_of(cases_of_text[i].text);
        decode(&whole, text, SIZE_MAX, 0);
        /* Once at each byte, and in steps of each size. */
        for (size_t k = 0; k < 2 * text.len + 4; k++) {
            decode(&cut, text, k <= text.len ? k : k - text.len, k <= text.len ? 0 : k - text.len);
            CHECK_FOR(text.data, cut.result == whole.result && cut.used == whole.used);
            CHECK_FOR(text.data,
                      cut.body_len == whole.body_len && !memcmp(cut.body, whole.body, whole.body_len));
        }
    }
}

static void flush_against_a_guard_page(void)
{
    struct check_guarded g = check_guarded_new(4096);
    for (size_t i = 0; i < TEXTS; i++) {
        for (size_t len = 0; len <= strlen(cases_of_text[i].text); len++) {
            struct http_chunked c = {0};
            size_t body_len, used;
            char *at = check_guarded_at_end(&g, (struct slice){cases_of_text[i].text, len});
            http_chunked_decode(&c, at, len, &body_len, &used);
            CHECK_FOR(cases_of_text[i].text, used <= len && body_len <= used);
        }
    }
    check_guarded_free(&g);
}

/* What a client can make the decoder read without sending any body is bounded. */
static void extensions_and_trailers_are_bounded(void)
{
    static struct decoded d;
    static char text[BODY_MAX];
    memset(text, 'x', sizeof text);
    memcpy(text, "1;", 2);
    decode(&d, (struct slice){text, sizeof text}, 100, 100);
    CHECK_NUMBER(d.result, HTTP_CHUNKED_ERROR);
    CU_ASSERT(d.used <= CHUNK_LINE_MAX + 4);
    memcpy(text, "0\r\nX:", 5);
    decode(&d, (struct slice){text, sizeof text}, 100, 100);
    CHECK_NUMBER(d.result, HTTP_CHUNKED_ERROR);
    CU_ASSERT(d.used <= CHUNK_LINE_MAX + 6);
    size_t n = (size_t)snprintf(text, sizeof text, "0\r\n");
    while (n < sizeof text - 40)
        n += (size_t)snprintf(text + n, sizeof text - n, "Trailer-%zu: value\r\n", n);
    decode(&d, (struct slice){text, n}, 100, 100);
    CHECK_NUMBER(d.result, HTTP_CHUNKED_ERROR);
    CU_ASSERT(d.used <= CHUNK_TRAILERS_MAX * 2);
    n = 0;
    while (n < sizeof text - 40)
        n += (size_t)snprintf(text + n, sizeof text - n, "1;%030d\r\nx\r\n", 0);
    decode(&d, (struct slice){text, n}, 100, 100);
    CHECK_NUMBER(d.result, HTTP_CHUNKED_ERROR);
}

static void large_sizes_do_not_wrap(void)
{
    struct http_chunked c = {0};
    char text[] = "fffffffffffffff\r\nabc";
    size_t body_len, used;
    CHECK_NUMBER(http_chunked_decode(&c, text, sizeof text - 1, &body_len, &used), HTTP_CHUNKED_MORE);
    CHECK_NUMBER(body_len, 3);
    CHECK_NUMBER(c.left, 0xfffffffffffffffll - 3);
}

static const struct check_case cases[] = {
    {"each text has its result", each_text_has_its_result},
    {"cut at every byte", cut_at_every_byte},
    {"flush against a guard page", flush_against_a_guard_page},
    {"extensions and trailers are bounded", extensions_and_trailers_are_bounded},
    {"large sizes do not wrap", large_sizes_do_not_wrap},
};

CHECK_MAIN("http/chunked", cases)
