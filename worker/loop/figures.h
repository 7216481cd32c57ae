/*
 * worker/loop/figures.h - what a worker shows of itself in shared memory.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_LOOP_FIGURES_H
#define WEIR_WORKER_LOOP_FIGURES_H

struct worker;

/* Writes memory, processor time, the heartbeat, connections and requests to the worker's slot. */
void worker_publish_figures(struct worker *w);

#endif
