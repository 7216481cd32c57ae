/*
 * handlers/offload.h - handlers on threads: the way of a request to a pool and back.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_OFFLOAD_H
#define WEIR_HANDLERS_OFFLOAD_H

#include "http/request/exchange.h"

struct worker;
struct weir_request;
struct weir_handler;

/* Pools are open: work is shared with siblings from now on, if there are any. False: out of memory. */
bool offload_open(struct worker *w);

/*
 * The location's handler has the request from now on: VERDICT_WAIT. Where its pool takes nothing, 503, or 500 without memory.
 */
struct verdict offload_start(struct http_exchange *ex);

/*
 * The same with a handler of the server's own on the pool "default"; `answered` says what comes of its result. done false: it
 * has none.
 */
struct verdict offload_ask(struct http_exchange *ex, const struct weir_handler *handler, void *settings,
                           struct verdict (*answered)(struct http_exchange *ex, bool done, int result));

/* Jobs whose client has left may end in their time; after that they are given up. */
void offload_look_after_orphans(struct worker *w);

/* Of a job without a request: its thread counts as stuck from now on, and the pool may start another one. */
void offload_give_up(struct worker *w, struct weir_request *job);

/* The time of handler_timeout is over: the job goes on alone, and the request ends with 504. */
void handler_is_late(struct http_exchange *ex);

/* The job has ended: the request is the loop's alone again, and has no job. */
void offload_end_job(struct http_exchange *ex);

#endif
