/*
 * worker/become.h - what a new worker process takes on.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_BECOME_H
#define WEIR_WORKER_BECOME_H

#include <stdbool.h>

struct worker_options;

/* Takes on what the configuration says of workers. False: it must not run. */
bool become_worker(const struct worker_options *options);

#endif
