/*
 * http/client/handshake_line.h - handshakes that wait for the pool "default", of which they have one thread at a time.
 *
 * A handshake is all computation: a second thread finishes no more of them in that time where each worker has a core, and takes it from the
 * loop, and from the requests that the pool is for. The thread goes on from one to the next as long as no request waits for it.
 * Threads: the loop's, but for `compute`.
 */
#ifndef WEIR_HTTP_CLIENT_HANDSHAKE_LINE_H
#define WEIR_HTTP_CLIENT_HANDSHAKE_LINE_H

#include "base/list.h"
#include "worker/loop/pools.h"

struct in_line {
    void (*compute)(struct in_line *in); /* on the thread */
    /* Once, unless it was not taken; after that nothing here touches it. */
    void (*ended)(struct worker *w, struct in_line *in, enum pool_outcome outcome);
    /* The line's. */
    struct list_node node;
    uint64_t since_us, started_us;
    enum pool_outcome outcome;
    bool waits;
};

/* As pool_submit. The bound of the line, and the time that one may wait, are the pool's. */
enum pool_result handshake_line_join(struct worker *w, struct in_line *in);

/* Whoever waits ends at once, as cancelled; who is being computed ends when that is done. */
void handshake_line_leave(struct worker *w, struct in_line *in);

#endif
