/*
 * bench/pool/system.h - what the benchmark asks of a pool, whoever wrote it: one table of calls for each system.
 *
 * A program of the benchmark is the workloads and exactly one file that defines bench_system. So each system is measured
 * in a process that holds nothing of the others, which matters where memory is compared.
 */
#ifndef WEIR_BENCH_POOL_SYSTEM_H
#define WEIR_BENCH_POOL_SYSTEM_H

#include <stddef.h>

/* A job's first job_bytes are the system's own; see bench/pool/job.h. */
struct job;

struct plan {
    /* Threads that run before create returns, where a system can start fewer than the most. */
    unsigned min_threads;
    unsigned max_threads;
    /* Jobs that wait; beyond it submit blocks, where a system has a bound. */
    size_t queue_bound;
    /* Stack of each thread, where a system lets one choose. */
    size_t stack_bytes;
};

struct system {
    const char *name;
    /* A multiple of 64, so that no two jobs share a line of cache. */
    size_t job_bytes;
    void *(*create)(struct plan plan);

    /* Once for each job, before any is submitted: what never changes between two submissions. */
    void (*prepare)(struct job *job);

    /* Runs job_run and then job_end for it, once. Blocks while the queue is full. From any thread. */
    void (*submit)(void *pool, struct job *job);

    /* The same for `count` jobs that lie `stride` bytes apart; NULL where a system has no such call. */
    void (*submit_batch)(void *pool, struct job *first, size_t stride, size_t count);

    /* Called by each producer after its last submission; NULL unless ends arrive in the producer's own event loop. */
    void (*flush)(void *pool);

    /* When all jobs have ended. */
    void (*destroy)(void *pool);
};

extern const struct system bench_system;

#endif
