/*
 * tests/fuzz/fuzz_chunked.c - the chunked coding: decoding byte by byte gives the same body, the same end and the same
 * verdict as decoding at once.
 */
#include "tests/fuzz/fuzz.h"

#include "http/chunked.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_chunked at_once = {0}, bytewise = {0};
    char *copy = malloc(size + 1), *body = malloc(size + 1);
    size_t body_len, used, n = 0, total = 0;
    memcpy(copy, data, size);
    enum http_chunked_result whole = http_chunked_decode(&at_once, copy, size, &body_len, &used),
                             one = HTTP_CHUNKED_MORE;
    while (n < size && one == HTTP_CHUNKED_MORE) {
        char byte = (char)data[n++];
        size_t got, took;
        one = http_chunked_decode(&bytewise, &byte, 1, &got, &took);
        FUZZ_CHECK(took == 1 && got <= 1);
        if (got)
            body[total++] = byte;
    }
    FUZZ_CHECK(whole == one);
    FUZZ_CHECK(whole == HTTP_CHUNKED_ERROR ||
               (total == body_len && n == used && memcmp(body, copy, total) == 0));
    free(copy);
    free(body);
    return 0;
}
