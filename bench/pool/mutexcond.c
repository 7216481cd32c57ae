/*
 * bench/pool/mutexcond.c - the pool of the textbooks: one queue, one mutex, one condition that workers wait for.
 *
 * Each submission signals the condition, whether a worker is about to look at the queue anyway or not. All threads
 * start at once and stay.
 */
#include "bench/pool/fifo.h"

#include <stdlib.h>

struct pool {
    pthread_mutex_t lock; /* protects everything below */
    pthread_cond_t work;
    struct fifo queue;
    bool closing;
    unsigned threads;
    pthread_t thread[];
};

static void *work(void *arg)
{
    struct pool *pool = arg;
    for (;;) {
        pthread_mutex_lock(&pool->lock);
        struct link *link;
        while (!(link = fifo_pop(&pool->queue)) && !pool->closing)
            pthread_cond_wait(&pool->work, &pool->lock);
        pthread_mutex_unlock(&pool->lock);
        if (!link)
            return NULL;
        link->run((struct job *)link);
    }
}

static void *create(struct plan plan)
{
    struct pool *pool = allocate(1, sizeof *pool + plan.max_threads * sizeof pool->thread[0]);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    fifo_init(&pool->queue, plan.queue_bound);
    for (; pool->threads < plan.max_threads; pool->threads++)
        thread_start(&pool->thread[pool->threads], work, pool, plan.stack_bytes);
    return pool;
}

static void submit(void *arg, struct job *job)
{
    struct pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    while (fifo_is_full(&pool->queue))
        fifo_wait(&pool->queue, &pool->lock);
    fifo_push(&pool->queue, (struct link *)job);
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_signal(&pool->work);
}

static void destroy(void *arg)
{
    struct pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_broadcast(&pool->work);
    for (unsigned i = 0; i < pool->threads; i++)
        pthread_join(pool->thread[i], NULL);
    free(pool);
}

const struct system bench_system = {
    .name = "mutexcond",
    .job_bytes = 64,
    .create = create,
    .prepare = link_prepare,
    .submit = submit,
    .destroy = destroy,
};
