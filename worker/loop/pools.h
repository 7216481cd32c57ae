/*
 * worker/loop/pools.h - the worker's thread pools on the side of the loop: what has ended there is told here.
 *
 * Threads: the loop's, but for pools_notify.
 */
#ifndef WEIR_WORKER_LOOP_POOLS_H
#define WEIR_WORKER_LOOP_POOLS_H

#include "http/request/exchange.h"
#include "pool/pool.h"

struct worker;
struct worker_pool;

/* A task of a pool, and who is told on the loop that it has ended. */
struct loop_task {
    struct pool_task task; /* first */
    void (*ended)(struct worker *w, struct loop_task *task);
};

/* What a thread wants to be heard of on the loop. */
struct pool_notice {
    struct pool_notice *next;
    void (*hear)(struct pool_notice *notice);
};

bool pools_open(struct worker *w);

/* Takes over what a reload has changed. */
void pools_reconfigure(struct worker *w);

/* Ends the pools' threads. False when one still runs a task. */
bool pools_close(struct worker *w);

/* The pool of the worker's that this is. */
struct worker_pool *pools_find(struct worker *w, const struct pool *pool);

/* A task more is with a pool; pools_collect counts its end. */
void pools_count_task(struct worker *w);

/* Takes what threads have finished or given notice of, if they have. */
void pools_collect(struct worker *w);

/* From a thread: the notice is heard on the loop. It is given again only after that. */
void pools_notify(struct pool_notice *notice);

/* One line a second for each pool; the others are counted, and once a second told as a number. */
void pools_log_refusal(struct http_exchange *ex, struct worker_pool *p, const char *why);
void pools_log_silent(struct worker *w);

#endif
