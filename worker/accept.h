/*
 * worker/accept.h - taking connections from the listening sockets.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_ACCEPT_H
#define WEIR_WORKER_ACCEPT_H

#include <stdbool.h>

struct worker;

bool accept_open(struct worker *w);
void accept_start(struct worker *w);
void accept_stop(struct worker *w);
void accept_close(struct worker *w);

#endif
