/*
 * tests/fuzz/fuzz_range.c - ranges and dates: ranges lie inside the body and add up to no more than it.
 */
#include "tests/fuzz/fuzz.h"

#include "base/clock.h"
#include "http/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_range ranges[HTTP_RANGES_MAX];
    struct slice text = {(const char *)data + (size > 2 ? 2 : 0), size > 2 ? size - 2 : 0};
    uint64_t length = size > 2 ? (uint64_t)data[0] * 256 + data[1] : 0, total = 0;
    int count;
    clock_parse_http_date(text);
    if (http_parse_ranges(text, length, ranges, &count) != HTTP_RANGES_OK)
        return 0;
    FUZZ_CHECK(count >= 1 && count <= HTTP_RANGES_MAX);
    for (int i = 0; i < count; i++) {
        FUZZ_CHECK(ranges[i].first <= ranges[i].last && ranges[i].last < length);
        total += ranges[i].last - ranges[i].first + 1;
    }
    FUZZ_CHECK(count == 1 || total <= length);
    return 0;
}
