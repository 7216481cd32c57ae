/*
 * worker/loop/wait.h - how a request waits for something other than its client, and goes on.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_LOOP_WAIT_H
#define WEIR_WORKER_LOOP_WAIT_H

#include "http/request/exchange.h"

/*
 * The request waits in this state, for after_ms at most (0: no bound): then `late` is called. Nothing is expected of the client
 * meanwhile. VERDICT_WAIT.
 */
struct verdict request_wait(struct http_exchange *ex, enum request_state state, int64_t after_ms,
                            void (*late)(struct http_exchange *ex));

/* The same without a state of its own, for a response that pauses; over is called then. after_ms 0: no pause any more. */
void request_pause(struct http_exchange *ex, int64_t after_ms, void (*over)(struct http_exchange *ex));

/*
 * What the request waited for has come, or will not: it goes on with v before the turn ends. Called once for each wait, and not
 * once its response has begun. With VERDICT_WAIT it waits for something else by now.
 */
void request_resume(struct http_exchange *ex, struct verdict v);

/* The time of a wait or a pause is over: the request's entry. */
void request_on_timer(struct wheel_entry *e);

#endif
