/*
 * tests/unit/worker/loop/test_wait.c - how requests wait and are given back: states, times that are over to the millisecond, and
 * the order in which what was resumed goes on.
 */
#include "tests/unit/handlers/script_source.h"

#define HEAD(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

static struct {
    int calls;
    uint64_t at_ms;
} late;

static void note_late(struct http_exchange *ex)
{
    CU_ASSERT(ex->worker == &bench.w);
    late.calls++;
    late.at_ms = bench.w.now_ms;
}

static void answer_late(struct http_exchange *ex)
{
    note_late(ex);
    request_resume(ex, verdict_answer(504));
}

static void reset_late(struct http_exchange *ex)
{
    note_late(ex);
    client_reset(ex);
}

/* As from a phase that the loop runs. */
static struct verdict wait_in(struct http_exchange *ex, enum request_state state, int64_t after_ms,
                              void (*late_fn)(struct http_exchange *ex))
{
    ex->state = REQUEST_RUNS;
    wheel_clear(&ex->timer);
    return request_wait(ex, state, after_ms, late_fn);
}

static void begin(struct client *p)
{
    late.calls = 0;
    *p = (struct client){.c = NULL};
    bench_open("", "client_header_timeout 64ms; location / { return 200 '$uri '; }");
}

static void end(struct client *p)
{
    if (p->c)
        client_leave(p);
    client_free(p);
    bench_close();
}

static void times_that_are_over(void)
{
    struct client p;
    begin(&p);
    struct http_exchange *ex = client_hold(&p, HEAD("/"));
    struct verdict v = wait_in(ex, REQUEST_DELAYED, 1600, answer_late);
    CHECK_NUMBER(v.kind, VERDICT_WAIT);
    CHECK_NUMBER(ex->state, REQUEST_DELAYED);
    CHECK_NUMBER(p.c->timer.deadline_ms, 0); /* nothing is expected of the client */
    bench_pass(1599);
    CHECK_NUMBER(late.calls, 0);
    p.room = SIZE_MAX;
    bench_pass(1);
    CHECK_NUMBER(late.calls, 1);
    CHECK_NUMBER(late.at_ms, BENCH_BEGINS_MS + 1600);
    CHECK_CODES(&p, "504"); /* in that turn */
    end(&p);
}

/* Between two ticks of the wheel it is the later one: never early. */
static void rounded_up(void)
{
    struct client p;
    begin(&p);
    for (int64_t ms = 1; ms <= 40; ms++) {
        struct http_exchange *ex = client_hold(&p, HEAD("/"));
        uint64_t began_ms = bench.w.now_ms;
        late.calls = 0;
        wait_in(ex, REQUEST_HANDLER, ms, reset_late);
        bench_pass((uint64_t)ms - 1);
        CHECK_NUMBER(late.calls, 0);
        bench_pass(WHEEL_TICK_MS);
        CHECK_NUMBER(late.calls, 1);
        CU_ASSERT(late.at_ms >= began_ms + (uint64_t)ms &&
                  late.at_ms < began_ms + (uint64_t)ms + WHEEL_TICK_MS);
        CHECK_NUMBER(p.closed, 1);
        CHECK_LOG("499 GET / ;");
        client_free(&p);
        p = (struct client){.c = NULL};
    }
    end(&p);
}

static void without_a_bound(void)
{
    struct client p;
    begin(&p);
    struct http_exchange *ex = client_hold(&p, HEAD("/"));
    wait_in(ex, REQUEST_HANDLER, 160, note_late);
    wait_in(ex, REQUEST_HANDLER, 0, note_late); /* takes the place of the other */
    bench_pass(10000000);
    CHECK_NUMBER(late.calls, 0);
    request_pause(ex, 160, note_late);
    request_pause(ex, 320, note_late); /* likewise */
    bench_pass(319);
    CHECK_NUMBER(late.calls, 0);
    bench_pass(1);
    CHECK_NUMBER(late.calls, 1);
    CHECK_NUMBER(ex->state, REQUEST_HANDLER);
    end(&p);
    CHECK_NUMBER(late.calls, 1);
}

/* What has come in time is not late. */
static void resumed_in_time(void)
{
    struct client p;
    begin(&p);
    struct http_exchange *ex = client_hold(&p, HEAD("/"));
    wait_in(ex, REQUEST_HANDLER, 1600, note_late);
    request_resume(ex, verdict_of(VERDICT_WAIT)); /* it still waits */
    CHECK_NUMBER(ex->state, REQUEST_HANDLER);
    bench_pass(1599);
    CHECK_NUMBER(client_got(&p).len, 0);
    request_resume(ex, verdict_of(VERDICT_AGAIN));
    CHECK_NUMBER(ex->state, REQUEST_READY);
    CU_ASSERT(bench.w.ready == p.c);
    client_settle(&p);
    CHECK_CODES(&p, "200");
    bench_pass(100000);
    CHECK_NUMBER(late.calls, 0);
    CHECK_LOG("200 GET / OK;");
    end(&p);
}

/* First come, first served; each once. */
static void in_order(void)
{
    enum { COUNT = 5 };
    struct client p[COUNT] = {{.c = NULL}}, unused;
    begin(&unused);
    static const int order[] = {3, 0, 4, 1, 2};
    static const char *const heads[] = {HEAD("/0"), HEAD("/1"), HEAD("/2"), HEAD("/3"), HEAD("/4")};
    for (int i = 0; i < COUNT; i++)
        client_hold(&p[i], heads[i]);
    for (int i = 0; i < COUNT; i++)
        request_resume(p[order[i]].c->ex, verdict_answer(503));
    for (int i = 0; i < COUNT; i++)
        p[i].room = SIZE_MAX;
    client_reset(p[4].c->ex); /* the end came before its turn */
    bench_end_turn();
    CHECK_LOG("499 GET /4 ;503 GET /3 OK;503 GET /0 OK;503 GET /1 OK;503 GET /2 OK;");
    for (int i = 0; i < COUNT; i++) {
        if (p[i].c)
            client_leave(&p[i]);
        client_free(&p[i]);
    }
    end(&unused);
}

/* What its client sends meanwhile waits for its turn: so much of it, and then it is not read. */
static void what_is_sent_meanwhile(void)
{
    static char more[256 << 10];
    struct client p;
    begin(&p);
    memset(more, '\n', sizeof more);
    struct http_exchange *ex = client_hold(&p, HEAD("/a"));
    client_say(&p, SLICE(HEAD("/b")));
    CHECK_NUMBER(client_got(&p).len, 0);
    client_say(&p, (struct slice){more, sizeof more});
    CU_ASSERT(p.input.len > 0 && p.c->deaf);
    size_t read = sizeof more - p.input.len;
    CU_ASSERT(read > 60 << 10 && read <= 72 << 10);
    request_resume(ex, verdict_of(VERDICT_AGAIN));
    client_settle(&p);
    CHECK_CODES(&p, "200 200");
    CHECK_NUMBER(p.input.len, 0);
    CHECK_LOG("200 GET /a OK;200 GET /b OK;");
    end(&p);
}

/* A client that leaves, by whatever way: the wait ends with it, and nobody is called. */
static void left_alone(void)
{
    static const enum request_state states[] = {REQUEST_DELAYED, REQUEST_HANDLER};
    struct client p;
    begin(&p);
    for (size_t i = 0; i < 2 * sizeof states / sizeof states[0]; i++) {
        struct http_exchange *ex = client_hold(&p, HEAD("/"));
        wait_in(ex, states[i / 2], 1600, note_late);
        p.fail_at = i % 2;
        p.error = ECONNRESET;
        client_leave(&p);
        CHECK_NUMBER(p.closed, 1);
        bench_pass(10000);
        CHECK_NUMBER(late.calls, 0);
        CHECK_LOG("499 GET / ;");
        client_free(&p);
        p = (struct client){.c = NULL};
    }
    end(&p);
}

static const struct check_case cases[] = {{"times that are over", times_that_are_over},
                                          {"rounded up to a tick", rounded_up},
                                          {"without a bound", without_a_bound},
                                          {"resumed in time", resumed_in_time},
                                          {"in the order of their resuming", in_order},
                                          {"what is sent meanwhile", what_is_sent_meanwhile},
                                          {"clients that leave", left_alone}};

CHECK_MAIN("wait", cases)
