/*
 * tests/fuzz/fuzz_range.c - ranges: they lie inside the body, and several of them add up to no more than it.
 */
#include "tests/fuzz/fuzz.h"

#include "http/wire/range.h"

enum { RANGES_MAX = 64 /* the default of max_ranges */ };

/* The input's first two bytes are the size of the body, and which multiple of it: small ones meet the bounds. */
static uint64_t body_size(const uint8_t *data)
{
    static const uint64_t units[] = {1, 1, 1, 100, 65536, 1ull << 32, 1ull << 50, 1ull << 55};
    return data[0] * units[data[1] % 8];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_range ranges[RANGES_MAX];
    uint64_t total = 0;
    int count = -1;
    if (size < 2)
        return 0;
    uint64_t length = body_size(data);
    char *copy = fuzz_copy(data + 2, size - 2);
    enum http_ranges_result result =
        http_parse_ranges((struct slice){copy, size - 2}, length, ranges, RANGES_MAX, &count);
    free(copy);
    if (result != HTTP_RANGES_OK)
        return 0;
    FUZZ_CHECK(count >= 1 && count <= RANGES_MAX);
    for (int i = 0; i < count; i++) {
        FUZZ_CHECK(ranges[i].first <= ranges[i].last && ranges[i].last < length);
        total += ranges[i].last - ranges[i].first + 1;
    }
    FUZZ_CHECK(total <= length);
    return 0;
}
