/*
 * sleepers.c [TASKS [MS [THREADS]]] - very many tasks that only wait, on very many threads.
 *
 * Shows how a full queue holds the submitter back, how a pool is drained, and what its figures say.
 */
#include <weir/pool.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static unsigned nap_ms;

static void run(struct pool_task *task)
{
    (void)task;
    /* Stands for a query, a download, a lock: whatever blocks. */
    usleep(nap_ms * 1000);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The most memory that this process ever held, in kB; 0 if it is not known. */
static unsigned long peak_memory_kb(void)
{
    char line[128];
    unsigned long kb = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status) && sscanf(line, "VmHWM: %lu", &kb) != 1)
        ;
    if (status)
        fclose(status);
    return kb;
}

/* The i-th argument as a number from 1 to max; fallback if it is not given. */
static unsigned argument(int argc, char **argv, int i, unsigned fallback, unsigned max)
{
    char *end = "";
    unsigned long value = i < argc ? strtoul(argv[i], &end, 10) : fallback;
    if (*end || value < 1 || value > max)
        errx(2, "\"%s\" is not a number from 1 to %u", argv[i], max);
    return (unsigned)value;
}

int main(int argc, char **argv)
{
    unsigned count = argument(argc, argv, 1, 100000, 1000000),
             threads = argument(argc, argv, 3, 10000, 65536);
    nap_ms = argument(argc, argv, 2, 100, 60000);
    double begun = now_s();
    struct pool *pool = pool_create(&(struct pool_config){
        .name = "sleepers", .min = 1, .max = threads, .max_queue = 1000, .stack_bytes = 64 * 1024});
    struct pool_task *tasks = calloc(count, sizeof *tasks);
    /* One thread is enough to finish, in the end. */
    if (!pool || !tasks || pool_prestart(pool) != POOL_OK)
        errx(1, "not enough memory, or no thread at all");
    for (unsigned i = 0; i < count; i++) {
        /* Without done: nobody waits for a single task. */
        tasks[i].run = run;
        if (pool_submit_until(pool, &tasks[i], UINT64_MAX) != POOL_OK)
            errx(1, "the pool is closed"); /* never: it is closed below */
    }
    pool_shutdown(pool, POOL_DRAIN, UINT64_MAX); /* returns when all have ended */
    const struct pool_figures *f = pool_read_figures(pool);
    unsigned long long submitted = pool_counter_get(&f->submitted),
                       completed = pool_counter_get(&f->completed);
    unsigned long long spawned = pool_counter_get(&f->spawned),
                       refused = pool_counter_get(&f->spawn_failures);
    printf("submitted %llu, completed %llu, spawned %llu\n", submitted, completed, spawned);
    printf("%.3f s, peak memory %lu kB\n", now_s() - begun, peak_memory_kb());
    if (refused)
        warnx("starting a thread failed %llu times: ulimit -u, kernel.threads-max, vm.max_map_count?",
              refused);
    pool_destroy(pool);
    free(tasks);
}
