/*
 * bench/overload/stats.c - buckets of latencies: equal widths up to 256 us, then 128 in each doubling.
 */
#include "bench/overload/stats.h"

#include <string.h>

enum { HALF = HIST_SUB / 2 };

static unsigned bucket_of(uint64_t us)
{
    if (us < HIST_SUB)
        return (unsigned)us;
    unsigned shift = 63U - (unsigned)__builtin_clzll(us) - 7;
    unsigned bucket = shift * HALF + (unsigned)(us >> shift);
    return bucket < HIST_BUCKETS ? bucket : HIST_BUCKETS - 1;
}

/* The middle of a bucket. */
static double value_of(unsigned bucket)
{
    if (bucket < HIST_SUB)
        return bucket + 0.5;
    unsigned shift = (bucket - HALF) / HALF;
    double width = (double)(1ULL << shift);
    return (bucket - shift * HALF + 0.5) * width;
}

void hist_add(struct hist *h, uint64_t ns)
{
    uint64_t us = ns / 1000;
    h->count++;
    if (us > h->max_us)
        h->max_us = us;
    h->buckets[bucket_of(us)]++;
}

double hist_percentile(const struct hist *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->count), seen = 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > wanted || (seen == h->count && seen > 0)) {
            double us = value_of(i);
            return (us < (double)h->max_us ? us : (double)h->max_us) / 1e3;
        }
    }
    return 0;
}

void stats_clear(struct stats *s)
{
    memset(s, 0, sizeof *s);
}
