/*
 * worker/orders.h - what a worker is told from outside, and what it tells the master.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_ORDERS_H
#define WEIR_WORKER_ORDERS_H

#include <stdint.h>

struct worker;

/* Takes signals, and messages of the master where there is one, from now on. */
void orders_watch(struct worker *w);

/* Has the master told of a lock of the shared memory that its holder does not give up. */
void orders_watch_locks(const struct worker *w);

/* Tells the master, where there is one: a WORKER_* message, with the generation that it is about. */
void orders_report(struct worker *w, int kind, uint64_t generation);

#endif
