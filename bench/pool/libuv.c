/*
 * bench/pool/libuv.c - libuv's uv_queue_work: a pool for the process, and a loop for each producer in its own thread.
 *
 * A request belongs to libuv until its second callback has run in the producer's loop, so that is where it ends. libuv
 * bounds nothing: a producer with as many requests under way as the bound allows turns its loop until some have ended.
 * Loops live until the process ends.
 */
/* Who only checks the source may not have it. */
#if __has_include(<uv.h>)

#include "bench/pool/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

/* The library's own limit, which it applies without a word. */
enum { MOST_THREADS = 1024 };

_Static_assert(sizeof(uv_work_t) <= 128, "a request needs more room");

static size_t bound;
static _Thread_local uv_loop_t loop;
static _Thread_local bool loop_ready;
static _Thread_local size_t under_way;

static void perform(uv_work_t *request)
{
    job_run((struct job *)request);
}

static void after(uv_work_t *request, int status)
{
    if (status != 0)
        die(uv_strerror(status));
    under_way--;
    job_end((struct job *)request);
}

static void *create(struct plan plan)
{
    char threads[16];
    if (plan.max_threads > MOST_THREADS)
        die("libuv has at most 1024 threads");
    snprintf(threads, sizeof threads, "%u", plan.max_threads);
    setenv("UV_THREADPOOL_SIZE", threads, 1); /* read when the first work is queued */
    bound = plan.queue_bound;
    /* The pool is the process's, there is nothing to hold. */
    return &bound;
}

static void prepare(struct job *job)
{
    (void)job; /* uv_queue_work sets all that it reads */
}

static void submit(void *pool, struct job *job)
{
    (void)pool;
    if (!loop_ready)
        loop_ready = uv_loop_init(&loop) == 0;
    while (under_way >= bound)
        uv_run(&loop, UV_RUN_ONCE);
    under_way++;
    int error = uv_queue_work(&loop, (uv_work_t *)job, perform, after);
    if (error)
        die(uv_strerror(error));
}

static void flush(void *pool)
{
    (void)pool;
    if (loop_ready)
        uv_run(&loop, UV_RUN_DEFAULT);
}

static void destroy(void *pool)
{
    (void)pool; /* libuv ends its threads at exit */
}

const struct system bench_system = {
    .name = "libuv",
    .job_bytes = 128,
    .create = create,
    .prepare = prepare,
    .submit = submit,
    .flush = flush,
    .destroy = destroy,
};

#endif
