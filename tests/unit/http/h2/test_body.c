/*
 * tests/unit/http/h2/test_body.c - the windows of requests' bodies: as much may come as is wanted, what is not used holds its stream back
 * and no other, and what nobody wants is given back to the connection.
 */
#include "tests/unit/http/bench_h2.h"
#include "tests/unit/http/bench_upstream.h"

enum { PREREAD_BYTES = 65536, CONNECTION_BYTES = 1 << 20, BODY_MS = 3200 };

static const char http[] = "limit_concurrency_zone z limit=10;";
static const char server[] =
    "http2 on; client_body_timeout 3200ms; client_max_body_size 400k; client_body_buffer_size 16k;"
    "location / { return 200 here; }"
    "location /read { limit_concurrency z; try_files /none =204; }"
    "location /up { proxy_pass http://127.0.0.1:9; proxy_request_buffering off; proxy_http_version 1.1; }";

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

/* So many bytes, in frames. */
static void say_body(uint32_t id, size_t bytes, bool ends)
{
    static char text[16384];
    for (; bytes > 0 || ends; ends &= bytes > 0) {
        size_t n = bytes < sizeof text ? bytes : sizeof text;
        bytes -= n;
        h2_say_frame(&said, NGHTTP2_DATA, ends && bytes == 0 ? H2_END : 0, id, (struct slice){text, n});
        if (bytes == 0)
            break;
    }
}

static int32_t window(uint32_t id)
{
    nghttp2_session *ng = client.c->session->ng;
    return id ? nghttp2_session_get_stream_local_window_size(ng, (int32_t)id)
              : nghttp2_session_get_local_window_size(ng);
}

static struct upstream_stub *upstream(void)
{
    return &upstreams[0];
}

/* What an upstream does not take fills the stream's window, and stands in nobody's way. */
static void of_an_upstream_that_takes_nothing(void)
{
    begin();
    h2_say_head(&said, 0, 1, H2_POST("/up"));
    say_body(1, PREREAD_BYTES, false);
    h2_client_say(&client, &said);
    CU_ASSERT_FATAL(upstream_waits(upstream()));
    CU_ASSERT(!h2_has(&client, "1!3"));
    h2_say_get(&said, 3, "/");
    h2_client_say(&client, &said);
    CU_ASSERT(h2_has(&client, "3:200/4"));
    /* It has at most so much of it here. */
    CU_ASSERT(window(0) >= CONNECTION_BYTES - 2 * PREREAD_BYTES);
    /* As it is taken, more may come. */
    size_t taken = 0;
    while (taken < PREREAD_BYTES) {
        upstream_take_body(upstream());
        client_settle(&client);
        CU_ASSERT_FATAL(upstream()->taken > taken);
        taken = upstream()->taken;
    }
    CHECK_NUMBER(upstream()->taken, PREREAD_BYTES);
    CU_ASSERT(window(1) >= PREREAD_BYTES / 2);
    say_body(1, 1000, true);
    h2_client_say(&client, &said);
    upstream_take_body(upstream());
    CU_ASSERT(upstream()->has_all && upstream()->taken == PREREAD_BYTES + 1000);
    upstream_answer(upstream(), 204, 0);
    client_settle(&client);
    CU_ASSERT(h2_has(&client, "1:204."));
    CU_ASSERT(window(0) >= CONNECTION_BYTES / 2);
    CHECK_LOG("200 GET / OK;204 POST /up OK;");
    end();
}

/* Who sends beyond the window has its stream reset (RFC 9113 section 6.9.1). */
static void beyond_its_window(void)
{
    begin();
    h2_say_head(&said, 0, 1, H2_POST("/up"));
    h2_client_say(&client, &said);
    say_body(1, 2 * (size_t)window(1) + 40000, false);
    h2_client_say(&client, &said);
    CU_ASSERT(h2_has(&client, "1!3"));
    CU_ASSERT(client.c && window(0) > CONNECTION_BYTES / 2);
    CHECK_LOG("499 POST /up ;");
    CHECK_NUMBER(upstream_count(), 0);
    end();
}

/* One that is read whole gets a larger window, and goes to a file. */
static void of_one_that_is_read(void)
{
    begin();
    h2_say_head(&said, 0, 1, H2_POST("/read"));
    h2_client_say(&client, &said);
    CU_ASSERT(window(1) > PREREAD_BYTES);
    for (int i = 0; i < 6; i++) {
        say_body(1, 60000, i == 5);
        h2_client_say(&client, &said);
    }
    CU_ASSERT(h2_has(&client, "1:204."));
    CU_ASSERT(window(0) >= CONNECTION_BYTES / 2);
    CHECK_LOG("204 POST /read OK;");
    end();
}

/* Its window is as large as its length wants it, and no more. */
static void of_one_with_a_length(void)
{
    begin();
    h2_say_head(&said, 0, 1, H2_POST("/read") "content-length: 60000\n");
    h2_client_say(&client, &said);
    CHECK_NUMBER(window(1), PREREAD_BYTES);
    say_body(1, 60000, true);
    h2_client_say(&client, &said);
    CU_ASSERT(h2_has(&client, "1:204."));
    /* More, and less, than was announced (RFC 9113 section 8.1.1). */
    for (uint32_t id = 3; id < 7; id += 2) {
        h2_say_head(&said, 0, id, H2_POST("/read") "content-length: 5\n");
        say_body(id, id == 3 ? 6 : 4, true);
        h2_client_say(&client, &said);
    }
    CU_ASSERT(h2_has(&client, "3!1") && h2_has(&client, "5!1") && client.c);
    CHECK_LOG("204 POST /read OK;499 POST /read ;499 POST /read ;");
    end();
}

/* The client is told to stop, without a fault (RFC 9113 section 8.1), and the connection has all of its window. */
static void of_one_that_nobody_wants(void)
{
    begin();
    for (uint32_t id = 1; id < 41; id += 2) {
        h2_say_head(&said, 0, id, H2_POST("/"));
        say_body(id, 60000, false);
        h2_client_say(&client, &said);
        CU_ASSERT_FATAL(client.c != NULL);
        CU_ASSERT(window(0) >= CONNECTION_BYTES / 2);
        say_body(id, 5000, true); /* from before it has heard */
        h2_client_say(&client, &said);
    }
    CU_ASSERT(h2_has(&client, "1:200/4") && h2_has(&client, "39:200/4"));
    CU_ASSERT(h2_has(&client, "1!0") && h2_has(&client, "39!0"));
    CU_ASSERT(window(0) >= CONNECTION_BYTES / 2);
    (void)bench_log();
    end();
}

static void that_is_too_large(void)
{
    begin();
    h2_say_head(&said, 0, 1, H2_POST("/read") "content-length: 409601\n");
    h2_client_say(&client, &said);
    CU_ASSERT(h2_has(&client, "1!0"));
    h2_say_head(&said, 0, 3, H2_POST("/read"));
    for (int i = 0; i < 7; i++) {
        say_body(3, 60000, false);
        h2_client_say(&client, &said);
    }
    CU_ASSERT(h2_has(&client, "3!0"));
    CU_ASSERT(window(0) >= CONNECTION_BYTES / 2);
    CHECK_LOG("413 POST /read OK;413 POST /read OK;");
    end();
}

/* Each piece has its time anew. */
static void that_does_not_end(void)
{
    begin();
    h2_say_head(&said, 0, 1, H2_POST("/read"));
    say_body(1, 5, false);
    h2_client_say(&client, &said);
    bench_pass(BODY_MS - 16);
    say_body(1, 5, false);
    h2_client_say(&client, &said);
    bench_pass(BODY_MS - 16);
    CHECK_LOG("");
    bench_pass(32);
    client_settle(&client);
    CU_ASSERT(client.c && strstr(h2_hear(&client), "1:408"));
    CHECK_LOG("408 POST /read OK;");
    end();
}

/* The upstream's answer does not wait for the body. */
static void with_an_early_answer(void)
{
    begin();
    h2_say_head(&said, 0, 1, H2_POST("/up"));
    say_body(1, 30000, false);
    h2_client_say(&client, &said);
    CU_ASSERT_FATAL(upstream_waits(upstream()));
    upstream_answer(upstream(), 200, -1);
    client_settle(&client);
    upstream_give(upstream(), 10);
    client_settle(&client);
    say_body(1, 30000, false);
    h2_client_say(&client, &said);
    CHECK_NUMBER(window(0) >= CONNECTION_BYTES / 2, 1);
    upstream_end(upstream());
    client_settle(&client);
    CU_ASSERT(h2_has(&client, "1:200") && h2_has(&client, "1!0") && client.c);
    CHECK_LOG("200 POST /up OK;");
    end();
}

static const struct check_case cases[] = {
    {"an upstream that takes nothing", of_an_upstream_that_takes_nothing},
    {"beyond the window", beyond_its_window},
    {"read whole", of_one_that_is_read},
    {"with a length", of_one_with_a_length},
    {"that nobody wants", of_one_that_nobody_wants},
    {"too large", that_is_too_large},
    {"that does not end", that_does_not_end},
    {"an answer before its end", with_an_early_answer}};

CHECK_MAIN("h2 bodies", cases)
