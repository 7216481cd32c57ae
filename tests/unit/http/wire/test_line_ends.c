/*
 * tests/unit/http/wire/test_line_ends.c - a head's lines end with CRLF or with a lone line feed, in any mixture.
 */
#include "tests/unit/http/wire/head_help.h"

enum { LINES = 5 };

static const char *const lines[LINES] = {"POST /a HTTP/1.1", "Host: b", "X: y z", "Content-Length: 3", ""};

/* The head with a lone line feed behind each line whose bit is set. */
static size_t write_head(char *out, size_t room, unsigned lone)
{
    size_t n = 0;
    for (unsigned i = 0; i < LINES; i++)
        n += (size_t)snprintf(out + n, room - n, "%s%s", lines[i], lone & 1U << i ? "\n" : "\r\n");
    return n;
}

static void every_mixture(void)
{
    static struct parsed_head v;
    char text[200] = "";
    for (unsigned lone = 0; lone < 1U << LINES; lone++) {
        size_t len = write_head(text, sizeof text, lone);
        memcpy(text + len, "\n\nabc", 6);
        for (size_t at = 0; at <= len; at++) {
            read_head(&v, text, len + 5, at, 0);
            if (!CHECK_FOR(text, v.status == 0))
                continue;
            CHECK_NUMBER(v.head_len, len);
            CHECK_SLICE(v.req.line, lines[0]);
            CHECK_NUMBER(v.req.header_count, 3);
            CHECK_SLICE(*http_find_header(&v.req, SLICE("X")), "y z");
            CHECK_NUMBER(v.req.content_length, 3);
        }
    }
}

/* Neither the scan nor the parser reads behind or before a head. */
static void flush_against_guard_pages(void)
{
    static struct parsed_head v;
    struct check_guarded g = check_guarded_new(4096);
    char text[200] = "";
    for (unsigned lone = 0; lone < 1U << LINES; lone++) {
        struct slice head = {text, write_head(text, sizeof text, lone)};
        for (size_t len = 0; len <= head.len; len++) {
            struct slice part = {text, len};
            int status = len == head.len ? 0 : -1;
            read_whole_head(&v, (struct slice){check_guarded_at_end(&g, part), len});
            CHECK_NUMBER(v.status, status);
            read_whole_head(&v, (struct slice){check_guarded_at_start(&g, part), len});
            CHECK_NUMBER(v.status, status);
        }
    }
    check_guarded_free(&g);
}

static void empty_lines_before_a_request(void)
{
    struct http_error error = {0};
    size_t head_len = 0;
    struct http_scan scan = {0};
    CHECK_NUMBER(http_scan_head(&scan, &head_limits, "\nG", 2, &head_len, &error), HTTP_SCAN_DONE);
    CHECK_NUMBER(head_len, 1);
    CHECK_NUMBER(http_scan_head(&scan, &head_limits, "\r\nG", 3, &head_len, &error), HTTP_SCAN_DONE);
    CHECK_NUMBER(head_len, 2);
}

static void bare_returns_stay_refused(void)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\nHost: a\nX: y\rz\n\n", "GET / HTTP/1.1\nHost: a\nX: y\r\r\n\n",
        "GET / HTTP/1.1\r\r\nHost: a\n\n",      "GET / HTTP/1.1\nHost: a\n\r\r\n\n",
        "GET /\r HTTP/1.1\nHost: a\n\n",        "\rGET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\nHost: a\n X: y\n\n",   "GET / HTTP/1.1\nHost: a\nX\n\n"};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        CHECK_FOR(heads[i], verdict_on(heads[i])->status == 400);
    CHECK_NUMBER(verdict_on("GET / HTTP/1.1\nHost: a\nX: y\n\n")->status, 0);
}

static const struct check_case cases[] = {
    {"every mixture", every_mixture},
    {"flush against guard pages", flush_against_guard_pages},
    {"empty lines before a request", empty_lines_before_a_request},
    {"bare returns stay refused", bare_returns_stay_refused},
};

CHECK_MAIN("http/line_ends", cases)
