/*
 * tests/fuzz/bench.h - the bench of the unit tests for fuzz targets: a check of its own that does not hold ends the run with a report.
 */
#ifndef WEIR_TESTS_FUZZ_BENCH_H
#define WEIR_TESTS_FUZZ_BENCH_H

#include "tests/fuzz/fuzz.h"

#include "tests/unit/http/bench_clock.h"
#include "tests/unit/http/bench_h2.h"
#include "tests/unit/http/bench_upstream.h"

/* In the place of CUnit's. */
CU_BOOL CU_assertImplementation(CU_BOOL holds, unsigned line, const char *condition, const char *file,
                                const char *function, CU_BOOL fatal)
{
    (void)function;
    (void)fatal;
    if (!holds) {
        fprintf(stderr, "%s:%u: does not hold: %s\n", file, line, condition);
        abort();
    }
    return CU_TRUE;
}

#endif
