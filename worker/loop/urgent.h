/*
 * worker/loop/urgent.h - what goes before the rest of a turn.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_LOOP_URGENT_H
#define WEIR_WORKER_LOOP_URGENT_H

struct worker;

/*
 * Takes what threads have finished and permits that have come, and lets those requests go on. Called with no connection being
 * driven: after each few events, and when threads wake the loop.
 */
void worker_do_urgent(struct worker *w);

#endif
