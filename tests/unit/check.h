/*
 * tests/unit/check.h - what the unit tests share: a table of tests run as one CUnit suite, checks that say what they
 * saw, waiting for a condition, and memory that ends at a guard page.
 *
 * A program runs at most CHECK_LIMIT_S seconds, more on a slow machine; SIGALRM ends one that hangs.
 * WEIR_UNIT_VERBOSE=1 names each test.
 * Threads: CUnit's checks belong to the main thread; other threads count, and the main one checks the counts.
 */
#ifndef WEIR_TESTS_UNIT_CHECK_H
#define WEIR_TESTS_UNIT_CHECK_H

#include "base/clock.h"
#include "base/slice.h"

#include <CUnit/Basic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { CHECK_LIMIT_S = 100, CHECK_PATIENCE_MS = 10000 };

/* How many times slower than usual this build or machine is: WEIR_TEST_SLOW. Limits are stretched so. */
static inline unsigned check_slowness(void)
{
    const char *said = getenv("WEIR_TEST_SLOW");
    int times = said ? atoi(said) : 1;
    return times > 1 ? (unsigned)times : 1;
}

struct check_case {
    const char *name;
    void (*run)(void);
};

/* Runs the cases in order. Returns main's exit code: 0 when all checks held. */
static inline int check_main(const char *suite_name, const struct check_case *cases, size_t count)
{
    alarm(CHECK_LIMIT_S * check_slowness());
    setvbuf(stdout, NULL, _IONBF, 0);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    CU_pSuite suite = CU_add_suite(suite_name, NULL, NULL);
    for (size_t i = 0; suite && i < count; i++)
        if (!CU_add_test(suite, cases[i].name, cases[i].run))
            suite = NULL;
    if (!suite)
        return 2;
    CU_basic_set_mode(getenv("WEIR_UNIT_VERBOSE") ? CU_BRM_VERBOSE : CU_BRM_NORMAL);
    CU_ErrorCode ran = CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures() + CU_get_number_of_suites_failed();
    CU_cleanup_registry();
    return ran == CUE_SUCCESS && failures == 0 ? 0 : 1;
}

#define CHECK_MAIN(suite, cases)                                                 \
    int main(void)                                                               \
    {                                                                            \
        return check_main((suite), (cases), sizeof(cases) / sizeof((cases)[0])); \
    }

/* Counts a check, and a failure with this text. */
static inline bool check_report(bool ok, const char *text, const char *file, int line)
{
    CU_assertImplementation(ok, (unsigned)line, text, file, "", CU_FALSE);
    return ok;
}

/* A check whose failure names the case of a table that it was for. */
static inline bool check_case(bool ok, const char *what, const char *which, const char *file, int line)
{
    char text[512];
    snprintf(text, sizeof text, "%s, for \"%.300s\"", what, which);
    return check_report(ok, text, file, line);
}

#define CHECK_FOR(which, condition) check_case((condition), #condition, (which), __FILE__, __LINE__)

static inline bool check_slice(struct slice got, struct slice wanted, const char *what, const char *file,
                               int line)
{
    char text[512];
    snprintf(text, sizeof text, "%s is \"%.*s\"%s, expected \"%.*s\"", what, SLICE_ARGS(got),
             got.data ? "" : " (absent)", SLICE_ARGS(wanted));
    return check_report(slice_eq(got, wanted) && !got.data == !wanted.data, text, file, line);
}

/* That a slice is this text; CHECK_ABSENT: that it is none at all. */
#define CHECK_SLICE(got, wanted) check_slice((got), slice_of(wanted), #got, __FILE__, __LINE__)
#define CHECK_ABSENT(got) check_slice((got), (struct slice){0}, #got, __FILE__, __LINE__)

static inline bool check_number(long long got, long long wanted, const char *what, const char *file, int line)
{
    char text[256];
    snprintf(text, sizeof text, "%s is %lld, expected %lld", what, got, wanted);
    return check_report(got == wanted, text, file, line);
}

#define CHECK_NUMBER(got, wanted) \
    check_number((long long)(got), (long long)(wanted), #got, __FILE__, __LINE__)

/* Says what the surroundings lack for a check that is left out; the runner counts these lines. */
static inline void check_skip(const char *what_and_why)
{
    printf("SKIPPED: %s\n", what_and_why);
}

/* Gives the processor away for a moment, between two looks at a condition. */
static inline void check_pause(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

/* Waits until the condition holds, and fails when it does not within CHECK_PATIENCE_MS. */
#define CHECK_EVENTUALLY(condition)                                                     \
    do {                                                                                \
        uint64_t check_end_ms = clock_mono_ms() + CHECK_PATIENCE_MS * check_slowness(); \
        while (!(condition) && clock_mono_ms() < check_end_ms)                          \
            check_pause();                                                              \
        CU_ASSERT(condition);                                                           \
    } while (0)

/* Watches for a while that the condition keeps holding. */
#define CHECK_STAYS(condition, ms)                            \
    do {                                                      \
        uint64_t check_end_ms = clock_mono_ms() + (ms);       \
        while ((condition) && clock_mono_ms() < check_end_ms) \
            check_pause();                                    \
        CU_ASSERT(condition);                                 \
    } while (0)

/* Bytes with an inaccessible page on either side: one byte read too far ends the program. */
struct check_guarded {
    char *map;
    size_t map_bytes;
    char *room; /* between the guard pages */
    size_t room_bytes;
};

static inline struct check_guarded check_guarded_new(size_t room_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct check_guarded g = {.room_bytes = (room_bytes + page - 1) / page * page};
    g.map_bytes = g.room_bytes + 2 * page;
    g.map = mmap(NULL, g.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map + page, g.room_bytes, PROT_READ | PROT_WRITE) < 0)
        abort();
    g.room = g.map + page;
    return g;
}

/* A copy that ends where the room ends. */
static inline char *check_guarded_at_end(const struct check_guarded *g, struct slice s)
{
    char *at = g->room + g->room_bytes - s.len;
    memcpy(at, s.data, s.len);
    return at;
}

/* A copy that begins where the room begins. */
static inline char *check_guarded_at_start(const struct check_guarded *g, struct slice s)
{
    memcpy(g->room, s.data, s.len);
    return g->room;
}

static inline void check_guarded_free(struct check_guarded *g)
{
    munmap(g->map, g->map_bytes);
}

/* A small generator for randomized tests (Marsaglia's xorshift64): the same numbers on every run. */
static inline uint64_t check_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
