/*
 * tests/fuzz/fuzz_request.c - the request head: the verdict must not depend on where the bytes were cut, and what is
 * accepted must lie inside the input and be well-formed.
 */
#include "tests/fuzz/fuzz.h"

#include "http/request.h"

static const struct http_head_limits limits = {8192, 32768};

/* Gives the input in pieces of `step` bytes. */
static enum http_scan_result scan_in_steps(const char *data, size_t size, size_t step, size_t *head_len,
                                           struct http_error *error)
{
    struct http_scan scan = {0};
    enum http_scan_result result = HTTP_SCAN_MORE;
    for (size_t n = step; result == HTTP_SCAN_MORE; n += step) {
        result = http_scan_head(&scan, &limits, data, n < size ? n : size, head_len, error);
        if (n >= size)
            break;
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_error error = {0}, other_error = {0};
    size_t len = 0, other_len = 0;
    const char *text = (const char *)data;
    enum http_scan_result whole = scan_in_steps(text, size, size ? size : 1, &len, &error);
    enum http_scan_result bytes = scan_in_steps(text, size, 1, &other_len, &other_error);
    FUZZ_CHECK(whole == bytes && (whole != HTTP_SCAN_DONE || len == other_len));
    FUZZ_CHECK(whole != HTTP_SCAN_ERROR || error.status == other_error.status);
    if (whole != HTTP_SCAN_DONE || len <= 2)
        return 0;
    static struct http_request req;
    char *scratch = malloc(len), *copy = malloc(len);
    memcpy(copy, text, len);
    if (http_parse_head(&req, copy, len, scratch, &error)) {
        FUZZ_CHECK(req.path.len > 0 && (req.path.data[0] == '/' || req.path.data[0] == '*'));
        FUZZ_CHECK(!memchr(req.path.data, '\0', req.path.len));
        for (int i = 0; i < req.header_count; i++)
            FUZZ_CHECK(http_is_token(req.headers[i].name));
    } else {
        FUZZ_CHECK(error.status >= 400 && error.text);
    }
    free(scratch);
    free(copy);
    return 0;
}
