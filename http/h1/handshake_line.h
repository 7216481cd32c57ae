/*
 * http/h1/handshake_line.h - handshakes that wait for a thread of the pool "default", of which they have one at a time.
 *
 * A handshake is all computation: a second thread finishes no more of them in that time where each worker has a core, and takes it from the
 * loop, and from the requests that the pool is for.
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H1_HANDSHAKE_LINE_H
#define WEIR_HTTP_H1_HANDSHAKE_LINE_H

#include "base/list.h"
#include "worker/loop/pools.h"

/* Part of what waits. All of it is the line's. */
struct in_line {
    struct list_node node;
    struct loop_task *task;
    uint64_t since_us;
    bool waits; /* it is not in the pool yet */
};

/* What has been submitted to the pool has ended: the next one's turn. refuse: the pool has not taken it, or it has waited too long. */
struct line_ends {
    void (*refuse)(struct worker *w, struct loop_task *task, enum pool_result why);
};

/* pool_submit, now or in turn; the bound and the times of waiting are the pool's. */
enum pool_result handshake_line_join(struct worker *w, struct in_line *in, struct loop_task *task);

/* One that waits does so no longer. */
void handshake_line_leave(struct in_line *in);

/* One that was in the pool has ended. */
void handshake_line_go_on(struct worker *w, const struct line_ends *ends);

#endif
