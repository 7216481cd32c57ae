/*
 * bench/pool/report.h - what a program of the benchmark prints: one "metric value" a line.
 */
#ifndef WEIR_BENCH_POOL_REPORT_H
#define WEIR_BENCH_POOL_REPORT_H

#include <stddef.h>
#include <stdint.h>

void say(const char *metric, double value);

/* "p50", "p99" and "max" in microseconds. Sorts them. */
void say_latencies(uint64_t *ns, size_t count);

/* What is in memory now, the jobs for example, is none of the pool's. Before the pool is created. */
void memory_mark(void);

/* "rss", the most that ever was in memory, and "growth", the same without what memory_mark has seen; in megabytes. */
void say_peak_memory(void);

uint64_t median_of(uint64_t *values, size_t count);

#endif
