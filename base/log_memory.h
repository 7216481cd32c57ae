/*
 * base/log_memory.h - the last lines of a log in memory: a ring that all processes write to.
 *
 * It is a file without a name, "weir-log": whoever wants to read it finds it under /proc/PID/fd of the master or any
 * worker. Where the newest line ends and the oldest begins is seen by their times.
 * Threads: log_memory_write is safe from any thread of any process that has inherited it.
 */
#ifndef WEIR_BASE_LOG_MEMORY_H
#define WEIR_BASE_LOG_MEMORY_H

#include "base/slice.h"

struct log_memory;

/* NULL with errno. */
struct log_memory *log_memory_open(size_t bytes);
void log_memory_write(struct log_memory *m, struct slice line);
void log_memory_close(struct log_memory *m);

#endif
