/*
 * tests/unit/handlers/test_sources.c - a response's body on its way from its source to a client: whatever the source says in
 * whatever order, through filters, framed in every way, taken in pieces of every size.
 */
#include "tests/unit/handlers/script_source.h"

#include <zlib.h>

enum { LONG_BYTES = 5000, STEPS = 4, KINDS = 3 };

static char long_text[LONG_BYTES];

/* Three kinds of steps: what is copied, what goes to the socket as it is, and nothing. */
static struct step step_of(int kind)
{
    return kind == 0   ? (struct step){SOURCE_HAS, SLICE("short")}
           : kind == 1 ? (struct step){SOURCE_HAS, {long_text, sizeof long_text}}
                       : (struct step){SOURCE_LATER, {0}};
}

/* The steps of number n: its digits, and an end. */
static void make_steps(int n, int count, enum source_says end, struct step *steps)
{
    for (int i = 0; i < count; i++, n /= KINDS)
        steps[i] = step_of(n % KINDS);
    steps[count] = (struct step){.says = end};
}

static struct slice text_of(const struct step *steps)
{
    static char text[STEPS * LONG_BYTES];
    size_t len = 0;
    for (; steps->says == SOURCE_HAS || steps->says == SOURCE_LATER; steps++) {
        if (steps->text.len)
            memcpy(text + len, steps->text.data, steps->text.len);
        len += steps->text.len;
    }
    return (struct slice){text, len};
}

/* Undoes the chunks in place. False: they have no end. */
static bool unchunk(struct slice *body)
{
    static char text[STEPS * LONG_BYTES * 2];
    struct http_chunked chunked = {0};
    size_t len, used;
    if (body->len)
        memcpy(text, body->data, body->len);
    enum http_chunked_result result = http_chunked_decode(&chunked, text, body->len, &len, &used);
    CU_ASSERT(result != HTTP_CHUNKED_ERROR && used == body->len);
    *body = (struct slice){text, len};
    return result == HTTP_CHUNKED_DONE;
}

struct framing {
    const char *head;
    bool has_length, is_chunked, no_body, closes;
};

static const struct framing framings[] = {
    {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true, false, false, false},
    {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", false, true, false, false},
    {"GET / HTTP/1.0\r\n\r\n", false, false, false, true},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, false, false, false},
    {"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", true, false, true, false},
    {"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", false, false, true, false},
};

static void check_whole(const struct client *p, const struct framing *f, struct slice body, struct slice text)
{
    bool ended = !f->is_chunked || unchunk(&body);
    CU_ASSERT(ended);
    CU_ASSERT(slice_eq(body, f->no_body ? SLICE("") : text));
    CU_ASSERT(f->closes == (p->closed == 1));
    CHECK_LOG(f->no_body ? "200 HEAD / OK;" : "200 GET / OK;");
}

static void check_broken(const struct client *p, const struct framing *f, struct slice body,
                         struct slice text)
{
    CU_ASSERT(!f->is_chunked || !unchunk(&body));
    CU_ASSERT(slice_starts(text, body));
    CHECK_NUMBER(p->closed, 1);
    CHECK_LOG(f->no_body ? "200 HEAD / ;" : "200 GET / ;");
}

static void run_steps(const struct step *steps, const struct framing *f, size_t take, enum source_says end)
{
    struct client p = {.take = take};
    struct slice text = text_of(steps);
    client_hold(&p, f->head);
    script_answer(&p, &script_plain, steps, f->has_length ? (int64_t)text.len : HTTP_LENGTH_UNKNOWN);
    while (p.c && p.c->ex && script.step->says == SOURCE_LATER)
        script_go_on(&p);
    CHECK_NUMBER(script.stops, 1);
    CU_ASSERT(!p.c || !p.c->ex);
    if (end == SOURCE_END)
        check_whole(&p, f, client_body(&p), text);
    else
        check_broken(&p, f, client_body(&p), text);
    if (p.c) { /* it is good for another request */
        client_forget(&p);
        client_say(&p, SLICE("GET /next HTTP/1.1\r\nHost: h\r\n\r\n"));
        CHECK_CODES(&p, "200");
        CHECK_LOG("200 GET /next OK;");
        client_leave(&p);
    }
    client_free(&p);
}

static void in_any_order(enum source_says end)
{
    static const size_t takes[] = {0, 1, 700, 4100};
    struct step steps[STEPS + 1];
    bench_open("", "location / { return 200 ''; }");
    memset(long_text, 'l', sizeof long_text);
    for (int count = 0, all = 1; count <= STEPS; count++, all *= KINDS)
        for (int n = 0; n < all; n++)
            for (size_t i = 0; i < sizeof framings / sizeof framings[0]; i++)
                for (size_t j = count > 2 ? 2 : 0; j < sizeof takes / sizeof takes[0]; j++) {
                    make_steps(n, count, end, steps);
                    run_steps(steps, &framings[i], takes[j], end);
                }
    bench_close();
}

static void whole_in_any_order(void)
{
    in_any_order(SOURCE_END);
}

static void broken_in_any_order(void)
{
    in_any_order(SOURCE_FAILED);
}

/* --- its client leaves --- */

struct leaving {
    const struct source *source;
    bool ends_it; /* that the client sends nothing more */
};

static const struct source needs_client = {
    .look = script_look, .take = script_take, .stop = script_stop, .needs_client = true};
static const struct source outlives_client = {
    .look = script_look, .take = script_take, .stop = script_stop, .outlives_client = script_outlives};

static void while_the_client_leaves(void)
{
    static const struct leaving leavings[] = {
        {&script_plain, false}, {&needs_client, true}, {&outlives_client, false}};
    static const struct step steps[] = {
        {SOURCE_HAS, SLICE("one")}, {.says = SOURCE_LATER}, {SOURCE_HAS, SLICE("two")}, {.says = SOURCE_END}};
    bench_open("", "");
    for (size_t i = 0; i < sizeof leavings / sizeof leavings[0]; i++) {
        struct client p = {0};
        client_hold(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        script_answer(&p, leavings[i].source, steps, 6);
        p.ends = true;
        client_run(&p);
        CU_ASSERT(leavings[i].ends_it == !p.c);
        if (p.c)
            script_go_on(&p);
        CU_ASSERT(!p.c);
        CHECK_NUMBER(script.stops, 1);
        CHECK_SLICE(client_body(&p), leavings[i].ends_it ? "one" : "onetwo");
        CHECK_LOG(leavings[i].ends_it ? "200 GET / ;" : "200 GET / OK;");
        client_free(&p);
    }
    bench_close();
}

/* Before there is an answer: 499, and whoever has the request is told. */
static void before_there_is_one(void)
{
    struct client p = {0};
    bench_open("", "");
    struct http_exchange *ex = client_hold(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ex->source = &script_plain;
    script.stops = 0;
    client_leave(&p);
    CHECK_NUMBER(script.stops, 1);
    CHECK_LOG("499 GET / ;");
    client_free(&p);
    bench_close();
}

/* --- its time --- */

static const struct source timed = {
    .look = script_look, .take = script_take, .stop = script_stop, .time_left_ms = script_time_left};

static void its_time_is_over(void)
{
    static const struct step steps[] = {{SOURCE_HAS, SLICE("one")}, {.says = SOURCE_LATER}};
    struct client p = {0};
    bench_open("", "");
    client_hold(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    script.time_left_ms = 1600;
    script_answer(&p, &timed, steps, HTTP_LENGTH_UNKNOWN);
    bench_pass(1599);
    CU_ASSERT(p.c && script.stops == 0);
    bench_pass(1);
    CHECK_NUMBER(p.closed, 1);
    CHECK_NUMBER(script.stops, 1);
    CHECK_SLICE(client_body(&p), "3\r\none\r\n");
    CHECK_LOG("200 GET / ;");
    client_free(&p);
    bench_close();
}

/* At no instant has more gone than the rate allows, nor much less; and all of it is gone in time. */
static void slowed_down(const char *settings, size_t after)
{
    static const struct step steps[] = {{SOURCE_HAS, {long_text, LONG_BYTES}}, {.says = SOURCE_END}};
    struct client p = {0};
    bench_open("", settings);
    memset(long_text, 'l', sizeof long_text);
    client_hold(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    script_answer(&p, &script_plain, steps, LONG_BYTES);
    size_t passed_ms = 0;
    for (; p.c->ex && passed_ms < 10000; passed_ms++) {
        size_t allowed = after + passed_ms + 100, had = client_body(&p).len;
        CU_ASSERT(had <= allowed && had + 250 >= allowed);
        bench_pass(1);
    }
    CHECK_NUMBER(client_body(&p).len, LONG_BYTES);
    CU_ASSERT(passed_ms + 100 >= LONG_BYTES - after && passed_ms <= LONG_BYTES - after + 116);
    CHECK_LOG("200 GET / OK;");
    client_leave(&p);
    client_free(&p);
    bench_close();
}

static void limit_rate(void)
{
    slowed_down("limit_rate 1000;", 0);
    slowed_down("limit_rate 1000; limit_rate_after 3000;", 3000);
}

/* --- filters between --- */

/* Gives each byte twice, a byte at a time where it is slow, and keeps the last one until it is made to give it. */
struct doubler {
    struct body_filter filter; /* first */
    char kept[LONG_BYTES * 2];
    size_t len;
    bool is_slow;
    int frees;
};

static bool double_one(struct http_exchange *ex, struct doubler *d)
{
    char two[2] = {d->kept[0], d->kept[0]};
    memmove(d->kept, d->kept + 1, --d->len);
    return filter_next(ex, &d->filter, (struct slice){two, 2}, FILTER_MORE);
}

static bool double_pass(struct http_exchange *ex, struct body_filter *f, struct slice in,
                        enum filter_mode mode)
{
    struct doubler *d = (struct doubler *)f;
    size_t keep = mode == FILTER_MORE ? 1 : 0;
    bool ok = true;
    CU_ASSERT(!f->full || in.len == 0);
    if (in.len)
        memcpy(d->kept + d->len, in.data, in.len);
    d->len += in.len;
    for (int steps = 0; ok && d->len > keep && !(d->is_slow && mode == FILTER_MORE && steps > 0); steps++)
        ok = double_one(ex, d);
    f->full = d->len > keep;
    f->pending = d->len > 0;
    return ok && (mode == FILTER_MORE || filter_next(ex, f, (struct slice){0}, mode));
}

static void double_free(struct body_filter *f)
{
    ((struct doubler *)f)->frees++;
}

static const struct source live = {
    .look = script_look, .take = script_take, .stop = script_stop, .is_live = true};

static void double_all(const struct source *source, bool is_slow, size_t take)
{
    static const struct step steps[] = {{SOURCE_HAS, SLICE("abc")},
                                        {.says = SOURCE_LATER},
                                        {SOURCE_HAS, SLICE("de")},
                                        {.says = SOURCE_LATER},
                                        {.says = SOURCE_END}};
    struct doubler d = {.filter = {.pass = double_pass, .free = double_free}, .is_slow = is_slow};
    struct client p = {.take = take};
    struct http_exchange *ex = client_hold(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    filter_add(ex, &d.filter);
    script_answer(&p, source, steps, HTTP_LENGTH_UNKNOWN);
    struct slice body = client_body(&p);
    CU_ASSERT(!unchunk(&body));
    CHECK_SLICE(body, source->is_live ? "aabbcc" : "aabb"); /* what is live is not kept back */
    script_go_on(&p);
    script_go_on(&p);
    body = client_body(&p);
    CU_ASSERT(unchunk(&body));
    CHECK_SLICE(body, "aabbccddee");
    CHECK_NUMBER(d.frees, 1);
    CHECK_LOG("200 GET / OK;");
    client_leave(&p);
    client_free(&p);
}

static void through_a_filter(void)
{
    bench_open("", "");
    for (size_t take = 0; take < 20; take++) {
        double_all(&script_plain, false, take);
        double_all(&script_plain, true, take);
        double_all(&live, false, take);
        double_all(&live, true, take);
    }
    /* A client that leaves in the middle of it. */
    static const struct step steps[] = {{SOURCE_HAS, SLICE("abc")}, {.says = SOURCE_LATER}};
    struct doubler d = {.filter = {.pass = double_pass, .free = double_free}, .is_slow = true};
    struct client p = {0};
    filter_add(client_hold(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), &d.filter);
    script_answer(&p, &needs_client, steps, HTTP_LENGTH_UNKNOWN);
    client_leave(&p);
    CHECK_NUMBER(d.frees, 1);
    CHECK_LOG("200 GET / ;");
    client_free(&p);
    bench_close();
}

/* sub_filter and then gzip, of a text that comes in every two pieces. */
static void through_real_filters(void)
{
    static const char text[] = "the needle, the needle and the needl";
    static const char wanted[] = "the pin, the pin and the needl";
    bench_open("", "sub_filter needle pin; sub_filter_once off; sub_filter_types *;"
                   "gzip on; gzip_types *; gzip_min_length 0;");
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        const struct step steps[] = {{SOURCE_HAS, {text, cut}},
                                     {.says = SOURCE_LATER},
                                     {SOURCE_HAS, {text + cut, sizeof text - 1 - cut}},
                                     {.says = SOURCE_END}};
        struct client p = {.take = cut};
        client_hold(&p, "GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
        p.c->ex->res.content_type = SLICE("text/plain");
        script_answer(&p, cut & 1 ? &live : &script_plain, steps, sizeof text - 1);
        script_go_on(&p);
        struct slice body = client_body(&p);
        CU_ASSERT(unchunk(&body) && client_has(&p, "Content-Encoding: gzip"));
        unsigned char plain[200];
        z_stream z = {.next_in = (unsigned char *)(uintptr_t)body.data,
                      .avail_in = (unsigned)body.len,
                      .next_out = plain,
                      .avail_out = sizeof plain};
        inflateInit2(&z, 31);
        CHECK_NUMBER(inflate(&z, Z_FINISH), Z_STREAM_END);
        CHECK_SLICE(((struct slice){(char *)plain, z.total_out}), wanted);
        inflateEnd(&z);
        client_leave(&p);
        client_free(&p);
    }
    bench_close();
}

/* --- behind the body, and in place of it --- */

static const struct source with_trailers = {
    .look = script_look, .take = script_take, .stop = script_stop, .add_trailers = script_trailers};

static void trailers(void)
{
    static const struct step steps[] = {{SOURCE_HAS, SLICE("one")}, {.says = SOURCE_END}};
    struct client p = {0};
    bench_open("", "");
    script.trailers = "T: 1\r\n";
    client_hold(&p, "GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n");
    script_answer(&p, &with_trailers, steps, HTTP_LENGTH_UNKNOWN);
    CHECK_SLICE(client_body(&p), "3\r\none\r\n0\r\nT: 1\r\n\r\n");
    client_leave(&p);
    client_free(&p);
    bench_close();
}

static const struct source tunneled = {
    .look = script_look, .take = script_take, .stop = script_stop, .tunnel = script_tunnel};

/* What the client has sent behind its request is the tunnel's. */
static void a_tunnel(void)
{
    static const struct step steps[] = {{.says = SOURCE_TUNNEL}};
    struct client p = {.input = SLICE("early"), .take = 10};
    bench_open("", "");
    client_hold(&p, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client_run(&p);
    script_answer(&p, &tunneled, steps, 0);
    CU_ASSERT_FATAL(script.tunnel == p.c->ex);
    CHECK_CODES(&p, "200"); /* the head is all out by then */
    CHECK_SLICE(client_body(&p), "");
    CU_ASSERT(script.stream == &p.c->stream && !script.has_ended);
    CHECK_SLICE(buf_slice(&script.early), "early");
    buf_free(&script.early);
    client_reset(script.tunnel);
    CHECK_NUMBER(p.closed, 1);
    CHECK_NUMBER(script.stops, 1);
    bench_end_turn();
    CHECK_LOG("200 GET / ;");
    client_free(&p);
    bench_close();
}

/* --- a request's body that is passed on while it comes --- */

static const struct source passing = {.look = script_look,
                                      .take = script_take,
                                      .stop = script_stop,
                                      .body_came = script_body_came,
                                      .body_is_full = script_is_full};

static void a_body_on_its_way(void)
{
    static const struct step steps[] = {{SOURCE_HAS, SLICE("done")}, {.says = SOURCE_END}};
    static const char body[] = "0123456789";
    bench_open("", "");
    for (size_t cut = 1; cut < sizeof body - 1; cut++) {
        struct client p = {.first = cut};
        struct http_exchange *ex =
            client_hold(&p, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n");
        ex->state = REQUEST_PROXY;
        ex->source = &passing;
        ex->body.begun = true;
        script.body_room = 6;
        script.body_ends = 0;
        client_say(&p, slice_of(body));
        CU_ASSERT(script.body.len >= cut);
        bool is_full = cut >= 6;
        CU_ASSERT(script_is_full(ex) == (is_full || !p.input.len));
        CHECK_NUMBER(p.input.len, is_full ? sizeof body - 1 - cut : 0);
        script.body_room = 100;
        client_go_on(ex);
        client_settle(&p);
        CHECK_SLICE(script.body, body);
        CHECK_NUMBER(script.body_ends, 1);
        script_answer(&p, &passing, steps, 4);
        CHECK_SLICE(client_body(&p), "done");
        CHECK_LOG("200 POST / OK;");
        client_leave(&p);
        client_free(&p);
    }
    bench_close();
}

static const struct check_case cases[] = {{"stretches and pauses in any order", whole_in_any_order},
                                          {"and a failure behind them", broken_in_any_order},
                                          {"the client leaves while it comes", while_the_client_leaves},
                                          {"the client leaves before it comes", before_there_is_one},
                                          {"its time is over", its_time_is_over},
                                          {"limit_rate", limit_rate},
                                          {"through a filter of the test's own", through_a_filter},
                                          {"through sub_filter and gzip", through_real_filters},
                                          {"trailers", trailers},
                                          {"a tunnel", a_tunnel},
                                          {"a request's body on its way", a_body_on_its_way}};

CHECK_MAIN("sources", cases)
