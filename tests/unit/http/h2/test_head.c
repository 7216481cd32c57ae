/*
 * tests/unit/http/h2/test_head.c - a request's head, from fields to the text that all of the server reads: pseudo-fields, cookies, Host,
 * limits of a line and of all, and what is malformed.
 */
#include "http/h2/head.h"

#include "http/h2/stream.h"
#include "tests/unit/http/bench_h2.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A line of at most 512 bytes, 1280 in all. */
static const char server[] = "http2 on; client_header_buffer_size 256; large_client_header_buffers 2 512;"
                             "location / { return 200 '$request_method $host $uri $http_cookie\n'; }";

static struct client client;

static void begin(void)
{
    static struct buf said;
    bench_open("", server);
    client = (struct client){0};
    client_connect(&client);
    h2_say_hello(&said);
    h2_client_say(&client, &said);
    buf_free(&said);
    CU_ASSERT_FATAL(client.c && client.c->session);
}

static void end(void)
{
    client_leave(&client);
    h2_client_free(&client);
    (void)bench_log();
    (void)bench_errors();
    bench_close();
}

static void add_lines(const char *lines)
{
    while (*lines) {
        const char *colon = strstr(lines + 1, ": "), *line_end = strchr(lines, '\n');
        h2_head_add(client.c->session, (struct slice){lines, (size_t)(colon - lines)},
                    (struct slice){colon + 2, (size_t)(line_end - colon - 2)});
        lines = line_end + 1;
    }
}

/* What has become of a head: "malformed", "refused: ...", or its text. */
static const char *become_of(const char *lines)
{
    static char text[4096];
    struct h2_session *s = client.c->session;
    struct h2_stream *st = h2_stream_new(s, 1);
    CU_ASSERT_FATAL(st != NULL);
    h2_head_begin(s, st);
    add_lines(lines);
    bool ok = h2_head_end(s, st, false);
    s->is_over = false; /* nghttp2 does not know of this stream */
    CU_ASSERT(ok == (st->ex != NULL));
    if (!ok)
        snprintf(text, sizeof text, "malformed");
    else if (st->refuse)
        snprintf(text, sizeof text, "refused: %s", st->refuse->text);
    else
        snprintf(text, sizeof text, "%.*s", SLICE_ARGS(st->ex->head));
    h2_stream_free(st);
    CHECK_NUMBER(s->heads_bytes, 0);
    CU_ASSERT(!s->head_of);
    return text;
}

static const struct {
    const char *lines, *wanted;
} heads[] = {
    {H2_GET("/"), "GET / HTTP/2.0\r\nhost: h\r\n\r\n"},
    {H2_REQUEST("OPTIONS", "*"), "OPTIONS * HTTP/2.0\r\nhost: h\r\n\r\n"},
    {":path: /a?b=c\n:authority: h:81\n:method: PUT\n:scheme: https\nx: 1\ny: \nx: 2\n",
     "PUT /a?b=c HTTP/2.0\r\nhost: h:81\r\nx: 1\r\ny: \r\nx: 2\r\n\r\n"},
    {H2_GET("/") "content-length: 5\n", "GET / HTTP/2.0\r\nhost: h\r\ncontent-length: 5\r\n\r\n"},
    /* CONNECT has its authority for a target. */
    {":method: CONNECT\n:authority: h:443\n", "CONNECT h:443 HTTP/2.0\r\nhost: h:443\r\n\r\n"},
    /* RFC 9113 section 8.2.3 */
    {H2_GET("/") "cookie: a=1\nx: y\ncookie: b=2\ncookie: c=3; d=4\n",
     "GET / HTTP/2.0\r\nhost: h\r\nx: y\r\ncookie: a=1; b=2; c=3; d=4\r\n\r\n"},
    {H2_GET("/") "cookie: a=1\n", "GET / HTTP/2.0\r\nhost: h\r\ncookie: a=1\r\n\r\n"},
    {H2_GET("/") "cookie: \n", "GET / HTTP/2.0\r\nhost: h\r\n\r\n"},
    /* Section 8.3.1: Host beside :authority has to be the same, and is not there twice. */
    {H2_GET("/") "host: h\n", "GET / HTTP/2.0\r\nhost: h\r\n\r\n"},
    {H2_GET("/") "host: H\n", "GET / HTTP/2.0\r\nhost: h\r\n\r\n"},
    {H2_GET("/") "host: i\n", "malformed"},
    {H2_GET("/") "host: h:80\n", "malformed"},
    {H2_GET("/") "host: \n", "malformed"},
    {":method: GET\n:scheme: http\n:path: /\nhost: i\n", "GET / HTTP/2.0\r\nhost: i\r\n\r\n"},
    /* Of two the parser of HTTP/1 has a word. */
    {":method: GET\n:scheme: http\n:path: /\nhost: i\nhost: i\n",
     "GET / HTTP/2.0\r\nhost: i\r\nhost: i\r\n\r\n"},
    {H2_GET("/") "host: h\nhost: h\n", "GET / HTTP/2.0\r\nhost: h\r\nhost: h\r\n\r\n"},
    {":method: GET\n:scheme: http\n:path: /\n", "GET / HTTP/2.0\r\n\r\n"},
    /* What would end the first line, or Host's. */
    {H2_GET("/a b"), "malformed"},
    {H2_GET("/a\rb"), "malformed"},
    {H2_GET("/a\tb"), "malformed"},
    {H2_GET("/a\x7f"), "malformed"},
    {H2_GET(""), "malformed"},
    {H2_GET("/\xc3\xa4"), "GET /\xc3\xa4 HTTP/2.0\r\nhost: h\r\n\r\n"},
    {H2_REQUEST("GE T", "/"), "malformed"},
    {H2_REQUEST("", "/"), "malformed"},
    {":method: GET\n:scheme: http\n:path: /\n:authority: a b\n", "malformed"},
    {":method: GET\n:scheme: http\n:path: /\n:authority: \n", "malformed"},
    {H2_GET("/a b") "host: h\n", "malformed"},
};

static void texts(void)
{
    begin();
    for (size_t i = 0; i < COUNT(heads); i++)
        check_text(become_of(heads[i].lines), heads[i].wanted, heads[i].lines, __FILE__, __LINE__);
    end();
}

/* A line with its separators: the longest that fits, and one more. */
static void check_line(const char *format, int fixed, const char *refusal)
{
    enum { LINE_BYTES = 512, BETWEEN = 4 /* ": " and the line's end */ };
    char lines[2048];
    int fits = LINE_BYTES - fixed - BETWEEN;
    snprintf(lines, sizeof lines, format, fits, 7);
    CU_ASSERT(strncmp(become_of(lines), "GET /", 5) == 0);
    snprintf(lines, sizeof lines, format, fits + 1, 7);
    check_text(become_of(lines), refusal, format, __FILE__, __LINE__);
}

static void limits_of_a_line(void)
{
    begin();
    check_line(":method: GET\n:path: /%0*d\n:authority: h\n", 6, "refused: client sent too long URI");
    check_line(H2_GET("/") "x: %0*d\n", 1, "refused: client sent too long header line");
    check_line(H2_GET("/") "cookie: %0*d\n", 6, "refused: client sent too long header line");
    check_line(":method: GET\n:path: /\n:authority: %0*d\n", 10, "refused: client sent too long header line");
    end();
}

/* 1280 bytes in all, of which a field takes 3 more than its own, and what comes next 4. */
static void limit_of_all(void)
{
    enum { ALL_BYTES = 1280 };
    char lines[4096];
    begin();
    int had = 3 + 1 + 1;     /* GET, /, h */
    int first = 1 + 4 + 400; /* x */
    int rest = ALL_BYTES - had - 2 * first - 1 - 4;
    snprintf(lines, sizeof lines, H2_GET("/") "x: %0400d\nx: %0400d\nx: %0*d\n", 1, 2, rest, 3);
    CU_ASSERT(strncmp(become_of(lines), "GET /", 5) == 0);
    snprintf(lines, sizeof lines, H2_GET("/") "x: %0400d\nx: %0400d\nx: %0*d\n", 1, 2, rest + 1, 3);
    CHECK_SLICE(slice_of(become_of(lines)), "refused: client sent too large request");
    /* Many that are small are no way round it. */
    char *at = lines + sprintf(lines, "%s", H2_GET("/"));
    for (int i = 0; i < 300; i++)
        at += sprintf(at, "x: y\n");
    CHECK_SLICE(slice_of(become_of(lines)), "refused: client sent too large request");
    at = lines + sprintf(lines, "%s", H2_GET("/"));
    for (int i = 0; i < 320; i++)
        at += sprintf(at, "cookie: yy\n");
    CHECK_SLICE(slice_of(become_of(lines)), "refused: client sent too large request");
    end();
}

/* The first thing that is wrong is what it is refused for; malformed comes before all. */
static void of_several_faults(void)
{
    char lines[4096];
    begin();
    snprintf(lines, sizeof lines, ":method: GET\n:path: /%0600d\n:authority: h\nx: %0600d\n", 1, 2);
    CHECK_SLICE(slice_of(become_of(lines)), "refused: client sent too long URI");
    snprintf(lines, sizeof lines, ":method: G ET\n:path: /%0600d\n:authority: h\n", 1);
    CHECK_SLICE(slice_of(become_of(lines)), "malformed");
    /* Nothing stays of it. */
    CHECK_SLICE(slice_of(become_of(H2_GET("/"))), "GET / HTTP/2.0\r\nhost: h\r\n\r\n");
    end();
}

/* What is beyond a head's limits costs tokens, by its size. */
static void what_is_beyond_is_paid_for(void)
{
    char lines[8192];
    begin();
    const struct h2_budget *b = &client.c->session->budget;
    int before = b->tokens;
    become_of(H2_GET("/"));
    CHECK_NUMBER(before - b->tokens, 0);
    snprintf(lines, sizeof lines, H2_GET("/") "x: %0600d\nx: %0511d\ny: z\n", 1, 2);
    become_of(lines);
    CHECK_NUMBER(before - b->tokens, (1 + 512 / 256) + 1);
    end();
}

/* With all that is behind it: the client's own words, and the same answers as with HTTP/1. */
static void as_responses(void)
{
    static const struct {
        const char *lines, *heard, *log;
    } talks[] = {
        {H2_GET("/a") "cookie: a=1\ncookie: b=2\n", "1:200/18 1=18.", "200 GET /a OK;"},
        {H2_REQUEST("HEAD", "/a"), "1:200/11.", "200 HEAD /a OK;"},
        {H2_GET("/a b"), "1!1", ""},
        {H2_GET("/") "host: other\n", "1!1", ""},
        {H2_GET("/") "connection: close\n", "1!1", ""},
        {H2_GET("/") "X: y\n", "1!1", ""},
        {":method: GET\n:scheme: http\n:authority: h\n", "1!1", ""},
    };
    struct buf said = {0};
    bench_open("", server);
    for (size_t i = 0; i < COUNT(talks); i++) {
        client = (struct client){0};
        client_connect(&client);
        h2_say_hello(&said);
        h2_client_say(&client, &said);
        h2_forget(&client);
        h2_say_head(&said, H2_END, 1, talks[i].lines);
        h2_client_say(&client, &said);
        check_text(h2_hear(&client), talks[i].heard, talks[i].lines, __FILE__, __LINE__);
        check_text(bench_log(), talks[i].log, talks[i].lines, __FILE__, __LINE__);
        client_leave(&client);
        h2_client_free(&client);
        (void)bench_errors();
    }
    buf_free(&said);
    bench_close();
}

/* In parts of any size, which no other frame may interrupt. */
static void in_parts(void)
{
    struct buf said = {0};
    bench_open("", server);
    for (size_t part = 1; part < 60; part++) {
        client = (struct client){0};
        client_connect(&client);
        h2_say_hello(&said);
        h2_say_head_cut(&said, H2_END, 1, H2_GET("/a") "cookie: a=1\ncookie: b=2\n", part);
        h2_client_say(&client, &said);
        CU_ASSERT(h2_has(&client, "1:200/18") && h2_has(&client, "1=18."));
        client_leave(&client);
        h2_client_free(&client);
    }
    (void)bench_log();
    client = (struct client){0};
    client_connect(&client);
    h2_say_hello(&said);
    h2_say_frame(&said, NGHTTP2_HEADERS, H2_END, 1, SLICE("\x82"));
    h2_say_ping(&said, false, "whatever");
    h2_client_say(&client, &said);
    CU_ASSERT(h2_has(&client, "goaway(0,1)") || h2_has(&client, "goaway(1,1)"));
    CHECK_LOG("");
    if (client.c)
        client_leave(&client);
    h2_client_free(&client);
    buf_free(&said);
    (void)bench_errors();
    bench_close();
}

static const struct check_case cases[] = {{"their texts", texts},
                                          {"how long a line may be", limits_of_a_line},
                                          {"how large all of it may be", limit_of_all},
                                          {"several faults", of_several_faults},
                                          {"beyond the limits is paid for", what_is_beyond_is_paid_for},
                                          {"what comes of them", as_responses},
                                          {"in parts", in_parts}};

CHECK_MAIN("h2 heads", cases)
