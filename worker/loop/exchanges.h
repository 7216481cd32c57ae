/*
 * worker/loop/exchanges.h - the memory of requests: kept for the next ones, copied when a job takes a request away, freed.
 *
 * Ownership: the caller's, until it is given back here or left to a job.
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_LOOP_EXCHANGES_H
#define WEIR_WORKER_LOOP_EXCHANGES_H

#include "http/request/exchange.h"

struct worker;

/* One without a request, as zeroes but for its memory. NULL: out of memory. */
struct http_exchange *exchange_new(struct worker *w);

/* Parses ex->head as the listener's default server wants it. False: *error says why not. */
bool exchange_parse(struct http_exchange *ex, struct http_error *error);

/* With ex->client filled in: sets the worker, the clocks, and what the PROXY protocol has said. */
void exchange_begin(struct http_exchange *ex, struct worker *w);

/* Gives back whatever the request holds, at once; then its memory, to be used again; or both. */
void exchange_release(struct worker *w, struct http_exchange *ex);
void exchange_recycle(struct worker *w, struct http_exchange *ex);
void exchange_free(struct worker *w, struct http_exchange *ex);

/* One that is over: its memory stays to the end of the turn, when all of those are freed. */
void exchange_bury(struct worker *w, struct http_exchange *ex);
void exchange_free_buried(struct worker *w);

/* Frees the memory of one that is kept. */
void exchange_destroy(struct http_exchange *ex);

/*
 * The exchange stays with its job, which outlives the request: the connection has a copy from now on, which is answered and
 * logged. NULL: out of memory, and the connection has no request.
 */
struct http_exchange *exchange_leave_to_job(struct http_exchange *ex);

#endif
