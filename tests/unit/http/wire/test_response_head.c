/*
 * tests/unit/http/wire/test_response_head.c - the heads of upstreams' answers: what they say, where they end wherever they are cut,
 * and each rule by which one is refused.
 */
#include "http/wire/response_head.h"

#include "tests/unit/check.h"

#define OK_LINE "HTTP/1.1 200 OK\r\n"

enum { HEAD_BYTES_MAX = 20000 };

static struct check_guarded guarded;

struct parsed_head {
    enum http_response_head_result result;
    size_t head_len;
    const char *why;
    struct http_response_head a; /* its slices point into the guarded room */
};

/* The bytes end where an inaccessible page begins. */
static void parse(struct parsed_head *v, struct slice text, bool to_head)
{
    *v = (struct parsed_head){0};
    v->result = http_parse_response_head(&v->a, check_guarded_at_end(&guarded, text), text.len, to_head,
                                         &v->head_len, &v->why);
}

static const struct parsed_head *verdict_on(const char *text)
{
    static struct parsed_head v;
    parse(&v, slice_of(text), false);
    return &v;
}

static void check_bad(const char *text)
{
    const struct parsed_head *v = verdict_on(text);
    CHECK_FOR(text, v->result == HTTP_RESPONSE_HEAD_BAD);
    CHECK_FOR(text, v->result != HTTP_RESPONSE_HEAD_BAD || (v->why && v->why[0]));
}

static const struct parsed_head *check_good(const char *text)
{
    const struct parsed_head *v = verdict_on(text);
    char seen[600];
    snprintf(seen, sizeof seen, "%.300s\" gave \"%.200s", text, v->why ? v->why : "");
    CHECK_FOR(seen, v->result == HTTP_RESPONSE_HEAD_DONE);
    return v;
}

static void all_parts_of_an_answer(void)
{
    static const char text[] =
        "HTTP/1.1 418 I'm a teapot\r\nContent-Type: text/plain\r\nX-Empty:\r\nX-Blanks: \t v w \t\r\n"
        "Content-Length: 12\r\nset-cookie: a\r\nSet-Cookie: b\r\n\r\nhello world!";
    const struct parsed_head *v = check_good(text);
    const struct http_response_head *a = &v->a;
    CHECK_NUMBER(a->status, 418);
    CHECK_NUMBER(a->minor_version, 1);
    CHECK_SLICE(a->reason, "I'm a teapot");
    CHECK_NUMBER(a->framing, HTTP_RESPONSE_LENGTH);
    CU_ASSERT(a->keepalive && a->has_length);
    CHECK_NUMBER(a->content_length, 12);
    CHECK_NUMBER(a->header_count, 6);
    CHECK_SLICE(a->headers[0].name, "Content-Type");
    CHECK_SLICE(http_response_head_field(a, SLICE("content-TYPE")), "text/plain");
    CHECK_SLICE(http_response_head_field(a, SLICE("X-Empty")), "");
    CHECK_SLICE(http_response_head_field(a, SLICE("X-Blanks")), "v w");
    CHECK_SLICE(http_response_head_field(a, SLICE("Set-Cookie")), "a");
    CHECK_ABSENT(http_response_head_field(a, SLICE("X-None")));
    CHECK_NUMBER(v->head_len, sizeof text - 1 - 12);
}

static void status_lines(void)
{
    static const struct {
        const char *line;
        int status, minor;
        const char *reason;
    } cases[] = {
        {"HTTP/1.1 200 OK", 200, 1, "OK"},     {"HTTP/1.0 200 OK", 200, 0, "OK"},
        {"HTTP/1.1 200 ", 200, 1, ""},         {"HTTP/1.1 200", 200, 1, ""},
        {"HTTP/1.1 100 x", 100, 1, "x"},       {"HTTP/1.1 599 Last one", 599, 1, "Last one"},
        {"HTTP/1.9 200  two", 200, 9, " two"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "%s\r\nContent-Length: 0\r\n\r\n", cases[i].line);
        const struct http_response_head *a = &check_good(text)->a;
        CHECK_FOR(text, a->status == cases[i].status && a->minor_version == cases[i].minor);
        CHECK_SLICE(a->reason, cases[i].reason);
    }
}

static void bad_status_lines(void)
{
    static const char *const lines[] = {
        "HTTP/2 200 OK",       "HTTP/1.1",         "HTTP/1.1 ",       "HTTP/1.1 20",      "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",     "HTTP/1.1 000",     "HTTP/1.1 600 OK", "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK",
        "HTTP/1.1 200\tOK",    "HTTP/1.1 2x0 OK",  "HTTP/1.1 -20 OK", "http/1.1 200 OK",  " HTTP/1.1 200 OK",
        "HTTP/1.x 200 OK",     "HTTP/1.10 200 OK", "HTTP/0.9 200 OK", "HTTP/1,1 200 OK",  "ICY 200 OK",
        "HTTP/1.1 200 OK\r",   "HTTP/1.1 \r 200",  "HTTP/1.1 200OK",  "GET / HTTP/1.1",   "<html>",
        "HTTP/1.1 200 a\001b", "HTTP/1.1 200 a\rb"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "%s\r\nContent-Length: 0\r\n\r\n", lines[i]);
        check_bad(text);
    }
    check_bad("\r\n" OK_LINE "\r\n");
}

/* What cannot become an answer is refused with its first wrong byte. */
static void garbage_is_seen_at_once(void)
{
    static const char text[] = "HTTP/1.";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        struct parsed_head v;
        char begun[16];
        memcpy(begun, text, n);
        begun[n] = '#';
        parse(&v, (struct slice){begun, n}, false);
        CHECK_NUMBER(v.result, HTTP_RESPONSE_HEAD_MORE);
        parse(&v, (struct slice){begun, n + 1}, false);
        CHECK_NUMBER(v.result, HTTP_RESPONSE_HEAD_BAD);
    }
}

static void bad_fields(void)
{
    static const char *const fields[] = {
        "X-A",       "X-A : b",   " X-A: b",           "\tX-A: b",    ": b",
        "X A: b",    "X-A: b\rc", "X-A: b\r",          "X-A\r: b",    "X-A: \001",
        "X-A: \177", "X(A: b",    "X-A: b\rX-Evil: c", "\303\251: b", "=: b\013"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, OK_LINE "%s\r\nContent-Length: 0\r\n\r\n", fields[i]);
        check_bad(text);
        snprintf(text, sizeof text, OK_LINE "Content-Length: 0\r\n%s\r\n\r\n", fields[i]);
        check_bad(text);
    }
    struct parsed_head v;
    parse(&v, SLICE(OK_LINE "X-A: a\0b\r\n\r\n"), false);
    CHECK_NUMBER(v.result, HTTP_RESPONSE_HEAD_BAD);
    parse(&v, SLICE(OK_LINE "X\0A: ab\r\n\r\n"), false);
    CHECK_NUMBER(v.result, HTTP_RESPONSE_HEAD_BAD);
    parse(&v, SLICE("HTTP/1.1 200 a\0b\r\n\r\n"), false);
    CHECK_NUMBER(v.result, HTTP_RESPONSE_HEAD_BAD);
    check_good(OK_LINE "X-A: \tb\tc\t\r\nX-B: \303\251\r\n!#$%&'*+-.^_`|~: 1\r\n\r\n");
}

static const struct {
    const char *head;
    enum http_response_framing framing;
    int keepalive;
    long long length; /* -1: none */
} framings[] = {
    {OK_LINE "Content-Length: 5\r\n\r\n", HTTP_RESPONSE_LENGTH, 1, 5},
    {OK_LINE "Content-Length: 0\r\n\r\n", HTTP_RESPONSE_LENGTH, 1, 0},
    {OK_LINE "Content-Length: 9223372036854775807\r\n\r\n", HTTP_RESPONSE_LENGTH, 1, INT64_MAX},
    {OK_LINE "Content-Length: 0005\r\n\r\n", HTTP_RESPONSE_LENGTH, 1, 5},
    {OK_LINE "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", HTTP_RESPONSE_LENGTH, 1, 5},
    {OK_LINE "Content-Length: 5\r\nConnection: close\r\n\r\n", HTTP_RESPONSE_LENGTH, 0, 5},
    {OK_LINE "Content-Length: 5\r\nConnection: x, CLOSE, y\r\n\r\n", HTTP_RESPONSE_LENGTH, 0, 5},
    {OK_LINE "Content-Length: 5\r\nConnection: x\r\nConnection: close\r\n\r\n", HTTP_RESPONSE_LENGTH, 0, 5},
    {OK_LINE "Content-Length: 5\r\nConnection: closed\r\n\r\n", HTTP_RESPONSE_LENGTH, 1, 5},
    {OK_LINE "Content-Length: 5\r\nConnection: close, keep-alive\r\n\r\n", HTTP_RESPONSE_LENGTH, 0, 5},
    {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_RESPONSE_LENGTH, 0, 5},
    {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\n", HTTP_RESPONSE_LENGTH, 1, 5},
    {OK_LINE "Transfer-Encoding: chunked\r\n\r\n", HTTP_RESPONSE_CHUNKED, 1, -1},
    {OK_LINE "Transfer-Encoding: Chunked\r\n\r\n", HTTP_RESPONSE_CHUNKED, 1, -1},
    {OK_LINE "\r\n", HTTP_RESPONSE_UNTIL_CLOSE, 0, -1},
    {OK_LINE "Connection: keep-alive\r\n\r\n", HTTP_RESPONSE_UNTIL_CLOSE, 0, -1},
    {"HTTP/1.0 200 OK\r\n\r\n", HTTP_RESPONSE_UNTIL_CLOSE, 0, -1},
    {"HTTP/1.1 204 No\r\n\r\n", HTTP_RESPONSE_EMPTY, 1, -1},
    {"HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n", HTTP_RESPONSE_EMPTY, 1, 7},
    {"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_RESPONSE_EMPTY, 1, -1},
    {"HTTP/1.1 100 Continue\r\n\r\n", HTTP_RESPONSE_EMPTY, 1, -1},
    {"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", HTTP_RESPONSE_EMPTY, 1, -1},
    {"HTTP/1.1 404 No\r\nContent-Length: 7\r\n\r\n", HTTP_RESPONSE_LENGTH, 1, 7},
};

static void framing(void)
{
    for (size_t i = 0; i < sizeof framings / sizeof framings[0]; i++) {
        const struct http_response_head *a = &check_good(framings[i].head)->a;
        CHECK_FOR(framings[i].head, a->framing == framings[i].framing);
        CHECK_FOR(framings[i].head, a->keepalive == (bool)framings[i].keepalive);
        CHECK_FOR(framings[i].head, a->has_length == (framings[i].length >= 0));
        CHECK_FOR(framings[i].head, !a->has_length || a->content_length == (uint64_t)framings[i].length);
    }
}

/* To HEAD no body follows, whatever the head says; what could be read in two ways is refused all the same. */
static void framing_to_head(void)
{
    for (size_t i = 0; i < sizeof framings / sizeof framings[0]; i++) {
        struct parsed_head v;
        parse(&v, slice_of(framings[i].head), true);
        CHECK_FOR(framings[i].head,
                  v.result == HTTP_RESPONSE_HEAD_DONE && v.a.framing == HTTP_RESPONSE_EMPTY);
        CHECK_FOR(framings[i].head, v.a.has_length == (framings[i].length >= 0));
    }
    struct parsed_head v;
    parse(&v, SLICE(OK_LINE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), true);
    CHECK_NUMBER(v.result, HTTP_RESPONSE_HEAD_BAD);
}

static void ambiguous_framing(void)
{
    static const char *const fields[] = {
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: 5, 6",
        "Content-Length:",
        "Content-Length: -5",
        "Content-Length: +5",
        "Content-Length: 5x",
        "Content-Length: 0x5",
        "Content-Length: 5.0",
        "Content-Length: 1 1",
        "Content-Length: 9223372036854775808",
        "Content-Length: 18446744073709551621",
        "Content-Length: 99999999999999999999999999999999999999999999999999999999999999",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding:",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chun ked",
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        char text[300];
        snprintf(text, sizeof text, OK_LINE "%s\r\n\r\n5\r\nhello\r\n0\r\n\r\n", fields[i]);
        check_bad(text);
    }
    check_bad("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void line_ends(void)
{
    CHECK_NUMBER(check_good("HTTP/1.1 200 OK\nX-A: b\nContent-Length: 2\n\nhi")->head_len, 42);
    CHECK_SLICE(http_response_head_field(&check_good("HTTP/1.1 200 OK\nX-A: b\n\n")->a, SLICE("X-A")), "b");
    CHECK_NUMBER(check_good("HTTP/1.1 200 OK\r\nX-A: b\n\r\nbody")->head_len, 26);
    CHECK_NUMBER(check_good("HTTP/1.1 200 OK\nX-A: b\r\n\nbody")->head_len, 25);
    CHECK_NUMBER(check_good("HTTP/1.1 200 OK\n\nbody")->head_len, 17);
    CHECK_NUMBER(check_good("HTTP/1.1 200 OK\r\n\r\n\r\n")->head_len, 19);
    CHECK_NUMBER(verdict_on("HTTP/1.1 200 OK\r\n\rX: y\r\n\r\n")->result, HTTP_RESPONSE_HEAD_BAD);
}

/* However little of it has come, it is no answer yet, and nothing behind is looked at. */
static void cut_everywhere(void)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\nX-C:\r\n\r\n";
    static const char bare[] = "HTTP/1.1 204\nX-A: b\nX-C: d\n\n";
    struct parsed_head v;
    for (size_t n = 0; n < sizeof text - 1; n++) {
        parse(&v, (struct slice){text, n}, false);
        CHECK_NUMBER(v.result, HTTP_RESPONSE_HEAD_MORE);
    }
    for (size_t n = 0; n < sizeof bare - 1; n++) {
        parse(&v, (struct slice){bare, n}, false);
        CHECK_NUMBER(v.result, HTTP_RESPONSE_HEAD_MORE);
    }
    parse(&v, SLICE(text), false);
    CU_ASSERT(v.result == HTTP_RESPONSE_HEAD_DONE && v.head_len == sizeof text - 1);
}

/* An answer behind another one is not looked at: its bytes are the body, or the next head. */
static void what_follows_is_left_alone(void)
{
    const struct parsed_head *v =
        check_good("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\n\r\n");
    CHECK_NUMBER(v->a.status, 100);
    CHECK_NUMBER(v->a.header_count, 0);
    CHECK_NUMBER(v->head_len, 25);
    CHECK_NUMBER(check_good(OK_LINE "\r\n\001\002 : \r\n\r\n")->head_len, 19);
}

static void number_of_headers(void)
{
    static char text[HEAD_BYTES_MAX];
    for (int extra = 0; extra <= 1; extra++) {
        size_t n = (size_t)snprintf(text, sizeof text, OK_LINE);
        for (int i = 0; i < HTTP_RESPONSE_HEADERS_MAX + extra; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "X-%d: %d\r\n", i, i);
        snprintf(text + n, sizeof text - n, "\r\n");
        if (extra)
            check_bad(text);
        else
            CHECK_NUMBER(check_good(text)->a.header_count, HTTP_RESPONSE_HEADERS_MAX);
    }
}

/* The same structure for one head after the other: nothing of the first is left. */
static void parsed_again(void)
{
    struct http_response_head a;
    size_t head_len;
    const char *why;
    struct slice first = SLICE("HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: close\r\nX-A: b\r\n\r\n");
    struct slice second = SLICE("HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n");
    CHECK_NUMBER(http_parse_response_head(&a, first.data, first.len, false, &head_len, &why),
                 HTTP_RESPONSE_HEAD_DONE);
    CHECK_NUMBER(http_parse_response_head(&a, second.data, second.len, false, &head_len, &why),
                 HTTP_RESPONSE_HEAD_DONE);
    CHECK_NUMBER(a.status, 404);
    CHECK_NUMBER(a.header_count, 1);
    CHECK_NUMBER(a.framing, HTTP_RESPONSE_CHUNKED);
    CU_ASSERT(a.keepalive && !a.has_length);
    CHECK_ABSENT(http_response_head_field(&a, SLICE("X-A")));
}

static const struct check_case cases[] = {
    {"all parts of an answer", all_parts_of_an_answer},
    {"status lines", status_lines},
    {"bad status lines", bad_status_lines},
    {"garbage is seen at once", garbage_is_seen_at_once},
    {"bad fields", bad_fields},
    {"framing", framing},
    {"framing to HEAD", framing_to_head},
    {"ambiguous framing", ambiguous_framing},
    {"line ends", line_ends},
    {"cut everywhere", cut_everywhere},
    {"what follows is left alone", what_follows_is_left_alone},
    {"number of headers", number_of_headers},
    {"parsed again", parsed_again},
};

int main(void)
{
    guarded = check_guarded_new(HEAD_BYTES_MAX);
    int code = check_main("answer", cases, sizeof cases / sizeof cases[0]);
    check_guarded_free(&guarded);
    return code;
}
