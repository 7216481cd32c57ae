/*
 * pool/figures.h - a pool's figures as one block of atomics, which may lie in shared memory.
 *
 * Written by the pool under its locks, read by anyone at any time. Gauges describe now, counters only grow. Each part
 * that is written under a lock of its own has its own lines of cache.
 */
#ifndef WEIR_POOL_FIGURES_H
#define WEIR_POOL_FIGURES_H

#include "base/hist.h"

enum pool_rejection { POOL_REJECT_QUEUE_FULL, POOL_REJECT_CLOSED, POOL_REJECT_CODEL, POOL_REJECTIONS };

struct pool_figures {
    /* gauges of threads */
    WEIR_ALIGNED(64) WEIR_ATOMIC(uint64_t) min, max;
    /* Threads with a task that is not given up, and threads without a task. */
    WEIR_ATOMIC(uint64_t) running, idle;
    /* Threads whose task was given up and has not returned. */
    WEIR_ATOMIC(uint64_t) stuck;
    WEIR_ATOMIC(uint64_t) queue_limit;
    /* counters */
    WEIR_ATOMIC(uint64_t) started, completed, failed, cancelled, expired, shed, dropped;
    /* Tasks that were given to another pool to run; and those that a thread had begun for nothing by then. */
    WEIR_ATOMIC(uint64_t) lent, declined;
    /* Tasks taken by a process that died before they ended. */
    WEIR_ATOMIC(uint64_t) lost;
    WEIR_ATOMIC(uint64_t) spawned, retired, spawn_failures;
    struct hist queue_wait; /* submit to start */
    struct hist run_time;
    /* of submitting */
    WEIR_ALIGNED(64) WEIR_ATOMIC(uint64_t) submitted; /* counter */
    /* Counter: another pool's tasks. */
    WEIR_ATOMIC(uint64_t) borrowed;
    WEIR_ATOMIC(uint64_t) refused_full, refused_closed;
    WEIR_ATOMIC(uint64_t) waiting; /* gauge: blocked submitters */
};

/* Tasks that wait for a thread. */
static inline uint64_t pool_figures_queued(const struct pool_figures *f)
{
    uint64_t gone = counter_get(&f->started) + counter_get(&f->cancelled) + counter_get(&f->expired) +
                    counter_get(&f->shed) + counter_get(&f->dropped) + counter_get(&f->lost) +
                    counter_get(&f->lent);
    /* Last, so that what is gone is among it. */
    uint64_t submitted = counter_get(&f->submitted) + counter_get(&f->borrowed);
    return submitted > gone ? submitted - gone : 0;
}

static inline uint64_t pool_figures_rejected(const struct pool_figures *f, enum pool_rejection why)
{
    return counter_get(why == POOL_REJECT_QUEUE_FULL ? &f->refused_full
                       : why == POOL_REJECT_CLOSED   ? &f->refused_closed
                                                     : &f->shed);
}

/* What is true of a pool whose process has died: nothing runs, waits or idles. The counters stay. */
static inline void pool_figures_clear_gauges(struct pool_figures *f)
{
    WEIR_ATOMIC(uint64_t) *const gauges[] = {&f->min,   &f->max,         &f->running, &f->idle,
                                             &f->stuck, &f->queue_limit, &f->waiting};
    counter_add(&f->lost, pool_figures_queued(f));
    for (unsigned i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
        counter_set(gauges[i], 0);
}

#endif
