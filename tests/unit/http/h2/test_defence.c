/*
 * tests/unit/http/h2/test_defence.c - what a client may have done for it without asking for anything: tokens that come back with time, a
 * GOAWAY at three quarters, the end.
 */
#include "tests/unit/http/bench_h2.h"
#include "tests/unit/http/bench_upstream.h"

enum { TOKENS = 1000, TOKENS_WARN = 250, TOKENS_PER_S = 100 };

static const char http[] = "limit_req_zone $arg_k zone=r:64k rate=1r/s;";
static const char server[] =
    "http2 on; client_header_buffer_size 1k; large_client_header_buffers 4 1k; lingering_close off;"
    "location / { return 200 here; } location /up { proxy_pass http://127.0.0.1:9; }"
    "location /later { limit_req zone=r burst=5; return 200 x; }";

static struct client client;
static struct buf said;

static void begin(void)
{
    h2_bench_open(&client, &said, http, server);
}

static void end(void)
{
    h2_bench_close(&client, &said);
}

static int tokens(void)
{
    return client.c && client.c->session ? client.c->session->budget.tokens : -1;
}

/* All that came before has been paid for, but for the SETTINGS of hello: as many are left. */
static void fill_up(void)
{
    bench_pass(20);
    h2_say_ping(&said, false, "whatever");
    h2_client_say(&client, &said);
    CHECK_NUMBER(tokens(), TOKENS - 1);
}

static void say_pings(int count)
{
    for (int i = 0; i < count; i++)
        h2_say_ping(&said, false, "whatever");
    h2_client_say(&client, &said);
}

static unsigned long long closed_for(enum shm_http2_close reason)
{
    return counter_get(&bench.w.slot->http2.closed[reason]);
}

static void with_time(void)
{
    begin();
    fill_up();
    say_pings(499);
    CHECK_NUMBER(tokens(), TOKENS - 500);
    bench_pass(1000);
    say_pings(1);
    CHECK_NUMBER(tokens(), TOKENS - 500 + TOKENS_PER_S - 1);
    /* Parts of a token are not lost where it is asked often. */
    for (int i = 0; i < 100; i++) {
        bench_pass(5);
        say_pings(1);
    }
    int left = tokens();
    CU_ASSERT(left >= TOKENS - 500 + TOKENS_PER_S - 1 - 100 + 50 - 2 &&
              left <= TOKENS - 500 + TOKENS_PER_S + 50 - 100);
    /* And there are never more than at first. */
    bench_pass(10000);
    say_pings(1);
    CHECK_NUMBER(tokens(), TOKENS - 1);
    CHECK_NUMBER(client.c->session->leave, H2_STAYS);
    end();
}

/* What runs is finished; what comes is refused. */
static void at_three_quarters(void)
{
    begin();
    fill_up();
    h2_say_get(&said, 1, "/up");
    h2_client_say(&client, &said);
    say_pings(TOKENS - 1 - TOKENS_WARN - 1);
    CHECK_NUMBER(client.c->session->leave, H2_STAYS);
    CU_ASSERT(!h2_has(&client, "goaway(1,11)"));
    h2_forget(&client);
    say_pings(1);
    CHECK_HEARD(&client, "pong goaway(1,11)");
    h2_forget(&client);
    h2_say_get(&said, 3, "/");
    h2_client_say(&client, &said);
    CHECK_HEARD(&client, ""); /* not even a reset: it has been told */
    CU_ASSERT_FATAL(upstream_waits(&upstreams[0]));
    upstream_answer(&upstreams[0], 200, 5);
    client_settle(&client);
    upstream_give(&upstreams[0], 5);
    client_settle(&client);
    CU_ASSERT(strstr(h2_hear(&client), "1:200/5 1=5.") != NULL);
    CU_ASSERT(!client.c);
    CHECK_NUMBER(closed_for(SHM_HTTP2_FLOOD), 1);
    CHECK_LOG("200 GET /up OK;");
    CHECK_ERRORS("its connection takes no more requests");
    end();
}

/* Nothing is waited for. */
static void at_the_end(void)
{
    begin();
    fill_up();
    h2_say_get(&said, 1, "/up");
    h2_client_say(&client, &said);
    for (int i = 0; i < TOKENS + 100; i++)
        h2_say_ping(&said, false, "whatever");
    client.piece = 1000;
    client.input = buf_slice(&said);
    client_run(&client);
    CU_ASSERT(!client.c);
    CU_ASSERT(h2_has(&client, "goaway(1,11)"));
    CHECK_NUMBER(closed_for(SHM_HTTP2_FLOOD), 1);
    CHECK_NUMBER(upstream_count(), 0);
    CHECK_LOG("499 GET /up ;");
    CHECK_ERRORS("closing its connection");
    end();
}

/* Who does not read either is closed at once. */
static void of_who_reads_nothing(void)
{
    begin();
    client.takes_nothing = true;
    say_pings(TOKENS + 100);
    CU_ASSERT(!client.c);
    CHECK_NUMBER(closed_for(SHM_HTTP2_FLOOD), 1);
    end();
}

/* What each frame costs. */
static void by_frame(void)
{
    begin();
    fill_up();
#define CHECK_COST(tokens_wanted)                    \
    do {                                             \
        int had = tokens();                          \
        h2_client_say(&client, &said);               \
        CHECK_NUMBER(had - tokens(), tokens_wanted); \
    } while (0)
    h2_say_get(&said, 1, "/up");
    CHECK_COST(0);
    h2_say_ping(&said, true, "whatever");
    CHECK_COST(1);
    h2_say_settings(&said, NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 100);
    CHECK_COST(1);
    h2_say_window(&said, 0, 1000);
    h2_say_window(&said, 1, 1000);
    CHECK_COST(0);
    h2_say_frame(&said, NGHTTP2_PRIORITY, 0, 1, SLICE("\0\0\0\0\1"));
    CHECK_COST(1);
    h2_say_frame(&said, 99, 0, 0, SLICE("what"));
    CHECK_COST(1);
    h2_say_get(&said, 3, "/");
    CHECK_COST(0);
    h2_say_head(&said, 0, 5, H2_POST("/up"));
    h2_say_data(&said, 0, 5, "x");
    CHECK_COST(0);
    h2_say_data(&said, 0, 5, "");
    CHECK_COST(1);
    h2_say_reset(&said, 5, NGHTTP2_CANCEL);
    CHECK_COST(1);
    h2_say_head(&said, H2_END, 7, H2_GET("/a b")); /* and its reset */
    CHECK_COST(2);
#undef CHECK_COST
    end();
}

static const struct check_case cases[] = {{"tokens come back with time", with_time},
                                          {"three quarters are spent", at_three_quarters},
                                          {"all are spent", at_the_end},
                                          {"who reads nothing", of_who_reads_nothing},
                                          {"what frames cost", by_frame}};

CHECK_MAIN("h2 defence", cases)
