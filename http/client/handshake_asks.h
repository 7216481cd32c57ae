/*
 * http/client/handshake_asks.h - handshakes for which authorities are asked: at most half of a pool's threads wait for them at a time.
 *
 * A responder that gives no answer would have all threads else, and everybody would wait for it.
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_CLIENT_HANDSHAKE_ASKS_H
#define WEIR_HTTP_CLIENT_HANDSHAKE_ASKS_H

#include "base/list.h"
#include "worker/loop/pools.h"

/* Part of what asks, beside its task. */
struct asks {
    struct loop_task *task;
    struct list_node node;
    bool waits;
};

/* Who had to wait, and has been refused by the pool: the end of its task is told so. */
typedef void asks_refused(struct worker *w, struct loop_task *task);

/* pools_submit, now or when others have ended. */
enum pool_result handshake_asks_begin(struct worker *w, int pool, struct asks *a, struct loop_task *task);

/* It waits, and does so no longer. */
void handshake_asks_leave(struct asks *a);

/* One that did not wait has ended. */
void handshake_asks_ended(struct worker *w, asks_refused *refused);

#endif
