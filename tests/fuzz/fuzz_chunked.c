/*
 * tests/fuzz/fuzz_chunked.c - the chunked coding: decoding in pieces of any size gives the same body, the same end and
 * the same verdict as decoding at once.
 */
#include "tests/fuzz/fuzz.h"

#include "http/wire/chunked.h"

struct decoded {
    enum http_chunked_result result;
    char *body;
    size_t body_len, used;
};

/* Each piece is decoded in a block of its own size. */
static struct decoded decode_in_pieces(const uint8_t *data, size_t size, size_t step)
{
    struct http_chunked c = {0};
    struct decoded d = {HTTP_CHUNKED_MORE, malloc(size + 1), 0, 0};
    for (size_t at = 0; at < size && d.result == HTTP_CHUNKED_MORE; at += step) {
        size_t n = step < size - at ? step : size - at, body_len, used;
        char *piece = fuzz_copy(data + at, n);
        d.result = http_chunked_decode(&c, piece, n, &body_len, &used);
        FUZZ_CHECK(used <= n && body_len <= used);
        FUZZ_CHECK(d.result != HTTP_CHUNKED_MORE || used == n);
        memcpy(d.body + d.body_len, piece, body_len);
        d.body_len += body_len;
        d.used += used;
        free(piece);
    }
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct decoded whole = decode_in_pieces(data, size, size ? size : 1);
    for (size_t step = 1; step <= 5; step++) {
        struct decoded cut = decode_in_pieces(data, size, step);
        FUZZ_CHECK(whole.result == cut.result && whole.used == cut.used && whole.body_len == cut.body_len);
        FUZZ_CHECK(memcmp(whole.body, cut.body, whole.body_len) == 0);
        free(cut.body);
    }
    free(whole.body);
    return 0;
}
