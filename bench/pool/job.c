/*
 * bench/pool/job.c - the array of jobs, the counts of their ends, the clock, and threads.
 *
 * Nothing here is called while an empty task is timed, except once for each thread.
 */
#include "bench/pool/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COUNTS = 16384 }; /* more threads than any workload keeps */

void (*job_work)(struct job *job);
bool job_has_notes;
_Thread_local struct job_count *job_own_count;
_Atomic uint64_t job_other_ends;

static struct job_count counts[COUNTS];
static _Atomic size_t counts_asked;

_Noreturn void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", bench_system.name, what);
    exit(1);
}

void *allocate(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);
    if (!memory)
        die("no memory");
    return memory;
}

struct job_count *job_take_count(void)
{
    /* The addition is left out, which all threads would contend for. */
    if (atomic_load(&counts_asked) >= COUNTS)
        return NULL;
    size_t i = atomic_fetch_add(&counts_asked, 1);
    if (i < COUNTS)
        job_own_count = &counts[i];
    return job_own_count;
}

uint64_t job_ends(void)
{
    size_t asked = atomic_load(&counts_asked);
    uint64_t sum = atomic_load(&job_other_ends);
    for (size_t i = 0; i < asked && i < COUNTS; i++)
        sum += atomic_load_explicit(&counts[i].ended, memory_order_acquire);
    return sum;
}

void job_wait_for_ends(uint64_t ends, unsigned poll_us)
{
    while (job_ends() < ends)
        sleep_us(poll_us);
}

void jobs_create(struct jobs *jobs, size_t count, bool with_notes)
{
    jobs->count = count;
    jobs->stride = bench_system.job_bytes + (with_notes ? sizeof(struct job_notes) : 0);
    jobs->bytes = aligned_alloc(64, count * jobs->stride);
    if (!jobs->bytes)
        die("no memory for the jobs");
    memset(jobs->bytes, 0, count * jobs->stride);
    job_has_notes = with_notes;
    for (size_t i = 0; i < count; i++)
        bench_system.prepare(job_at(jobs, i));
}

void jobs_destroy(struct jobs *jobs)
{
    free(jobs->bytes);
}

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void sleep_until_ns(uint64_t when_ns)
{
    struct timespec when = {.tv_sec = (time_t)(when_ns / 1000000000),
                            .tv_nsec = (long)(when_ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
        ;
}

void sleep_us(uint64_t us)
{
    sleep_until_ns(now_ns() + us * 1000);
}

void thread_start(pthread_t *thread, void *(*body)(void *), void *arg, size_t stack_bytes)
{
    pthread_t ignored;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    if (stack_bytes)
        pthread_attr_setstacksize(&attr, stack_bytes);
    if (!thread)
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int error = pthread_create(thread ? thread : &ignored, &attr, body, arg);
    pthread_attr_destroy(&attr);
    if (error)
        die("no more threads: raise the limits on processes, threads-max and pid_max");
}
