/*
 * base/codel.h - whether a queue stands: the controlled-delay rule, for whoever keeps a queue.
 *
 * Source: Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012, in the form for servers of Maurer, "Fail at
 * Scale", ACM Queue 2015: a queue is overloaded when even the smallest delay of an interval exceeded the target. Then
 * the newest goes first, and what is older than twice the target is shed.
 * Threads: its owner's lock.
 */
#ifndef WEIR_BASE_CODEL_H
#define WEIR_BASE_CODEL_H

#include <stdbool.h>
#include <stdint.h>

/* What the sources recommend. */
enum { CODEL_INTERVAL_US = 100000, CODEL_TARGET_US = 5000 };

struct codel {
    uint64_t interval_end_us;
    uint64_t smallest_delay_us; /* of the current interval */
    bool shed;                  /* something was, in the current interval */
    /* The last interval's smallest delay exceeded the target, or something had to be shed. */
    bool overloaded;
};

/* Notes the delay of whatever waits longest now; 0 when nothing waits. */
static inline void codel_observe(struct codel *c, uint64_t now_us, uint64_t delay_us, uint64_t interval_us,
                                 uint64_t target_us)
{
    if (now_us >= c->interval_end_us) {
        c->overloaded = c->interval_end_us != 0 && (c->smallest_delay_us > target_us || c->shed);
        c->shed = false;
        c->interval_end_us = now_us + interval_us;
        c->smallest_delay_us = delay_us;
    } else if (delay_us < c->smallest_delay_us) {
        c->smallest_delay_us = delay_us;
    }
}

/*
 * Something was shed. What is left is young then, and its delay says nothing: without this the overload would count as
 * over after each shedding, and the queue would stand again an interval later.
 */
static inline void codel_note_shed(struct codel *c)
{
    c->shed = true;
}

#endif
