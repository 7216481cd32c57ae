/*
 * bench/pool/report.c - the figures of a workload: values, percentiles, memory.
 *
 * Memory is what the kernel has counted for the whole process, its program and libraries included.
 */
#include "bench/pool/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double marked_kib;

void say(const char *metric, double value)
{
    printf("%s %.6g\n", metric, value);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

uint64_t median_of(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

void say_latencies(uint64_t *ns, size_t count)
{
    size_t above = count / 100; /* these took longer than 99 of 100 */
    say("p50", (double)median_of(ns, count) / 1e3);
    say("p99", (double)ns[count - 1 - above] / 1e3);
    say("max", (double)ns[count - 1] / 1e3);
}

/* A line of /proc/self/status: VmRSS is now, VmHWM the most that ever was. */
static double status_kib(const char *name)
{
    char line[256];
    double kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtod(line + strlen(name), NULL);
    if (status)
        fclose(status);
    return kib;
}

void memory_mark(void)
{
    marked_kib = status_kib("VmRSS:");
}

void say_peak_memory(void)
{
    double peak_kib = status_kib("VmHWM:");
    say("rss", peak_kib * 1024 / 1e6);
    say("growth", (peak_kib - marked_kib) * 1024 / 1e6);
}
