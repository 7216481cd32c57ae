/*
 * base/hist.c - fixed-bucket histogram; the bounds suit both a request that is answered from memory and one that
 * waits for a handler.
 */
#include "base/hist.h"

const uint32_t hist_bounds_us[HIST_BUCKETS] = {100,    500,    1000,   5000,    10000,   25000,   50000,
                                               100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

void hist_add(struct hist *h, uint64_t us)
{
    int i = 0;
    while (i < HIST_BUCKETS && us > hist_bounds_us[i])
        i++;
    counter_add(&h->counts[i], 1);
    counter_add(&h->sum_us, us);
}

void hist_collect(const struct hist *h, struct hist_sum *sum)
{
    for (int i = 0; i <= HIST_BUCKETS; i++) {
        uint64_t n = counter_get(&h->counts[i]);
        sum->counts[i] += n;
        sum->total += n;
    }
    sum->sum_us += counter_get(&h->sum_us);
}
