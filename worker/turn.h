/*
 * worker/turn.h - a turn of a worker's loop.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_TURN_H
#define WEIR_WORKER_TURN_H

struct worker;

/* Takes the time of this turn: w->now_ms, w->now_wall_ms, and the stamps of responses. */
void turn_take_time(struct worker *w);

/* With the time taken: what is due in a turn, before the loop waits, and once a second is done from now on. */
void turn_watch(struct worker *w);

#endif
