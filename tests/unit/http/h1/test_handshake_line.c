/*
 * tests/unit/http/h1/test_handshake_line.c - who is next in the line of handshakes: the oldest, the newest under overload; and who is refused.
 */
#include "http/h1/handshake_line.h"

#include "tests/unit/check.h"
#include "worker/loop/worker_state.h"

enum { CLIENTS = 16, MS = 1000 };

static struct conf_pool rules = {.name = {"default", 7}, .max_queue = 10, .queue_timeout_ms = 2000};
static struct worker worker;
static struct in_line places[CLIENTS];
static struct loop_task tasks[CLIENTS];
static uint64_t now_us = 1000 * MS;
static const struct loop_task *in_pool, *refused[CLIENTS];
static enum pool_result pool_says, why[CLIENTS];
static int refusals;

uint64_t __wrap_clock_mono_us(void);
uint64_t __wrap_clock_mono_us(void)
{
    return now_us;
}

enum pool_result __wrap_pools_submit(struct worker *w, int pool, struct loop_task *task);
enum pool_result __wrap_pools_submit(struct worker *w, int pool, struct loop_task *task)
{
    CU_ASSERT(w == &worker && pool == 0);
    if (pool_says == POOL_OK) {
        CU_ASSERT(!in_pool);
        in_pool = task;
    }
    return pool_says;
}

static void refuse(struct worker *w, struct loop_task *task, enum pool_result result)
{
    (void)w;
    refused[refusals] = task;
    why[refusals++] = result;
}

static const struct line_ends ends = {refuse};

static enum pool_result join(int client)
{
    return handshake_line_join(&worker, &places[client], &tasks[client]);
}

/* The one in the pool ends after so long. */
static void end_one(uint64_t after_us)
{
    CU_ASSERT_FATAL(in_pool != NULL);
    now_us += after_us;
    in_pool = NULL;
    handshake_line_go_on(&worker, &ends);
}

static int next(void)
{
    return in_pool ? (int)(in_pool - tasks) : -1;
}

static void begin(void)
{
    worker.pools[0].conf = &rules;
    worker.pool_count = 1;
    pool_says = POOL_OK;
    refusals = 0;
    while (in_pool)
        end_one(1000 * MS);
    refusals = 0;
}

static void the_oldest_first(void)
{
    begin();
    for (int i = 0; i < 4; i++)
        CU_ASSERT(join(i) == POOL_OK);
    for (int i = 0; i < 4; i++) {
        CHECK_NUMBER(next(), i);
        end_one(1 * MS);
    }
    CHECK_NUMBER(next(), -1);
    CHECK_NUMBER(refusals, 0);
}

/* When even what has waited least of an interval has waited long. */
static void the_newest_first_under_overload(void)
{
    begin();
    for (int i = 0; i < 8; i++)
        join(i);
    /* An interval and more in which the line stands. */
    for (int i = 0; i < 4; i++) {
        CHECK_NUMBER(next(), i);
        end_one(i < 3 ? 35 * MS : 120 * MS);
    }
    CHECK_NUMBER(next(), 7);
    join(8);
    end_one(5 * MS);
    CHECK_NUMBER(next(), 8);
    handshake_line_leave(&places[6]);
    end_one(5 * MS);
    CHECK_NUMBER(next(), 5);
    end_one(5 * MS);
    CHECK_NUMBER(next(), 4);
    end_one(5 * MS);
    CHECK_NUMBER(next(), -1);
    CHECK_NUMBER(refusals, 0);
}

static void who_is_refused(void)
{
    begin();
    for (int i = 0; i < 11; i++)
        CU_ASSERT(join(i) == POOL_OK);
    CU_ASSERT(join(11) == POOL_EOVERLOAD);
    end_one(2001 * MS);
    CHECK_NUMBER(refusals, 10);
    for (int i = 0; i < 10; i++)
        CU_ASSERT(refused[i] == &tasks[i + 1] && why[i] == POOL_ETIMEDOUT);
    CHECK_NUMBER(next(), -1);
    CU_ASSERT(join(0) == POOL_OK && join(1) == POOL_OK && join(2) == POOL_OK);
    pool_says = POOL_EOVERLOAD;
    end_one(1 * MS);
    CHECK_NUMBER(refusals, 12);
    CU_ASSERT(why[10] == POOL_EOVERLOAD && why[11] == POOL_EOVERLOAD);
    CU_ASSERT(join(3) == POOL_EOVERLOAD);
    pool_says = POOL_OK;
    CU_ASSERT(join(4) == POOL_OK);
    CHECK_NUMBER(next(), 4);
}

static const struct check_case cases[] = {
    {"the oldest first", the_oldest_first},
    {"the newest first under overload", the_newest_first_under_overload},
    {"who is refused", who_is_refused},
};

CHECK_MAIN("handshake line", cases)
