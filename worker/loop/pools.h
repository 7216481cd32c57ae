/*
 * worker/loop/pools.h - the worker's thread pools on the side of the loop: who submits a task here is called when it has ended.
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
    int pool;      /* of the worker's, by number */
    bool given_up; /* by pools_abandon */
};

/* What a thread wants to be heard of on the loop. */
struct pool_notice {
    struct pool_notice *next;
    void (*hear)(struct pool_notice *notice);
};

/* Makes the pools of the configuration. Once in a process. False: it cannot, which has been logged. */
bool pools_open(struct worker *w);

/* Takes over what a reload has changed. */
void pools_reconfigure(struct worker *w);

/* Ends the pools' threads, at once where jobs are left. False: one still runs a task, whose memory must stay. */
bool pools_close(struct worker *w);

/* The worker's entry for this pool, which is one of its own. */
struct worker_pool *pools_find(struct worker *w, const struct pool *pool);

/* The number of the pool "default", which every worker has. */
int pools_default(const struct worker *w);

/* pool_submit to the worker's pool of that number; pools_collect tells of the end. */
enum pool_result pools_submit(struct worker *w, int pool, struct loop_task *task);

/* pool_cancel: pools_collect tells of the end. */
void pools_cancel(struct worker *w, struct loop_task *task);

/* pool_take_back: nothing will be told of the task. */
bool pools_take_back(struct worker *w, struct loop_task *task);

/* pool_abandon */
void pools_abandon(struct worker *w, struct loop_task *task);

/* A job that no pool of this worker has, but which it waits for, and its end. */
void pools_hold(struct worker *w);
void pools_let_go(struct worker *w);

/* Threads of a pool that have nothing to do, or could be started; less than 0: so many tasks wait. */
int64_t pools_free(const struct worker *w, int pool);

/* Says to siblings how many threads are free. After every change of that. */
void pools_offer(struct worker *w, int pool);

/* Calls whoever waits for what threads have finished or given notice of, notices first. */
void pools_collect(struct worker *w);

/* From any thread: the notice, which is the caller's memory, is heard on the loop. It is given again only after that. */
void pools_notify(struct pool_notice *notice);

/* Says that a pool has refused the request, in one line a second for each pool; pools_log_silent has the number of the others. */
void pools_log_refusal(struct http_exchange *ex, struct worker_pool *p, const char *why);
void pools_log_silent(struct worker *w);

#endif
