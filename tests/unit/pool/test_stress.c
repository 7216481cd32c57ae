/*
 * tests/unit/pool/test_stress.c - everything at once, for some seconds: each task that was taken ends exactly once.
 *
 * Several threads submit their own tasks in all ways, cancel them and give them up; the tasks return, fail, exit, are
 * cancelled, submit further ones; beside them the pool is resized, its queue aged, and now and then shut down and
 * opened again. Each task counts its runs and its ends; when all is over the counts must agree with what submitting
 * returned and with the pool's figures. The random numbers are the same on each run, their interleaving is not.
 */
#include "tests/unit/pool/pool_help.h"

#include <sched.h>

enum { SUBMITTERS = 4, SLOTS = 24, SECONDS_MS = 2500 };

/* One task over and over again: its owner submits it only after its end. */
struct slot {
    struct pool_task task;
    struct pool *pool;
    struct slot *child; /* submitted by the run of its parent, from the pool's own thread */
    unsigned whim;      /* what the run does */
    atomic_int in_pool; /* 1 from before it is submitted until its end has been reported */
    atomic_ullong taken, runs, ends, doubles;
};

struct crew {
    pthread_t thread;
    uint64_t seed;
    struct pool *pool;
    struct slot slots[SLOTS], children[SLOTS];
    unsigned long long overloads, closed, timeouts, cancelled, given_up;
};

static struct crew crews[SUBMITTERS];
static atomic_bool over;

static void count_end(struct pool_task *t)
{
    struct slot *s = container_of(t, struct slot, task);
    atomic_fetch_add(&s->ends, 1);
    if (atomic_exchange(&s->in_pool, 0) != 1)
        atomic_fetch_add(&s->doubles, 1);
}

/* Marks the slot as taken for the time of the call; what is refused is its owner's again. */
static enum pool_result submit(struct slot *s, uint64_t deadline_us)
{
    atomic_store(&s->in_pool, 1);
    enum pool_result result = pool_submit_until(s->pool, &s->task, deadline_us);
    if (result == POOL_OK)
        atomic_fetch_add(&s->taken, 1);
    else
        atomic_store(&s->in_pool, 0);
    return result;
}

static void run_whim(struct pool_task *t)
{
    struct slot *s = container_of(t, struct slot, task);
    unsigned whim = s->whim;
    atomic_fetch_add(&s->runs, 1);
    if (whim % 64 < 32)
        return;
    if (whim % 64 < 44) {
        sched_yield();
    } else if (whim % 64 < 54) {
        check_pause();
    } else if (whim % 64 < 57) {
        pool_task_fail("on a whim");
    } else if (whim % 64 < 59) {
        pthread_exit(NULL);
    } else if (whim % 64 < 61) {
        pthread_cancel(pthread_self());
        pthread_testcancel();
    } else if (s->child && !atomic_load(&s->child->in_pool)) {
        submit(s->child, UINT64_MAX);
    }
}

static void act_on(struct crew *c, struct slot *s)
{
    uint64_t dice = check_random(&c->seed);
    if (atomic_load(&s->in_pool)) {
        if (dice % 4 == 0)
            c->cancelled += pool_cancel(c->pool, &s->task);
        else if (dice % 64 == 1)
            c->given_up += pool_abandon(c->pool, &s->task);
        return;
    }
    s->whim = (unsigned)(dice >> 8);
    enum pool_result result = submit(s, dice % 3 ? 0 : clock_mono_us() + dice % 700);
    c->overloads += result == POOL_EOVERLOAD;
    c->closed += result == POOL_ECLOSED;
    c->timeouts += result == POOL_ETIMEDOUT;
}

static void *play(void *arg)
{
    struct crew *c = arg;
    while (!atomic_load(&over)) {
        act_on(c, &c->slots[check_random(&c->seed) % SLOTS]);
        if (check_random(&c->seed) % 16 == 0)
            sched_yield();
    }
    return NULL;
}

static void start_crews(struct pool *pool)
{
    for (size_t i = 0; i < SUBMITTERS; i++) {
        struct crew *c = &crews[i];
        c->pool = pool;
        c->seed = 0x9e3779b97f4a7c15ull * (i + 1);
        for (size_t k = 0; k < SLOTS; k++) {
            c->children[k] = (struct slot){.task = {.run = run_whim, .done = count_end}, .pool = pool};
            c->slots[k] = c->children[k];
            c->slots[k].child = &c->children[k];
        }
        if (pthread_create(&c->thread, NULL, play, c) != 0)
            abort();
    }
}

/* The other hand: sizes, bounds and disciplines, expiry, and sometimes the end of the world. */
static void disturb(struct pool *pool)
{
    uint64_t seed = 42, end_ms = clock_mono_ms() + SECONDS_MS;
    int restarts = 0;
    while (clock_mono_ms() < end_ms) {
        uint64_t dice = check_random(&seed);
        unsigned max = 1 + (unsigned)(dice % 8);
        struct pool_config config = {.min = (unsigned)(dice >> 8) % (max + 1),
                                     .max = max,
                                     .max_queue = (dice >> 16) % 20,
                                     .max_waiters = (dice >> 24) % 4,
                                     .idle_timeout_ms = (unsigned)(dice >> 32) % 4,
                                     .queue_timeout_ms = (unsigned)(dice >> 40) % 4,
                                     .discipline = (enum pool_discipline)((dice >> 48) % 3)};
        CHECK_NUMBER(pool_reconfigure(pool, &config), POOL_OK);
        pool_expire(pool);
        (void)pool_oldest_running_us(pool);
        check_pause();
        if (dice >> 56)
            continue;
        enum pool_shutdown_mode mode = restarts++ % 2 ? POOL_DROP : POOL_DRAIN;
        if (pool_shutdown(pool, mode, clock_mono_us() + 300) == POOL_ETIMEDOUT)
            CHECK_NUMBER(pool_shutdown(pool, mode, UINT64_MAX), POOL_OK);
        CHECK_NUMBER(pool_restart(pool), POOL_OK);
    }
    CU_ASSERT(restarts > 0);
}

static void check_slot(struct slot *s)
{
    CHECK_NUMBER(atomic_load(&s->in_pool), 0);
    CHECK_NUMBER(atomic_load(&s->doubles), 0);
    CHECK_NUMBER(atomic_load(&s->ends), atomic_load(&s->taken));
    CU_ASSERT(atomic_load(&s->runs) <= atomic_load(&s->taken));
}

static void check_books(struct pool *pool)
{
    unsigned long long taken = 0, runs = 0, cancelled = 0, overloads = 0;
    for (size_t i = 0; i < SUBMITTERS; i++) {
        cancelled += crews[i].cancelled;
        overloads += crews[i].overloads;
        for (size_t k = 0; k < SLOTS; k++) {
            check_slot(&crews[i].slots[k]);
            check_slot(&crews[i].children[k]);
            taken += atomic_load(&crews[i].slots[k].taken) + atomic_load(&crews[i].children[k].taken);
            runs += atomic_load(&crews[i].slots[k].runs) + atomic_load(&crews[i].children[k].runs);
        }
    }
    pool_check_sums(pool);
    CHECK_NUMBER(FIGURE(pool, submitted), taken);
    CHECK_NUMBER(FIGURE(pool, completed) + FIGURE(pool, failed), runs);
    CHECK_NUMBER(FIGURE(pool, cancelled), cancelled);
    CHECK_NUMBER(FIGURE(pool, refused_full), overloads);
    CHECK_NUMBER(FIGURE(pool, spawned), FIGURE(pool, retired));
    CHECK_NUMBER(FIGURE(pool, idle), 0);
    CHECK_NUMBER(FIGURE(pool, waiting), 0);
    CU_ASSERT(taken > 1000 && runs > 500 && cancelled > 0 && FIGURE(pool, failed) > 0);
}

static void every_task_ends_exactly_once(void)
{
    struct pool *pool = pool_of(1, 4, 10);
    start_crews(pool);
    disturb(pool);
    atomic_store(&over, true);
    for (size_t i = 0; i < SUBMITTERS; i++)
        pthread_join(crews[i].thread, NULL);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, in_ms(CHECK_PATIENCE_MS)), POOL_OK);
    check_books(pool);
    pool_destroy(pool);
}

static const struct check_case cases[] = {{"every task ends exactly once", every_task_ends_exactly_once}};

CHECK_MAIN("pool/stress", cases)
