/*
 * tests/unit/http/wire/test_request.c - what a request's head says, and each rule by which one is refused.
 */
#include "tests/unit/http/wire/head_help.h"

#define GET(headers) "GET / HTTP/1.1\r\nHost: a\r\n" headers "\r\n"
#define POST(headers) "POST / HTTP/1.1\r\nHost: a\r\n" headers "\r\n"

static void check_status(const char *text, int status)
{
    const struct parsed_head *v = verdict_on(text);
    char seen[400];
    snprintf(seen, sizeof seen, "%.300s\" gave %d, expected %d, for \"", text, v->status, status);
    CHECK_FOR(seen, v->status == status);
}

static void all_parts_of_a_request(void)
{
    const struct parsed_head *v =
        verdict_on("POST /a%20b/../c?x=1&y HTTP/1.1\r\nHost: Example.org:8080\r\n"
                   "Content-Length: 12\r\nX-Empty:\r\nX-Blanks: \t v w \t\r\n\r\nhello world!");
    const struct http_request *req = &v->req;
    CHECK_NUMBER(v->status, 0);
    CHECK_SLICE(req->line, "POST /a%20b/../c?x=1&y HTTP/1.1");
    CHECK_SLICE(req->method_name, "POST");
    CHECK_NUMBER(req->method, HTTP_POST);
    CHECK_SLICE(req->target, "/a%20b/../c?x=1&y");
    CHECK_SLICE(req->path, "/c");
    CHECK_SLICE(req->args, "x=1&y");
    CHECK_SLICE(req->host, "Example.org");
    CHECK_NUMBER(req->minor_version, 1);
    CU_ASSERT(req->keepalive && !req->expect_continue);
    CHECK_NUMBER(req->framing, HTTP_BODY_LENGTH);
    CHECK_NUMBER(req->content_length, 12);
    CHECK_NUMBER(req->header_count, 4);
    CHECK_SLICE(req->headers[0].value, "Example.org:8080");
    CHECK_SLICE(*http_find_header(req, SLICE("x-blanks")), "v w");
    CHECK_SLICE(*http_find_header(req, SLICE("X-EMPTY")), "");
    CU_ASSERT_PTR_NULL(http_find_header(req, SLICE("X-None")));
}

static void methods(void)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
    char text[100];
    for (int i = 0; i < 7; i++) {
        snprintf(text, sizeof text, "%s / HTTP/1.1\r\nHost: a\r\n\r\n", names[i]);
        const struct parsed_head *v = verdict_on(text);
        CHECK_FOR(text, v->status == 0 && (int)v->req.method == i);
    }
    const struct parsed_head *v = verdict_on("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_NUMBER(v->req.method, HTTP_OTHER);
    check_status("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405);
    check_status("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 405);
    check_status("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405);
}

static void bad_request_lines(void)
{
    static const char *const lines[] = {
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / HTTP/1.1\t",
        "GET /",
        "GET",
        "/ HTTP/1.1",
        "GET / a HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/1.",
        "GET / HTTP/.1",
        "GET / HTTP/1.1.1",
        "GET / HTTP/11.1",
        "GET / HTTP/1.10",
        "GET / HTTP/1,1",
        "GET / HTTP/a.b",
        "GET / HTTPS/1.1",
        "GET / HTTP /1.1",
        "GET / HTTP/ 1.1",
        "G(T / HTTP/1.1",
        "GET: / HTTP/1.1",
        "\"GET\" / HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /#x HTTP/1.1",
        "GET /\r HTTP/1.1",
        "GET / HTTP/1.1\r",
        "GET / HTTP/0.9",
        "G\x80T / HTTP/1.1",
        "GET x HTTP/1.1",
        "GET * HTTP/1.1",
        "GET ?a HTTP/1.1",
        "GET a:80 HTTP/1.1",
        "POST * HTTP/1.1",
        "{GET / HTTP/1.1",
        "get / HTTP/1.1",
    };
    char text[200];
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        snprintf(text, sizeof text, "%s\r\nHost: a\r\n\r\n", lines[i]);
        check_status(text, 400);
    }
    /* For a caller that does not skip the empty line before a request. */
    CHECK_NUMBER(verdict_on("\r\n")->status, 400);
}

static void versions(void)
{
    check_status("GET / HTTP/1.0\r\n\r\n", 0);
    check_status("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    check_status("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
    check_status("GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505);
    const struct parsed_head *v =
        verdict_on("GET / HTTP/1.9\r\nHost: a\r\n\r\n"); /* a higher minor is read as 1.1 */
    CHECK_NUMBER(v->status, 0);
    CHECK_NUMBER(v->req.minor_version, 1);
}

static void bad_header_lines(void)
{
    static const char *const lines[] = {
        "X : 1",           "X\t: 1",           " X: 1",        "\tX: 1",  ": 1",    "X",
        "X\x01: 1",        "X: a\x01",         "X: a\x7f",     "X: a\rb", "X: a\r", "X(y): 1",
        "X\"y\": 1",       "X\x80: 1",         "Xy z: 1",      "X@: 1",   "X[]: 1", "=",
        "X: 1\r\n folded", "X: 1\r\n\tfolded", "X: a\x1b[31m", "{X}: 1",  "X/y: 1", "X,y: 1",
    };
    char text[200];
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        snprintf(text, sizeof text, GET("%s\r\n"), lines[i]);
        check_status(text, 400);
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s\r\nHost: a\r\n\r\n", lines[i]);
        check_status(text, 400);
    }
    check_status(GET("X: caf\xc3\xa9 \xff\r\n"), 0); /* obs-text is allowed, opaque */
    check_status(GET("X: a\tb\r\n"), 0);
    check_status(GET("!#$%&'*+-.^_`|~09azAZ: every tchar\r\n"), 0);
}

static void zero_bytes(void)
{
    static struct parsed_head v;
    read_whole_head(&v, SLICE("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"));
    CHECK_NUMBER(v.status, 400);
    read_whole_head(&v, SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"));
    CHECK_NUMBER(v.status, 400);
    read_whole_head(&v, SLICE("GET / HTTP/1.1\r\nHost: a\r\nX\0: 1\r\n\r\n"));
    CHECK_NUMBER(v.status, 400);
    read_whole_head(&v, SLICE("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"));
    CHECK_NUMBER(v.status, 400);
}

static void line_feeds_alone(void)
{
    check_status("GET / HTTP/1.1\nHost: a\n\n", 0);
    check_status("GET / HTTP/1.1\r\nHost: a\n\r\n", 0);
    check_status("GET / HTTP/1.1\r\nHost: a\r\n\n", 0);
    check_status("GET / HTTP/1.1\nHost: a\r\n\r\n", 0);
    check_status("GET / HTTP/1.1\r\nHost: a\r\nX: 1\n\r\n", 0);
}

static void hosts(void)
{
    static const struct {
        const char *value;
        int status;
        const char *host;
    } cases[] = {
        {"a", 0, "a"},
        {"a.b.c:80", 0, "a.b.c"},
        {"A.b:", 0, "A.b"},
        {"a.b.", 0, "a.b"},
        {"127.0.0.1:8080", 0, "127.0.0.1"},
        {"[::1]", 0, "[::1]"},
        {"[::ffff:1.2.3.4]:80", 0, "[::ffff:1.2.3.4]"},
        {"x_y-z~1", 0, "x_y-z~1"},
        {"a b", 400, ""},
        {"a,b", 400, ""},
        {"a/b", 400, ""},
        {"a\\b", 400, ""},
        {"a@b", 400, ""},
        {"a?b", 400, ""},
        {"a#b", 400, ""},
        {"a:80:90", 400, ""},
        {"a:8x", 400, ""},
        {"a:-1", 400, ""},
        {"a..b", 400, ""},
        {".", 400, ""},
        {"[::1", 400, ""},
        {"[::g]", 400, ""},
        {"[::1]x", 400, ""},
        {"a[b]", 400, ""},
        {"<a>", 400, ""},
        {"\"a\"", 400, ""},
        {"a\xff\xfe(", 400, ""},
    };
    char text[200];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].value);
        check_status(text, cases[i].status);
        if (cases[i].status == 0)
            CHECK_SLICE(verdict_on(text)->req.host, cases[i].host);
    }
    check_status("GET / HTTP/1.1\r\n\r\n", 400);
    check_status("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    check_status("GET / HTTP/1.0\r\nHost: a\r\nHOST: b\r\n\r\n", 400);
    check_status("GET / HTTP/1.0\r\n\r\n", 0);
}

static void lengths(void)
{
    check_status(POST("Content-Length: 0\r\n"), 0);
    check_status(POST("Content-Length: 9223372036854775807\r\n"), 0);
    check_status(POST("Content-Length: 9223372036854775808\r\n"), 400);
    check_status(POST("Content-Length: 99999999999999999999999\r\n"), 400);
    check_status(POST("Content-Length:\r\n"), 400);
    check_status(POST("Content-Length: -1\r\n"), 400);
    check_status(POST("Content-Length: +1\r\n"), 400);
    check_status(POST("Content-Length: 1 2\r\n"), 400);
    check_status(POST("Content-Length: 1,1\r\n"), 400);
    check_status(POST("Content-Length: 0x10\r\n"), 400);
    check_status(POST("Content-Length: 1.0\r\n"), 400);
    check_status(POST("Content-Length: five\r\n"), 400);
    check_status(POST("Content-Length: 5\r\nContent-Length: 5\r\n"), 400);
    check_status(POST("Content-Length: 5\r\ncontent-length: 6\r\n"), 400);
    CHECK_NUMBER(verdict_on(POST(""))->req.framing, HTTP_BODY_NONE);
    CHECK_NUMBER(verdict_on(POST("Content-Length: 0\r\n"))->req.framing, HTTP_BODY_LENGTH);
}

static void transfer_encodings(void)
{
    check_status(POST("Transfer-Encoding: chunked\r\n"), 0);
    check_status(POST("transfer-encoding: CHUNKED\r\n"), 0);
    CHECK_NUMBER(verdict_on(POST("Transfer-Encoding: chunked\r\n"))->req.framing, HTTP_BODY_CHUNKED);
    check_status(POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400);
    check_status(POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400);
    check_status(POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400);
    check_status(POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), 400);
    check_status(POST("Transfer-Encoding:\r\n"), 400);
    check_status(POST("Transfer-Encoding: identity\r\n"), 400);
    check_status(POST("Transfer-Encoding: chunked, identity\r\n"), 400);
    check_status(POST("Transfer-Encoding: chunked;q=1\r\n"), 400);
    check_status(POST("Transfer-Encoding: \"chunked\"\r\n"), 400);
    check_status(POST("Transfer-Encoding: gzip, chunked\r\n"), 501);
    check_status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    check_status("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
                 400);
}

static bool keeps_alive(const char *text)
{
    const struct parsed_head *v = verdict_on(text);
    CHECK_FOR(text, v->status == 0);
    return v->req.keepalive;
}

static void connections(void)
{
    CU_ASSERT(keeps_alive(GET("")));
    CU_ASSERT(!keeps_alive(GET("Connection: close\r\n")));
    CU_ASSERT(!keeps_alive(GET("Connection: x, CLOSE , y\r\n")));
    CU_ASSERT(!keeps_alive(GET("Connection: keep-alive\r\nConnection: close\r\n")));
    CU_ASSERT(!keeps_alive(GET("Connection: close, keep-alive\r\n")));
    CU_ASSERT(keeps_alive(GET("Connection: closed\r\n")));
    CU_ASSERT(!keeps_alive("GET / HTTP/1.0\r\n\r\n"));
    CU_ASSERT(keeps_alive("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    CU_ASSERT(verdict_on(POST("Expect: 100-Continue\r\nContent-Length: 1\r\n"))->req.expect_continue);
    CU_ASSERT(!verdict_on(POST("Expect: something\r\nContent-Length: 1\r\n"))->req.expect_continue);
    CU_ASSERT(!verdict_on("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
                   ->req.expect_continue);
}

static void targets(void)
{
    const struct parsed_head *v = verdict_on("GET http://Other:81/p?q=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_NUMBER(v->status, 0);
    CHECK_SLICE(v->req.host, "Other"); /* overrides the header */
    CHECK_SLICE(v->req.path, "/p");
    CHECK_SLICE(v->req.args, "q=1");
    v = verdict_on("GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_SLICE(v->req.path, "/");
    CHECK_ABSENT(v->req.args);
    v = verdict_on("GET http://b?x HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_SLICE(v->req.path, "/");
    CHECK_SLICE(v->req.args, "x");
    v = verdict_on("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_NUMBER(v->status, 0);
    CHECK_SLICE(v->req.path, "*");
    v = verdict_on("GET /? HTTP/1.1\r\nHost: a\r\n\r\n"); /* as in nginx */
    CHECK_ABSENT(v->req.args);
    v = verdict_on("GET /a?b?c%2f/../ HTTP/1.1\r\nHost: a\r\n\r\n"); /* a query is left as it is */
    CHECK_SLICE(v->req.args, "b?c%2f/../");
    check_status("GET http:///p HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    check_status("GET http://u@h/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    check_status("GET ftp://h/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    /* A path: two slashes are no authority here. */
    check_status("GET //h/p HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    check_status("GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    check_status("GET /%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    check_status("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    check_status("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    check_status("GET /% HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

static void the_number_of_headers_is_bounded(void)
{
    char text[HEAD_BYTES_MAX / 2];
    for (int more = 0; more <= 1; more++) {
        size_t n = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.0\r\n");
        for (int i = 0; i < http_parse_defaults.max_headers + more; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "X-%d: %d\r\n", i, i);
        snprintf(text + n, sizeof text - n, "\r\n");
        CHECK_NUMBER(verdict_on(text)->status, more ? 400 : 0);
    }
}

static void arguments(void)
{
    struct slice args = SLICE("a=1&bb=2&a=3&empty=&flag&&=x&C=%20&d=e=f");
    CHECK_SLICE(http_find_arg(args, SLICE("a")), "1"); /* the first of several */
    CHECK_SLICE(http_find_arg(args, SLICE("bb")), "2");
    CHECK_SLICE(http_find_arg(args, SLICE("c")), "%20"); /* in any case, as written */
    CHECK_SLICE(http_find_arg(args, SLICE("d")), "e=f");
    CHECK_SLICE(http_find_arg(args, SLICE("empty")), "");
    CHECK_ABSENT(http_find_arg(args, SLICE("b")));
    CHECK_ABSENT(http_find_arg((struct slice){0}, SLICE("a")));
    CHECK_ABSENT(http_find_arg(SLICE(""), SLICE("a")));
}

static const struct check_case cases[] = {
    {"all parts of a request", all_parts_of_a_request},
    {"methods", methods},
    {"bad request lines", bad_request_lines},
    {"versions", versions},
    {"bad header lines", bad_header_lines},
    {"zero bytes", zero_bytes},
    {"line feeds alone end lines", line_feeds_alone},
    {"hosts", hosts},
    {"lengths", lengths},
    {"transfer encodings", transfer_encodings},
    {"connections", connections},
    {"targets", targets},
    {"the number of headers is bounded", the_number_of_headers_is_bounded},
    {"arguments", arguments},
};

CHECK_MAIN("http/request", cases)
