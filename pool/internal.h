/*
 * pool/internal.h - what the files of pool/ share. Not for others.
 *
 * Lock: pool->lock protects every field of struct pool and the pool's part of tasks and threads, unless a field says
 * otherwise. Nothing is called back, created, joined or signalled across processes while it is held.
 *
 * Note on waking ("one searcher"): at most one woken or starting thread is on its way to the queue at any time
 * (pool->searching). It passes the search on if it leaves work behind. A thread that runs dry goes idle only under
 * the lock with the queue empty, so no task can be left without a thread that will see it.
 */
#ifndef WEIR_POOL_INTERNAL_H
#define WEIR_POOL_INTERNAL_H

#include "pool/pool.h"

#include <pthread.h>

enum task_state { TASK_NEW, TASK_QUEUED, TASK_RUNNING, TASK_ABANDONED, TASK_ENDED };

struct pool_thread {
    struct pool *pool;
    pthread_cond_t wake;
    struct pool_thread *colder; /* next in the stack of idle threads */
    struct pool_thread *prev_running, *next_running;
    struct pool_task *task; /* running, or NULL */
    const char *fail_reason;
    bool idle;     /* in the idle stack */
    bool finished; /* left its loop in the ordinary way */
};

struct codel {
    uint64_t interval_end_us;
    uint64_t smallest_delay_us; /* of the current interval */
    bool overloaded;            /* the last interval's smallest delay exceeded the target */
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t room;  /* a submitter may go on */
    pthread_cond_t quiet; /* pool_is_quiet has become true */
    struct pool_config config;
    char name[32];
    struct pool_task queue; /* sentinel of a ring through prev and next */
    size_t queued;
    struct pool_thread *hottest; /* idle threads, newest first */
    struct pool_thread running;  /* sentinel of a ring of threads with tasks, oldest start first */
    unsigned threads;            /* alive, stuck ones included */
    unsigned idle, stuck;
    unsigned busy;    /* with a task, stuck ones included */
    unsigned leaving; /* on their way out, still among `threads` */
    unsigned submitters_waiting;
    bool searching; /* see the note on waking */
    bool closed;
    struct codel codel;
    pthread_t last_dead; /* not yet joined; each thread that ends joins the one before it */
    bool has_last_dead;
    struct pool_task *_Atomic ended; /* newest first; no lock: pushed and taken by exchange */
    struct pool_figures *figures;
    struct pool_figures own_figures;
};

static inline void pool_task_unlink(struct pool_task *t)
{
    t->prev->next = t->next; /* NOLINT(clang-analyzer-core.NullDereference): a queued task is in a ring */
    t->next->prev = t->prev; /* NOLINT(clang-analyzer-core.NullDereference): a queued task is in a ring */
}

/* Nobody is inside any more, neither thread nor task nor blocked submitter: a closed pool may be freed. Lock held. */
static inline bool pool_is_quiet(const struct pool *pool)
{
    return pool->threads == 0 && pool->queued == 0 && pool->submitters_waiting == 0;
}

/* Lets a thread look at the queue if there is work, nobody is on the way, and one is idle or may start. Lock held. */
void pool_search(struct pool *pool);

/* The next task to run, or NULL; now_us may be a moment ago. Tasks that must not run any more are linked to *rejects. Lock held. */
struct pool_task *pool_take(struct pool *pool, uint64_t now_us, struct pool_task **rejects);

/* Reports the ends of a list linked by next. Lock not held. */
void pool_end_all(struct pool_task *list);
void pool_end(struct pool_task *task);

/* Writes the gauges, and wakes a submitter if there is room now. After every change of them; lock held. */
void pool_publish(struct pool *pool);

/* The thread that runs the caller, or NULL. */
extern _Thread_local struct pool_thread *pool_current;

#endif
