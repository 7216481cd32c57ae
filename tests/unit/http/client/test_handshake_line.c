/*
 * tests/unit/http/client/test_handshake_line.c - who is next in the line of handshakes: the oldest, the newest while the line stands; who is let
 * go, and that requests have the thread in turn. The pool and the clock are the test's.
 */
#include "http/client/handshake_line.h"

#include "pool/figures.h"
#include "tests/unit/check.h"
#include "worker/loop/worker_state.h"

enum { CLIENTS = 24, MS = 1000 };

static struct conf_pool rules = {.name = {"default", 7}, .max_queue = 12, .queue_timeout_ms = 5000};
static struct pool_figures figures;
static struct worker worker;
static struct in_line places[CLIENTS];
static int ended[CLIENTS]; /* outcome + 1 */
static uint64_t now_us = 1000 * MS, each_us;
static struct loop_task *in_pool;
static struct pool_notice *told;
static enum pool_result pool_says;
static int order[CLIENTS], computed;
/* One that comes while the first is computed. */
static int joins_meanwhile = -1;

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

void __wrap_pools_notify(struct pool_notice *notice);
void __wrap_pools_notify(struct pool_notice *notice)
{
    CU_ASSERT(!told); /* again only after it has been heard */
    told = notice;
}

const struct pool_figures *__wrap_pool_read_figures(const struct pool *pool);
const struct pool_figures *__wrap_pool_read_figures(const struct pool *pool)
{
    (void)pool;
    return &figures;
}

static void on_ended(struct worker *w, struct in_line *in, enum pool_outcome outcome)
{
    CU_ASSERT(w == &worker && ended[in - places] == 0);
    ended[in - places] = (int)outcome + 1;
}

static enum pool_result join(int client);

static void compute(struct in_line *in)
{
    order[computed++] = (int)(in - places);
    now_us += each_us;
    if (joins_meanwhile >= 0)
        CU_ASSERT(join(joins_meanwhile) == POOL_OK);
    joins_meanwhile = -1;
}

static enum pool_result join(int client)
{
    places[client] = (struct in_line){.compute = compute, .ended = on_ended};
    ended[client] = 0;
    return handshake_line_join(&worker, &places[client]);
}

/* Some of what is over in each turn of the loop. */
static void hear(void)
{
    while (told) {
        struct pool_notice *notice = told;
        told = NULL;
        notice->hear(notice);
    }
}

/* The pool's thread has the runner, and the loop hears of it. */
static void run_pool(enum pool_outcome outcome)
{
    struct loop_task *task = in_pool;
    CU_ASSERT_FATAL(task != NULL);
    if (outcome == POOL_TASK_DONE)
        task->task.run(&task->task);
    in_pool = NULL;
    task->task.outcome = (uint8_t)outcome;
    hear();
    task->ended(&worker, task);
    hear();
}

static void begin(uint64_t us_each)
{
    worker.pools[0].conf = &rules;
    worker.pool_count = 1;
    pool_says = POOL_OK;
    each_us = us_each;
    computed = 0;
    now_us += 100000 * MS;
    counter_set(&figures.submitted, 0);
}

static void the_oldest_first(void)
{
    begin(5 * MS);
    for (int i = 0; i < 4; i++)
        CU_ASSERT(join(i) == POOL_OK);
    joins_meanwhile = 4;
    run_pool(POOL_TASK_DONE);
    CHECK_NUMBER(computed, 5);
    for (int i = 0; i < 5; i++)
        CU_ASSERT(order[i] == i && ended[i] == POOL_TASK_DONE + 1);
    CU_ASSERT(!in_pool);
}

/* One of them, then it is the requests' turn. */
static void requests_have_their_turn(void)
{
    begin(5 * MS);
    for (int i = 0; i < 3; i++)
        join(i);
    counter_set(&figures.submitted, 1);
    run_pool(POOL_TASK_DONE);
    CHECK_NUMBER(computed, 1);
    CU_ASSERT(in_pool != NULL); /* behind them */
    counter_set(&figures.submitted, 0);
    run_pool(POOL_TASK_DONE);
    CHECK_NUMBER(computed, 3);
}

/* When even what has waited least of an interval has waited long: then the newest, and who has waited a second is let go. */
static void the_newest_first_while_the_line_stands(void)
{
    begin(300 * MS);
    for (int i = 0; i < 10; i++)
        join(i);
    run_pool(POOL_TASK_DONE);
    const int wanted[] = {0, 1, 9, 8};
    CHECK_NUMBER(computed, 4);
    for (int i = 0; i < 4; i++)
        CHECK_NUMBER(order[i], wanted[i]);
    for (int i = 0; i < 10; i++)
        CHECK_NUMBER(ended[i], (i >= 2 && i < 8 ? POOL_TASK_SHED : POOL_TASK_DONE) + 1);
    /* It stands still: of those that come now the newest goes first. */
    now_us += 50 * MS;
    for (int i = 0; i < 3; i++) {
        join(i);
        now_us += 1 * MS;
    }
    computed = 0;
    each_us = 5 * MS;
    run_pool(POOL_TASK_DONE);
    CHECK_NUMBER(order[0], 2);
    CHECK_NUMBER(order[1], 1);
    CHECK_NUMBER(order[2], 0);
}

static void who_leaves(void)
{
    begin(5 * MS);
    for (int i = 0; i < 3; i++)
        join(i);
    handshake_line_leave(&worker, &places[1]);
    CHECK_NUMBER(ended[1], POOL_TASK_CANCELLED + 1);
    run_pool(POOL_TASK_DONE);
    CHECK_NUMBER(computed, 2);
    CU_ASSERT(ended[0] == POOL_TASK_DONE + 1 && ended[2] == POOL_TASK_DONE + 1);
    CU_ASSERT(join(0) == POOL_OK);
    handshake_line_leave(&worker, &places[0]);
    run_pool(POOL_TASK_DONE); /* nobody is there */
    CU_ASSERT(!in_pool);
}

static void who_is_refused(void)
{
    begin(5 * MS);
    for (int i = 0; i < 12; i++)
        CU_ASSERT(join(i) == POOL_OK);
    CU_ASSERT(join(12) == POOL_EOVERLOAD && ended[12] == 0);
    now_us += 5001 * MS;
    CU_ASSERT(join(13) == POOL_EOVERLOAD);
    run_pool(POOL_TASK_EXPIRED);
    for (int i = 0; i < 12; i++)
        CHECK_NUMBER(ended[i], POOL_TASK_EXPIRED + 1);
    CU_ASSERT(!in_pool);
    pool_says = POOL_EOVERLOAD;
    CU_ASSERT(join(0) == POOL_EOVERLOAD && ended[0] == 0);
    pool_says = POOL_OK;
    CU_ASSERT(join(0) == POOL_OK && join(1) == POOL_OK && join(2) == POOL_OK);
    pool_says = POOL_EOVERLOAD;
    counter_set(&figures.submitted, 1);
    run_pool(POOL_TASK_DONE);
    CHECK_NUMBER(computed, 1);
    CU_ASSERT(ended[1] == POOL_TASK_DROPPED + 1 && ended[2] == POOL_TASK_DROPPED + 1);
    /* The pool is closed. */
    pool_says = POOL_OK;
    CU_ASSERT(join(0) == POOL_OK && join(1) == POOL_OK);
    run_pool(POOL_TASK_DROPPED);
    CU_ASSERT(ended[0] == POOL_TASK_DROPPED + 1 && ended[1] == POOL_TASK_DROPPED + 1 && !in_pool);
}

static const struct check_case cases[] = {
    {"the oldest first", the_oldest_first},
    {"requests have their turn", requests_have_their_turn},
    {"the newest first while the line stands", the_newest_first_while_the_line_stands},
    {"who leaves", who_leaves},
    {"who is refused", who_is_refused},
};

CHECK_MAIN("handshake line", cases)
