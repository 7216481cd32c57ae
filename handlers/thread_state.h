/*
 * handlers/thread_state.h - what a handler keeps for each thread that runs it in a location: thread_init and thread_free.
 */
#ifndef WEIR_HANDLERS_THREAD_STATE_H
#define WEIR_HANDLERS_THREAD_STATE_H

#include <stdbool.h>

struct weir_request;

/* On the job's thread, before it runs: its state is made where the thread has none yet. False: it cannot, which is logged. */
bool thread_state_prepare(struct weir_request *job);

#endif
