/*
 * worker/last_words.h - what a worker that dies says of itself.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_LAST_WORDS_H
#define WEIR_WORKER_LAST_WORDS_H

struct worker;

/* Has signals that end the worker mark the request that was at work, in the shared memory. Once in a process. */
void last_words_prepare(struct worker *w);

#endif
