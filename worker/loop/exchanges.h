/*
 * worker/loop/exchanges.h - exchanges: kept for reuse, copied when a job takes one away, freed.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_LOOP_EXCHANGES_H
#define WEIR_WORKER_LOOP_EXCHANGES_H

#include "http/request/exchange.h"

struct worker;

struct http_exchange *exchange_new(struct worker *w);

/* Parses ex->head as the listener's default server wants it. */
bool exchange_parse(struct http_exchange *ex, struct http_error *error);

/* With ex->client filled in: the clocks, and what the PROXY protocol has said. */
void exchange_begin(struct http_exchange *ex, struct worker *w);
void exchange_destroy(struct http_exchange *ex);
/* Gives back whatever it holds, at once; its memory; or both. */
void exchange_release(struct worker *w, struct http_exchange *ex);
void exchange_recycle(struct worker *w, struct http_exchange *ex);
void exchange_free(struct worker *w, struct http_exchange *ex);

/*
 * The exchange stays with its job, which outlives the request: the connection has a copy from now on, which answers and logs.
 * NULL: out of memory, and the connection has none.
 */
struct http_exchange *exchange_leave_to_job(struct http_exchange *ex);

#endif
