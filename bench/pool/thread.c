/*
 * bench/pool/thread.c - no pool at all: a new thread for each task, at most so many alive at a time.
 *
 * What a program does that has not heard of pools. There is no queue: the submitter waits for a thread to end.
 */
#include "bench/pool/fifo.h"

#include <semaphore.h>
#include <stdlib.h>

struct pool {
    sem_t free; /* threads that may still be started */
    unsigned threads;
    size_t stack_bytes;
};

/* There is one pool, so that a thread's only argument can be its job. */
static struct pool the_pool;

static void *work(void *arg)
{
    struct link *link = arg;
    link->run(arg);
    sem_post(&the_pool.free);
    return NULL;
}

static void *create(struct plan plan)
{
    the_pool.threads = plan.max_threads;
    the_pool.stack_bytes = plan.stack_bytes;
    sem_init(&the_pool.free, 0, plan.max_threads);
    return &the_pool;
}

static void wait_for_free(struct pool *pool)
{
    while (sem_wait(&pool->free) != 0)
        ; /* a signal */
}

static void submit(void *arg, struct job *job)
{
    struct pool *pool = arg;
    wait_for_free(pool);
    thread_start(NULL, work, job, pool->stack_bytes);
}

static void destroy(void *arg)
{
    struct pool *pool = arg;
    for (unsigned i = 0; i < pool->threads; i++)
        wait_for_free(pool);
}

const struct system bench_system = {
    .name = "thread",
    .job_bytes = 64,
    .create = create,
    .prepare = link_prepare,
    .submit = submit,
    .destroy = destroy,
};
