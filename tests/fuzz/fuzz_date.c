/*
 * tests/fuzz/fuzz_date.c - dates of HTTP: what is accepted can be written, and reads back as the same second; what is
 * an IMF-fixdate is accepted only in the spelling that is written.
 */
#include "tests/fuzz/fuzz.h"

#include "base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[CLOCK_HTTP_DATE_BYTES + 1], again[CLOCK_HTTP_DATE_BYTES + 1];
    char *copy = fuzz_copy(data, size);
    time_t t = clock_parse_http_date((struct slice){copy, size});
    free(copy);
    if (t == -1)
        return 0;
    FUZZ_CHECK(size >= 24 && size <= 33);
    clock_http_date(t, text);
    FUZZ_CHECK(clock_parse_http_date(slice_of(text)) == t);
    clock_http_date(clock_parse_http_date(slice_of(text)), again);
    FUZZ_CHECK(memcmp(text, again, sizeof text) == 0);
    return 0;
}
