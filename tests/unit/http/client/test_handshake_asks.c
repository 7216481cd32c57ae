/*
 * tests/unit/http/client/test_handshake_asks.c - how many ask at a time, who is next, who leaves, and who is refused. The pool is the test's.
 */
#include "http/client/handshake_asks.h"

#include "tests/unit/check.h"
#include "worker/loop/worker_state.h"

enum { CLIENTS = 8 };

static struct conf_pool rules = {.name = {"default", 7}, .threads_max = 5, .max_queue = 3};
static struct worker worker;
static struct asks places[CLIENTS];
static struct loop_task tasks[CLIENTS];
static enum pool_result pool_says;
static int submitted[CLIENTS], submissions, refused[CLIENTS], refusals;

enum pool_result __wrap_pools_submit(struct worker *w, int pool, struct loop_task *task);
enum pool_result __wrap_pools_submit(struct worker *w, int pool, struct loop_task *task)
{
    CU_ASSERT(w == &worker && pool == 0);
    if (pool_says == POOL_OK)
        submitted[submissions++] = (int)(task - tasks);
    return pool_says;
}

static void refuse(struct worker *w, struct loop_task *task)
{
    CU_ASSERT(w == &worker);
    refused[refusals++] = (int)(task - tasks);
}

static enum pool_result begin(int client)
{
    return handshake_asks_begin(&worker, 0, &places[client], &tasks[client]);
}

static void start(void)
{
    worker.pools[0].conf = &rules;
    worker.pool_count = 1;
    pool_says = POOL_OK;
    submissions = refusals = 0;
}

static void half_of_the_threads(void)
{
    start();
    for (int i = 0; i < 5; i++)
        CU_ASSERT(begin(i) == POOL_OK && places[i].waits == (i >= 2));
    CU_ASSERT(begin(5) == POOL_EOVERLOAD && !places[5].waits);
    CHECK_NUMBER(submissions, 2);
    handshake_asks_leave(&places[2]);
    CU_ASSERT(!places[2].waits);
    for (int i = 0; i < 2; i++)
        handshake_asks_ended(&worker, refuse);
    const int wanted[] = {0, 1, 3, 4};
    CHECK_NUMBER(submissions, 4);
    for (int i = 0; i < 4; i++)
        CHECK_NUMBER(submitted[i], wanted[i]);
    for (int i = 0; i < 2; i++)
        handshake_asks_ended(&worker, refuse);
    CHECK_NUMBER(submissions + refusals, 4);
}

/* The pool's queue is full of requests: at once, and when one's turn has come. */
static void the_pool_has_no_room(void)
{
    start();
    pool_says = POOL_EOVERLOAD;
    CU_ASSERT(begin(0) == POOL_EOVERLOAD);
    pool_says = POOL_OK;
    for (int i = 0; i < 5; i++)
        CU_ASSERT(begin(i) == POOL_OK);
    pool_says = POOL_EOVERLOAD;
    handshake_asks_ended(&worker, refuse);
    CHECK_NUMBER(refusals, 3);
    for (int i = 0; i < 3; i++)
        CU_ASSERT(refused[i] == i + 2 && !places[i + 2].waits);
    pool_says = POOL_OK;
    handshake_asks_ended(&worker, refuse);
    CHECK_NUMBER(refusals, 3);
}

/* Half of one thread is one. */
static void a_pool_of_one_thread(void)
{
    start();
    rules.threads_max = 1;
    CU_ASSERT(begin(0) == POOL_OK && begin(1) == POOL_OK);
    CHECK_NUMBER(submissions, 1);
    handshake_asks_ended(&worker, refuse);
    handshake_asks_ended(&worker, refuse);
    CHECK_NUMBER(submissions, 2);
    rules.threads_max = 5;
}

static const struct check_case cases[] = {
    {"half of the threads", half_of_the_threads},
    {"the pool has no room", the_pool_has_no_room},
    {"a pool of one thread", a_pool_of_one_thread},
};

CHECK_MAIN("handshake asks", cases)
