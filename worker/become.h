/*
 * worker/become.h - from a fork of the master to a worker.
 *
 * Threads: before there are any.
 */
#ifndef WEIR_WORKER_BECOME_H
#define WEIR_WORKER_BECOME_H

#include <stdbool.h>

struct worker_options;

/*
 * Environment, limits, priority, processors, user and working directory, as the configuration has them. False: the user is not
 * the one wanted, and the process must not go on; that has been logged.
 */
bool become_worker(const struct worker_options *options);

#endif
