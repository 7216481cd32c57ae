/*
 * tests/fuzz/fuzz_h2.c - a connection of HTTP/2, from its client's bytes to its end: a worker's bench with locations of all kinds, and
 * upstreams that do what the input says.
 *
 * An input is a row of steps: a frame that is well-formed, one that is not, bytes; time that goes by, a client that takes nothing for a
 * while, an upstream that answers, a worker that drains. At its end there are two ways: the client leaves, and nothing is left of it; or it is
 * silent, and is closed within the times of the configuration. What it has heard is held against the protocol.
 */
#include "tests/fuzz/bench.h"

#include <signal.h>

enum {
    BIG_BYTES = 100000,
    STEPS_MAX = 300,
    READS_MAX = 2000, /* of one delivery */
    STREAMS_SEEN = 1024,
    /* Behind all timeouts of the configuration, one after the other. */
    SILENCE_MS = 60000,
    SILENCE_STEP_MS = 500,
    BETWEEN_MS = 100000
};

static const char http[] =
    "limit_concurrency_zone z limit=2 queue=2 queue_timeout=1600ms; limit_req_zone $arg_k zone=r:64k rate=2r/s;"
    "limit_conn_zone $arg_k zone=c:64k;";
static const char server[] =
    "http2 on; client_body_buffer_size 1k; client_max_body_size 300k; http2_max_concurrent_streams 20;"
    "client_header_timeout 2s; client_body_timeout 2s; send_timeout 2s; keepalive_timeout 3s; keepalive_requests 60;"
    "lingering_close always; lingering_time 2s; lingering_timeout 1s; keepalive_time 30s; port_in_redirect off;"
    "large_client_header_buffers 4 2k; client_header_buffer_size 1k; http2_body_preread_size 2000;"
    "location / { return 200 '$request_method $uri $args $http_cookie $host\n'; }"
    "location /read { limit_concurrency z; try_files /none @echo; }"
    "location @echo { return 200 '$request_body'; }"
    "location /delayed { limit_req zone=r burst=4; alias ./; }"
    "location /counted { limit_conn c 2; limit_rate 20k; alias ./; }"
    "location /files { alias ./; add_trailer T $uri; }"
    "location /gz { alias ./; sub_filter x zz; sub_filter_types *; sub_filter_once off; gzip on; gzip_types *; }"
    "location /slow { alias ./; limit_rate 50k; limit_rate_after 10k; }"
    "location /up { proxy_pass http://127.0.0.1:9; proxy_request_buffering off; proxy_http_version 1.1; add_trailer T a; }"
    "location /buffered { limit_concurrency z; proxy_pass http://127.0.0.1:9; gzip on; gzip_types *; gzip_min_length 0; }"
    "location /guarded { auth_request /up; alias ./; }"
    "location /denied { deny all; }"
    "location /page { error_page 404 = /up/page; return 404; }"
    "location /moved { return 301 /files/; }"
    "location /cut { return 444; }"
    "location /status { stub_status; }";

static const char *const paths[] = {
    "/",       "/read",     "/delayed/big", "/counted/big", "/files/big",     "/files/small",
    "/gz/big", "/slow/big", "/up",          "/buffered",    "/guarded/small", "/denied",
    "/page",   "/moved",    "/cut",         "/status",      "/files/none",    "/files/"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* --- the input --- */

struct input {
    const uint8_t *at, *end;
};

static unsigned take(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static struct slice take_bytes(struct input *in, size_t most)
{
    size_t n = (size_t)(in->end - in->at) < most ? (size_t)(in->end - in->at) : most;
    struct slice bytes = {(const char *)in->at, n};
    in->at += n;
    return bytes;
}

static uint32_t take_value(struct input *in)
{
    static const uint32_t values[] = {0,          1,          255,        256,   1000, 16384,
                                      65535,      65536,      99999,      16383, 4096, 0x7fffffff,
                                      0x80000000, 0xffffffff, 0x7fff0000, 2000};
    unsigned chosen = take(in);
    return chosen < COUNT(values) ? values[chosen] : chosen * chosen;
}

/* --- the client --- */

static struct client client;
static struct buf said;
static uint32_t next_id;

static uint32_t choose_id(struct input *in)
{
    unsigned chosen = take(in);
    if (chosen < 128)
        return next_id > 2 ? next_id - 2 - 2 * (chosen % 8 < next_id / 2 ? chosen % 8 : 0) : 1;
    return chosen < 144 ? 0 : chosen - 144;
}

static void deliver(void)
{
    /* A large one in small pieces would take its time. */
    size_t least = buf_len(&said) / READS_MAX;
    if (client.c && buf_len(&said)) {
        if (client.piece && client.piece < least)
            client.piece = least;
        client.input = buf_slice(&said);
        client_run(&client);
    }
    client.input = (struct slice){0};
    said.start = said.end = 0;
}

static void put_text(struct buf *block, const char *name, const char *value)
{
    h2_put_field(block, slice_of(name), slice_of(value));
}

static void put_more_fields(struct buf *block, struct input *in, unsigned which)
{
    static char big[8000];
    memset(big, 'h', sizeof big);
    if (which & 1)
        put_text(block, "cookie", "a=b");
    if (which & 2)
        put_text(block, "accept-encoding", "gzip");
    if (which & 4)
        put_text(block, "range", "bytes=0-9,20-29");
    if (which & 8)
        put_text(block, "te", "trailers");
    if (which & 16)
        put_text(block, "expect", "100-continue");
    if (which & 32)
        put_text(block, "content-length", take(in) % 2 ? "5" : "70000");
    if (which & 64)
        put_text(block, "priority", take(in) % 2 ? "u=1, i" : "u=7");
    if (which & 128) {
        unsigned kind = take(in);
        struct slice name = kind % 4 ? SLICE("host") : take_bytes(in, 4);
        struct slice value = kind & 16 ? (struct slice){big, 100 * (kind >> 2)} : take_bytes(in, kind % 16);
        h2_put_field(block, name, value);
    }
}

static void say_request(struct input *in)
{
    static const char *const methods[] = {"GET", "POST", "HEAD", "OPTIONS", "CONNECT", "PUT", "", "get"};
    struct buf block = {0};
    unsigned how = take(in), path = take(in), which = take(in);
    uint32_t id = how & 1 ? choose_id(in) : next_id;
    size_t cut = how & 2 ? 1 + take(in) : 1 << 14;
    if (id == next_id)
        next_id += 2;
    put_text(&block, ":method", methods[how & 8 ? take(in) % COUNT(methods) : path & 1]);
    put_text(&block, ":scheme", "http");
    if (path < 200)
        put_text(&block, ":path", paths[path / 2 % COUNT(paths)]);
    else
        h2_put_field(&block, SLICE(":path"), take_bytes(in, path - 200));
    if (!(how & 16))
        put_text(&block, ":authority", "h");
    put_more_fields(&block, in, which);
    struct slice rest = buf_slice(&block);
    unsigned type = NGHTTP2_HEADERS, flags = path & 1 || how & 4 ? 0 : H2_END;
    while (rest.len) {
        size_t n = rest.len < cut ? rest.len : cut;
        bool is_last = n == rest.len && !(how & 32);
        h2_say_frame(&said, type, flags | (is_last ? H2_END_HEADERS : 0), id, (struct slice){rest.data, n});
        rest = slice_from(rest, n);
        type = NGHTTP2_CONTINUATION;
        flags = 0;
    }
    buf_free(&block);
}

static void say_data(struct input *in)
{
    static char bytes[16384];
    unsigned how = take(in);
    uint32_t id = choose_id(in), len = how & 2 ? take_value(in) : take(in);
    unsigned flags = (how & 1 ? H2_END : 0) | (how & 4 ? NGHTTP2_FLAG_PADDED : 0);
    bytes[0] = how & 4 ? 7 : 'd';
    h2_say_frame(&said, NGHTTP2_DATA, flags, id,
                 (struct slice){bytes, len < sizeof bytes ? len : sizeof bytes});
}

static void say_priority(struct input *in)
{
    static const char *const texts[] = {"u=0", "u=7, i", "i", "u=9", "=,;"};
    struct buf payload = {0};
    h2_say_number(&payload, choose_id(in));
    struct slice text = slice_of(texts[take(in) % COUNT(texts)]);
    h2_say_bytes(&payload, text.data, text.len);
    h2_say_frame(&said, NGHTTP2_PRIORITY_UPDATE, 0, 0, buf_slice(&payload));
    buf_free(&payload);
}

static void say_block(struct input *in)
{
    uint32_t id = take(in) & 1 ? choose_id(in) : next_id;
    if (id == next_id)
        next_id += 2;
    unsigned flags = take(in);
    h2_say_frame(&said, NGHTTP2_HEADERS, flags, id, take_bytes(in, take(in)));
}

static void say_raw(struct input *in)
{
    unsigned type = take(in) % 20, flags = take(in);
    uint32_t id = choose_id(in);
    h2_say_frame(&said, type, flags, id, take_bytes(in, take(in) % 64));
}

static void say_control(struct input *in)
{
    static const uint32_t codes[] = {0, 2, 7, 8, 11, 99};
    uint32_t id;
    switch (take(in) % 6) {
    case 0:
        id = choose_id(in);
        h2_say_reset(&said, id, codes[take(in) % COUNT(codes)]);
        return;
    case 1:
        id = take(in) & 1 ? choose_id(in) : 0;
        h2_say_window(&said, id, take_value(in));
        return;
    case 2:
        id = 1 + take(in) % 9;
        h2_say_settings(&said, id, take_value(in));
        return;
    case 3:
        h2_say_ping(&said, take(in) & 1, take(in) & 1 ? "weir bye" : "whatever");
        return;
    case 4:
        id = choose_id(in);
        h2_say_goaway(&said, id, codes[take(in) % COUNT(codes)]);
        return;
    default:
        h2_say_frame(&said, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, (struct slice){0});
    }
}

/* --- what else happens --- */

static struct upstream_stub *choose_upstream(struct input *in)
{
    int skip = take(in) % 4, count = upstream_count();
    for (size_t i = 0; i < UPSTREAMS_MAX && count; i++)
        if (upstreams[i].ex && skip-- % count == 0)
            return &upstreams[i];
    return NULL;
}

static void answer(struct upstream_stub *u, struct input *in)
{
    static const int statuses[] = {200, 204, 304, 404, 500, 103};
    unsigned how = take(in);
    u->has_trailers = how & 128;
    if (how % 8 == 7)
        upstream_fail(u, 502);
    else if (how % 8 == 6)
        (void)upstream_say_interim(u);
    else
        upstream_answer(u, statuses[how % 5], how & 64 ? (int64_t)take_value(in) % 100000 : -1);
}

static void move_upstream(struct input *in)
{
    struct upstream_stub *u = choose_upstream(in);
    unsigned how = take(in);
    if (!u)
        return;
    if (upstream_waits(u) && how & 1 && !u->has_all)
        upstream_take_body(u);
    else if (upstream_waits(u))
        answer(u, in);
    else if (upstream_sends(u) && how % 4 == 0)
        upstream_end(u);
    else if (upstream_sends(u) && how % 16 == 1)
        upstream_break(u);
    else if (upstream_sends(u) && !u->ended && !u->failed)
        upstream_give(u, take_value(in) % 70000);
}

static void change_client(struct input *in)
{
    unsigned how = take(in);
    client.takes_nothing = how & 1;
    client.take = how & 2 ? 200 + take_value(in) % 20000 : 0;
    client.piece = how & 4 ? 1 + take(in) : 0;
}

static void pass_time(struct input *in)
{
    static const uint16_t times_ms[] = {1, 16, 100, 500, 1600, 2000, 3000, 4000};
    bench_pass(times_ms[take(in) % COUNT(times_ms)]);
}

static void drain(void)
{
    bench.w.draining = true;
    connection_drain(&bench.w);
}

static void make_step(struct input *in)
{
    unsigned step = take(in);
    switch (step % 16) {
    case 0:
    case 1:
        say_request(in);
        break;
    case 2:
    case 3:
        say_data(in);
        break;
    case 4:
    case 5:
        say_control(in);
        break;
    case 6:
        say_priority(in);
        break;
    case 7:
        say_block(in);
        break;
    case 8:
        say_raw(in);
        break;
    case 9: {
        struct slice bytes = take_bytes(in, take(in));
        h2_say_bytes(&said, bytes.data, bytes.len);
        break;
    }
    case 10:
        pass_time(in);
        break;
    case 11:
        change_client(in);
        break;
    case 12:
    case 13:
    case 14:
        move_upstream(in);
        break;
    default:
        if (take(in) % 16 == 0)
            drain();
    }
    if (step & 16)
        return;
    deliver();
    client_settle(&client);
}

/* --- what it has heard --- */

struct seen {
    int64_t length, bytes; /* length -1: none was announced */
    bool has_head, has_ended, was_reset;
};

static void hear_head(nghttp2_hd_inflater *inflater, struct seen *s, struct slice block)
{
    int flags;
    bool interim = false, no_body = false;
    do {
        nghttp2_nv nv;
        flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, (const uint8_t *)block.data, block.len, 1);
        FUZZ_CHECK(n >= 0);
        block = slice_from(block, (size_t)n);
        if (!(flags & NGHTTP2_HD_INFLATE_EMIT))
            continue;
        for (size_t i = 0; i < nv.namelen; i++)
            FUZZ_CHECK(nv.name[i] > ' ' && nv.name[i] < 0x7f && !(nv.name[i] >= 'A' && nv.name[i] <= 'Z'));
        FUZZ_CHECK(!memchr(nv.value, '\n', nv.valuelen) && !memchr(nv.value, 0, nv.valuelen));
        if (slice_eq((struct slice){(char *)nv.name, nv.namelen}, SLICE(":status"))) {
            FUZZ_CHECK(!s->has_head && nv.valuelen == 3);
            interim = nv.value[0] == '1';
            no_body = memcmp(nv.value, "304", 3) == 0;
        }
        if (slice_eq((struct slice){(char *)nv.name, nv.namelen}, SLICE("content-length")))
            s->length = atoll((const char *)nv.value);
    } while (flags & NGHTTP2_HD_INFLATE_EMIT || block.len);
    FUZZ_CHECK(nghttp2_hd_inflate_end_headers(inflater) == 0);
    if (!interim)
        s->has_head = true;
    if (no_body)
        s->length = -1;
}

static void hear_frame(nghttp2_hd_inflater *inflater, struct seen *seen, const char *head, struct slice data)
{
    unsigned type = (unsigned char)head[3], flags = (unsigned char)head[4];
    uint32_t id = h2_number_at(head + 5);
    FUZZ_CHECK(type != NGHTTP2_CONTINUATION && type != NGHTTP2_PUSH_PROMISE && type <= NGHTTP2_WINDOW_UPDATE);
    if (id == 0 || id / 2 >= STREAMS_SEEN)
        return;
    struct seen *s = &seen[id / 2];
    FUZZ_CHECK(id % 2 == 1);
    if (type == NGHTTP2_RST_STREAM) {
        s->was_reset = true;
        return;
    }
    if (type > NGHTTP2_HEADERS)
        return;
    FUZZ_CHECK(!s->has_ended && !s->was_reset && (s->has_head || type == NGHTTP2_HEADERS));
    if (type == NGHTTP2_HEADERS)
        hear_head(inflater, s, data);
    else
        s->bytes += (int64_t)data.len;
    s->has_ended = flags & H2_END;
}

static void check_heard(void)
{
    static struct seen seen[STREAMS_SEEN];
    nghttp2_hd_inflater *inflater;
    struct slice rest = client_got(&client);
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < STREAMS_SEEN; i++)
        seen[i].length = -1;
    FUZZ_CHECK(nghttp2_hd_inflate_new(&inflater) == 0);
    while (rest.len >= H2_FRAME_HEAD_BYTES) {
        size_t len = h2_number_at(rest.data) >> 8;
        if (rest.len - H2_FRAME_HEAD_BYTES < len)
            break;
        hear_frame(inflater, seen, rest.data, (struct slice){rest.data + H2_FRAME_HEAD_BYTES, len});
        rest = slice_from(rest, H2_FRAME_HEAD_BYTES + len);
    }
    nghttp2_hd_inflate_del(inflater);
    /* That of HEAD has a length and no body. */
    for (size_t i = 0; i < STREAMS_SEEN; i++)
        FUZZ_CHECK(!seen[i].has_ended || seen[i].was_reset || seen[i].length < 0 || seen[i].bytes == 0 ||
                   seen[i].bytes == seen[i].length);
}

/* --- the whole --- */

static void open_bench(void)
{
    static char big[BIG_BYTES];
    signal(SIGPIPE, SIG_IGN);
    bench_open(http, server);
    memset(big, 'x', sizeof big);
    bench_add_file("big", (struct slice){big, sizeof big});
    bench_add_file("small", (struct slice){big, 100});
}

/* Whoever a request waits for has said his last. */
static void end_upstreams(void)
{
    for (size_t i = 0; i < UPSTREAMS_MAX; i++)
        if (upstream_waits(&upstreams[i]))
            upstream_fail(&upstreams[i], 504);
        else if (upstream_sends(&upstreams[i]) && !upstreams[i].failed)
            upstream_break(&upstreams[i]);
}

/* The client says nothing, and takes all. */
static void wait_for_end(void)
{
    client.takes_nothing = false;
    client.take = 0;
    for (int passed_ms = 0; client.c && passed_ms < SILENCE_MS; passed_ms += SILENCE_STEP_MS) {
        end_upstreams();
        client_settle(&client);
        bench_pass(SILENCE_STEP_MS);
    }
    FUZZ_CHECK(!client.c);
}

static void check_left(void)
{
    struct worker *w = &bench.w;
    bench_end_turn();
    bench_check_empty();
    FUZZ_CHECK(upstream_count() == 0 && buf_len(&w->output) == 0);
    FUZZ_CHECK(client.closed == 1);
    buf_free(&client.got);
    buf_free(&said);
    (void)bench_log();
    (void)bench_errors();
    w->draining = false;
    bench_pass(BETWEEN_MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    static bool is_open;
    if (!is_open)
        open_bench();
    is_open = true;
    unsigned how = take(&in);
    client = (struct client){0};
    next_id = 1;
    client_connect(&client);
    if (how & 1)
        h2_say_hello(&said);
    else if (how & 2)
        h2_say_bytes(&said, H2_PREFACE, sizeof H2_PREFACE - 1);
    bool speaks = how & 3;
    for (int i = 0; i < STEPS_MAX && in.at < in.end && client.c; i++)
        make_step(&in);
    deliver();
    if (client.c && how & 4)
        wait_for_end();
    else if (client.c)
        client_leave(&client);
    if (speaks)
        check_heard();
    check_left();
    return 0;
}
