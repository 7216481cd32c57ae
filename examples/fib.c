/*
 * fib.c [COUNT [N [THREADS]]] - computes a Fibonacci number many times on a few threads, and adds them up.
 *
 * Shows how a task carries its input and its result, and how a pool_group waits for a number of tasks.
 */
#include <weir/group.h>
#include <weir/pool.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

/* The pool knows struct pool_task only; what the task works on lies around it. */
struct job {
    struct pool_task task; /* first: its address is the job's */
    struct pool_group *group;
    unsigned n;
    unsigned long long result;
};

/* Exponential on purpose: it keeps a thread busy. */
static unsigned long long fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void run(struct pool_task *task)
{
    struct job *job = (struct job *)task;
    job->result = fib(job->n);
}

/* Not at the end of run: until done is called, the pool still writes to the task. */
static void done(struct pool_task *task)
{
    pool_group_done(((struct job *)task)->group);
}

/* The i-th argument as a number from 1 to max; fallback if it is not given. */
static unsigned argument(int argc, char **argv, int i, unsigned fallback, unsigned max)
{
    char *end = "";
    unsigned long value = i < argc ? strtoul(argv[i], &end, 10) : fallback;
    if (*end || value < 1 || value > max)
        errx(2, "\"%s\" is not a number from 1 to %u", argv[i], max);
    return (unsigned)value;
}

int main(int argc, char **argv)
{
    unsigned count = argument(argc, argv, 1, 20, 1000000), n = argument(argc, argv, 2, 32, 50);
    unsigned threads = argument(argc, argv, 3, 5, 65536);
    struct pool *pool =
        pool_create(&(struct pool_config){.name = "fib", .min = threads, .max = threads, .max_queue = count});
    struct job *jobs = calloc(count, sizeof *jobs);
    if (!pool || !jobs || pool_prestart(pool) != POOL_OK)
        errx(1, "not enough memory or threads");
    struct pool_group group;
    pool_group_init(&group);
    /* Before submitting: a task may be done when pool_submit returns. */
    pool_group_add(&group, count);
    for (unsigned i = 0; i < count; i++) {
        jobs[i] = (struct job){.task = {.run = run, .done = done}, .group = &group, .n = n};
        if (pool_submit(pool, &jobs[i].task) != POOL_OK)
            errx(1, "the pool is full"); /* never: its queue has room for all */
    }
    pool_group_wait(&group, UINT64_MAX);
    unsigned long long sum = 0;
    /* The pool notes when a task was submitted, started and ended. */
    uint64_t end_us = 0;
    for (struct job *job = jobs; job < jobs + count; job++) {
        printf("fib(%u) = %llu\n", job->n, job->result);
        sum += job->result;
        if (job->task.ended_us > end_us)
            end_us = job->task.ended_us;
    }
    printf("sum %llu in %.3f s\n", sum, (double)(end_us - jobs[0].task.submitted_us) / 1e6);
    pool_destroy(pool);
    pool_group_destroy(&group);
    free(jobs);
}
