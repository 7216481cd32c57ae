/*
 * tests/unit/http/bench_clock.h - limits ask for the time themselves: they get the bench's. For programs that are linked so (see
 * GNUmakefile).
 */
#ifndef WEIR_TESTS_UNIT_HTTP_BENCH_CLOCK_H
#define WEIR_TESTS_UNIT_HTTP_BENCH_CLOCK_H

#include "tests/unit/http/bench.h"

uint64_t __wrap_clock_fast_us(void);

uint64_t __wrap_clock_fast_us(void)
{
    return bench.w.now_ms * 1000;
}

#endif
