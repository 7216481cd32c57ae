/*
 * bench/pool/fifo.h - the bounded queue of the pools written for comparison: a list through the jobs themselves.
 *
 * The owner's lock protects all of it. A full queue lets submitters in again when half of it is gone: to wake one for
 * each place that becomes free would cost two switches of threads for each job.
 */
#ifndef WEIR_BENCH_POOL_FIFO_H
#define WEIR_BENCH_POOL_FIFO_H

#include "bench/pool/job.h"

/* The system's part of a job: as any intrusive pool has it, a link and what to call. */
struct link {
    struct link *next;
    void (*run)(struct job *job);
};

struct fifo {
    struct link *first, *last;
    size_t count, bound;
    unsigned waiting; /* submitters, on room */
    pthread_cond_t room;
};

static inline void fifo_init(struct fifo *fifo, size_t bound)
{
    *fifo = (struct fifo){.bound = bound};
    pthread_cond_init(&fifo->room, NULL);
}

static inline bool fifo_is_full(const struct fifo *fifo)
{
    return fifo->count >= fifo->bound;
}

/* Until a worker has made room, or so it seems: look again. */
static inline void fifo_wait(struct fifo *fifo, pthread_mutex_t *lock)
{
    fifo->waiting++;
    pthread_cond_wait(&fifo->room, lock);
    fifo->waiting--;
}

static inline void fifo_push(struct fifo *fifo, struct link *link)
{
    link->next = NULL;
    if (fifo->first)
        fifo->last->next = link;
    else
        fifo->first = link;
    fifo->last = link;
    fifo->count++;
}

/* NULL when it is empty. */
static inline struct link *fifo_pop(struct fifo *fifo)
{
    struct link *link = fifo->first;
    if (!link)
        return NULL;
    fifo->first = link->next;
    fifo->count--;
    if (fifo->waiting && fifo->count <= fifo->bound / 2)
        pthread_cond_signal(&fifo->room);
    return link;
}

static inline void link_perform(struct job *job)
{
    job_run(job);
    job_end(job);
}

static inline void link_prepare(struct job *job)
{
    ((struct link *)job)->run = link_perform;
}

#endif
