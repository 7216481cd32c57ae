/*
 * handlers/turn.h - the order over all workers: a thread that has taken a request waits for a moment where an older one waits
 * elsewhere, and runs that first.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_TURN_H
#define WEIR_HANDLERS_TURN_H

#include "handlers/job.h"

struct worker;

/* A job that is about to be submitted here: its thread looks whose turn it is. */
void turn_begin(struct weir_request *job);

/* Whether a thread of the pool waits for one of another worker. */
bool turn_waits_for_elder(struct worker *w, int pool);

/* A request of another worker is in the pool now. */
void turn_elder_came(struct worker *w, int pool);

/* There is none that can be had. */
void turn_no_elder(struct worker *w, int pool);

#endif
