/*
 * bench/pool/weir.c - the pool of this tree, used as its header tells users to: run does the work, done ends the task.
 */
#include "bench/pool/job.h"
#include "pool/pool.h"

#include <string.h>

enum { BATCH = 64 };

static void run(struct pool_task *task)
{
    job_run((struct job *)task);
}

static void done(struct pool_task *task)
{
    job_end((struct job *)task);
}

static void *create(struct plan plan)
{
    struct pool_config config = {
        .name = "bench",
        .min = plan.min_threads,
        .max = plan.max_threads,
        .max_queue = plan.queue_bound,
        .stack_bytes = plan.stack_bytes,
    };
    struct pool *pool = pool_create(&config);
    if (!pool)
        die("pool_create failed");
    if (pool_prestart(pool) != POOL_OK)
        die("the system refused threads");
    return pool;
}

static void prepare(struct job *job)
{
    struct pool_task *task = (struct pool_task *)job;
    memset(task, 0, sizeof *task);
    task->run = run;
    task->done = done;
}

static void submit(void *pool, struct job *job)
{
    if (pool_submit_until(pool, (struct pool_task *)job, UINT64_MAX) != POOL_OK)
        die("pool_submit_until failed");
}

static void submit_batch(void *pool, struct job *first, size_t stride, size_t count)
{
    struct pool_task *tasks[BATCH];
    unsigned char *next = (unsigned char *)first;
    while (count) {
        size_t n = count < BATCH ? count : BATCH;
        for (size_t i = 0; i < n; i++, next += stride)
            tasks[i] = (struct pool_task *)next;
        if (pool_submit_batch(pool, tasks, n, UINT64_MAX, NULL) != n)
            die("pool_submit_batch took less than all");
        count -= n;
    }
}

static void destroy(void *pool)
{
    pool_destroy(pool);
}

const struct system bench_system = {
    .name = "weir",
    .job_bytes = 64,
    .create = create,
    .prepare = prepare,
    .submit = submit,
    .submit_batch = submit_batch,
    .destroy = destroy,
};

_Static_assert(sizeof(struct pool_task) <= 64, "the array of jobs gives a task one line of cache");
