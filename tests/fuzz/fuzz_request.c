/*
 * tests/fuzz/fuzz_request.c - the request head: the verdict must not depend on where the bytes were cut, nothing is
 * read behind what has arrived, and what is accepted lies inside the input and is well-formed.
 *
 * Each stretch that is scanned is a block of its own, so that AddressSanitizer sees one byte read too far.
 */
#include "tests/fuzz/fuzz.h"

#include "http/wire/request.h"

/* Of an input that is tried with every cut: that costs its square. */
enum { CUT_BYTES_MAX = 400 };

static const struct http_head_limits limits = {8192, 32768};

/* What became of a head. */
struct verdict {
    enum http_scan_result scan;
    size_t head_len;
    int status; /* of a refusal */
};

static void scan_copy(struct verdict *v, struct http_scan *scan, const uint8_t *data, size_t size)
{
    struct http_error error = {0};
    char *copy = fuzz_copy(data, size);
    v->scan = http_scan_head(scan, &limits, copy, size, &v->head_len, &error);
    v->status = v->scan == HTTP_SCAN_ERROR ? error.status : 0;
    FUZZ_CHECK(v->scan != HTTP_SCAN_DONE || (v->head_len >= 1 && v->head_len <= size));
    FUZZ_CHECK(v->scan != HTTP_SCAN_ERROR || (error.status >= 400 && error.status <= 505 && error.text));
    free(copy);
}

static void check_same(const struct verdict *whole, const struct verdict *cut)
{
    FUZZ_CHECK(whole->scan == cut->scan && whole->status == cut->status);
    FUZZ_CHECK(whole->scan != HTTP_SCAN_DONE || whole->head_len == cut->head_len);
}

/* In two pieces that meet at each byte, and byte by byte. */
static void check_cuts(const struct verdict *whole, const uint8_t *data, size_t size)
{
    struct verdict cut;
    for (size_t at = 0; at < size; at++) {
        struct http_scan scan = {0};
        scan_copy(&cut, &scan, data, at);
        if (cut.scan == HTTP_SCAN_MORE)
            scan_copy(&cut, &scan, data, size);
        check_same(whole, &cut);
    }
    struct http_scan scan = {0};
    for (size_t n = 0; n <= size; n++) {
        scan_copy(&cut, &scan, data, n);
        if (cut.scan != HTTP_SCAN_MORE)
            break;
    }
    check_same(whole, &cut);
}

static bool inside(struct slice s, const char *block, size_t bytes)
{
    return s.len == 0 || (s.data >= block && s.data + s.len <= block + bytes);
}

static void check_request(const struct http_request *req, const char *head, size_t head_len)
{
    FUZZ_CHECK(req->path.len > 0 && (req->path.data[0] == '/' || slice_eq(req->path, SLICE("*"))));
    FUZZ_CHECK(!memchr(req->path.data, '\0', req->path.len));
    FUZZ_CHECK(inside(req->target, head, head_len) && inside(req->args, head, head_len));
    FUZZ_CHECK(inside(req->host, head, head_len) && inside(req->line, head, head_len));
    FUZZ_CHECK(req->minor_version == 0 || req->minor_version == 1);
    FUZZ_CHECK(req->header_count >= 0 && req->header_count <= http_parse_defaults.max_headers);
    for (int i = 0; i < req->header_count; i++) {
        FUZZ_CHECK(http_is_token(req->headers[i].name) && inside(req->headers[i].name, head, head_len));
        FUZZ_CHECK(inside(req->headers[i].value, head, head_len));
        FUZZ_CHECK(slice_eq(slice_trim(req->headers[i].value), req->headers[i].value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_request req;
    struct verdict whole;
    struct http_scan scan = {0};
    struct http_error error = {0};
    scan_copy(&whole, &scan, data, size);
    if (size <= CUT_BYTES_MAX)
        check_cuts(&whole, data, size);
    if (whole.scan != HTTP_SCAN_DONE)
        return 0;
    char *head = fuzz_copy(data, whole.head_len);
    struct arena arena;
    arena_init(&arena, 1024);
    if (http_parse_head(&req, &arena, head, whole.head_len, &http_parse_defaults, &error))
        check_request(&req, head, whole.head_len);
    else
        FUZZ_CHECK(error.status >= 400 && error.status <= 505 && error.text);
    free(head);
    arena_free(&arena);
    return 0;
}
