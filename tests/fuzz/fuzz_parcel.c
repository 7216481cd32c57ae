/*
 * tests/fuzz/fuzz_parcel.c - what one worker takes of another one's bytes: a request, or the head of a response. Nothing in it may
 * lie outside of them, and what is taken as a response's head could have been set by a handler.
 */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "handlers/parcel.h"
#include "http/wire/request.h"

static size_t look(struct slice s)
{
    size_t sum = 0;
    for (size_t i = 0; i < s.len; i++)
        sum += (unsigned char)s.data[i];
    return sum;
}

static size_t look_at_request(const struct parcel *p)
{
    size_t sum = look(p->req.line) + look(p->req.method_name) + look(p->req.uri) + look(p->req.path) +
                 look(p->req.args) + look(p->server_name) + look(p->request_id) + look(p->body);
    for (int i = 0; i < p->req.header_count; i++)
        sum += look(p->req.headers[i].name) + look(p->req.headers[i].value);
    for (uint32_t i = 0; i < p->variable_count; i++)
        sum += look(p->variables[i]);
    return p->asks ? sum + strlen(p->file) + strlen(p->user) + strlen(p->password) : sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct arena arena;
    struct parcel p = {0};
    struct http_response res = {0};
    char *data = fuzz_copy(bytes, len);
    static volatile size_t seen;
    struct slice input = {data, len};
    arena_init(&arena, 1024);
    if (parcel_unpack(&p, &arena, input)) {
        FUZZ_CHECK(p.client.remote_len <= 16 && p.req.method <= HTTP_OTHER);
        FUZZ_CHECK(p.body_in_file || p.body.len == p.body_len || p.asks);
        seen = look_at_request(&p);
    }
    if (parcel_unpack_head(&input, &res, &arena)) {
        FUZZ_CHECK(res.status == 0 || (res.status >= 200 && res.status <= 599));
        for (const struct http_response_header *h = res.headers; h; h = h->next)
            FUZZ_CHECK(http_is_token(h->header.name) && http_is_field_value(h->header.value));
    }
    arena_free(&arena);
    free(data);
    return 0;
}
