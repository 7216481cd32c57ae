/*
 * bench/pool/glib.c - GLib's GThreadPool, with threads of its own (exclusive): all start at once and stay.
 *
 * It has no bound for its queue, so the submitter never blocks; its threads have the default stack. It allocates a node
 * of its queue for each task.
 */
/* Who only checks the source may not have it. */
#if __has_include(<glib.h>)

#include "bench/pool/job.h"

#include <glib.h>

static void perform(void *data, void *user_data)
{
    (void)user_data;
    job_run(data);
    job_end(data);
}

static void *create(struct plan plan)
{
    GError *error = NULL;
    GThreadPool *pool = g_thread_pool_new(perform, NULL, (int)plan.max_threads, TRUE, &error);
    if (!pool || error)
        die(error ? error->message : "g_thread_pool_new failed");
    return pool;
}

static void prepare(struct job *job)
{
    (void)job; /* nothing of it is GLib's */
}

static void submit(void *pool, struct job *job)
{
    if (!g_thread_pool_push(pool, job, NULL))
        die("g_thread_pool_push failed");
}

static void destroy(void *pool)
{
    g_thread_pool_free(pool, FALSE, TRUE);
}

const struct system bench_system = {
    .name = "glib",
    .job_bytes = 64,
    .create = create,
    .prepare = prepare,
    .submit = submit,
    .destroy = destroy,
};

#endif
