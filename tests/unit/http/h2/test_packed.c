/*
 * tests/unit/http/h2/test_packed.c - the memory of nghttp2: its bound, and that of a connection that is idle, which is packed.
 */
#include "tests/unit/http/bench_h2.h"
#include "tests/unit/http/bench_upstream.h"

#include "http/h2/memory.h"
#include "http/h2/version.h"

#include <malloc.h>

enum { LONG_MS = 1100 /* more than what is left alone */ };

static const char http[] = "";
static const char server[] =
    "http2 on; client_header_buffer_size 1k; large_client_header_buffers 4 1k; lingering_close off;"
    "location / { return 200 '$http_x_long|'; } location /up { proxy_pass http://127.0.0.1:9; }";

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

static unsigned long long closed_for(enum shm_http2_close reason)
{
    return counter_get(&bench.w.slot->http2.closed[reason]);
}

static const struct h2_memory *memory(void)
{
    return &client.c->session->memory;
}

/* --- its bound --- */

/* nghttp2 gets no more than its bound: the connection ends, whatever it was wanted for. */
static void of_memory(void)
{
    begin();
    struct h2_memory *m = &client.c->session->memory;
    CU_ASSERT(m->held > 0 && m->held < m->held_max);
    m->held_max = m->held;
    h2_say_get(&said, 1, "/");
    client.input = buf_slice(&said);
    client_run(&client);
    CU_ASSERT(!client.c);
    CHECK_NUMBER(closed_for(SHM_HTTP2_MEMORY), 1);
    CHECK_LOG("");
    end();
}

/* Wherever on a response's way the bound is reached, it is the connection's end, and nothing else. */
static void of_memory_for_a_response(void)
{
    bench_open(http, server);
    for (size_t more = 0; more < 3000; more += 8) {
        client = (struct client){0};
        client_connect(&client);
        h2_say_hello(&said);
        h2_say_get(&said, 1, "/up");
        h2_client_say(&client, &said);
        CU_ASSERT_FATAL(upstream_waits(&upstreams[0]));
        struct h2_memory *m = &client.c->session->memory;
        m->held_max = m->held + more;
        upstream_answer(&upstreams[0], 200, 5);
        client_settle(&client);
        if (upstream_sends(&upstreams[0]))
            upstream_give(&upstreams[0], 5);
        client_settle(&client);
        CU_ASSERT(!client.c || h2_has(&client, "1=5."));
        if (client.c)
            client_leave(&client);
        h2_client_free(&client);
    }
    CU_ASSERT(closed_for(SHM_HTTP2_MEMORY) > 0 && closed_for(SHM_HTTP2_CLIENT) > 0);
    buf_free(&said);
    (void)bench_log();
    (void)bench_errors();
    bench_close();
}

/* All that nghttp2 has taken comes back. */
static void of_memory_that_comes_back(void)
{
    begin();
    h2_say_get(&said, 1, "/");
    h2_client_say(&client, &said);
    size_t held = client.c->session->memory.held;
    for (uint32_t id = 3; id < 100; id += 2) {
        h2_say_get(&said, id, "/");
        h2_client_say(&client, &said);
    }
    CHECK_NUMBER(client.c->session->memory.held, held);
    end();
}

/* --- packed --- */

/* GET / whose field goes into the table, or comes out of it (RFC 7541 sections 6.2.1 and 6.1). */
static void say_get_by_table(uint32_t id, const char *value)
{
    struct buf block = {0};
    h2_say_bytes(&block, "\x82\x84\x86\x01\1a", 6);
    if (value) {
        h2_say_bytes(&block, "\x40", 1);
        h2_put_string(&block, SLICE("x-long"));
        h2_put_string(&block, slice_of(value));
    } else {
        h2_say_bytes(&block, "\xbe", 1);
    }
    h2_say_frame(&said, NGHTTP2_HEADERS, H2_END | NGHTTP2_FLAG_END_HEADERS, id, buf_slice(&block));
    buf_free(&block);
    h2_forget(&client);
    h2_client_say(&client, &said);
}

static void pass_idle(unsigned ms)
{
    bench_pass(ms);
    h2_look_after_idle(&bench.w);
}

static void of_the_idle(void)
{
    begin();
    say_get_by_table(1, "what is kept");
    CHECK_HEARD(&client, "1:200/13 1=13.");
    pass_idle(500);
    CU_ASSERT(!memory()->packed && client.c->session->ng);
    pass_idle(LONG_MS);
    CU_ASSERT_FATAL(memory()->packed && !client.c->session->ng);
    /* Most of what it had was nothing. */
    CU_ASSERT(malloc_usable_size(memory()->packed) < 2048);
    for (uint32_t id = 3; id < 9; id += 2) {
        say_get_by_table(id, NULL);
        CU_ASSERT(strstr(h2_hear(&client), ":200/13 ") != NULL);
        CU_ASSERT(!memory()->packed);
        pass_idle(LONG_MS);
        CU_ASSERT(memory()->packed != NULL);
    }
    /* What asks for nothing wakes it, and it sleeps again. */
    h2_forget(&client);
    h2_say_ping(&said, false, "whatever");
    h2_client_say(&client, &said);
    CHECK_HEARD(&client, "pong");
    CU_ASSERT(!memory()->packed);
    pass_idle(LONG_MS);
    CU_ASSERT(memory()->packed != NULL);
    end(); /* while it is packed */
}

/* With a request at work. */
static void not_of_others(void)
{
    begin();
    h2_say_get(&said, 1, "/up");
    h2_client_say(&client, &said);
    pass_idle(LONG_MS);
    CU_ASSERT(!memory()->packed);
    end();
}

/* Byte for byte, but for the buffer of frames. */
static void all_is_there_again(void)
{
    begin();
    say_get_by_table(1, "what is kept");
    size_t used = memory()->tables_used;
    CU_ASSERT_FATAL(used > 4096);
    char *before = malloc(used);
    memcpy(before, memory()->block, used);
    h2_memory_pack(client.c->session);
    CU_ASSERT_FATAL(memory()->packed != NULL);
    CU_ASSERT(memcmp(before, memory()->block, used) != 0);
    h2_memory_unpack(client.c->session);
    CU_ASSERT(memcmp(before, memory()->block, used) == 0);
    h2_memory_unpack(client.c->session); /* no matter */
    free(before);
    end();
}

/* It is told that it has to go. */
static void the_end_of_an_idle_one(void)
{
    begin();
    say_get_by_table(1, "what is kept");
    pass_idle(LONG_MS);
    CU_ASSERT_FATAL(memory()->packed != NULL);
    h2_forget(&client);
    bench.w.draining = true;
    connection_drain(&bench.w);
    client_settle(&client);
    CU_ASSERT(h2_has(&client, "goaway(2147483647,0)"));
    end();
}

static const struct check_case cases[] = {{"no memory beyond its bound", of_memory},
                                          {"no memory for a response", of_memory_for_a_response},
                                          {"memory comes back", of_memory_that_comes_back},
                                          {"an idle connection's", of_the_idle},
                                          {"not that of others", not_of_others},
                                          {"all is there again", all_is_there_again},
                                          {"the end of an idle one", the_end_of_an_idle_one}};

CHECK_MAIN("h2 memory", cases)
