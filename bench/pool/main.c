/*
 * bench/pool/main.c - one workload against the system that this program is linked with.
 *
 *     pool-SYSTEM WORKLOAD [NAME=VALUE ...]
 *
 * Prints one "metric value" a line. bench/pool/README.md says what each workload is for; units are the driver's.
 * A workload creates its pool, runs once unmeasured where it wants a warm one, measures, and destroys the pool.
 */
#include "bench/pool/job.h"
#include "bench/pool/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum {
    END_POLL_US = 50,
    WARM_JOBS = 32768,
    /* Jobs of a measured pass; enough to meet the bound where the producer is faster. */
    LEAST_JOBS = 65536,
    SLEEP_MS = 100,
    FIB_OF = 32,
    FIB_REPEATS = 5,
    IDLE_WARM = 200,
};

/* NAME=VALUE on the command line. */
static struct {
    uint64_t threads, producers, pools, batch, tasks, bound, stack, ms, pause_us, every, rate;
} opt = {
    .threads = 64,
    .producers = 1,
    .pools = 1,
    .tasks = 2000000,
    .bound = 65536,
    .stack = 65536, /* bytes of a thread; 0: the default */
    .ms = 300,      /* to measure for */
    .pause_us = 300,
    .every = 200, /* the task that blocks */
    .rate = 100000,
};

static void *create_pool(unsigned threads, bool warm)
{
    struct plan plan = {
        .min_threads = warm ? threads : 0,
        .max_threads = threads,
        .queue_bound = opt.bound,
        .stack_bytes = opt.stack,
    };
    memory_mark();
    return bench_system.create(plan);
}

static void flush(void *pool)
{
    if (bench_system.flush)
        bench_system.flush(pool);
}

/* The calling thread's sleeps end when they should. Not before the pool has its threads: they would inherit it. */
static void sleep_exactly(void)
{
    prctl(PR_SET_TIMERSLACK, 1UL);
}

/* ---- empty: how many tasks that do nothing get through in a second ---- */

/* What the producers share; the main thread is the first of them. */
static struct load {
    struct jobs jobs;
    void *pools[2];
    size_t pass; /* jobs of the next pass; 0: it is over */
    pthread_barrier_t begin;
} load;

static void produce(unsigned producer)
{
    void *pool = load.pools[producer % opt.pools];
    size_t from = load.pass * producer / opt.producers, to = load.pass * (producer + 1) / opt.producers;
    if (opt.batch)
        for (size_t i = from; i < to; i += opt.batch)
            bench_system.submit_batch(pool, job_at(&load.jobs, i), load.jobs.stride,
                                      to - i < opt.batch ? to - i : opt.batch);
    else
        for (size_t i = from; i < to; i++)
            bench_system.submit(pool, job_at(&load.jobs, i));
    flush(pool);
}

static void *other_producer(void *number)
{
    for (;;) {
        pthread_barrier_wait(&load.begin);
        if (!load.pass)
            return NULL;
        produce((unsigned)(uintptr_t)number);
    }
}

/* Nanoseconds from the first submission until the last task of this pass has ended. */
static uint64_t run_pass(size_t jobs)
{
    uint64_t ends = job_ends() + jobs, start = now_ns();
    load.pass = jobs;
    pthread_barrier_wait(&load.begin);
    produce(0);
    job_wait_for_ends(ends, END_POLL_US);
    return now_ns() - start;
}

static double clamp(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

/* A pass is as many jobs as fill a quarter of the time, by the pass before: systems differ a hundredfold. */
static double measure_rate(void)
{
    double most = (double)opt.tasks, jobs = clamp(WARM_JOBS, 1, most);
    double ns = (double)run_pass((size_t)jobs), all_jobs = 0, all_ns = 0, wanted_ns = (double)opt.ms * 1e6;
    do {
        jobs = (size_t)clamp(jobs / ns * wanted_ns / 4, clamp(LEAST_JOBS, 1, most), most);
        ns = (double)run_pass((size_t)jobs);
        all_jobs += jobs;
        all_ns += ns;
    } while (all_ns < wanted_ns);
    return all_jobs / all_ns * 1e3;
}

static void empty(void)
{
    pthread_t threads[64];
    if (opt.producers > 64 || opt.pools > 2 || (opt.batch && !bench_system.submit_batch))
        die("empty: at most 64 producers and 2 pools, and batches only where the system has them");
    jobs_create(&load.jobs, opt.tasks, false);
    for (size_t i = 0; i < opt.pools; i++)
        load.pools[i] = create_pool((unsigned)(opt.threads / opt.pools), true);
    pthread_barrier_init(&load.begin, NULL, (unsigned)opt.producers);
    for (uintptr_t i = 1; i < opt.producers; i++)
        thread_start(&threads[i], other_producer, (void *)i, 0);
    sleep_exactly();
    say("rate", measure_rate());
    load.pass = 0;
    pthread_barrier_wait(&load.begin);
    for (size_t i = 1; i < opt.producers; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < opt.pools; i++)
        bench_system.destroy(load.pools[i]);
    jobs_destroy(&load.jobs);
}

/* ---- idle: how long a task waits in a pool that has nothing else to do ---- */

static void note_wait(struct job *job)
{
    struct job_notes *notes = job_notes(job);
    notes->waited_ns = now_ns() - notes->submitted_ns;
}

static uint64_t wait_of_one(void *pool, struct job *job)
{
    struct job_notes *notes = job_notes(job);
    atomic_store(&notes->ended, false);
    notes->submitted_ns = now_ns();
    bench_system.submit(pool, job);
    flush(pool);
    do
        sleep_us(opt.pause_us);
    while (!atomic_load_explicit(&notes->ended, memory_order_acquire));
    return notes->waited_ns;
}

static void idle(void)
{
    struct jobs jobs;
    uint64_t *waits = allocate(opt.tasks, sizeof *waits);
    job_work = note_wait;
    jobs_create(&jobs, 1, true);
    void *pool = create_pool((unsigned)opt.threads, true);
    sleep_exactly();
    for (int i = 0; i < IDLE_WARM; i++)
        wait_of_one(pool, job_at(&jobs, 0));
    for (size_t i = 0; i < opt.tasks; i++)
        waits[i] = wait_of_one(pool, job_at(&jobs, 0));
    say_latencies(waits, opt.tasks);
    bench_system.destroy(pool);
    jobs_destroy(&jobs);
    free(waits);
}

/* ---- sleep: many threads that block ---- */

static void block(struct job *job)
{
    (void)job;
    sleep_us(SLEEP_MS * 1000);
}

static void submit_all(void *pool, const struct jobs *jobs)
{
    uint64_t ends = job_ends() + jobs->count;
    for (size_t i = 0; i < jobs->count; i++)
        bench_system.submit(pool, job_at(jobs, i));
    flush(pool);
    job_wait_for_ends(ends, 500);
}

/* The pass that starts the threads is the cold one, creating the pool included; the next finds them started. */
static void sleeping(void)
{
    struct jobs jobs;
    job_work = block;
    jobs_create(&jobs, opt.tasks, false);
    uint64_t start = now_ns();
    void *pool = create_pool((unsigned)opt.threads, false);
    submit_all(pool, &jobs);
    uint64_t middle = now_ns();
    submit_all(pool, &jobs);
    uint64_t end = now_ns();
    say("cold", (double)(middle - start) / 1e9);
    say("warm", (double)(end - middle) / 1e9);
    say_peak_memory();
    bench_system.destroy(pool);
    jobs_destroy(&jobs);
}

/* ---- spin: a million short tasks, against a thread for each ---- */

static void spin(struct job *job)
{
    (void)job;
    for (uint64_t end = now_ns() + 1000; now_ns() < end;)
        ;
}

/* As few jobs as can be under way, so that the array is not what the peak of memory shows. */
static void spinning(void)
{
    struct jobs jobs;
    job_work = spin;
    jobs_create(&jobs, opt.bound + opt.threads + 64, true);
    void *pool = create_pool((unsigned)opt.threads, true);
    uint64_t start = now_ns(), ends = job_ends() + opt.tasks;
    for (size_t i = 0; i < opt.tasks; i++) {
        struct job *job = job_at(&jobs, i % jobs.count);
        /* The job was submitted long ago; its thread must have been interrupted. */
        while (i >= jobs.count && !atomic_load_explicit(&job_notes(job)->ended, memory_order_acquire))
            sleep_us(10);
        atomic_store_explicit(&job_notes(job)->ended, false, memory_order_relaxed);
        bench_system.submit(pool, job);
    }
    flush(pool);
    job_wait_for_ends(ends, END_POLL_US);
    say("rate", (double)opt.tasks / (double)(now_ns() - start) * 1e3);
    say_peak_memory();
    bench_system.destroy(pool);
    jobs_destroy(&jobs);
}

/* ---- fib: few tasks that compute ---- */

__attribute__((noinline)) static unsigned fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void compute(struct job *job)
{
    job_notes(job)->waited_ns = fib(FIB_OF); /* stored, so that it is not optimized away */
}

static void fibonacci(void)
{
    struct jobs jobs;
    uint64_t ns[FIB_REPEATS];
    job_work = compute;
    jobs_create(&jobs, opt.tasks, true);
    void *pool = create_pool((unsigned)opt.threads, true);
    sleep_exactly();
    for (int i = 0; i < FIB_REPEATS; i++) {
        uint64_t start = now_ns();
        submit_all(pool, &jobs);
        ns[i] = now_ns() - start;
    }
    say("wall", (double)median_of(ns, FIB_REPEATS) / 1e9);
    bench_system.destroy(pool);
    jobs_destroy(&jobs);
}

/* ---- mixed: short tasks at a steady pace, and now and then one that blocks ---- */

static void mixed_task(struct job *job)
{
    note_wait(job);
    if (job_notes(job)->blocks)
        block(job);
    else
        spin(job);
}

/* Each task is due at its time, however late the one before was. */
static double submit_at_pace(void *pool, const struct jobs *jobs)
{
    uint64_t start = now_ns(), ends = job_ends() + jobs->count;
    for (size_t i = 0; i < jobs->count; i++) {
        uint64_t due = start + i * 1000000000 / opt.rate;
        if (now_ns() < due)
            sleep_until_ns(due);
        job_notes(job_at(jobs, i))->submitted_ns = now_ns();
        bench_system.submit(pool, job_at(jobs, i));
    }
    uint64_t taken = now_ns() - start;
    flush(pool);
    job_wait_for_ends(ends, 500);
    return (double)jobs->count / (double)taken * 1e6;
}

static void mixed(void)
{
    struct jobs jobs;
    uint64_t *waits = allocate(opt.tasks, sizeof *waits);
    job_work = mixed_task;
    jobs_create(&jobs, opt.tasks, true);
    for (size_t i = 0; i < opt.tasks; i += opt.every)
        job_notes(job_at(&jobs, i))->blocks = true;
    void *pool = create_pool((unsigned)opt.threads, true);
    sleep_exactly();
    double pace = submit_at_pace(pool, &jobs);
    for (size_t i = 0; i < opt.tasks; i++)
        waits[i] = job_notes(job_at(&jobs, i))->waited_ns;
    say_latencies(waits, opt.tasks);
    say("pace", pace);
    bench_system.destroy(pool);
    jobs_destroy(&jobs);
    free(waits);
}

/* ---- the command line ---- */

static void set_option(const char *text)
{
    static const struct {
        const char *name;
        uint64_t *value;
    } options[] = {
        {"threads", &opt.threads}, {"producers", &opt.producers}, {"pools", &opt.pools},
        {"batch", &opt.batch},     {"tasks", &opt.tasks},         {"bound", &opt.bound},
        {"ms", &opt.ms},           {"every", &opt.every},         {"pause_us", &opt.pause_us},
        {"rate", &opt.rate},       {"stack", &opt.stack},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        size_t length = strlen(options[i].name);
        if (strncmp(text, options[i].name, length) == 0 && text[length] == '=') {
            *options[i].value = strtoull(text + length + 1, NULL, 10);
            return;
        }
    }
    die("an option is not known; see main.c");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } workloads[] = {
        {"empty", empty},   {"idle", idle},     {"sleep", sleeping},
        {"spin", spinning}, {"fib", fibonacci}, {"mixed", mixed},
    };
    for (int i = 2; i < argc; i++)
        set_option(argv[i]);
    for (size_t i = 0; argc > 1 && i < sizeof workloads / sizeof workloads[0]; i++) {
        if (strcmp(argv[1], workloads[i].name) == 0) {
            workloads[i].run();
            return 0;
        }
    }
    die("usage: pool-SYSTEM empty|idle|sleep|spin|fib|mixed [NAME=VALUE ...]");
}
