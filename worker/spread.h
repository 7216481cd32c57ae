/*
 * worker/spread.h - connections spread by load: a worker that has more to do than its siblings leaves new ones to them.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_SPREAD_H
#define WEIR_WORKER_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

/* Whether the connection that waits is for a sibling: one that lives, takes connections and has less to do. */
bool spread_leaves_next(struct worker *w);

/* Leaves what comes to the siblings for a moment: `over` is called at its end. */
void spread_leave(struct worker *w, void (*over)(struct worker *w));

/* A turn of the loop begins with the time taken, or ends: what siblings see of it. */
void spread_turn_begins(struct worker *w);
void spread_turn_ends(struct worker *w);

#endif
