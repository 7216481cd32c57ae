/*
 * pool/internal.h - what the files of pool/ share. Not for others.
 *
 * Two locks, so that submitting and taking do not meet: `inbox.lock` protects what has been submitted and not yet
 * looked at, `lock` the books: queue, threads, gauges. Order: lock before inbox.lock. Nothing is called back, created
 * or joined while one is held. A field belongs to the lock of its structure unless it says otherwise.
 *
 * Note on waking. Work is looked after when one of these holds, and pool_search makes sure that one does:
 *   searching  a thread is on its way to the queue: woken, starting, or reporting an end before it looks again;
 *   call       the queue and the inbox are empty, and the next one who submits answers by starting a search (so does
 *              anybody who finds that tasks have lain in the inbox for a while);
 *   guard      the pool rushes: tasks end one after the other, faster than any thread could be woken, so that handing
 *              them over is all that takes time; an idle thread, the guard, looks every GUARD_US whether it is still so;
 *   full       no thread is idle and none may be started: whoever ends a task looks next.
 * So one thread is woken where many tasks are submitted. If it leaves work behind when it arrives, it wakes two more,
 * so that the whole pool is awake after a few steps even where each waits for a processor. A thread goes idle only
 * with both locks held and nothing in the queue or the inbox. tests/model/ checks this note exhaustively.
 */
#ifndef WEIR_POOL_INTERNAL_H
#define WEIR_POOL_INTERNAL_H

#include "base/codel.h"
#include "pool/pool.h"
#include "pool/stack.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

enum {
    POOL_PRIORITIES = 3,
    /* Most threads to wake while the lock is held once: a guard, a searcher, and two more who arrives wakes. */
    WAKES_MAX = 4
};

enum {
    GUARD_US = 200, /* between two looks of the guard */
    /* So many tasks that end within RUSH_US are a rush. */
    RUSH_TASKS = 64,
    RUSH_US = 16
};

enum task_state { TASK_NEW, TASK_QUEUED, TASK_RUNNING, TASK_ABANDONED, TASK_ENDED };

/* Linked by next and prev, NULL at both ends. */
struct task_list {
    struct pool_task *oldest, *newest;
};

struct pool_inbox {
    pthread_mutex_t lock;
    uint64_t taken; /* tasks, since the pool was made */
    uint64_t gone;  /* what pool->gone was when last looked at */
    size_t count;   /* in `lists` */
    struct task_list lists[POOL_PRIORITIES];
    bool call; /* see the note on waking */
    /* From then on, who finds tasks of others in the inbox searches, too. */
    uint64_t nudge_us;
    bool closed; /* as pool->closed */
    /* Submitters that wait for room. */
    /* Waiters that do not look by themselves: while there is one, none may be patient. */
    unsigned sleepers;
    /* Waiters want room for many, and look for less by themselves. */
    bool patient;
    /* A waiter has been woken and has not come by yet. */
    bool signalled;
    unsigned waiters;
    /* pool->gone when a waiter fell asleep, and when that was. */
    uint64_t seen_gone, seen_us;
    pthread_cond_t room;
};

struct pool_thread {
    struct pool *pool;
    pthread_t id;
    pid_t tid;
    sem_t wake;
    struct stack stack;
    struct pool_thread *hotter, *colder; /* in the stack of idle threads */
    struct pool_thread *prev, *next;     /* among all that have begun to serve */
    struct pool_task *task;              /* running, or NULL */
    /* Tasks that have ended, and are to be reported by this thread; linked by next. */
    struct pool_task *report;
    const char *fail_reason;
    struct pool_thread_end *ends;
    bool idle; /* in the idle stack */
    /* `wake` is or will be posted once; who posts may touch this structure until it is consumed. */
    bool posted;
    bool trimmed;  /* since it went idle */
    bool searcher; /* one of pool->searching */
    bool finished; /* left its loop in the ordinary way */
};

struct pool {
    _Alignas(64) struct pool_inbox inbox;
    /* Read by both sides, seldom written. */
    /* Tasks that may be inside: max + max_queue. */
    _Alignas(64) _Atomic uint64_t limit;
    /* A task is in the inbox that may have to go before what is in the queue. */
    atomic_bool urgent;
    /* Tasks of high or low priority are in the queue. */
    atomic_bool mixed;
    /* What `gone` must reach for a submitter to be woken; UINT64_MAX: none waits. */
    _Atomic uint64_t room_at;
    struct pool_figures *figures;
    struct pool_config config;
    char name[32];
    char title[16]; /* of the threads */
    unsigned cpus;
    /* The books. */
    _Alignas(64) pthread_mutex_t lock;
    struct task_list queue[POOL_PRIORITIES];
    size_t queued; /* in `queue`, without the inbox */
    /* How often higher priorities were served while each priority waited. */
    unsigned passed_over[POOL_PRIORITIES];
    /* Tasks that make room: ended, taken back, dropped, given up. */
    _Atomic uint64_t gone;
    uint64_t ended_count;        /* tasks that ran and ended */
    struct pool_thread *hottest; /* idle threads, newest first */
    struct pool_thread *serving; /* all threads that have begun and not left */
    uint64_t last_start_us;      /* of a task */
    unsigned threads;            /* alive, stuck ones included */
    unsigned idle, stuck;
    unsigned busy;    /* with a task, stuck ones included */
    unsigned leaving; /* on their way out, still among `threads` */
    /* Of those: with what was registered for their end, which may take long. */
    unsigned ending;
    unsigned searching; /* threads: see the note on waking */
    bool closed;
    /* Who waits for quiet may wake only after another has opened the pool again. */
    uint64_t restarts;
    /* RUSH_TASKS have just ended within RUSH_US. */
    bool rushing;
    /* Tasks that have ended since rush_since_us. */
    unsigned rush_run;
    uint64_t rush_since_us;
    struct pool_thread *guard; /* an idle thread, or NULL */
    uint64_t guard_seen;       /* ended_count when the guard looked last */
    /* When starting a thread failed; 0: the last start did not. */
    uint64_t spawn_failed_us;
    struct pool_thread *to_wake[WAKES_MAX]; /* by pool_unlock */
    unsigned wakes;                         /* in to_wake */
    struct codel codel;
    /* Submitters that block or answer a call; up with inbox.lock, down with lock. */
    atomic_uint inside;
    pthread_cond_t quiet; /* pool_is_quiet has become true */
    /* Threads that have left and are not yet buried, linked by colder. */
    struct pool_thread *dead;
    unsigned dead_count;
    /* Ended tasks, newest first; no lock: pushed and taken by exchange. */
    _Alignas(64) struct pool_task *_Atomic ended;
    struct pool_figures own_figures;
};

/* Whether somebody holds the lock, which asserts take for the caller. */
static inline bool pool_lock_is_held(pthread_mutex_t *lock)
{
    return pthread_mutex_trylock(lock) == EBUSY;
}

/* Nobody is inside any more, neither thread nor task nor submitter: a closed pool may be freed. Lock held. */
static inline bool pool_is_quiet(const struct pool *pool)
{
    assert(pool->threads > 0 || (pool->busy == 0 && pool->idle == 0 && pool->searching == 0));
    return pool->threads == 0 && pool->queued == 0 && atomic_load(&pool->inside) == 0;
}

static inline void task_list_push(struct task_list *list, struct pool_task *t)
{
    assert(!list->oldest == !list->newest);
    t->next = NULL;
    t->prev = list->newest;
    *(list->newest ? &list->newest->next : &list->oldest) = t;
    list->newest = t;
}

static inline void task_list_unlink(struct task_list *list, struct pool_task *t)
{
    assert((t->prev ? t->prev->next : list->oldest) == t && (t->next ? t->next->prev : list->newest) == t);
    *(t->prev ? &t->prev->next : &list->oldest) = t->next;
    *(t->next ? &t->next->prev : &list->newest) = t->prev;
}

/* Moves all of `from` behind `to`. */
static inline void task_list_splice(struct task_list *to, struct task_list *from)
{
    assert(!from->oldest == !from->newest && !to->oldest == !to->newest);
    if (!from->oldest)
        return;
    from->oldest->prev = to->newest;
    *(to->newest ? &to->newest->next : &to->oldest) = from->oldest;
    to->newest = from->newest;
    *from = (struct task_list){0};
}

static inline void task_set_state(struct pool_task *t, enum task_state state)
{
    atomic_store_explicit(&t->state, (uint8_t)state, memory_order_relaxed);
}

static inline enum task_state task_state(const struct pool_task *t)
{
    return (enum task_state)atomic_load_explicit(&t->state, memory_order_relaxed);
}

/* submit.c */

/* Moves the inbox to the queue. Lock held. Returns whether the queue has tasks now. */
bool pool_pull(struct pool *pool);

/* As pool_pull, but if there is nothing, the next one who submits is to answer. */
bool pool_pull_or_call(struct pool *pool);

/* The next one who submits is to answer, although work waits: no thread could be started for it. Lock held. */
void pool_call(struct pool *pool);

/* Says whether the queue has tasks of several priorities. Lock held. */
static inline void pool_note_mixture(struct pool *pool)
{
    assert(pool_lock_is_held(&pool->lock));
    bool mixed = pool->queue[POOL_HIGH].oldest || pool->queue[POOL_LOW].oldest;
    if (mixed != atomic_load_explicit(&pool->mixed, memory_order_relaxed))
        atomic_store_explicit(&pool->mixed, mixed, memory_order_relaxed);
}

/* Takes no more, or takes again. Lock held. */
void pool_set_closed(struct pool *pool, bool closed);

/* One task or more make room: noted with the lock held, and offered without it, by pool_offer_room. */
static inline void pool_note_room(struct pool *pool, uint64_t tasks)
{
    assert(pool_lock_is_held(&pool->lock));
    atomic_store_explicit(&pool->gone, atomic_load_explicit(&pool->gone, memory_order_relaxed) + tasks,
                          memory_order_release);
}

/* Wakes a submitter if one waits and there is room. No lock held. */
void pool_offer_room_slowly(struct pool *pool);
static inline void pool_offer_room(struct pool *pool)
{
    /* What was noted must be seen before room_at is read; the waiter does it the other way round. */
#if defined(__x86_64__)
    /* Unlocking, which lies between the two, is a full barrier here. */
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
    if (atomic_load_explicit(&pool->gone, memory_order_relaxed) >= atomic_load(&pool->room_at))
        pool_offer_room_slowly(pool);
}

/* queue.c */

/* The next task to run, or NULL; now_us may be a moment ago. Tasks that must not run any more are linked to *rejects. Lock held. */
struct pool_task *pool_take(struct pool *pool, uint64_t now_us, struct pool_task **rejects);

/* Takes t, which waits, out of the queue; it has ended like this. Lock held. */
void pool_remove(struct pool *pool, struct pool_task *t, enum pool_outcome outcome);

/* end.c: reports ends; the latter of a list linked by next. No lock held. */
void pool_end(struct pool *pool, struct pool_task *task);
void pool_end_all(struct pool *pool, struct pool_task *list);

/* wake.c */

/* Sees to it that work is looked after: see the note on waking. Lock held; given up where a thread is started. */
void pool_search(struct pool *pool);

/* A task of ran_us has ended. Lock held. */
void pool_note_run(struct pool *pool, uint64_t ran_us, uint64_t now_us);

/* The queue has run dry, or tasks have stopped ending. Lock held. */
void pool_note_pause(struct pool *pool);

/* Whether th, which has no task, is one too many: in a rush, one thread is faster than two. Lock held. */
bool pool_steps_aside(const struct pool_thread *th, uint64_t now_us);

/* Among the searchers, and no longer. Lock held. */
static inline void pool_searcher_set(struct pool_thread *th, bool searches)
{
    assert(pool_lock_is_held(&th->pool->lock));
    if (th->searcher == searches)
        return;
    assert(searches || th->pool->searching > 0);
    th->searcher = searches;
    if (searches)
        th->pool->searching++;
    else
        th->pool->searching--;
}

/* The search of one who submits: also when others are on their way, as they may not get a processor soon. Lock held. */
void pool_answer(struct pool *pool);

/* Two more, if there is work for more than are on their way. Lock held; given up where a thread is started. */
void pool_search_more(struct pool *pool);

/* Into and out of the stack of idle threads. Lock held. */
void pool_idle_push(struct pool_thread *th);
void pool_idle_remove(struct pool_thread *th);

/* The guard's look around. Lock held. */
void pool_guard_look(struct pool *pool);

/* Lets every idle thread look at the pool anew. Lock held. */
void pool_wake_all_idle(struct pool *pool);

/* Gives up the lock, and wakes whom the holder has chosen. */
void pool_unlock(struct pool *pool);

/* thread.c: starts a thread that counts as the searcher. Lock held, and given up around the start itself. */
bool pool_spawn(struct pool *pool);

/* Frees the threads of a list of dead ones, once they are gone. No lock held. */
void pool_bury(struct pool_thread *th);

/* Writes the gauges of threads. After every change of them; lock held. */
static inline void pool_publish(struct pool *pool)
{
    struct pool_figures *f = pool->figures;
    assert(pool->stuck <= pool->busy && pool->busy <= pool->threads);
    assert(pool->leaving + pool->stuck <= pool->threads && pool->idle + pool->leaving <= pool->threads);
    assert(pool->searching <= pool->threads);
    counter_set(&f->idle, pool->idle);
    counter_set(&f->stuck, pool->stuck);
    counter_set(&f->running, pool->busy - pool->stuck);
}

/* The thread that runs the caller, or NULL. */
extern _Thread_local struct pool_thread *pool_current;

#endif
