/*
 * tests/unit/http/h2/test_memory.c - memory that there is not, with HTTP/2: each allocation on a request's way fails in turn, alone and
 * with all behind it; those of nghttp2 among them, as the server counts what that takes. Whatever becomes of the requests: their connection
 * ends, nothing is left, and a stream that has ended well has brought all of its response.
 */
#include "tests/unit/http/bench_memory.h"

#include "tests/unit/http/bench_h2.h"

enum {
    GOT_BYTES = 512 << 10,
    BIG_BYTES = 100000,
    SUBSTITUTED_BYTES = 2, /* by sub_filter */
    /* Where nghttp2 cannot queue a stream that has a body to send it frees what it was to queue twice, to 1.52 at least. */
    QUEUE_BYTES = 4 * sizeof(void *)
};

static const char http[] = "limit_concurrency_zone z limit=10;";
static const char server[] =
    "http2 on; client_body_buffer_size 16; set $a $arg_a;"
    "location / { return 200 '$request_method $uri $a $remote_addr $http_cookie\n'; }"
    "location /echo { limit_concurrency z; try_files /none @echo; }"
    "location @echo { return 200 '$request_body'; }"
    "location /page { error_page 404 = /second; return 404; }"
    "location /second { add_header X $uri; add_trailer T $uri; return 200 second; }"
    "location /asked { auth_request /second; try_files /big =404; }"
    "location /no { return 403; }"
    "location /guarded { auth_request /no; try_files /big =404; }"
    "location /denied { deny all; try_files /big =404; }"
    "location /slow/ { alias ./; limit_rate 400k; }"
    "location /files/ { alias ./; sub_filter x zz; sub_filter_types *; sub_filter_once off;"
    "  gzip on; gzip_types *; gzip_min_length 1; expires 1h; }"
    "location /plain/ { alias ./; autoindex on; }";

/* Requests of one connection: head, and a body that comes behind all heads. */
struct request {
    const char *head, *body;
};

static const struct request talks[][2] = {
    {{H2_GET("/?a=1") "cookie: a=1\ncookie: b=2\n", NULL}, {H2_GET("/b"), NULL}},
    {{H2_POST("/echo"), "hello and 01234567890123456789"}, {H2_POST("/echo") "content-length: 3\n", "abc"}},
    {{H2_POST("/") "expect: 100-continue\n", "hello"}, {H2_POST("/echo") "expect: 100-continue\n", "abc"}},
    {{H2_GET("/page") "te: trailers\n", NULL}, {H2_GET("/second"), NULL}},
    {{H2_GET("/asked"), NULL}, {H2_GET("/none?a=2"), NULL}},
    {{H2_GET("/files/big") "accept-encoding: gzip\n", NULL}, {H2_GET("/files/big"), NULL}},
    {{H2_GET("/plain/big") "range: bytes=1-2,5-6\n", NULL}, {H2_GET("/plain/"), NULL}},
    {{H2_GET("/slow/big"), NULL}, {H2_GET("/plain/big") "priority: u=1\n", NULL}},
    {{H2_GET("/guarded"), NULL}, {H2_GET("/denied"), NULL}},
    {{H2_GET("/a b"), NULL}, {H2_GET("/a") "host: other\n", NULL}},
};

/* What must not be let out because nobody could look. */
static bool is_forbidden(const struct request *r)
{
    return strstr(r->head, "/guarded") || strstr(r->head, "/denied");
}

static void say_talk(struct buf *to, const struct request *talk)
{
    h2_say_hello(to);
    for (uint32_t i = 0; i < 2; i++)
        h2_say_head_cut(to, talk[i].body ? 0 : H2_END, 2 * i + 1, talk[i].head, i ? 40 : 0);
    for (uint32_t i = 0; i < 2; i++) {
        if (!talk[i].body)
            continue;
        h2_say_data(to, 0, 2 * i + 1, talk[i].body);
        h2_say_data(to, H2_END, 2 * i + 1, "");
    }
    h2_say_goaway(to, 0, 0);
}

/* How a stream went: its end, and what it was by then. */
struct outcome {
    unsigned status;
    size_t bytes;
    long length; /* as announced, or -1 */
    bool ended, was_reset;
};

static struct outcome outcome_of(const char *heard, unsigned id)
{
    struct outcome o = {.length = -1};
    char copy[H2_HEARD_BYTES], *rest, *word;
    strcpy(copy, heard);
    for (word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *after;
        if (strtoul(word, &after, 10) != id || after == word)
            continue;
        o.ended |= word[strlen(word) - 1] == '.';
        if (*after == ':' && after[1] != 't') {
            o.status = (unsigned)atoi(after + 1);
            o.length = after[4] == '/' ? atol(after + 5) : -1;
        } else if (*after == '=') {
            o.bytes += strtoul(after + 1, NULL, 10);
        } else if (*after == '!') {
            o.was_reset = true;
        }
    }
    return o;
}

/* Its length was announced, or it is as long as without failures, but for filters that have had to be left out. */
static bool is_whole(const struct outcome *o, const struct outcome *wanted)
{
    if (!o->ended || o->was_reset || o->status != wanted->status)
        return true;
    return o->length >= 0 ? o->bytes == (size_t)o->length : o->bytes + SUBSTITUTED_BYTES >= wanted->bytes;
}

static bool hangs(const struct client *p)
{
    return p->c && p->c->session && p->c->session->stream_count > 0;
}

static void check_nothing_is_left(const char *talk)
{
    const struct worker *w = &bench.w;
    CHECK_NUMBER(w->connections, 0);
    CHECK_NUMBER(w->in_flight, 0);
    CHECK_NUMBER(w->http2_connections, 0);
    CHECK_NUMBER(w->http2_streams, 0);
    CHECK_NUMBER(bench_timers(), 0);
    CHECK_FOR(talk, !w->ready && !w->driving && !w->buried && buf_len(&w->output) == 0);
}

static void run(struct client *p, const struct request *talk, long n, bool for_good)
{
    static struct buf said;
    said.start = said.end = 0;
    say_talk(&said, talk);
    p->input = buf_slice(&said);
    CU_ASSERT_FATAL(buf_reserve(&p->got, GOT_BYTES));
    of_test = &p->got;
    client_connect(p);
    memory.calls = 0;
    memory.fail_at = n;
    memory.for_good = for_good;
    memory.spared_bytes = QUEUE_BYTES;
    memory.counts = true;
    client_run(p);
    for (int i = 0; i < 10 && hangs(p); i++) {
        bench_pass(100);
        client_run(p);
    }
    CHECK_FOR(talk->head, !hangs(p));
    if (p->c)
        client_leave(p);
    memory.counts = false;
    CHECK_FOR(talk->head, p->closed == 1);
    buf_free(&said);
}

/* The n-th allocation fails. True when there were so many. */
static bool fail_at(const struct request *talk, long n, bool for_good, size_t take,
                    const struct outcome *wanted)
{
    struct client p = {.piece = 50, .take = take};
    uint64_t handled = counter_get(&bench.w.slot->requests);
    run(&p, talk, n, for_good);
    check_nothing_is_left(talk->head);
    CHECK_FOR(talk->head, counter_get(&bench.w.slot->requests) - handled <= 2);
    const char *heard = h2_hear(&p);
    for (unsigned i = 0; i < 2; i++) {
        struct outcome o = outcome_of(heard, 2 * i + 1);
        if (!CHECK_FOR(talk[i].head, is_whole(&o, &wanted[i])))
            fprintf(stderr, "with the %ld. allocation: %s\n", n, heard);
    }
    CHECK_FOR(talk->head, !is_forbidden(talk) || !client_has(&p, "yyy"));
    h2_client_free(&p);
    forget_all();
    (void)bench_errors();
    (void)bench_log();
    return memory.calls >= n;
}

/* As it is with all the memory there is: both end well. */
static void run_well(const struct request *talk, struct outcome *wanted)
{
    struct client p = {.piece = 50};
    run(&p, talk, 0, false);
    for (unsigned i = 0; i < 2; i++) {
        wanted[i] = outcome_of(h2_hear(&p), 2 * i + 1);
        CHECK_FOR(talk[i].head, wanted[i].ended || wanted[i].was_reset);
    }
    h2_client_free(&p);
    forget_all();
}

static void each_in_turn(bool for_good)
{
    static char big[BIG_BYTES];
    bench_open(http, server);
    memset(big, 'y', sizeof big);
    big[0] = big[BIG_BYTES / 2] = 'x';
    bench_add_file("big", (struct slice){big, sizeof big});
    for (size_t i = 0; i < 2 * sizeof talks / sizeof talks[0]; i++) {
        struct outcome wanted[2];
        run_well(talks[i / 2], wanted);
        long n = 1;
        while (fail_at(talks[i / 2], n, for_good, i % 2 ? 300 : 0, wanted))
            n++;
        CU_ASSERT(n > 2);
    }
    bench_close();
}

static void one_alone(void)
{
    each_in_turn(false);
}

static void and_all_behind_it(void)
{
    each_in_turn(true);
}

static const struct check_case cases[] = {{"an allocation fails", one_alone},
                                          {"and all behind it", and_all_behind_it}};

CHECK_MAIN("h2 without memory", cases)
