/*
 * handlers/cancel.h - the call that a handler has asked for when nobody waits for its answer any more: weir_on_cancel.
 */
#ifndef WEIR_HANDLERS_CANCEL_H
#define WEIR_HANDLERS_CANCEL_H

struct weir_request;

/* The job's gate is held, and it is gone: the call is made, on a thread of its own. */
void cancel_begin(struct weir_request *job);

/* No call will be made any more, and one that has begun has returned. On the job's thread. */
void cancel_end(struct weir_request *job);

/* Each second, on the loop: where the system refused a thread for a call, it is asked again. */
void cancel_look_after(void);

#endif
