/*
 * tests/unit/http/h2/test_leave.c - how a connection ends without losing a request: a first GOAWAY that lets all in, a PING, and a second one with the
 * last stream; by a worker that stops, by age, by the count of requests, and when it is idle.
 */
#include "tests/unit/http/bench_h2.h"
#include "tests/unit/http/bench_upstream.h"

enum {
    KEEPALIVE_MS = 6400,
    KEEPALIVE_TIME_MS = 32000,
    GRACE_MS = 1008 /* in whole ticks */,
    HEADER_MS = 1600
};

static const char server[] =
    "http2 on; keepalive_timeout 6400ms; keepalive_time 32s;"
    "client_header_timeout 1600ms; lingering_close off;"
    "location / { return 200 here; } location /up { proxy_pass http://127.0.0.1:9; }";

#define FIRST "goaway(2147483647,0) ping"

static struct client client;
static struct buf said;

static void begin_with(const char *more)
{
    static char text[1000];
    snprintf(text, sizeof text, "%s%s", server, more);
    bench_open("", text);
    h2_connect(&client, &said);
}

static void begin(void)
{
    begin_with("");
}

static void end(void)
{
    h2_bench_close(&client, &said);
}

/* What it hears of the worker's side from now on. */
static void ask(uint32_t id, const char *path)
{
    h2_forget(&client);
    h2_say_get(&said, id, path);
    h2_client_say(&client, &said);
}

static void answer_ping(void)
{
    char eight[8];
    h2_hear(&client);
    memcpy(eight, h2_heard.eight, sizeof eight);
    h2_forget(&client);
    h2_say_ping(&said, true, eight);
    h2_client_say(&client, &said);
}

static void drain(void)
{
    h2_forget(&client);
    bench.w.draining = true;
    connection_drain(&bench.w);
    client_settle(&client);
}

static unsigned long long closed_for(enum shm_http2_close reason)
{
    return counter_get(&bench.w.slot->http2.closed[reason]);
}

/* A request that was on its way is served. */
static void of_a_worker(void)
{
    begin();
    ask(1, "/");
    drain();
    CHECK_HEARD(&client, FIRST);
    CU_ASSERT(client.c != NULL);
    ask(3, "/");
    CHECK_HEARD(&client, "3:200/4 3=4.");
    drain();
    CHECK_HEARD(&client, ""); /* it is said once */
    h2_say_ping(&said, true, "weir bye");
    h2_client_say(&client, &said);
    CHECK_HEARD(&client, "goaway(3,0)");
    CU_ASSERT(!client.c);
    CHECK_NUMBER(closed_for(SHM_HTTP2_DRAINING), 1);
    CHECK_LOG("200 GET / OK;200 GET / OK;");
    end();
}

/* A request that is at work is finished, and none begins behind the second GOAWAY. */
static void with_a_request_at_work(void)
{
    begin();
    ask(1, "/up");
    drain();
    CHECK_HEARD(&client, FIRST);
    answer_ping();
    CHECK_HEARD(&client, "goaway(1,0)");
    CU_ASSERT(client.c != NULL);
    ask(3, "/");
    CHECK_HEARD(&client, ""); /* it has been told */
    bench_pass(10000);
    CU_ASSERT_FATAL(client.c && upstream_waits(&upstreams[0]));
    h2_forget(&client);
    upstream_answer(&upstreams[0], 200, 0);
    client_settle(&client);
    CU_ASSERT(strncmp(h2_hear(&client), "1:200/0", 7) == 0);
    CU_ASSERT(!client.c);
    CHECK_LOG("200 GET /up OK;");
    end();
}

/* Any other PING is no answer. */
static void with_other_pings(void)
{
    begin();
    ask(1, "/");
    drain();
    h2_forget(&client);
    h2_say_ping(&said, true, "anything");
    h2_say_ping(&said, false, "weir bye");
    h2_client_say(&client, &said);
    CHECK_HEARD(&client, "pong");
    CU_ASSERT(client.c && client.c->session->leave == H2_HAS_WARNED);
    h2_forget(&client);
    bench_pass(GRACE_MS - 16);
    client_settle(&client);
    CU_ASSERT(client.c != NULL);
    bench_pass(16);
    client_settle(&client);
    CHECK_HEARD(&client, "goaway(1,0)");
    CU_ASSERT(!client.c);
    CHECK_NUMBER(closed_for(SHM_HTTP2_DRAINING), 1);
    (void)bench_log();
    end();
}

/* keepalive_requests */
static void by_count(void)
{
    begin_with("keepalive_requests 3;");
    ask(1, "/");
    CHECK_HEARD(&client, "1:200/4 1=4.");
    ask(3, "/");
    CHECK_HEARD(&client, "3:200/4 3=4.");
    ask(5, "/");
    CU_ASSERT(strstr(h2_hear(&client), "goaway(2147483647,0)") != NULL);
    CU_ASSERT(strstr(h2_hear(&client), "5:200/4 5=4.") != NULL);
    h2_forget(&client);
    h2_say_get(&said, 7, "/"); /* from before it has heard */
    h2_say_ping(&said, true, "weir bye");
    h2_client_say(&client, &said);
    CU_ASSERT(strstr(h2_hear(&client), "goaway(7,0)") != NULL);
    CU_ASSERT(strstr(h2_hear(&client), "7:200/4 7=4.") != NULL);
    CU_ASSERT(!client.c);
    CHECK_NUMBER(closed_for(SHM_HTTP2_AGED), 1);
    (void)bench_log();
    end();
}

/* keepalive_time */
static void by_age(void)
{
    begin();
    for (int passed_ms = 0; passed_ms < KEEPALIVE_TIME_MS; passed_ms += 3200) {
        ask(1 + 2 * (uint32_t)(passed_ms / 3200), "/");
        CU_ASSERT(!strstr(h2_hear(&client), "goaway"));
        bench_pass(3200);
    }
    bench_pass(16);
    ask(101, "/");
    CU_ASSERT(strstr(h2_hear(&client), "goaway(2147483647,0)") != NULL);
    CU_ASSERT(strstr(h2_hear(&client), "101:200/4 101=4.") != NULL);
    answer_ping();
    CU_ASSERT(!client.c);
    CHECK_NUMBER(closed_for(SHM_HTTP2_AGED), 1);
    (void)bench_log();
    end();
}

/* keepalive_timeout: PINGs win no time. */
static void when_idle(void)
{
    begin();
    ask(1, "/");
    bench_pass(KEEPALIVE_MS - 16);
    h2_forget(&client);
    h2_say_ping(&said, false, "whatever");
    h2_client_say(&client, &said);
    CHECK_HEARD(&client, "pong");
    h2_forget(&client);
    bench_pass(16);
    client_settle(&client);
    CHECK_HEARD(&client, FIRST);
    /* What is on its way then is served. */
    ask(3, "/");
    CHECK_HEARD(&client, "3:200/4 3=4.");
    bench_pass(GRACE_MS + 16);
    client_settle(&client);
    CU_ASSERT(!client.c);
    CHECK_NUMBER(closed_for(SHM_HTTP2_IDLE), 1);
    (void)bench_log();
    end();
}

/* client_header_timeout: of one that has never asked. */
static void before_a_request(void)
{
    begin();
    bench_pass(HEADER_MS - 16);
    h2_say_ping(&said, false, "whatever");
    h2_client_say(&client, &said);
    CU_ASSERT(client.c != NULL);
    bench_pass(16);
    client_run(&client);
    CU_ASSERT(!client.c);
    CHECK_NUMBER(closed_for(SHM_HTTP2_TIMEOUT), 1);
    end();
}

/* A head that is not whole has its time, whatever else there is. */
static void of_a_head(void)
{
    begin();
    ask(1, "/");
    h2_say_frame(&said, NGHTTP2_HEADERS, H2_END, 3, SLICE("\x82"));
    h2_client_say(&client, &said);
    bench_pass(HEADER_MS - 16);
    CU_ASSERT(client.c != NULL);
    bench_pass(16);
    client_run(&client);
    CU_ASSERT(!client.c);
    CHECK_NUMBER(closed_for(SHM_HTTP2_TIMEOUT), 1);
    CHECK_LOG("200 GET / OK;");
    end();
}

static const struct check_case cases[] = {{"a worker that stops", of_a_worker},
                                          {"with a request at work", with_a_request_at_work},
                                          {"other PINGs are no answer", with_other_pings},
                                          {"keepalive_requests", by_count},
                                          {"keepalive_time", by_age},
                                          {"keepalive_timeout", when_idle},
                                          {"before the first request", before_a_request},
                                          {"a head that does not end", of_a_head}};

CHECK_MAIN("h2 leave", cases)
