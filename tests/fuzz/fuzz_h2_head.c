/*
 * tests/fuzz/fuzz_h2_head.c - a request's head of HTTP/2: whatever fields come, the text that is made of them is one head of HTTP/1, within the
 * limits, and the parser sees in it just the fields that have come.
 *
 * An input is a list of fields: name, a zero, value, a zero. What nghttp2 keeps away is left out here, too.
 */
#include "tests/fuzz/bench.h"

#include "http/h2/head.h"
#include "http/h2/stream.h"

enum { FIELDS_MAX = 60, PSEUDO = 4, LINE_BYTES = 512, HEAD_BYTES = 1280 };

static const char server[] = "http2 on; client_header_buffer_size 256; large_client_header_buffers 2 512;"
                             "location / { return 200 x; }";

struct field {
    struct slice name, value;
};

struct head {
    struct field fields[FIELDS_MAX];
    int count;
};

/* Every field counts. */
static const struct http_parse_options options = {
    .merge_slashes = true, .underscores_in_headers = true, .max_headers = 1000, .http2 = true};

static struct client client;

/* --- what comes --- */

static struct slice next_text(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *zero = *at < end ? memchr(*at, 0, (size_t)(end - *at)) : NULL;
    struct slice text = {(const char *)*at, (size_t)((zero ? zero : end) - *at)};
    *at = zero ? zero + 1 : end;
    return text;
}

static bool has_pseudo(const struct head *h, struct slice name)
{
    for (int i = 0; i < h->count; i++)
        if (slice_eq(h->fields[i].name, name))
            return true;
    return false;
}

/* As nghttp2_http_on_header does it: pseudo-fields once and first, and of the others those that are fields. */
static bool passes(const struct head *h, const struct field *f)
{
    bool may_be_pseudo = h->count == 0 || h->fields[h->count - 1].name.data[0] == ':';
    if (f->name.len == 0)
        return false;
    if (f->name.data[0] != ':')
        return nghttp2_check_header_name((const uint8_t *)f->name.data, f->name.len) &&
               nghttp2_check_header_value_rfc9113((const uint8_t *)f->value.data, f->value.len);
    bool is_known = slice_eq(f->name, SLICE(":method")) || slice_eq(f->name, SLICE(":path")) ||
                    slice_eq(f->name, SLICE(":authority")) || slice_eq(f->name, SLICE(":scheme"));
    return is_known && may_be_pseudo && !has_pseudo(h, f->name) &&
           nghttp2_check_header_value((const uint8_t *)f->value.data, f->value.len);
}

static void take_fields(struct head *h, const uint8_t *at, const uint8_t *end)
{
    h->count = 0;
    while (at < end && h->count < FIELDS_MAX) {
        struct field f = {.name = next_text(&at, end)};
        f.value = next_text(&at, end);
        if (passes(h, &f))
            h->fields[h->count++] = f;
    }
}

static struct slice value_of(const struct head *h, struct slice name)
{
    for (int i = 0; i < h->count; i++)
        if (slice_eq(h->fields[i].name, name))
            return h->fields[i].value;
    return (struct slice){0};
}

/* --- what is made of it --- */

/* A field of the text: that of the head in the same place, of those that are not pseudo-fields, cookies or known as Host. */
static void check_fields(const struct head *h, const struct http_request *req)
{
    struct slice host = value_of(h, SLICE(":authority"));
    bool has_host = false;
    int at = 0;
    if (host.len)
        FUZZ_CHECK(req->header_count > 0 && slice_eq(req->headers[at].name, SLICE("host")) &&
                   slice_eq(req->headers[at++].value, host));
    for (int i = 0; i < h->count; i++) {
        const struct field *f = &h->fields[i];
        if (f->name.data[0] == ':' || slice_eq(f->name, SLICE("cookie")))
            continue;
        bool is_known = slice_eq(f->name, SLICE("host")) && !has_host && host.len;
        has_host |= slice_eq(f->name, SLICE("host"));
        if (is_known)
            continue;
        FUZZ_CHECK(at < req->header_count && slice_eq(req->headers[at].name, f->name));
        FUZZ_CHECK(slice_eq(req->headers[at].value, slice_trim(f->value)));
        at++;
    }
    /* Cookies are one, at the end. */
    FUZZ_CHECK(at == req->header_count ||
               (at + 1 == req->header_count && slice_eq(req->headers[at].name, SLICE("cookie"))));
}

static void check_head_text(const struct head *h, const struct http_exchange *ex)
{
    static struct http_request req;
    struct http_error error = {0};
    struct arena arena;
    char *copy = fuzz_copy(ex->head.data, ex->head.len);
    FUZZ_CHECK(ex->head.len <= HEAD_BYTES + 64);
    FUZZ_CHECK(ex->head.len > 4 && memcmp(ex->head.data + ex->head.len - 4, "\r\n\r\n", 4) == 0);
    arena_init(&arena, 1024);
    if (http_parse_head(&req, &arena, copy, ex->head.len, &options, &error)) {
        struct slice method = value_of(h, SLICE(":method"));
        FUZZ_CHECK(slice_eq(req.method_name, method.len ? method : SLICE("GET")));
        check_fields(h, &req);
    } else {
        FUZZ_CHECK(error.status >= 400 && error.status <= 505 && error.text);
    }
    arena_free(&arena);
    free(copy);
}

static void check_refusal(const struct head *h, const struct http_error *refused)
{
    size_t all = 0, longest = 0;
    for (int i = 0; i < h->count; i++) {
        size_t bytes = h->fields[i].name.len + h->fields[i].value.len + 4;
        all += bytes;
        longest = bytes > longest ? bytes : longest;
    }
    FUZZ_CHECK(longest > LINE_BYTES || all > HEAD_BYTES);
    FUZZ_CHECK(refused->status == 414 || refused->status == 494);
}

static void connect_client(void)
{
    static struct buf said;
    static bool is_open;
    if (!is_open)
        bench_open("", server);
    is_open = true;
    client = (struct client){0};
    client_connect(&client);
    h2_say_hello(&said);
    h2_client_say(&client, &said);
    FUZZ_CHECK(client.c && client.c->session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct head h;
    if (!client.c)
        connect_client();
    struct h2_session *s = client.c->session;
    struct h2_stream *st = h2_stream_new(s, 1);
    take_fields(&h, data, data + size);
    h2_head_begin(s, st);
    for (int i = 0; i < h.count; i++) {
        char *name = fuzz_copy(h.fields[i].name.data, h.fields[i].name.len);
        char *value = fuzz_copy(h.fields[i].value.data, h.fields[i].value.len);
        h2_head_add(s, (struct slice){name, h.fields[i].name.len},
                    (struct slice){value, h.fields[i].value.len});
        free(name);
        free(value);
    }
    if (h2_head_end(s, st, false) && !st->refuse)
        check_head_text(&h, st->ex);
    else if (st->refuse)
        check_refusal(&h, st->refuse);
    h2_stream_free(st);
    FUZZ_CHECK(s->heads_bytes == 0 && s->stream_count == 0);
    /* nghttp2 does not know of the stream; tokens are another test's. */
    s->is_over = s->is_flooded = false;
    if (s->leave != H2_STAYS) {
        client_leave(&client);
        buf_free(&client.got);
        (void)bench_errors();
    }
    bench_set_time(bench.w.now_ms + 1000);
    return 0;
}
