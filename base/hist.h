/*
 * base/hist.h - a histogram of durations with fixed buckets, made of atomics so that it can lie in shared memory.
 *
 * Threads: hist_add by one writer at a time (its owner's lock or its only thread); readers at any time.
 */
#ifndef WEIR_BASE_HIST_H
#define WEIR_BASE_HIST_H

#include <stdatomic.h>
#include <stdint.h>

enum { HIST_BUCKETS = 14 };

/* Upper bounds in microseconds; a last bucket holds everything above them. */
extern const uint32_t hist_bounds_us[HIST_BUCKETS];

struct hist {
    _Atomic uint64_t counts[HIST_BUCKETS + 1]; /* not cumulative */
    _Atomic uint64_t sum_us;
};

/* A plain copy to add up and print. */
struct hist_sum {
    uint64_t counts[HIST_BUCKETS + 1];
    uint64_t sum_us;
    uint64_t total;
};

void hist_add(struct hist *h, uint64_t us);
void hist_collect(const struct hist *h, struct hist_sum *sum);

/* Adds one to a counter that has a single writer: no locked instruction. */
static inline void counter_add(_Atomic uint64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline uint64_t counter_get(const _Atomic uint64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

static inline void counter_set(_Atomic uint64_t *c, uint64_t v)
{
    atomic_store_explicit(c, v, memory_order_relaxed);
}

#endif
