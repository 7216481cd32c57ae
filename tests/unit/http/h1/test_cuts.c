/*
 * tests/unit/http/h1/test_cuts.c - what a client of HTTP/1 sends comes in whatever pieces, and its responses go out in whatever
 * pieces: they are the same. And whatever call on its stream fails: the connection ends, once, and each request is in the log
 * once.
 */
#include "tests/unit/http/bench_client.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Where a body is read: limits wait for it. A named location can say what it was. */
static const char http[] = "limit_concurrency_zone z limit=10;";
static const char server[] =
    "client_header_buffer_size 256; large_client_header_buffers 2 512; client_max_body_size 64;"
    "client_body_buffer_size 16; lingering_close on;"
    "location / { return 200 '$request_method $args\n'; }"
    "location /echo { limit_concurrency z; try_files /none @echo; }"
    "location @echo { return 200 '$http_x+$request_body'; }"
    "location /read { limit_concurrency z; try_files /none =204; }"
    "location /chunked { sub_filter a bb; sub_filter_types *; }"
    "location /cut { return 444; }";

#define LONG_NAME                                                       \
    "/0123456789012345678901234567890123456789012345678901234567890123" \
    "4567890123456789012345678901234567890123456789012345678901234567890"
#define LONG_URI LONG_NAME LONG_NAME LONG_NAME LONG_NAME LONG_NAME

/* What a client sends, and what comes of it. body: of its only response; NULL: whatever it is. */
struct talk {
    const char *says, *codes, *log, *body;
    enum { STAYS, CLOSES, LINGERS, CLOSES_OR_LINGERS } end;
};

static const struct talk talks[] = {
    {"GET /?a HTTP/1.1\r\nHost: h\r\n\r\n", "200", "200 GET / OK;", "GET a\n", STAYS},
    {"\r\n\nGET /?a HTTP/1.1\nHost: h\n\n", "200", "200 GET / OK;", "GET a\n", STAYS},
    {"HEAD /?a HTTP/1.1\r\nHost: h\r\n\r\n", "200", "200 HEAD / OK;", "", STAYS},
    {"GET /?a HTTP/1.0\r\n\r\n", "200", "200 GET / OK;", "GET a\n", CLOSES},
    {"GET /?a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200", "200 GET / OK;", "GET a\n", STAYS},
    {"GET /?a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200", "200 GET / OK;", "GET a\n", CLOSES},
    {"GET /a HTTP/1.1\r\nHost: h\r\n\r\nHEAD /b HTTP/1.1\r\nHost: h\r\n\r\nGET /none HTTP/1.1\r\nHost: h\r\n\r\n",
     "200 200 200", "200 GET /a OK;200 HEAD /b OK;200 GET /none OK;", NULL, STAYS},
    {"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n", "200",
     "200 GET /a OK;", NULL, CLOSES_OR_LINGERS}, /* as the second one has come by then */
    {"POST /echo HTTP/1.1\r\nHost: h\r\nX: 1\r\nContent-Length: 5\r\n\r\nhello", "200", "200 POST /echo OK;",
     "1+hello", STAYS},
    {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "200", "200 POST /echo OK;", "+", STAYS},
    {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0a\r\n, world, g\r\n"
     "0\r\nT: 1\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
     "200 200", "200 POST /echo OK;200 GET /b OK;", NULL, STAYS},
    {"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n0123456789012345678901234567890123456789"
     "GET /b HTTP/1.1\r\nHost: h\r\n\r\n",
     "204 200", "204 POST /read OK;200 GET /b OK;", NULL, STAYS},
    {"POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", "100 200",
     "200 POST /echo OK;", NULL, STAYS},
    /* A body that nobody wants is skipped. */
    {"POST /?a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nGET / HTTGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
     "200 200", "200 POST / OK;200 GET /b OK;", NULL, STAYS},
    {"POST /?a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nGET\r\n0\r\n\r\n"
     "GET /b HTTP/1.1\r\nHost: h\r\n\r\n",
     "200 200", "200 POST / OK;200 GET /b OK;", NULL, STAYS},
    {"POST /?a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nGETTING\r\n0\r\n\r\n", "200",
     "200 POST / OK;", "POST a\n", LINGERS},
    /* One that has to be asked for, and is not: what follows cannot be told from it. */
    {"POST /?a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", "200",
     "200 POST / OK;", "POST a\n", LINGERS},
    {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 65\r\n\r\n", "413", "413 POST /echo OK;", NULL,
     LINGERS},
    {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n012", "413",
     "413 POST /echo OK;", NULL, LINGERS},
    {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", "400",
     "400 POST /echo OK;", NULL, LINGERS},
    {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "400", "400 POST /echo OK;",
     NULL, LINGERS},
    /* Heads that are none. */
    {"GET / HTTP/1.1\r\n\r\n", "400", "400 GET / OK;", NULL, LINGERS},
    {"GET /\r\n\r\n", "400", "400 GET  OK;", NULL, LINGERS},
    {"get / HTTP/1.1\r\nHost: h\r\n\r\n", "400", "400 -  OK;", NULL, LINGERS},
    {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505", "505 GET  OK;", NULL, LINGERS},
    {"GET x HTTP/1.1\r\nHost: h\r\n\r\n", "400", "400 GET  OK;", NULL, LINGERS},
    {"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "400", "400 GET / OK;", NULL, LINGERS},
    {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "400", "400 GET / OK;", NULL, LINGERS},
    {"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", "400", "400 GET / OK;", NULL, LINGERS},
    {"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", "400", "400 GET / OK;", NULL, LINGERS},
    {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400", "400 GET / OK;",
     NULL, LINGERS},
    {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400",
     "400 GET / OK;", NULL, LINGERS},
    {"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "400", "400 GET / OK;", NULL, LINGERS},
    {"GET " LONG_URI " HTTP/1.1\r\nHost: h\r\n\r\n", "414", "414 GET  OK;", NULL, LINGERS},
    {"GET / HTTP/1.1\r\nHost: h\r\nX: " LONG_URI "\r\n\r\n", "400", "400 GET / OK;", NULL, LINGERS},
    /* Something before and after. */
    {"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n", "200 400",
     "200 GET /a OK;400 -  OK;", NULL, LINGERS},
    {"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /cut HTTP/1.1\r\nHost: h\r\n\r\n", "200",
     "200 GET /a OK;444 GET /cut ;", NULL, CLOSES},
};

/* A connection that begins with what a proxy says of its client. */
static const char proxied[] = "listen 127.0.0.1:8080 proxy_protocol; set_real_ip_from 192.0.2.0/24;"
                              "real_ip_header proxy_protocol;"
                              "location / { return 200 '$remote_addr:$proxy_protocol_port\n'; }";

static const struct talk proxied_talks[] = {
    {"PROXY TCP4 198.51.100.7 203.0.113.1 56789 80\r\nGET /?a HTTP/1.1\r\nHost: h\r\n\r\n", "200",
     "200 GET / OK;", "198.51.100.7:56789\n", STAYS},
    {"PROXY TCP6 2001:db8::7 2001:db8::1 56789 80\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n"
     "GET /b HTTP/1.1\r\nHost: h\r\n\r\n",
     "200 200", "200 GET /a OK;200 GET /b OK;", NULL, STAYS},
    {"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "200", "200 GET / OK;", "192.0.2.1:\n", STAYS},
    {"PROXY TCP4 198.51.100.7 203.0.113.1 56789 80\r\nGET\r\n\r\n", "400", "400 -  OK;", NULL, LINGERS},
    /* No header, no response, no line. */
    {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "", "", NULL, CLOSES},
    {"PROXY TCP4 198.51.100.7\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "", "", NULL, CLOSES},
};

/* All of a talk's bytes come out of it. */
struct outcome {
    struct buf got;
    char *log;
};

static void finish(struct client *p, const struct talk *t)
{
    bool lingers = p->c && p->ended == 1, closes = !p->c && p->ended == 0;
    CHECK_FOR(t->says, t->end == STAYS     ? p->c && p->ended == 0
                       : t->end == CLOSES  ? closes
                       : t->end == LINGERS ? lingers
                                           : lingers || closes);
    if (p->c)
        client_leave(p);
    CHECK_FOR(t->says, p->closed == 1);
    CHECK_NUMBER(bench.w.connections, 0);
    CHECK_NUMBER(bench.w.in_flight, 0);
}

/* All at once. */
static void run_whole(const struct talk *t, struct outcome *o)
{
    struct client p = {.input = slice_of(t->says)};
    client_connect(&p);
    client_run(&p);
    finish(&p, t);
    o->log = strdup(bench_log());
    CHECK_FOR(t->says, strcmp(client_codes(&p), t->codes) == 0);
    CHECK_LOG_FOR(t->says, o->log, strcmp(o->log, t->log) == 0);
    if (t->body)
        CHECK_SLICE(client_body(&p), t->body);
    o->got = p.got;
}

static void check_same(struct client *p, const struct talk *t, const struct outcome *whole)
{
    client_connect(p);
    client_run(p);
    finish(p, t);
    CHECK_FOR(t->says, slice_eq(client_got(p), buf_slice(&whole->got)));
    const char *log = bench_log();
    CHECK_LOG_FOR(t->says, log, strcmp(log, whole->log) == 0);
    client_free(p);
}

/* Any cut into two, any size of pieces, any size of what goes out. */
static void run_in_pieces(const struct talk *t, const struct outcome *whole)
{
    struct slice says = slice_of(t->says);
    for (size_t cut = 1; cut < says.len; cut++)
        check_same(&(struct client){.input = says, .first = cut}, t, whole);
    for (size_t piece = 1; piece < 8; piece++)
        check_same(&(struct client){.input = says, .piece = piece}, t, whole);
    for (size_t take = 1; take < buf_len(&whole->got); take += 1 + take / 8) {
        check_same(&(struct client){.input = says, .take = take}, t, whole);
        check_same(&(struct client){.input = says, .piece = take, .take = 1 + take % 7}, t, whole);
    }
}

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Each line was to come anyway, but for the last one: the request during which the stream has failed. */
static bool is_cut_short(const char *log, const char *whole)
{
    const char *last = log;
    while (*last && *last == *whole)
        last++, whole++;
    while (last > log && last[-1] != ';')
        last--;
    const char *end = strchr(last, ';');
    return !*last || (!end[1] && !strstr(last, "OK") &&
                      (begins_with(last, "499") || begins_with(last, "400") || begins_with(last, "200")));
}

static int count_lines(const char *log)
{
    int count = 0;
    for (; *log; log++)
        count += *log == ';';
    return count;
}

/* The n-th call fails. True when there were so many. */
static bool fail_at(const struct talk *t, const struct outcome *whole, int n, int error)
{
    struct client p = {.input = slice_of(t->says), .piece = 19, .take = 47, .fail_at = n, .error = error};
    uint64_t before = counter_get(&bench.w.slot->requests);
    client_connect(&p);
    client_run(&p);
    bool failed = p.calls >= n;
    if (p.c)
        client_leave(&p);
    CHECK_FOR(t->says, p.closed == 1);
    CHECK_NUMBER(bench.w.connections, 0);
    CHECK_NUMBER(bench.w.in_flight, 0);
    const char *log = bench_log();
    CHECK_NUMBER(count_lines(log), counter_get(&bench.w.slot->requests) - before);
    if (is_for_good(error))
        CHECK_LOG_FOR(t->says, log, is_cut_short(log, whole->log));
    else
        CHECK_LOG_FOR(t->says, log, strcmp(log, whole->log) == 0);
    struct slice got = client_got(&p), all = buf_slice(&whole->got);
    CHECK_FOR(t->says, is_for_good(error) ? slice_starts(all, got) : slice_eq(all, got));
    client_free(&p);
    return failed;
}

static void run_with_failures(const struct talk *t, const struct outcome *whole)
{
    static const int errors[] = {ECONNRESET, EPIPE, ETIMEDOUT, EAGAIN, EINTR};
    for (size_t i = 0; i < COUNT(errors); i++) {
        int n = 1;
        while (fail_at(t, whole, n, errors[i]))
            n++;
        CU_ASSERT(n > 1);
    }
}

typedef void test_of_talk(const struct talk *t, const struct outcome *whole);

static void run_each(const struct talk *t, size_t count, test_of_talk *run)
{
    for (const struct talk *end = t + count; t < end; t++) {
        struct outcome whole = {0};
        run_whole(t, &whole);
        run(t, &whole);
        buf_free(&whole.got);
        free(whole.log);
        (void)bench_errors();
    }
}

static void run_all(test_of_talk *run)
{
    bench_open(http, server);
    run_each(talks, COUNT(talks), run);
    bench_close();
    bench_open("", proxied);
    run_each(proxied_talks, COUNT(proxied_talks), run);
    bench_close();
}

static void cut_anywhere(void)
{
    run_all(run_in_pieces);
}

static void fail_anywhere(void)
{
    run_all(run_with_failures);
}

static const struct check_case cases[] = {
    {"the same for every cut of the input and of the output", cut_anywhere},
    {"any call fails: once closed, once logged", fail_anywhere}};

CHECK_MAIN("h1 cuts", cases)
