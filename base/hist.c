/*
 * base/hist.c - fixed-bucket histogram; the bounds suit both a request that is answered from memory and one that
 * waits for a handler.
 */
#include "base/hist.h"

/* From 5 ms on as OpenTelemetry's convention for http.server.request.duration has them. */
const uint32_t hist_bounds_us[HIST_BUCKETS] = {100,     500,     1000,    5000,    10000,   25000,
                                               50000,   75000,   100000,  250000,  500000,  750000,
                                               1000000, 2500000, 5000000, 7500000, 10000000};

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

double hist_quantile_us(const struct hist_sum *sum, double share)
{
    double wanted = share * (double)sum->total, below = 0;
    for (int i = 0; i < HIST_BUCKETS && sum->total; i++) {
        double here = (double)sum->counts[i], from = i ? hist_bounds_us[i - 1] : 0;
        if (here > 0 && below + here >= wanted)
            return from + (hist_bounds_us[i] - from) * (wanted - below) / here;
        below += here;
    }
    return sum->total ? hist_bounds_us[HIST_BUCKETS - 1] : 0;
}
