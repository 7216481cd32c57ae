/*
 * handlers/lend.h - requests for a pool whose threads are all at work here are run by a thread of another worker.
 *
 * The request stays with its worker, and so do its client, its permits, its timer and its line in the log: only the handler runs
 * elsewhere, and what it writes comes back (handlers/guest.h is the other side). While a thread of a pool is idle in some worker
 * no request waits for that pool in another one for long, and those that wait longest go first.
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_LEND_H
#define WEIR_HANDLERS_LEND_H

#include "handlers/job.h"
#include "pool/pool.h"

struct worker;

/* Lends from now on, if there are siblings. After lending_open. */
void lend_open(struct worker *w);

/* A job's task goes to the pool, or to another worker: its `ended` is called on the loop, whoever runs it. */
enum pool_result lend_submit(struct worker *w, struct weir_request *job, int pool);

/* It was lent, and nobody runs it: it runs here, or with somebody else. */
void lend_again(struct worker *w, struct weir_request *job);

/* As pool_cancel and pool_abandon. */
bool lend_cancel(struct worker *w, struct weir_request *job);
void lend_abandon(struct worker *w, struct weir_request *job);

/* Of a job that streams: the loop has taken so many bytes of its output. */
void lend_taken(struct worker *w, const struct weir_request *job, size_t bytes);

/* Tasks have ended: what waits here or elsewhere is looked at. */
void lend_settle(struct worker *w);

/* Once a second: what others have counted down and not used is offered again, and what waits elsewhere is looked for. */
void lend_look_around(struct worker *w);

#endif
