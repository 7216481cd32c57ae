/*
 * tests/fuzz/fuzz_answer.c - the heads of upstreams' answers: no cut changes the verdict, nothing is read behind what has
 * arrived, and what is accepted lies inside the input, is well-formed, and can be read in one way only.
 */
#include "tests/fuzz/fuzz.h"

#include "http/wire/chars.h"
#include "http/wire/response_head.h"

enum { CUT_BYTES_MAX = 400 };

struct verdict {
    enum http_response_head_result result;
    size_t head_len;
};

static bool inside(struct slice s, const char *block, size_t bytes)
{
    return s.len == 0 || (s.data >= block && s.data + s.len <= block + bytes);
}

static void check_field(const struct http_header *h, const char *head, size_t head_len)
{
    FUZZ_CHECK(http_is_token(h->name) && inside(h->name, head, head_len));
    FUZZ_CHECK(inside(h->value, head, head_len) && slice_eq(slice_trim(h->value), h->value));
    for (size_t i = 0; i < h->value.len; i++)
        FUZZ_CHECK(char_is(h->value.data[i], CHAR_FIELD));
}

static void check_answer(const struct http_response_head *a, const char *head, size_t head_len, bool to_head)
{
    int lengths = 0, codings = 0;
    FUZZ_CHECK(a->status >= 100 && a->status <= 599 && inside(a->reason, head, head_len));
    FUZZ_CHECK(a->minor_version >= 0 && a->minor_version <= 9);
    FUZZ_CHECK(a->header_count >= 0 && a->header_count <= HTTP_RESPONSE_HEADERS_MAX);
    for (int i = 0; i < a->header_count; i++) {
        check_field(&a->headers[i], head, head_len);
        lengths += slice_eq_nocase(a->headers[i].name, SLICE("Content-Length"));
        codings += slice_eq_nocase(a->headers[i].name, SLICE("Transfer-Encoding"));
    }
    bool empty = to_head || a->status < 200 || a->status == 204 || a->status == 304;
    /* It ends at its empty line, whatever it says of a body (RFC 9112 section 6.3). */
    if (a->status < 200)
        lengths = codings = 0;
    FUZZ_CHECK(!(lengths && codings) && codings <= 1 && a->has_length == (lengths > 0));
    FUZZ_CHECK(!a->has_length || a->content_length <= INT64_MAX);
    FUZZ_CHECK(a->framing == (empty     ? HTTP_RESPONSE_EMPTY
                              : codings ? HTTP_RESPONSE_CHUNKED
                              : lengths ? HTTP_RESPONSE_LENGTH
                                        : HTTP_RESPONSE_UNTIL_CLOSE));
    FUZZ_CHECK(!a->keepalive || a->framing != HTTP_RESPONSE_UNTIL_CLOSE);
}

/* Each stretch is a block of its own, so that AddressSanitizer sees one byte read too far. */
static struct verdict parse(const uint8_t *data, size_t size, bool to_head)
{
    static struct http_response_head a;
    struct verdict v = {0};
    const char *why = NULL;
    char *copy = fuzz_copy(data, size);
    v.result = http_parse_response_head(&a, copy, size, to_head, &v.head_len, &why);
    FUZZ_CHECK(v.result != HTTP_RESPONSE_HEAD_BAD || (why && why[0]));
    if (v.result == HTTP_RESPONSE_HEAD_DONE) {
        FUZZ_CHECK(v.head_len > 12 && v.head_len <= size && copy[v.head_len - 1] == '\n');
        check_answer(&a, copy, v.head_len, to_head);
    }
    free(copy);
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int to_head = 0; to_head <= 1; to_head++) {
        struct verdict whole = parse(data, size, to_head);
        if (size > CUT_BYTES_MAX)
            continue;
        for (size_t n = 0; n < size; n++) {
            struct verdict cut = parse(data, n, to_head);
            if (cut.result == HTTP_RESPONSE_HEAD_MORE)
                continue; /* then the rest decides */
            FUZZ_CHECK(cut.result == whole.result);
            FUZZ_CHECK(cut.result == HTTP_RESPONSE_HEAD_BAD ||
                       (cut.head_len == whole.head_len && n >= whole.head_len));
        }
        FUZZ_CHECK(whole.result != HTTP_RESPONSE_HEAD_DONE || whole.head_len == size ||
                   parse(data, whole.head_len, to_head).result == HTTP_RESPONSE_HEAD_DONE);
    }
    return 0;
}
