/*
 * tests/unit/http/h1/test_memory.c - memory that there is not: each allocation on a request's way fails in turn, alone and with all
 * behind it. Whatever becomes of the request: its connection ends, nothing is left, and what the client gets is no other response
 * cut in two.
 */
#include "tests/unit/http/bench_memory.h"

enum { GOT_BYTES = 256 << 10, BIG_BYTES = 100000 };

static const char http[] = "limit_concurrency_zone z limit=10;";
static const char server[] =
    "client_body_buffer_size 16; port_in_redirect off; set $a $arg_a;"
    "location / { return 200 '$request_method $uri $a $remote_addr\n'; }"
    "location /echo { limit_concurrency z; try_files /none @echo; }"
    "location @echo { return 200 '$request_body'; }"
    "location /moved { rewrite ^/moved/(.*)$ /to/$1 redirect; }"
    "location /page { error_page 404 = /second; return 404; }"
    "location /second { add_header X $uri; add_trailer T $uri; return 200 second; }"
    "location /asked { auth_request /second; try_files /big =404; }"
    "location /no { return 403; }"
    "location /guarded { auth_request /no; try_files /big =404; }"
    "location /denied { deny all; try_files /big =404; }"
    "location /judged { set $v $arg_k-$arg_k-$request_id; if ($v ~ ^bad) { return 403; } try_files /big =404; }"
    "location /compared { set $v $arg_k-$arg_k; if ($v = bad-bad) { return 403; } try_files /big =404; }"
    "location /files/ { alias ./; sub_filter x zz; sub_filter_types *; sub_filter_once off;"
    "  gzip on; gzip_types *; expires 1h; }"
    "location /plain/ { alias ./; autoindex on; }";

static const char *const talks[] = {
    "GET /?a=1 HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n14\r\n01234567890123456789\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /moved/x HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /page HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n",
    "GET /asked HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /files/big HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n",
    "GET /files/big HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /plain/big HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2,5-6\r\n\r\n",
    "GET /plain/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /guarded HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /denied HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /judged?k=bad HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /compared?k=bad HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nX",
};

/* What was asked for must not be let out because nobody could look. */
static bool is_forbidden(const char *talk)
{
    return strstr(talk, "/guarded") || strstr(talk, "/denied") || strstr(talk, "/judged") ||
           strstr(talk, "/compared");
}

/* A body in chunks has its end, another one its length. */
static bool has_all(const struct client *p)
{
    static char copy[GOT_BYTES];
    static const char field[] = "Content-Length: ";
    struct slice all = client_got(p), body = client_body(p);
    struct http_chunked chunked = {0};
    size_t len, used;
    const char *length = all.len ? memmem(all.data, all.len, field, sizeof field - 1) : NULL;
    if (length)
        return strtoul(length + sizeof field - 1, NULL, 10) == body.len;
    if (!client_has(p, "Transfer-Encoding: chunked"))
        return true;
    memcpy(copy, body.data, body.len);
    return http_chunked_decode(&chunked, copy, body.len, &len, &used) == HTTP_CHUNKED_DONE;
}

/* The only response that is whole by the log is whole: else the connection must end with it. */
static bool is_whole(const struct client *p, const char *log)
{
    bool is_only = strlen(client_codes(p)) == 3 && strchr(log, ';') == strrchr(log, ';');
    return !is_only || !strstr(log, "OK;") || has_all(p);
}

/* Nobody has it who would go on with it. */
static bool hangs(const struct client *p)
{
    return p->c && p->c->ex && !h1_request_is(p->c, REQUEST_BODY);
}

/* The n-th allocation fails. True when there were so many. */
static bool fail_at(const char *talk, long n, bool for_good, size_t take)
{
    struct client p = {.input = slice_of(talk), .piece = 50, .take = take};
    struct worker *w = &bench.w;
    uint64_t handled = counter_get(&w->slot->requests);
    CU_ASSERT_FATAL(buf_reserve(&p.got, GOT_BYTES));
    of_test = &p.got;
    client_connect(&p);
    memory.calls = 0;
    memory.fail_at = n;
    memory.for_good = for_good;
    memory.counts = true;
    client_run(&p);
    bench_pass(1);
    bool stays = p.c != NULL;
    CHECK_FOR(talk, !hangs(&p));
    if (stays)
        client_leave(&p);
    memory.counts = false;
    CHECK_FOR(talk, p.closed == 1);
    CHECK_NUMBER(w->connections, 0);
    CHECK_NUMBER(w->in_flight, 0);
    CHECK_FOR(talk, counter_get(&w->slot->requests) - handled <= 2);
    CHECK_FOR(talk, !w->ready && !w->driving && buf_len(&w->output) == 0);
    CHECK_FOR(talk, is_whole(&p, bench_log()) || !stays);
    CHECK_FOR(talk, !is_forbidden(talk) || !client_has(&p, "yyy"));
    client_free(&p);
    forget_all();
    (void)bench_errors();
    return memory.calls >= n;
}

static void each_in_turn(bool for_good)
{
    static char big[BIG_BYTES];
    bench_open(http, server);
    memset(big, 'y', sizeof big);
    big[0] = big[BIG_BYTES / 2] = 'x';
    bench_add_file("big", (struct slice){big, sizeof big});
    for (size_t i = 0; i < 2 * sizeof talks / sizeof talks[0]; i++) {
        long n = 1;
        while (fail_at(talks[i / 2], n, for_good, i % 2 ? 300 : 0))
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

CHECK_MAIN("h1 without memory", cases)
