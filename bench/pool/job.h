/*
 * bench/pool/job.h - the tasks of the benchmark, the count of their ends, the clock, and threads.
 *
 * Jobs lie in one array, all pages touched before anything is timed. A job is the room that its system wants and, for
 * the workloads that need them, notes behind it. Without notes a job is one line of cache in every intrusive system.
 *
 * Ends are counted by each thread for itself, in a line of cache of its own: one counter for all would be the
 * bottleneck of an empty task. Whoever waits adds them up.
 */
#ifndef WEIR_BENCH_POOL_JOB_H
#define WEIR_BENCH_POOL_JOB_H

#include "bench/pool/system.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct job_notes {
    _Alignas(64) uint64_t submitted_ns, waited_ns;
    bool blocks;        /* it sleeps instead of computing */
    _Atomic bool ended; /* the job may be submitted again */
};

struct jobs {
    unsigned char *bytes;
    size_t count, stride;
};

struct job_count {
    _Alignas(64) _Atomic uint64_t ended; /* written by one thread */
};

/* What a job does; NULL: nothing. Set before the first is submitted. */
extern void (*job_work)(struct job *job);
extern bool job_has_notes;

extern _Thread_local struct job_count *job_own_count;
/* Ends of jobs on threads that have no count of their own. */
extern _Atomic uint64_t job_other_ends;

/* The calling thread's count; NULL when all are taken, as they soon are where each task has a thread of its own. */
struct job_count *job_take_count(void);

/* All jobs that have ended since the process began. */
uint64_t job_ends(void);

/* Until job_ends() has reached `ends`, looked at every `poll_us`. */
void job_wait_for_ends(uint64_t ends, unsigned poll_us);

void jobs_create(struct jobs *jobs, size_t count, bool with_notes);
void jobs_destroy(struct jobs *jobs);

uint64_t now_ns(void);
void sleep_until_ns(uint64_t when_ns);
void sleep_us(uint64_t us);

/* Starts a thread that is to be joined (`thread` set) or not (NULL), or ends the process with a message. */
void thread_start(pthread_t *thread, void *(*body)(void *), void *arg, size_t stack_bytes);

/* Zeroed memory for free(), or the end of the process. */
void *allocate(size_t count, size_t bytes);

_Noreturn void die(const char *what);

static inline struct job *job_at(const struct jobs *jobs, size_t i)
{
    return (struct job *)(jobs->bytes + i * jobs->stride);
}

static inline struct job_notes *job_notes(struct job *job)
{
    return (struct job_notes *)((unsigned char *)job + bench_system.job_bytes);
}

static inline void job_run(struct job *job)
{
    if (job_work)
        job_work(job);
}

/* The system has no more use for the job. */
static inline void job_end(struct job *job)
{
    if (job_has_notes)
        atomic_store_explicit(&job_notes(job)->ended, true, memory_order_release);
    struct job_count *own = job_own_count ? job_own_count : job_take_count();
    if (own)
        atomic_store_explicit(&own->ended, atomic_load_explicit(&own->ended, memory_order_relaxed) + 1,
                              memory_order_release);
    else
        atomic_fetch_add(&job_other_ends, 1);
}

#endif
