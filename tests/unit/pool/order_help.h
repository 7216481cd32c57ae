/*
 * tests/unit/pool/order_help.h - jobs that write down in which order they ran, on pools of one thread.
 *
 * A job has a letter; the diary is the string of the letters of those that ran, oldest first. A plug is a job that
 * keeps the only thread until it is let go: what is submitted meanwhile waits.
 */
#ifndef WEIR_TESTS_UNIT_POOL_ORDER_HELP_H
#define WEIR_TESTS_UNIT_POOL_ORDER_HELP_H

#include "tests/unit/pool/pool_help.h"

enum { DIARY_MAX = 2000 };

static char diary[DIARY_MAX + 1];
static atomic_uint diary_next, diary_length; /* the latter grows once a letter is there */

struct lettered {
    struct job job;
    char letter;
};

static inline void diary_clear(void)
{
    memset(diary, 0, sizeof diary);
    atomic_store(&diary_next, 0);
    atomic_store(&diary_length, 0);
}

static inline void run_letter(struct pool_task *t)
{
    struct lettered *l = container_of(job_of(t), struct lettered, job);
    unsigned at = atomic_fetch_add(&diary_next, 1);
    if (at < DIARY_MAX)
        diary[at] = l->letter;
    atomic_fetch_add(&diary_length, 1);
    job_run(t);
}

/* 'h' is of high priority, 'l' of low, every other letter of normal. */
static inline uint8_t priority_of(char letter)
{
    return letter == 'h' ? POOL_HIGH : letter == 'l' ? POOL_LOW : POOL_NORMAL;
}

static inline struct lettered lettered(char letter, struct latch *hold)
{
    struct lettered l = {.job = job_with(hold), .letter = letter};
    l.job.task.run = run_letter;
    l.job.task.priority = priority_of(letter);
    return l;
}

/* Waits until so many have run, and checks which ones, in which order. */
static inline void diary_check(const char *expected, const char *file, int line)
{
    uint64_t end_ms = clock_mono_ms() + CHECK_PATIENCE_MS;
    while (atomic_load(&diary_length) < strlen(expected) && clock_mono_ms() < end_ms)
        check_pause();
    char text[512];
    snprintf(text, sizeof text, "they ran as \"%.200s\", expected \"%.200s\"", diary, expected);
    check_report(strcmp(diary, expected) == 0, text, file, line);
}

#define CHECK_DIARY(expected) diary_check((expected), __FILE__, __LINE__)

static inline struct pool *pool_of_one(enum pool_discipline discipline, size_t max_queue)
{
    struct pool_config config = {.max = 1, .max_queue = max_queue, .discipline = discipline};
    struct pool *pool = pool_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    diary_clear();
    return pool;
}

#endif
