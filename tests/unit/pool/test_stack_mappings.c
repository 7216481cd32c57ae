/*
 * tests/unit/pool/test_stack_mappings.c - the stacks of many threads are few mappings, each with its guard, and gone with their
 * threads.
 *
 * Where the system cannot mark a page as a guard (before Linux 6.13), each guard is a mapping, and their number is not looked at.
 */
#include "tests/unit/pool/pool_help.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { THREADS = 600, MANY = 60, STACK_BYTES = 64 * 1024, GUARD_INSTALL = 102, RUNS = 3 };

static bool has_guards(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool has = at != MAP_FAILED && madvise(at, page, GUARD_INSTALL) == 0;
    munmap(at, page);
    return has;
}

static struct pool *pool_with_stacks(unsigned threads, size_t bytes)
{
    struct pool_config config = {.name = "test", .min = threads, .max = threads, .stack_bytes = bytes};
    struct pool *pool = pool_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    CHECK_NUMBER(pool_prestart(pool), POOL_OK);
    return pool;
}

static void many_threads_are_few_mappings(void)
{
    for (int i = 0; i < RUNS; i++) {
        unsigned before = mappings();
        struct pool *pool = pool_with_stacks(THREADS, STACK_BYTES);
        unsigned with = mappings();
        if (has_guards() && !TEST_SANITIZED) /* whose threads have mappings of their own */
            CHECK_FOR("mappings of many stacks", with < before + MANY);
        pool_destroy(pool);
        CHECK_FOR("mappings that stay", TEST_SANITIZED || mappings() < before + MANY / 4);
    }
}

/* --- the guard below each of them --- */

/* Writes a little below all of the stack, and comes back where nothing is in its way. */
static __attribute__((noinline)) unsigned go_down(const char *top)
{
    volatile char room[512];
    const char *here = __builtin_frame_address(0);
    room[0] = 1;
    return here < top - STACK_BYTES ? 0 : go_down(top) + (unsigned)room[0];
}

static void overflow(struct pool_task *t)
{
    (void)t;
    go_down(__builtin_frame_address(0));
}

/* Whether the n-th thread of a pool dies by running over the end of its stack. */
static bool is_guarded(unsigned n)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        struct latch hold = LATCH_CLOSED;
        static struct job jobs[8];
        setrlimit(RLIMIT_CORE, &none);
        struct pool *pool = pool_with_stacks(8, STACK_BYTES);
        for (unsigned i = 0; i < n; i++) {
            jobs[i] = job_with(&hold);
            job_begin(pool, &jobs[i]);
        }
        struct job deep = {.task = {.run = overflow, .done = job_done}};
        pool_submit(pool, &deep.task);
        CHECK_EVENTUALLY(job_has_ended(&deep)); /* which it never does with a guard */
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return pid > 0 && status != 0; /* by a signal, or by a sanitizer's report */
}

static void each_has_a_guard(void)
{
    CU_ASSERT(is_guarded(0));
    CU_ASSERT(is_guarded(3));
    CU_ASSERT(is_guarded(7));
}

/* --- stacks that are used again --- */

static void stacks_of_all_sizes(void)
{
    static const size_t sizes[] = {16 * 1024, 64 * 1024, 1 << 20, 16 << 20, 0};
    unsigned before = mappings();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct pool *pool = pool_with_stacks(20, sizes[i]);
        struct job job = job_with(NULL);
        CHECK_NUMBER(pool_submit(pool, &job.task), POOL_OK);
        job_check_end(&job, POOL_TASK_DONE);
        pool_destroy(pool);
    }
    CHECK_FOR("mappings that stay", TEST_SANITIZED || mappings() < before + MANY / 4);
}

static const struct check_case cases[] = {
    {"many threads are few mappings", many_threads_are_few_mappings},
    {"each stack has a guard", each_has_a_guard},
    {"stacks of all sizes come and go", stacks_of_all_sizes},
};

CHECK_MAIN("pool: mappings of stacks", cases)
