/*
 * bench/pool/joined.c - no pool, as thread.c, but each thread is joined, as programs do that want to know the end.
 *
 * A thread that has ended keeps its stack until it is joined. The submitter joins the oldest when it has started as many
 * as may be at a time, so there may be one submitter only.
 */
#include "bench/pool/fifo.h"

#include <stdlib.h>

struct pool {
    size_t stack_bytes;
    size_t started, joined, most;
    pthread_t threads[]; /* a ring */
};

static void *work(void *arg)
{
    struct link *link = arg;
    link->run(arg);
    return NULL;
}

static void *create(struct plan plan)
{
    struct pool *pool = allocate(1, sizeof *pool + plan.max_threads * sizeof pool->threads[0]);
    pool->stack_bytes = plan.stack_bytes;
    pool->most = plan.max_threads;
    return pool;
}

static void join_oldest(struct pool *pool)
{
    pthread_join(pool->threads[pool->joined++ % pool->most], NULL);
}

static void submit(void *arg, struct job *job)
{
    struct pool *pool = arg;
    if (pool->started - pool->joined == pool->most)
        join_oldest(pool);
    thread_start(&pool->threads[pool->started++ % pool->most], work, job, pool->stack_bytes);
}

static void destroy(void *arg)
{
    struct pool *pool = arg;
    while (pool->joined < pool->started)
        join_oldest(pool);
    free(pool);
}

const struct system bench_system = {
    .name = "joined",
    .job_bytes = 64,
    .create = create,
    .prepare = link_prepare,
    .submit = submit,
    .destroy = destroy,
};
