/*
 * worker/accept.h - taking connections from the listening sockets.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_ACCEPT_H
#define WEIR_WORKER_ACCEPT_H

#include <stdbool.h>

struct worker;

/* Makes listeners of the site's sockets, and closes those of other workers. False: out of memory. */
bool accept_open(struct worker *w);

/* Takes connections from now on, unless the worker drains. */
void accept_start(struct worker *w);

/* Takes none until accept_start. */
void accept_stop(struct worker *w);

/* The worker drains: takes none any more, and closes its sockets. */
void accept_close(struct worker *w);

#endif
