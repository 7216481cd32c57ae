/*
 * tests/unit/http/h1/test_timers.c - how long a connection waits for its client, to the millisecond: for a head, a body, the
 * next request, for what it has sent to be taken, and for the end behind that.
 *
 * All times are whole ticks of the wheel, so that a deadline is not rounded up.
 */
#include "tests/unit/http/bench_client.h"

enum {
    HEADER_MS = 1600,
    BODY_MS = 3200,
    SEND_MS = 4800,
    KEEPALIVE_MS = 6400,
    LINGER_MS = 800,
    LINGER_IN_ALL_MS = 2000,
    GRACE_MS = 208, /* a drain's 200, in whole ticks */
    BIG_BYTES = 100000
};

static const char http[] = "limit_concurrency_zone z limit=10;";
static const char server[] =
    "client_header_timeout 1600ms; client_body_timeout 3200ms; send_timeout 4800ms;"
    "keepalive_timeout 6400ms; lingering_timeout 800ms; lingering_time 2000ms; keepalive_requests 3;"
    "location / { return 200 'here\n'; }"
    "location /read { limit_concurrency z; try_files /none =204; }"
    "location /files { alias ./; }";

#define HEAD(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

static void begin(const char *more)
{
    static char big[BIG_BYTES], text[2000];
    memset(big, 'x', sizeof big);
    snprintf(text, sizeof text, "%s%s", server, more);
    bench_open(http, text);
    bench_add_file("big", (struct slice){big, sizeof big});
}

/* Nothing comes of it before ms from now, and then it is closed. */
#define CHECK_CLOSES_IN(p, ms)            \
    do {                                  \
        bench_pass((ms)-1);               \
        CU_ASSERT((p)->c && !(p)->ended); \
        bench_pass(1);                    \
        CHECK_NUMBER((p)->closed, 1);     \
    } while (0)

static void of_nothing(void)
{
    struct client p = {0};
    begin("");
    client_connect(&p);
    CHECK_CLOSES_IN(&p, HEADER_MS);
    CHECK_LOG("");
    CHECK_NUMBER(client_got(&p).len, 0);
    CU_ASSERT(!p.reset);
    client_free(&p);
    bench_close();
}

/* The first head's time runs from the connection on, whatever comes of it. */
static void of_a_first_head(const char *reset, bool is_reset)
{
    struct client p = {0};
    begin(reset);
    client_connect(&p);
    bench_pass(HEADER_MS - 96);
    client_say(&p, SLICE("GET /a HTTP/1.1\r\nHo"));
    bench_pass(32);
    client_say(&p, SLICE("st: h\r\n"));
    CHECK_CLOSES_IN(&p, 64);
    CHECK_LOG("408 GET /a ;");
    CHECK_ERRORS("client timed out (110: Connection timed out) while reading client request headers");
    CHECK_NUMBER(client_got(&p).len, 0);
    CU_ASSERT(p.reset == is_reset);
    client_free(&p);
    bench_close();
}

static void of_first_heads(void)
{
    of_a_first_head("", false);
    of_a_first_head("reset_timedout_connection on;", true);
}

/* A later one's from its first byte on, which empty lines are not. */
static void of_a_later_head(void)
{
    struct client p = {.input = SLICE(HEAD("/a"))};
    begin("");
    client_connect(&p);
    client_run(&p);
    CHECK_CODES(&p, "200");
    bench_pass(KEEPALIVE_MS - 16);
    client_say(&p, SLICE("\r\nG"));
    bench_pass(HEADER_MS - 16);
    client_say(&p, SLICE("ET /b"));
    CHECK_CLOSES_IN(&p, 16);
    CHECK_LOG("200 GET /a OK;408 -  ;");
    client_free(&p);
    bench_close();
}

static void between_requests(void)
{
    struct client p = {.input = SLICE(HEAD("/a") HEAD("/b"))};
    begin("");
    client_connect(&p);
    client_run(&p);
    bench_pass(KEEPALIVE_MS - 32);
    client_say(&p, SLICE("\r\n\r\n")); /* wins no time */
    CHECK_NUMBER(bench.w.shown[SHM_CONNECTION_WAITING], 1);
    CHECK_CLOSES_IN(&p, 32);
    CHECK_LOG("200 GET /a OK;200 GET /b OK;");
    client_free(&p);
    bench_close();
}

/* What has come when the time is over, and was not looked at yet, is served. */
static void at_the_last_moment(void)
{
    struct client p = {.input = SLICE(HEAD("/a"))};
    begin("");
    client_connect(&p);
    client_run(&p);
    bench_pass(KEEPALIVE_MS - 1);
    p.input = SLICE(HEAD("/b"));
    bench_pass(1);
    CHECK_CODES(&p, "200 200");
    CHECK_CLOSES_IN(&p, KEEPALIVE_MS);
    CHECK_LOG("200 GET /a OK;200 GET /b OK;");
    client_free(&p);
    /* A part of a head is not enough. */
    p = (struct client){.input = SLICE(HEAD("/a"))};
    client_connect(&p);
    client_run(&p);
    bench_pass(KEEPALIVE_MS - 1);
    p.input = SLICE("GET /b HTTP");
    bench_pass(1);
    CHECK_NUMBER(bench.w.shown[SHM_CONNECTION_READING], 1);
    CHECK_CLOSES_IN(&p, HEADER_MS);
    client_free(&p);
    /* Nor are empty lines. */
    p = (struct client){.input = SLICE(HEAD("/a"))};
    client_connect(&p);
    client_run(&p);
    bench_pass(KEEPALIVE_MS - 1);
    p.input = SLICE("\r\n");
    CHECK_CLOSES_IN(&p, 1);
    client_free(&p);
    bench_close();
}

/* The last request that a connection may have; nor does one stay that is too old. */
static void of_kept_connections(void)
{
    struct client p = {.input = SLICE(HEAD("/a") HEAD("/b") HEAD("/c") HEAD("/d"))};
    begin("keepalive_time 3200ms;");
    client_connect(&p);
    client_run(&p);
    CHECK_CODES(&p, "200 200 200");
    CHECK_NUMBER(p.ended, 1);
    client_leave(&p);
    client_free(&p);
    p = (struct client){.input = SLICE(HEAD("/a"))};
    client_connect(&p);
    client_run(&p);
    bench_pass(3200);
    client_say(&p, SLICE(HEAD("/b")));
    CU_ASSERT(p.c != NULL);
    bench_pass(1);
    client_say(&p, SLICE(HEAD("/c")));
    CU_ASSERT(!p.c);
    CHECK_CODES(&p, "200 200 200");
    CU_ASSERT(client_has(&p, "Connection: close"));
    client_free(&p);
    bench_close();
}

/* A request's own time runs from its first byte on. */
static void of_a_request(void)
{
    struct client p = {.input = SLICE(HEAD("/a") "POST /re")};
    begin("");
    client_connect(&p);
    bench_pass(500);
    client_run(&p);
    bench_pass(100);
    client_say(&p, SLICE("ad HTTP/1.1\r\nHost: h\r\nContent-Le"));
    bench_pass(100);
    client_say(&p, SLICE("ngth: 1\r\n\r\n"));
    CU_ASSERT_FATAL(h1_request_is(p.c, REQUEST_BODY));
    CHECK_NUMBER(p.c->ex->start_ms, BENCH_BEGINS_MS + 500);
    client_leave(&p);
    client_free(&p);
    bench_close();
}

/* Each piece of a body has its time anew. */
static void of_a_body(void)
{
    struct client p = {.input = SLICE("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n12")};
    begin("");
    client_connect(&p);
    client_run(&p);
    CU_ASSERT(h1_request_is(p.c, REQUEST_BODY));
    bench_pass(BODY_MS - 1);
    client_say(&p, SLICE("3"));
    bench_pass(BODY_MS - 15);
    CHECK_NUMBER(client_got(&p).len, 0);
    bench_pass(15 + 1);
    client_run(&p);
    CHECK_CODES(&p, "408");
    CHECK_LOG("408 POST /read OK;");
    CHECK_ERRORS("client timed out (110: Connection timed out) while reading client request body");
    CHECK_NUMBER(p.ended, 1); /* it may be sending all the same */
    bench_pass(LINGER_MS);
    CU_ASSERT(!p.c);
    client_free(&p);
    bench_close();
}

/* Time counts from when the client took something last; and the response is not whole. */
static void of_sending(const char *more, bool is_reset)
{
    struct client p = {.input = SLICE(HEAD("/files/big")), .take = 4096};
    begin(more);
    client_connect(&p);
    CU_ASSERT(client_turn(&p) && client_turn(&p));
    size_t before = client_got(&p).len;
    CU_ASSERT(before > 0 && before < BIG_BYTES);
    bench_pass(SEND_MS - 16);
    CU_ASSERT(client_turn(&p) && client_got(&p).len > before);
    CHECK_CLOSES_IN(&p, SEND_MS);
    CHECK_LOG("200 GET /files/big ;");
    CU_ASSERT(p.reset == is_reset);
    client_free(&p);
    bench_close();
}

static void of_all_ways_of_sending(void)
{
    of_sending("sendfile on;", false);
    of_sending("sendfile off; reset_timedout_connection on;", true);
    of_sending("gzip on; gzip_types *; sub_filter x y; sub_filter_types *; sub_filter_once off;", false);
}

/* A small response is in the log once it is out of the request's hands; the client may take its time all the same. */
static void of_what_waits(void)
{
    struct client p = {.input = SLICE(HEAD("/a")), .takes_nothing = true};
    begin("");
    client_connect(&p);
    client_run(&p);
    CU_ASSERT(p.c && p.c->out);
    CHECK_LOG("200 GET /a OK;");
    CHECK_CLOSES_IN(&p, SEND_MS);
    CHECK_LOG("");
    client_free(&p);
    bench_close();
}

/* Behind the last response: silence, and all of it. */
static void of_lingering(void)
{
    begin("lingering_close always;");
    struct client p = {.input = SLICE("GET /a HTTP/1.0\r\n\r\n")};
    client_connect(&p);
    client_run(&p);
    CHECK_NUMBER(p.ended, 1);
    CHECK_NUMBER(p.c->state, CONNECTION_LINGER);
    bench_pass(LINGER_MS - 1);
    CU_ASSERT(p.c != NULL);
    bench_pass(1);
    CU_ASSERT(!p.c);
    client_free(&p);
    p = (struct client){.input = SLICE("GET /a HTTP/1.0\r\n\r\n")};
    client_connect(&p);
    client_run(&p);
    for (int passed_ms = 0; passed_ms < 1600; passed_ms += 400) {
        bench_pass(400);
        client_say(&p, SLICE("more and more"));
        CU_ASSERT(p.c != NULL);
    }
    bench_pass(LINGER_IN_ALL_MS - 1600 - 1);
    CU_ASSERT(p.c != NULL);
    bench_pass(1);
    CU_ASSERT(!p.c);
    client_free(&p);
    /* Nor does it end later where the client sends all the time. */
    p = (struct client){.input = SLICE("GET /a HTTP/1.0\r\n\r\n")};
    client_connect(&p);
    client_run(&p);
    p.piece = 1;
    bench_set_time(bench.w.now_ms + LINGER_IN_ALL_MS - 1);
    client_say(&p, SLICE("more and more"));
    CU_ASSERT(p.c != NULL);
    bench_set_time(bench.w.now_ms + 1);
    client_say(&p, SLICE("more and more"));
    CU_ASSERT(!p.c && p.input.len > 0);
    client_free(&p);
    bench_close();
}

/* A body that nobody wants is waited for as long as one lingers. */
static void of_an_unwanted_body(void)
{
    struct client p = {.input = SLICE("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n12")};
    begin("");
    client_connect(&p);
    client_run(&p);
    CHECK_CODES(&p, "200");
    bench_pass(LINGER_MS - 16);
    client_say(&p, SLICE("3"));
    CHECK_CLOSES_IN(&p, LINGER_MS);
    client_free(&p);
    bench_close();
}

/* A worker that stops: who is idle has a moment, who has a request its response, and no other. */
static void of_the_end(void)
{
    struct client idle = {.input = SLICE(HEAD("/a"))}, fresh = {0}, late = {.input = SLICE(HEAD("/a"))},
                  busy = {.input = SLICE("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n")};
    begin("");
    client_connect(&idle);
    client_connect(&fresh);
    client_connect(&late);
    client_connect(&busy);
    client_run(&idle);
    client_run(&late);
    client_run(&busy);
    bench.w.draining = true;
    connection_drain(&bench.w);
    bench_pass(GRACE_MS - 1);
    client_say(&late, SLICE(HEAD("/b")));
    CHECK_CODES(&late, "200 200");
    CU_ASSERT(!late.c && client_has(&late, "Connection: close"));
    CU_ASSERT(idle.c && fresh.c && busy.c);
    bench_pass(1);
    CU_ASSERT(!idle.c && !fresh.c && busy.c);
    client_say(&busy, SLICE("x"));
    CHECK_CODES(&busy, "204");
    CU_ASSERT(!busy.c);
    CHECK_LOG("200 GET /a OK;200 GET /a OK;200 GET /b OK;204 POST /read OK;");
    client_free(&idle);
    client_free(&fresh);
    client_free(&late);
    client_free(&busy);
    bench_close();
}

/* Who makes room for others: the one that is idle longest, once its keepalive_min_timeout is over. */
static void of_making_room(void)
{
    struct client a = {.input = SLICE(HEAD("/a"))}, b = {.input = SLICE(HEAD("/b"))}, fresh = {0};
    begin("keepalive_min_timeout 3200ms;");
    client_connect(&a);
    client_connect(&b);
    client_connect(&fresh);
    client_run(&a);
    bench_pass(16);
    client_run(&b);
    CU_ASSERT(!connection_close_oldest_idle(&bench.w));
    bench_set_time(bench.w.now_ms + 3200 - 17);
    CU_ASSERT(!connection_close_oldest_idle(&bench.w));
    bench_set_time(bench.w.now_ms + 1);
    CU_ASSERT(connection_close_oldest_idle(&bench.w));
    CU_ASSERT(!a.c && b.c && !connection_close_oldest_idle(&bench.w));
    bench_set_time(bench.w.now_ms + 16);
    CU_ASSERT(connection_close_oldest_idle(&bench.w));
    CU_ASSERT(!b.c && fresh.c && !connection_close_oldest_idle(&bench.w));
    client_leave(&fresh);
    client_free(&a);
    client_free(&b);
    client_free(&fresh);
    bench_close();
}

static const struct check_case cases[] = {{"a client that says nothing", of_nothing},
                                          {"a first head that does not end", of_first_heads},
                                          {"a later head that does not end", of_a_later_head},
                                          {"between requests", between_requests},
                                          {"what comes at the last moment", at_the_last_moment},
                                          {"a connection's last request", of_kept_connections},
                                          {"a request's own time", of_a_request},
                                          {"a body that does not end", of_a_body},
                                          {"a client that takes nothing more", of_all_ways_of_sending},
                                          {"a client that takes nothing at all", of_what_waits},
                                          {"lingering", of_lingering},
                                          {"a body that nobody wants", of_an_unwanted_body},
                                          {"a worker that stops", of_the_end},
                                          {"making room", of_making_room}};

CHECK_MAIN("h1 timers", cases)
