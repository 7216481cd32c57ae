/*
 * base/hist.h - a histogram of durations with fixed buckets, made of atomics so that it can lie in shared memory.
 *
 * Threads: hist_add by one writer at a time (its owner's lock or its only thread); readers at any time.
 */
#ifndef WEIR_BASE_HIST_H
#define WEIR_BASE_HIST_H

#include <stdint.h>

/* The same bytes in both languages. */
#ifdef __cplusplus
#include <atomic>
#define WEIR_ATOMIC(type) std::atomic<type>
#define WEIR_ALIGNED(bytes) alignas(bytes)
extern "C" {
#else
#include <stdatomic.h>
#define WEIR_ATOMIC(type) _Atomic(type)
#define WEIR_ALIGNED(bytes) _Alignas(bytes)
#endif

/* Part of libweir-pool, whose symbols all begin so. */
#define POOL_SYMBOL(name) __asm__("pool_" #name)

enum { HIST_BUCKETS = 17 };

/* Upper bounds in microseconds; a last bucket holds everything above them. */
extern const uint32_t hist_bounds_us[HIST_BUCKETS] POOL_SYMBOL(hist_bounds_us);

struct hist {
    WEIR_ATOMIC(uint64_t) counts[HIST_BUCKETS + 1]; /* not cumulative */
    WEIR_ATOMIC(uint64_t) sum_us;
};

/* A plain copy to add up and print. */
struct hist_sum {
    uint64_t counts[HIST_BUCKETS + 1];
    uint64_t sum_us;
    uint64_t total;
};

void hist_add(struct hist *h, uint64_t us) POOL_SYMBOL(hist_add);
void hist_collect(const struct hist *h, struct hist_sum *sum) POOL_SYMBOL(hist_collect);

static inline void hist_sum_add(struct hist_sum *to, const struct hist_sum *from)
{
    for (int i = 0; i <= HIST_BUCKETS; i++)
        to->counts[i] += from->counts[i];
    to->sum_us += from->sum_us;
    to->total += from->total;
}

/* The duration that a share of all, from 0 to 1, do not exceed, as if each bucket's were spread evenly; 0: there are none. */
double hist_quantile_us(const struct hist_sum *sum, double share) POOL_SYMBOL(hist_quantile_us);

/* Adds to a counter that has a single writer: no locked instruction. */
static inline void counter_add(WEIR_ATOMIC(uint64_t) * c, uint64_t n)
{
    uint64_t *v = (uint64_t *)(void *)c;
    __atomic_store_n(v, __atomic_load_n(v, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline uint64_t counter_get(const WEIR_ATOMIC(uint64_t) * c)
{
    return __atomic_load_n((const uint64_t *)(const void *)c, __ATOMIC_RELAXED);
}

static inline void counter_set(WEIR_ATOMIC(uint64_t) * c, uint64_t v)
{
    __atomic_store_n((uint64_t *)(void *)c, v, __ATOMIC_RELAXED);
}

#ifdef __cplusplus
}
#endif

#endif
