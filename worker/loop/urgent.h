/*
 * worker/loop/urgent.h - what must not wait for the rest of a turn.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_LOOP_URGENT_H
#define WEIR_WORKER_LOOP_URGENT_H

struct worker;

/* What must not wait for the rest of a turn: answers of handlers, and requests that have got their permit. */
void worker_do_urgent(struct worker *w);

#endif
