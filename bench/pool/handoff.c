/*
 * bench/pool/handoff.c - the pool that hands each task to one worker: idle workers lie on a stack, each with a slot.
 *
 * A submission takes the worker on top, which idled last and whose memory is the warmest, puts the task into its slot
 * and wakes it. Only when none is idle does the task wait in a queue. All threads start at once and stay.
 */
#include "bench/pool/fifo.h"

#include <semaphore.h>
#include <stdlib.h>

struct worker {
    struct worker *below; /* on the stack */
    struct link *slot;    /* written before wake is posted; NULL: end */
    sem_t wake;
    struct pool *pool;
    pthread_t thread;
};

struct pool {
    pthread_mutex_t lock; /* protects the stack and the queue */
    struct worker *top;
    struct fifo queue;
    unsigned threads;
    struct worker *workers;
};

/* The next task of a worker that has none: from the queue, or from whoever takes the worker off the stack. */
static struct link *next_for(struct worker *worker)
{
    struct pool *pool = worker->pool;
    pthread_mutex_lock(&pool->lock);
    struct link *link = fifo_pop(&pool->queue);
    if (!link) {
        worker->below = pool->top;
        pool->top = worker;
    }
    pthread_mutex_unlock(&pool->lock);
    if (link)
        return link;
    while (sem_wait(&worker->wake) != 0)
        ; /* a signal */
    return worker->slot;
}

static void *work(void *arg)
{
    struct link *link;
    while ((link = next_for(arg)))
        link->run((struct job *)link);
    return NULL;
}

static void *create(struct plan plan)
{
    struct pool *pool = allocate(1, sizeof *pool);
    pthread_mutex_init(&pool->lock, NULL);
    fifo_init(&pool->queue, plan.queue_bound);
    pool->workers = allocate(plan.max_threads, sizeof *pool->workers);
    for (; pool->threads < plan.max_threads; pool->threads++) {
        struct worker *worker = &pool->workers[pool->threads];
        worker->pool = pool;
        sem_init(&worker->wake, 0, 0);
        thread_start(&worker->thread, work, worker, plan.stack_bytes);
    }
    return pool;
}

/* The worker that idled last, or NULL. Called with the lock. */
static struct worker *take_idle(struct pool *pool)
{
    struct worker *worker = pool->top;
    if (worker)
        pool->top = worker->below;
    return worker;
}

static void wake(struct worker *worker, struct link *link)
{
    worker->slot = link;
    sem_post(&worker->wake);
}

static void submit(void *arg, struct job *job)
{
    struct pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    /* While one waits for room, the workers may empty the queue and go idle: then it is for one of them to wake up. */
    while (!pool->top && fifo_is_full(&pool->queue))
        fifo_wait(&pool->queue, &pool->lock);
    struct worker *worker = take_idle(pool);
    if (!worker)
        fifo_push(&pool->queue, (struct link *)job);
    pthread_mutex_unlock(&pool->lock);
    if (worker)
        wake(worker, (struct link *)job);
}

static void destroy(void *arg)
{
    struct pool *pool = arg;
    for (unsigned ended = 0; ended < pool->threads;) {
        pthread_mutex_lock(&pool->lock);
        struct worker *worker = take_idle(pool);
        pthread_mutex_unlock(&pool->lock);
        /* A worker has ended its last job but is not back on the stack yet. */
        if (!worker) {
            sleep_us(100);
            continue;
        }
        wake(worker, NULL);
        pthread_join(worker->thread, NULL);
        ended++;
    }
    free(pool->workers);
    free(pool);
}

const struct system bench_system = {
    .name = "handoff",
    .job_bytes = 64,
    .create = create,
    .prepare = link_prepare,
    .submit = submit,
    .destroy = destroy,
};
