/*
 * base/clock_fast.c - the monotonic clock from the processor's counter, where the kernel itself keeps time by it.
 *
 * Each thread remembers a pair (counter, time) and multiplies; after a millisecond it asks the kernel for a new pair.
 * So an error of the rate, an adjustment of the clock, or a machine that was suspended or moved shows for that long
 * at most. How fast the counter runs is measured once, over the first hundredth of a second; until then, and on
 * machines without such a counter, every call asks the kernel.
 */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)

enum { PAIR_NS_MAX = 2000, PAIR_TRIES = 4, RATE_NS = 10000000, RENEW_NS = 1000000 };

struct pair {
    uint64_t ticks, ns;
};

/* Nanoseconds in 2^32 ticks; 0: not known yet, or not to be used (then unusable is set). Written once. */
static _Atomic uint64_t ns_per_4g_ticks;
static atomic_bool unusable;
static atomic_flag begun;
/* The first pair, of whichever thread came first; the time is written last. */
static _Atomic uint64_t first_ticks, first_ns;

static uint64_t read_ticks(void)
{
    return __builtin_ia32_rdtsc();
}

static uint64_t kernel_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Both clocks at one moment: asked again if something came between. */
static struct pair read_pair(void)
{
    struct pair p;
    for (int i = 0; i < PAIR_TRIES; i++) {
        uint64_t before = read_ticks();
        p.ns = kernel_ns();
        uint64_t after = read_ticks();
        p.ticks = before + (after - before) / 2;
        /* A tick is less than a nanosecond, or little more. */
        if (after - before < PAIR_NS_MAX)
            break;
    }
    return p;
}

/* The kernel watches the counter, and leaves it when it is not the same on all processors. */
static bool kernel_uses_it(void)
{
    char name[16] = "";
    FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
    if (!f)
        return false;
    bool read = fgets(name, sizeof name, f) != NULL;
    fclose(f);
    return read && strcmp(name, "tsc\n") == 0;
}

/* Measures the rate once enough time has passed since the first call. Any number of threads may be here. */
static void learn_rate(struct pair now)
{
    uint64_t since_ns = atomic_load(&first_ns);
    if (since_ns == 0) {
        if (atomic_flag_test_and_set(&begun))
            return;
        if (!kernel_uses_it())
            atomic_store(&unusable, true);
        atomic_store(&first_ticks, now.ticks);
        atomic_store(&first_ns, now.ns);
    } else if (now.ns > since_ns + RATE_NS && now.ticks > atomic_load(&first_ticks)) {
        double rate = (double)(now.ns - since_ns) / (double)(now.ticks - atomic_load(&first_ticks));
        atomic_store(&ns_per_4g_ticks, (uint64_t)(rate * 4294967296.0));
    }
}

uint64_t clock_fast_us(void)
{
    static _Thread_local struct pair known;
    uint64_t rate = atomic_load_explicit(&ns_per_4g_ticks, memory_order_relaxed);
    if (rate) {
        uint64_t ticks = read_ticks() - known.ticks;
        if (ticks < UINT32_MAX) {
            uint64_t ns = ticks * rate >> 32;
            if (ns < RENEW_NS)
                return (known.ns + ns) / 1000;
        }
        known = read_pair();
        return known.ns / 1000;
    }
    if (atomic_load_explicit(&unusable, memory_order_relaxed))
        return clock_mono_us();
    struct pair now = read_pair();
    learn_rate(now);
    return now.ns / 1000;
}

#else

uint64_t clock_fast_us(void)
{
    return clock_mono_us();
}

#endif
