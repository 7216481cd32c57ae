/*
 * pool/figures.h - a pool's figures as one block of atomics, which may lie in shared memory.
 *
 * Written by the pool under its lock, read by anyone at any time. Gauges describe now, counters only grow.
 */
#ifndef WEIR_POOL_FIGURES_H
#define WEIR_POOL_FIGURES_H

#include "base/hist.h"

enum pool_rejection { POOL_REJECT_QUEUE_FULL, POOL_REJECT_CLOSED, POOL_REJECT_CODEL, POOL_REJECTIONS };

struct pool_figures {
    /* gauges */
    _Atomic uint64_t min, max;      /* threads */
    _Atomic uint64_t running, idle; /* threads with a task that is not given up; without a task */
    _Atomic uint64_t stuck;         /* threads whose task was given up and has not returned */
    _Atomic uint64_t queued, queue_limit;
    _Atomic uint64_t waiting; /* blocked submitters */
    /* counters */
    _Atomic uint64_t submitted, completed, failed, cancelled, expired, dropped;
    _Atomic uint64_t rejected[POOL_REJECTIONS];
    _Atomic uint64_t spawned, retired, spawn_failures;
    struct hist queue_wait; /* submit to start */
    struct hist run_time;
};

/* What is true of a pool whose process has died: nothing runs, waits or idles. The counters stay. */
static inline void pool_figures_clear_gauges(struct pool_figures *f)
{
    _Atomic uint64_t *const gauges[] = {&f->min,   &f->max,    &f->running,     &f->idle,
                                        &f->stuck, &f->queued, &f->queue_limit, &f->waiting};
    for (unsigned i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
        counter_set(gauges[i], 0);
}

#endif
