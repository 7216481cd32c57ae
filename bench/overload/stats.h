/*
 * bench/overload/stats.h - latencies in buckets, and the counters of a stream of requests.
 *
 * A bucket is 1/128 of its value wide at most, so a percentile is exact to 0.8 %. Not safe from several threads.
 */
#ifndef BENCH_OVERLOAD_STATS_H
#define BENCH_OVERLOAD_STATS_H

#include <stdint.h>

enum { HIST_SUB = 256, HIST_BUCKETS = 26 * HIST_SUB / 2 }; /* up to 71 minutes */

struct hist {
    uint64_t count, max_us;
    uint32_t buckets[HIST_BUCKETS];
};

struct stats {
    /* Requests that arrived, without those skipped. */
    uint64_t offered;
    /* Answers by the first digit of their status; [0]: no such. */
    uint64_t by_class[6];
    /* Connections refused, reset, or closed before the answer; answers that are no HTTP. */
    uint64_t errors;
    /* Connections that the server closed after an answer. */
    uint64_t reconnects;
    /* Arrivals given up because this program was late, not the server. */
    uint64_t skipped;
    /* Arrivals given up because too many waited for a connection. */
    uint64_t unsent;
    struct hist ok;      /* 200s, from the intended time of sending */
    struct hist refused; /* everything else that was answered */
    /* From the intended to the real time of sending. */
    struct hist late;
};

void hist_add(struct hist *h, uint64_t ns);

/* In ms; share is 0 to 1. 0 when nothing was added. */
double hist_percentile(const struct hist *h, double share);

void stats_clear(struct stats *s);

#endif
