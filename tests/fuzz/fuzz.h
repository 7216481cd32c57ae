/*
 * tests/fuzz/fuzz.h - what the fuzz targets share: a check that ends the run with a report, and copies of an
 * exact size, behind which AddressSanitizer watches.
 */
#ifndef WEIR_TESTS_FUZZ_FUZZ_H
#define WEIR_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                              \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

/* The bytes in a block of their own; the caller frees it. */
static inline char *fuzz_copy(const void *data, size_t size)
{
    char *copy = malloc(size);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

#endif
