/*
 * pool/pool.h - elastic, bounded pool of threads for tasks that block.
 *
 * Ownership: the caller owns struct pool_task until its done callback has run (or, for a task without one, until
 *            pool_collect has returned it). Submitting allocates nothing.
 * Threads:   every call is safe from any thread unless its comment says otherwise; callbacks run without any lock of
 *            the pool held, and may submit.
 * Errors:    POOL_OK or a POOL_E* code; a full queue is POOL_EOVERLOAD, a normal result.
 */
#ifndef WEIR_POOL_POOL_H
#define WEIR_POOL_POOL_H

#include "pool/figures.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pool_result {
    POOL_OK,
    POOL_EOVERLOAD, /* queue full, or too many submitters wait already */
    POOL_ECLOSED,   /* the pool is shut down or shutting down */
    POOL_ETIMEDOUT, /* the deadline passed first */
    POOL_EINVAL,    /* an argument out of its range */
};

enum pool_outcome {
    POOL_TASK_DONE,      /* run returned */
    POOL_TASK_FAILED,    /* pool_task_fail, or its thread exited or was cancelled */
    POOL_TASK_CANCELLED, /* by pool_cancel, before it started */
    POOL_TASK_EXPIRED,   /* waited longer than queue_timeout_ms */
    POOL_TASK_SHED,      /* by the codel discipline */
    POOL_TASK_DROPPED,   /* by a shutdown that drops the queue */
};

enum pool_discipline { POOL_FIFO, POOL_LIFO, POOL_CODEL };

struct pool;

/* Embed it, zeroed, in your own structure; set run, and done if you do not use pool_collect. */
struct pool_task {
    void (*run)(struct pool_task *task);  /* on a pool thread */
    void (*done)(struct pool_task *task); /* once, on the thread that ended it */
    /* What follows is the pool's; read it in done or after pool_collect. */
    enum pool_outcome outcome;
    const char *fail_reason; /* of POOL_TASK_FAILED */
    uint64_t submitted_us, started_us, ended_us;
    struct pool_task *prev, *next;
    struct pool *pool;
    void *thread; /* that runs it, or NULL */
    int state;
};

struct pool_config {
    const char *name;          /* at most 31 bytes; copied */
    unsigned min, max;         /* threads: 0 <= min <= max, 1 <= max <= 65536 */
    size_t max_queue;          /* tasks that wait for a thread; 0: none waits */
    size_t max_waiters;        /* submitters that may block in pool_submit_until; default 0: any number */
    unsigned idle_timeout_ms;  /* a thread above min retires after this; 0: never */
    unsigned queue_timeout_ms; /* a task that waited longer expires; 0: never */
    size_t stack_bytes;        /* 0: the system's default */
    enum pool_discipline discipline;
    struct pool_figures *figures; /* zeroed, or of a predecessor; NULL: kept in the pool */
    void (*notify)(void *arg);    /* called when pool_collect has something again; from any thread */
    void *notify_arg;
};

/* NULL with errno EINVAL or ENOMEM. Starts no thread. */
struct pool *pool_create(const struct pool_config *config);

/* Shuts down, dropping the queue, waits for running tasks, frees. Not from a thread of the pool. */
void pool_destroy(struct pool *pool);

/* Never blocks. */
enum pool_result pool_submit(struct pool *pool, struct pool_task *task);

/*
 * Waits for room until the monotonic deadline in microseconds (UINT64_MAX: for ever). From a thread of the same pool
 * it never waits but queues beyond the bound, so that a pool cannot deadlock on itself.
 */
enum pool_result pool_submit_until(struct pool *pool, struct pool_task *task, uint64_t deadline_us);

/* Takes a task back that has not started; its end is reported as cancelled. False when it is too late. */
bool pool_cancel(struct pool_task *task);

/*
 * Gives a running task up: its thread counts as stuck until the task returns, and a replacement may start (at most
 * `max` threads are replaced at a time). The task's end is still reported. False when it does not run.
 */
bool pool_abandon(struct pool_task *task);

/* Ends the calling task as failed, from any depth below its run: cleanup handlers run, the thread ends. reason must
 * outlive the task. Not from any other thread. */
_Noreturn void pool_task_fail(const char *reason);

/* New sizes and bounds; name, figures and notify of `config` are not looked at, a new stack size is for threads to come. POOL_EINVAL or POOL_OK. */
enum pool_result pool_reconfigure(struct pool *pool, const struct pool_config *config);

/* Ends what has waited longer than queue_timeout_ms although no thread came by. Call it now and then. */
void pool_expire(struct pool *pool);

/* The ended tasks without a done callback, oldest first, linked by next. One thread at a time. */
struct pool_task *pool_collect(struct pool *pool);

enum pool_shutdown_mode { POOL_DRAIN, POOL_DROP };

/*
 * Takes no more tasks; runs or drops those that wait; waits until all have ended or the monotonic deadline in
 * microseconds has passed (then POOL_ETIMEDOUT: call again). Not from a thread of the pool.
 */
enum pool_result pool_shutdown(struct pool *pool, enum pool_shutdown_mode mode, uint64_t deadline_us);

/* Opens a pool again after a pool_shutdown that returned POOL_OK. */
enum pool_result pool_restart(struct pool *pool);

const struct pool_figures *pool_read_figures(const struct pool *pool);
const char *pool_name(const struct pool *pool);

/* Age of the oldest task that runs, in microseconds; 0 when none does. */
uint64_t pool_oldest_running_us(struct pool *pool);

#endif
