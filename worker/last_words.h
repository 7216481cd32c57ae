/*
 * worker/last_words.h - what a worker that dies says of itself.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_LAST_WORDS_H
#define WEIR_WORKER_LAST_WORDS_H

struct worker;

/* Lets signals that end the worker mark what has caused them. */
void last_words_prepare(struct worker *w);

#endif
