/*
 * tests/unit/pool/test_memory.c - what threads cost: idle ones a few pages, deep ones their stack for a second, and
 * those that are gone nothing.
 *
 * Read from /proc/self: touched memory, mappings, threads. Sanitizers and simulators keep shadows of all memory, so
 * that nothing of this can be seen there.
 */
#include "tests/unit/pool/pool_help.h"

#include <malloc.h>

enum { THREADS = 32, DEEP_BYTES = 200 * 1024, PAGES_EACH = 4, KB = 1024 };

enum { STACK_BYTES = 1234 * 4096 };

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Whether a mapping is one stack, without its guard, or some with theirs, where guards are marks: the system joins neighbours. */
static bool is_of_stacks(size_t bytes, size_t stack_bytes)
{
    return bytes == stack_bytes || bytes % (stack_bytes + page_bytes()) == 0;
}

/*
 * Memory that was touched and belongs to no file: of all, or, with a size, of mappings of stacks that are as large. By walking
 * the pages: the sums that the kernel keeps by the way are off by some pages for each thread.
 */
static long touched_bytes(size_t size)
{
    long kilobytes = 0, all = 0, part = 0;
    char line[512];
    FILE *f = fopen("/proc/self/smaps", "re");
    if (!f)
        abort();
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "Size: %ld", &all) != 1 && sscanf(line, "Anonymous: %ld", &part) == 1 &&
            (size == 0 || is_of_stacks((size_t)all * KB, size)))
            kilobytes += part;
    fclose(f);
    return kilobytes * KB;
}

/* No other mapping is of the size of a stack: so their memory can be told from the allocator's. */
static long stacks_bytes(void)
{
    return touched_bytes(STACK_BYTES);
}

static unsigned thread_count(void)
{
    unsigned threads = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "re");
    if (!f)
        abort();
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "Threads: %u", &threads) == 1)
            break;
    fclose(f);
    return threads;
}

static bool cannot_be_seen(void)
{
    return TEST_SANITIZED || test_simulated();
}

/* What was used is noted; WEIR_UNIT_VERBOSE says how much it was. */
static void check_at_most(const char *what, long bytes, long most)
{
    char text[128];
    if (getenv("WEIR_UNIT_VERBOSE"))
        printf("\n    %s: %ld KiB, at most %ld ", what, bytes / KB, most / KB);
    snprintf(text, sizeof text, "%s: %ld bytes, at most %ld", what, bytes, most);
    check_report(bytes <= most, text, __FILE__, __LINE__);
}

static struct pool *pool_with(unsigned min, unsigned max, unsigned idle_timeout_ms)
{
    struct pool_config config = {.min = min,
                                 .max = max,
                                 .max_queue = 1000,
                                 .idle_timeout_ms = idle_timeout_ms,
                                 .stack_bytes = STACK_BYTES};
    struct pool *pool = pool_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    return pool;
}

/* Once, so that what the library and the allocator set up for the first thread is not counted. */
static void warm_up(void)
{
    struct pool *pool = pool_with(2, 2, 0);
    struct job j = job_with(NULL);
    CHECK_NUMBER(pool_prestart(pool), POOL_OK);
    CHECK_NUMBER(pool_submit(pool, &j.task), POOL_OK);
    job_check_end(&j, POOL_TASK_DONE);
    pool_destroy(pool);
    (void)(touched_bytes(0) + mappings() + thread_count());
}

static void an_idle_thread_costs_a_few_pages(void)
{
    if (cannot_be_seen())
        return;
    warm_up();
    struct pool *pool = pool_with(THREADS, THREADS, 0);
    long before = touched_bytes(0);
    CHECK_NUMBER(pool_prestart(pool), POOL_OK);
    pool_settle(pool, THREADS);
    check_at_most("an idle thread's stack", stacks_bytes() / THREADS, (long)(3 * page_bytes()));
    check_at_most("and all of it", (touched_bytes(0) - before) / THREADS, (long)(PAGES_EACH * page_bytes()));
    CHECK_NUMBER(thread_count(), THREADS + 1);
    pool_destroy(pool);
    CHECK_NUMBER(stacks_bytes(), 0);
}

/* Tasks that meet on as many threads, and touch a lot of stack there. */
struct deep {
    struct job job;
    pthread_barrier_t *all;
};

static void touch_stack(size_t bytes)
{
    volatile char room[4096];
    room[0] = room[sizeof room - 1] = 1;
    if (bytes > sizeof room)
        touch_stack(bytes - sizeof room);
    /* After the call: so it is none that the compiler could turn into a jump. */
    room[1] = room[0];
}

static void run_deep(struct pool_task *t)
{
    struct deep *d = container_of(job_of(t), struct deep, job);
    job_run(t);
    touch_stack(DEEP_BYTES);
    pthread_barrier_wait(d->all);
}

/* Runs one deep task in each thread at the same time. */
static void dive(struct pool *pool, unsigned threads)
{
    static struct deep deep[64];
    pthread_barrier_t all;
    pthread_barrier_init(&all, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        deep[i] = (struct deep){.job = job_with(NULL), .all = &all};
        deep[i].job.task.run = run_deep;
        CHECK_NUMBER(pool_submit(pool, &deep[i].job.task), POOL_OK);
    }
    for (unsigned i = 0; i < threads; i++)
        job_check_end(&deep[i].job, POOL_TASK_DONE);
    pthread_barrier_destroy(&all);
}

static void an_idle_thread_gives_its_deep_stack_back(void)
{
    if (cannot_be_seen())
        return;
    struct pool *pool = pool_with(THREADS, THREADS, 0);
    long most = THREADS * (long)(PAGES_EACH * page_bytes());
    /* Those that have been trimmed once are trimmed again. */
    for (int round = 0; round < 2; round++) {
        uint64_t begun_ms = clock_mono_ms();
        dive(pool, THREADS);
        pool_settle(pool, THREADS);
        long deep = stacks_bytes();
        /* Else some may have given theirs back already. */
        if (clock_mono_ms() < begun_ms + 500)
            CU_ASSERT(deep > (long)THREADS * DEEP_BYTES);
        CHECK_EVENTUALLY(stacks_bytes() <= most);
        check_at_most("stacks that were deep", stacks_bytes(), most);
        /* Not at once: the next task may need it again. */
        CU_ASSERT(clock_mono_ms() >= begun_ms + 500);
        CHECK_NUMBER(FIGURE(pool, idle), THREADS);
        CHECK_NUMBER(FIGURE(pool, retired), 0);
    }
    pool_destroy(pool);
}

/* What a task keeps on its stack is its own, whatever goes on around it. */
static void run_keep(struct pool_task *t)
{
    volatile char mine[DEEP_BYTES];
    for (size_t i = 0; i < sizeof mine; i += 512)
        mine[i] = (char)(i / 512);
    job_run(t);
    int wrong = 0;
    for (size_t i = 0; i < sizeof mine; i += 512)
        wrong += mine[i] != (char)(i / 512);
    atomic_store(&job_of(t)->result, wrong);
}

static void a_task_keeps_its_stack(void)
{
    struct pool *pool = pool_with(0, 3, 0);
    struct latch hold = LATCH_CLOSED;
    struct job jobs[2] = {job_with(&hold), job_with(&hold)};
    for (int i = 0; i < 2; i++) {
        jobs[i].task.run = run_keep;
        job_begin(pool, &jobs[i]);
    }
    dive(pool, 1);
    /* A third one, idle since after these began, has given its stack back: so they have had the time to lose theirs. */
    if (cannot_be_seen())
        CHECK_STAYS(FIGURE(pool, running) >= 2, 2000);
    else
        CHECK_EVENTUALLY(stacks_bytes() < 2 * DEEP_BYTES + DEEP_BYTES / 2);
    latch_open(&hold);
    for (int i = 0; i < 2; i++) {
        job_check_end(&jobs[i], POOL_TASK_DONE);
        CHECK_NUMBER(atomic_load(&jobs[i].result), 0);
    }
    pool_destroy(pool);
}

static void threads_that_are_gone_cost_nothing(void)
{
    if (cannot_be_seen())
        return;
    warm_up();
    struct pool *pool = pool_with(0, 64, 20);
    malloc_trim(0);
    long before = touched_bytes(0), second = 0;
    unsigned maps_before = mappings(), maps_second = 0;
    for (unsigned burst = 1; burst <= 10; burst++) {
        dive(pool, 64);
        CHECK_EVENTUALLY(FIGURE(pool, retired) == 64 * burst);
        CHECK_EVENTUALLY(thread_count() == 1);
        CHECK_NUMBER(FIGURE(pool, idle) + FIGURE(pool, running), 0);
        if (burst == 2) {
            second = touched_bytes(0);
            maps_second = mappings();
        }
    }
    check_at_most("stacks after ten bursts", stacks_bytes(), DEEP_BYTES + 8 * (long)page_bytes());
    check_at_most("everything", touched_bytes(0) - before,
                  2048 * KB); /* the allocator keeps something, too */
    check_at_most("of that, since the second", touched_bytes(0) - second, 512 * KB);
    /* The last thread's is kept until the next one goes. */
    CU_ASSERT(mappings() <= maps_before + 8);
    CU_ASSERT(mappings() <= maps_second + 2);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    CHECK_NUMBER(stacks_bytes(), 0);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static const struct check_case cases[] = {
    {"an idle thread costs a few pages", an_idle_thread_costs_a_few_pages},
    {"an idle thread gives its deep stack back", an_idle_thread_gives_its_deep_stack_back},
    {"a task keeps its stack", a_task_keeps_its_stack},
    {"threads that are gone cost nothing", threads_that_are_gone_cost_nothing},
};

CHECK_MAIN("pool/memory", cases)
