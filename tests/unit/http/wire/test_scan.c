/*
 * tests/unit/http/wire/test_scan.c - a head that trickles in: cut at every byte, flush against a guard page, at its limits.
 *
 * The verdict on a head may not depend on how its bytes were cut; nothing is read behind what has arrived.
 */
#include "tests/unit/http/wire/head_help.h"

static const char *const heads[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "POST /a%2fb/../c?d HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 3\r\nX:\r\n\r\nabcGET / HTTP/1.1\r\n",
    "GET http://x/y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /%41 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\n",
    "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\n",
    "\r",
    "\r\r\n",
    "\rGET / HTTP/1.1\r\n\r\n",
    "",
    "G",
    "GET /",
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\n",
    "GET / HTTP/1.1\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /% HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http:/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET h HTTP/1.1\r\nHost: [\r\n\r\n",
    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "GET / HTTP/1.1\r\n:\r\n\r\n",
    "\x16\x03\x01\x02",
};

enum { HEADS = sizeof heads / sizeof heads[0] };

static void check_same(const struct parsed_head *a, const struct parsed_head *b, const char *which)
{
    CHECK_FOR(which, a->status == b->status);
    CHECK_FOR(which, a->head_len == b->head_len);
    if (a->status != 0 || b->status != 0)
        return;
    CHECK_FOR(which, slice_eq(a->req.path, b->req.path) && slice_eq(a->req.host, b->req.host));
    CHECK_FOR(which, a->req.header_count == b->req.header_count && a->req.framing == b->req.framing);
    CHECK_FOR(which, a->req.keepalive == b->req.keepalive && a->req.content_length == b->req.content_length);
}

static void cut_at_every_byte(void)
{
    static struct parsed_head whole, cut;
    for (size_t i = 0; i < HEADS; i++) {
        struct slice text = slice_of(heads[i]);
        read_whole_head(&whole, text);
        for (size_t at = 0; at <= text.len; at++) {
            read_head(&cut, text.data, text.len, at, 0);
            check_same(&whole, &cut, heads[i]);
        }
        for (size_t step = 1; step < 4; step++) {
            read_head(&cut, text.data, text.len, step, step);
            check_same(&whole, &cut, heads[i]);
        }
    }
}

/* Every prefix, too: what has not arrived may not be looked at. */
static void flush_against_a_guard_page(void)
{
    static struct parsed_head v, at_end, at_start;
    struct check_guarded g = check_guarded_new(4096);
    for (size_t i = 0; i < HEADS; i++) {
        for (size_t len = 0; len <= strlen(heads[i]); len++) {
            struct slice text = {heads[i], len};
            read_whole_head(&v, text);
            read_whole_head(&at_end, (struct slice){check_guarded_at_end(&g, text), len});
            check_same(&v, &at_end, heads[i]);
            read_whole_head(&at_start, (struct slice){check_guarded_at_start(&g, text), len});
            check_same(&v, &at_start, heads[i]);
        }
    }
    check_guarded_free(&g);
}

/* The parser alone, with nothing behind the head. */
static void a_complete_head_and_nothing_more(void)
{
    static struct parsed_head v;
    struct check_guarded g = check_guarded_new(4096);
    struct arena arena;
    arena_init(&arena, 1024);
    for (size_t i = 0; i < HEADS; i++) {
        read_whole_head(&v, slice_of(heads[i]));
        if (v.status < 0 || v.head_len == 0)
            continue;
        char *head = check_guarded_at_end(&g, (struct slice){heads[i], v.head_len});
        struct http_error error;
        struct http_request req;
        bool ok = http_parse_head(&req, &arena, head, v.head_len, &http_parse_defaults, &error);
        CHECK_FOR(heads[i], ok == (v.status == 0));
    }
    check_guarded_free(&g);
    arena_free(&arena);
}

static void a_bad_request_line_is_refused_when_it_ends(void)
{
    static const char *const lines[] = {"get / HTTP/1.1\r\n", "GET  / HTTP/1.1\r\n", "GET / HTTP/3.0\r\n",
                                        "X\n"};
    for (size_t i = 0; i < 4; i++) {
        struct http_scan scan = {0};
        struct http_error error = {0};
        size_t head_len;
        CHECK_FOR(lines[i], http_scan_head(&scan, &head_limits, lines[i], strlen(lines[i]), &head_len,
                                           &error) == HTTP_SCAN_ERROR);
    }
    struct http_scan scan = {0};
    struct http_error error = {0};
    size_t head_len;
    CHECK_NUMBER(http_scan_head(&scan, &head_limits, "\x16", 1, &head_len, &error),
                 HTTP_SCAN_ERROR); /* TLS: at once */
}

/* One byte at a time; returns the status with which the scan ended, 0 for a complete head, -1 for none. */
static int scan_slowly(const char *data, size_t len, size_t step, const struct http_head_limits *limits)
{
    struct http_scan scan = {0};
    struct http_error error = {0};
    size_t head_len;
    for (size_t n = step; n <= len; n += step) {
        enum http_scan_result result = http_scan_head(&scan, limits, data, n, &head_len, &error);
        if (result != HTTP_SCAN_MORE)
            return result == HTTP_SCAN_DONE ? 0 : error.status;
    }
    return -1;
}

static void limits_hold_however_it_is_cut(void)
{
    static const struct http_head_limits limits = {100, 250};
    char text[1000];
    /* "GET /" and " HTTP/1.1": 14 bytes around it, 1 for CR. */
    for (int uri = 80; uri < 95; uri++) {
        int len = snprintf(text, sizeof text, "GET /%0*d HTTP/1.1\r\nHost: a\r\n\r\n", uri, 0);
        int slowly = scan_slowly(text, (size_t)len, 1, &limits);
        CHECK_NUMBER(slowly, scan_slowly(text, (size_t)len, (size_t)len, &limits));
        CHECK_NUMBER(slowly, uri + 15 > 100 ? 414 : 0);
    }
    for (int value = 85; value < 105; value++) {
        int len = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n\r\n", value, 0);
        int slowly = scan_slowly(text, (size_t)len, 1, &limits);
        CHECK_NUMBER(slowly, scan_slowly(text, (size_t)len, (size_t)len, &limits));
        CHECK_NUMBER(slowly, value + 4 > 100 ? 494 : 0);
    }
    for (int lines = 1; lines < 40; lines++) {
        int len = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n");
        for (int i = 0; i < lines; i++)
            len += snprintf(text + len, sizeof text - (size_t)len, "Name: value\r\n");
        len += snprintf(text + len, sizeof text - (size_t)len, "\r\n");
        int slowly = scan_slowly(text, (size_t)len, 1, &limits);
        CHECK_NUMBER(slowly, scan_slowly(text, (size_t)len, (size_t)len, &limits));
        CHECK_NUMBER(slowly, len - 1 > 250 ? 494 : 0);
    }
}

static void an_endless_line_is_refused_before_it_ends(void)
{
    static char text[20000];
    memset(text, 'a', sizeof text);
    memcpy(text, "GET /", 5);
    CHECK_NUMBER(scan_slowly(text, sizeof text, 7, &head_limits), 414);
    memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
    CHECK_NUMBER(scan_slowly(text, sizeof text, 7, &head_limits), 494);
}

static const struct check_case cases[] = {
    {"cut at every byte", cut_at_every_byte},
    {"flush against a guard page", flush_against_a_guard_page},
    {"a complete head and nothing more", a_complete_head_and_nothing_more},
    {"a bad request line is refused when it ends", a_bad_request_line_is_refused_when_it_ends},
    {"limits hold however it is cut", limits_hold_however_it_is_cut},
    {"an endless line is refused before it ends", an_endless_line_is_refused_before_it_ends},
};

CHECK_MAIN("http/scan", cases)
