/*
 * tests/fuzz/fuzz_grpc.c - deadlines of gRPC: one that is read can be written, and is then no shorter.
 */
#include "tests/fuzz/fuzz.h"

#include "http/wire/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = fuzz_copy(data, size);
    struct slice text = {copy, size};
    char written[GRPC_TIMEOUT_BYTES];
    int64_t ms = -1, again = -1;
    bool is_type = grpc_is_type(text), is_one = grpc_parse_timeout(text, &ms);
    FUZZ_CHECK(!is_type || !is_one);
    FUZZ_CHECK(!is_one || (ms >= 0 && size <= 9));
    if (is_one && ms > 0) {
        FUZZ_CHECK(grpc_parse_timeout(grpc_print_timeout(written, ms), &again));
        FUZZ_CHECK(again >= ms && again - ms <= 3600000);
    }
    free(copy);
    return 0;
}
