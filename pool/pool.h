/*
 * pool/pool.h - elastic, bounded pool of threads for tasks that block.
 *
 * Ownership: the pool owns struct pool_task from a submission that was taken until it calls done (or, for a task without
 *            one, until pool_collect has returned it, or pool_shutdown POOL_OK). It touches nothing of it afterwards:
 *            done may free it or submit it again. Submitting allocates nothing.
 * Threads:   every call is safe from any thread unless its comment says otherwise; callbacks run without any lock of
 *            the pool held, and may submit. Threads of the pool block all signals.
 * Errors:    POOL_OK or a POOL_E* code; a full queue is POOL_EOVERLOAD, a normal result.
 * Waiting:   no task waits while a thread is idle or may be started, for longer than it takes to wake or start one; in a
 *            rush of tasks below a microsecond it may take a fifth of a millisecond more (docs/pool-design.md).
 */
#ifndef WEIR_POOL_POOL_H
#define WEIR_POOL_POOL_H

#include "pool/figures.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of this header, and of the library that is linked: "0.1.0". Within one first number what compiles goes on to work. */
#define POOL_VERSION "0.1.0"
const char *pool_version(void);

enum pool_result {
    POOL_OK,
    /* Queue full, or too many submitters wait already. */
    POOL_EOVERLOAD,
    POOL_ECLOSED,   /* the pool is shut down or shutting down */
    POOL_ETIMEDOUT, /* the deadline passed first */
    POOL_EINVAL,    /* an argument out of its range */
};

enum pool_outcome {
    POOL_TASK_DONE, /* run returned */
    /* pool_task_fail, or its thread exited or was cancelled. */
    POOL_TASK_FAILED,
    POOL_TASK_CANCELLED, /* by pool_cancel, before it started */
    POOL_TASK_EXPIRED,   /* waited longer than queue_timeout_ms */
    POOL_TASK_SHED,      /* by the codel discipline */
    POOL_TASK_DROPPED,   /* by a shutdown that drops the queue */
    POOL_TASK_LENT       /* by pool_take_back: not an end */
};

enum pool_discipline { POOL_FIFO, POOL_LIFO, POOL_CODEL };

/*
 * Of two waiting tasks the one of the higher priority starts first; after eight of those in a row one of a lower
 * priority is let through, so that none waits for ever. Within a priority the discipline decides.
 */
enum pool_priority { POOL_NORMAL, POOL_HIGH, POOL_LOW };

struct pool;

enum pool_decline {
    POOL_RUNS,
    /* Somebody else runs the task: it counts as lent. */
    POOL_DECLINED,
    /* It is to be submitted again, beyond the bound of the queue, and counts once. */
    POOL_POSTPONED
};

/* Embed it, zeroed, in your own structure; set run, and done if you do not use pool_collect. One line of cache. */
struct pool_task {
    void (*run)(struct pool_task *task); /* on a pool thread */
    /*
     * Once, on the thread that ended it. Keep it short: the next task of that thread starts after it. Who cancels a
     * thread of the pool by pthread_cancel may hit it here, too: the next task then fails.
     */
    void (*done)(struct pool_task *task);
    uint8_t priority; /* enum pool_priority */
    /*
     * 1: it was submitted to a pool before, which has given it away: it counts as borrowed here, goes beyond the bound of the queue,
     * and has waited since submitted_us, unless that is 0.
     */
    uint8_t borrowed;
    /* An enum pool_decline, set by run, which has done nothing then. */
    uint8_t declined;
    /* What follows is the pool's; read it in done or after pool_collect. */
    uint8_t outcome; /* enum pool_outcome */
    WEIR_ATOMIC(uint8_t) state;
    struct pool_task *next;
    union {
        struct pool_task *prev;
        const char *fail_reason; /* of POOL_TASK_FAILED, once it has ended */
    };
    uint64_t submitted_us, started_us, ended_us; /* monotonic clock */
};

struct pool_config {
    /* At most 31 bytes; copied. Threads are called "pool " and its first 10 bytes. */
    const char *name;
    /* Threads: 0 <= min <= max, 1 <= max <= 65536. */
    unsigned min, max;
    /* Tasks that wait for a thread; 0: none waits. */
    size_t max_queue;
    /* Submitters that may block in pool_submit_until; 0: any number. */
    size_t max_waiters;
    /* A thread above min retires after this; 0: never. */
    unsigned idle_timeout_ms;
    /* A task that waited longer expires; 0: never. */
    unsigned queue_timeout_ms;
    /* 0: the system's default; raised to PTHREAD_STACK_MIN. */
    size_t stack_bytes;
    enum pool_discipline discipline;
    /* Zeroed, or of a predecessor; NULL: kept in the pool. */
    struct pool_figures *figures;
    /* Called when pool_collect has something again; from any thread. */
    void (*notify)(void *arg);
    void *notify_arg;
};

/* NULL with errno EINVAL or ENOMEM. Starts no thread. */
struct pool *pool_create(const struct pool_config *config);

/*
 * Shuts down, dropping the queue, waits for running tasks and for submitters that are inside, frees. Not from a thread of
 * the pool; calls other than those that submit must have returned.
 */
void pool_destroy(struct pool *pool);

/* Starts threads until there are `min` (with 0 none). POOL_EOVERLOAD when the system refused one. */
enum pool_result pool_prestart(struct pool *pool);

/*
 * Never blocks. Where the system refuses to start a thread, the task waits for one of those that there are; if there is
 * none at all, the next submission, pool_expire or pool_shutdown tries again.
 */
enum pool_result pool_submit(struct pool *pool, struct pool_task *task);

/*
 * Waits for room until the monotonic deadline in microseconds (UINT64_MAX: for ever). From a thread of the same pool
 * it never waits but queues beyond the bound, so that a pool cannot deadlock on itself.
 */
enum pool_result pool_submit_until(struct pool *pool, struct pool_task *task, uint64_t deadline_us);

/*
 * Submits `count` tasks in order, as pool_submit_until does each, at the price of little more than one: returns how
 * many were taken, from the first on. *result (may be NULL) says why the next one was not, or POOL_OK.
 */
size_t pool_submit_batch(struct pool *pool, struct pool_task *const *tasks, size_t count,
                         uint64_t deadline_us, enum pool_result *result);

/* Takes a task of this pool back that has not started; its end is reported as cancelled. False when it is too late. */
bool pool_cancel(struct pool *pool, struct pool_task *task);

/*
 * Takes a task of this pool that has not started, for another pool, maybe of another process, to run it: no end is reported, and
 * it counts as lent. False when it is too late.
 */
bool pool_take_back(struct pool *pool, struct pool_task *task);

/* A task that never was in the pool goes to another one: it counts as submitted, or borrowed, and lent. */
void pool_note_lent(struct pool *pool, const struct pool_task *task);

/* Whether the task still waits in a pool: a look at one word, which may be late. */
bool pool_task_waits(const struct pool_task *task);

/*
 * Gives a running task up: its thread counts as stuck until the task returns, and a replacement may start (at most
 * `max` threads are replaced at a time). The task's end is still reported. False when it does not run.
 */
bool pool_abandon(struct pool *pool, struct pool_task *task);

/* Ends the calling task as failed, from any depth below its run: cleanup handlers run, the thread ends. reason must
 * outlive the task. Not from any other thread. */
__attribute__((noreturn)) void pool_task_fail(const char *reason);

/* Of the thread that registers it, which keeps the memory until the call. */
struct pool_thread_end {
    void (*call)(struct pool_thread_end *end);
    struct pool_thread_end *next; /* the pool's */
};

/*
 * Has `call` called by the calling thread when it ends: it retires, a task took it down, or the pool is shut down. The last
 * one registered is called first, after the last task's end has been reported. False where the thread is not a pool's.
 */
bool pool_at_thread_end(struct pool_thread_end *end);

/*
 * New sizes, bounds and times, also while submitters wait; name, figures and notify of `config` are not looked at, a
 * new stack size is for threads to come. POOL_EINVAL or POOL_OK.
 */
enum pool_result pool_reconfigure(struct pool *pool, const struct pool_config *config);

/*
 * Ends what has waited longer than queue_timeout_ms although no thread came by, and tries again to start a thread where
 * the system has refused one. Call it now and then.
 */
void pool_expire(struct pool *pool);

/* The ended tasks without a done callback, oldest first, linked by next. One thread at a time. */
struct pool_task *pool_collect(struct pool *pool);

/* Whether pool_collect would return something: a look at one word, from any thread. */
bool pool_any_ended(const struct pool *pool);

enum pool_shutdown_mode { POOL_DRAIN, POOL_DROP };

/*
 * Takes no more tasks; runs or drops those that wait; waits until all have ended or the monotonic deadline in
 * microseconds has passed (then POOL_ETIMEDOUT: call again). Not from a thread of the pool. Several may call it: each
 * gets POOL_OK, though by then one of them may have opened the pool again.
 */
enum pool_result pool_shutdown(struct pool *pool, enum pool_shutdown_mode mode, uint64_t deadline_us);

/* Opens a pool again after a pool_shutdown that returned POOL_OK, else POOL_EINVAL. */
enum pool_result pool_restart(struct pool *pool);

/* To be read by counter_get(&figures->completed), pool_figures_queued(figures) and the like; never to be written. */
const struct pool_figures *pool_read_figures(const struct pool *pool);
const char *pool_name(const struct pool *pool);

/* Age of the oldest task that runs, in microseconds; 0 when none does. */
uint64_t pool_oldest_running_us(struct pool *pool);

/* What pool_visit_running says of a task. */
struct pool_running {
    const struct pool_task *task; /* it cannot end during the visit */
    /* The task's thread, as top, gdb and /proc know it. */
    pid_t tid;
    uint64_t age_us; /* since it started */
    bool abandoned;  /* by pool_abandon */
};

/*
 * Calls visit for each running task, in no order, until it returns false. The pool stands still meanwhile: visit
 * must be short and must not call the pool.
 */
void pool_visit_running(struct pool *pool, bool (*visit)(const struct pool_running *running, void *arg),
                        void *arg);

#ifdef __cplusplus
}
#endif

#endif
