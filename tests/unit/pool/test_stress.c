/*
 * tests/unit/pool/test_stress.c - everything at once, for some seconds: each task that was taken ends exactly once.
 *
 * Several threads submit their own tasks in all ways, alone and in batches, of all priorities, cancel them and give
 * them up; the tasks return, fail, exit, are cancelled, submit further ones; callbacks are cancelled, too; another
 * thread sends rushes of tasks that do nothing; half of the ends are collected. Beside them the pool is resized, given
 * other disciplines, its queue aged, and now and then shut down and opened again. Each task counts its runs and its
 * ends; when all is over the counts must agree with what submitting returned and with the pool's figures.
 *
 * WEIR_UNIT_SEED=N repeats the random numbers of a run, though not their interleaving; WEIR_UNIT_SECONDS=N is how long
 * it takes.
 */
#include "tests/unit/pool/pool_help.h"

#include <sched.h>

enum { SUBMITTERS = 4, SLOTS = 24, RUSH = 1500, PLUGS = 3, SECONDS = 3, RESULTS = POOL_EINVAL + 1 };

/* One task over and over again: its owner submits it only after its end. */
struct slot {
    struct pool_task task;
    struct pool *pool;
    /* Submitted by the run or the callback of its parent. */
    struct slot *child;
    unsigned whim; /* what the run and the callback do */
    /* From before it is submitted until its end has been reported. */
    atomic_bool in_pool;
    atomic_uint taken, runs, ends, doubles;
};

struct crew {
    pthread_t thread;
    uint64_t seed;
    struct pool *pool;
    struct slot slots[SLOTS], children[SLOTS];
};

static struct crew crews[SUBMITTERS];
static struct slot rush[RUSH], plugs[PLUGS];
static atomic_bool over, collecting;
static atomic_ullong cancelled, given_up, refused[RESULTS], rushes, collected;
/* Threads, by a callback: the next task fails unseen. */
static atomic_ullong struck;
static _Thread_local bool on_pool_thread;

static void count_end(struct pool_task *t)
{
    struct slot *s = container_of(t, struct slot, task);
    atomic_fetch_add(&s->ends, 1);
    if (!atomic_exchange(&s->in_pool, false))
        atomic_fetch_add(&s->doubles, 1);
}

/* Marks the slots as taken for the time of the call; what is refused is its owner's again. */
static void submit_many(struct slot *const *slots, size_t count, uint64_t deadline_us)
{
    struct pool_task *tasks[RUSH];
    enum pool_result result = POOL_OK;
    for (size_t i = 0; i < count; i++) {
        tasks[i] = &slots[i]->task;
        atomic_store(&slots[i]->in_pool, true);
    }
    size_t taken = count == 0 ? 0 : pool_submit_batch(slots[0]->pool, tasks, count, deadline_us, &result);
    for (size_t i = 0; i < count; i++)
        if (i < taken)
            atomic_fetch_add(&slots[i]->taken, 1);
        else
            atomic_store(&slots[i]->in_pool, false);
    atomic_fetch_add(&refused[taken == count ? POOL_OK : result], 1);
}

static void submit_one(struct slot *s, uint64_t deadline_us)
{
    atomic_store(&s->in_pool, true);
    enum pool_result result =
        deadline_us == 0 ? pool_submit(s->pool, &s->task) : pool_submit_until(s->pool, &s->task, deadline_us);
    if (result == POOL_OK)
        atomic_fetch_add(&s->taken, 1);
    else
        atomic_store(&s->in_pool, false);
    atomic_fetch_add(&refused[result], 1);
}

static void submit_child(struct slot *s, uint64_t deadline_us)
{
    if (s->child && !atomic_load(&s->child->in_pool))
        submit_one(s->child, deadline_us);
}

static void done_whim(struct pool_task *t)
{
    struct slot *s = container_of(t, struct slot, task);
    bool strikes = on_pool_thread && s->whim % 89 == 0;
    if (s->whim % 97 == 0)
        submit_child(s, 0);
    if (s->whim % 101 == 0)
        check_pause();
    count_end(t);
    if (!strikes)
        return;
    atomic_fetch_add(&struck, 1);
    pthread_cancel(pthread_self());
    pthread_testcancel();
}

static void run_nothing(struct pool_task *t)
{
    atomic_fetch_add_explicit(&container_of(t, struct slot, task)->runs, 1, memory_order_relaxed);
    on_pool_thread = true;
}

static void run_whim(struct pool_task *t)
{
    struct slot *s = container_of(t, struct slot, task);
    unsigned whim = s->whim % 64;
    run_nothing(t);
    if (whim < 32)
        return;
    if (whim < 42) {
        sched_yield();
    } else if (whim < 52) {
        check_pause();
    } else if (whim < 53) {
        usleep(3000);
    } else if (whim < 56) {
        pool_task_fail("on a whim");
    } else if (whim < 58) {
        pthread_exit(NULL);
    } else if (whim < 60) {
        pthread_cancel(pthread_self());
        if (whim == 58)
            pthread_testcancel();
    } else if (whim < 61) {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    } else {
        submit_child(s, UINT64_MAX);
    }
}

static void run_plug(struct pool_task *t)
{
    run_nothing(t);
    usleep(130000);
}

/* Nothing, a yield, or some time up to a hundred microseconds. */
static void dawdle(uint64_t *seed)
{
    uint64_t dice = check_random(seed);
    if (dice % 16 == 0)
        sched_yield();
    else if (dice % 64 == 1)
        nanosleep(&(struct timespec){.tv_nsec = (long)(dice >> 8) % 100000}, NULL);
}

static uint64_t some_deadline(uint64_t dice)
{
    return dice % 3 ? 0 : clock_mono_us() + (dice >> 3) % 1000;
}

/* Decides what a slot that its owner has is going to be. */
static void prepare(struct slot *s, uint64_t dice)
{
    s->whim = (unsigned)(dice >> 20);
    s->task.priority = (uint8_t)((dice >> 8) % 3);
    s->task.done = dice >> 12 & 1 ? done_whim : NULL;
}

static void act(struct crew *c)
{
    uint64_t dice = check_random(&c->seed);
    struct slot *some[SLOTS], *s = &c->slots[dice % SLOTS];
    size_t count = 0;
    if (atomic_load(&s->in_pool)) {
        if (dice >> 32 & 1)
            atomic_fetch_add(&cancelled, pool_cancel(c->pool, &s->task));
        else if ((dice >> 33) % 32 == 1)
            atomic_fetch_add(&given_up, pool_abandon(c->pool, &s->task));
        return;
    }
    if (dice >> 40 & 7) {
        prepare(s, dice);
        submit_one(s, some_deadline(dice >> 44));
        return;
    }
    for (size_t i = 0; i < SLOTS; i++)
        if (!atomic_load(&c->slots[i].in_pool) && (check_random(&c->seed) & 1)) {
            some[count++] = &c->slots[i];
            prepare(&c->slots[i], check_random(&c->seed));
        }
    submit_many(some, count, some_deadline(dice >> 44));
}

static void *play(void *arg)
{
    struct crew *c = arg;
    while (!atomic_load(&over)) {
        act(c);
        dawdle(&c->seed);
    }
    return NULL;
}

/* Sends rushes, mostly once the last one has ended, and sometimes what is left of it. */
static void *send_rushes(void *arg)
{
    static struct slot *some[RUSH];
    uint64_t seed = *(uint64_t *)arg;
    while (!atomic_load(&over)) {
        size_t count = 0, most = check_random(&seed) % RUSH;
        while (most % 4 && atomic_load(&rush[most].in_pool) && !atomic_load(&over))
            check_pause();
        for (size_t i = 0; i < RUSH && count <= most; i++)
            if (!atomic_load(&rush[i].in_pool))
                some[count++] = &rush[i];
        submit_many(some, count, check_random(&seed) % 4 ? clock_mono_us() + 3000 : 0);
        atomic_fetch_add(&rushes, 1);
        dawdle(&seed);
    }
    return NULL;
}

static void *collect(void *arg)
{
    struct pool *pool = arg;
    for (bool on = true; on;) {
        on = atomic_load(&collecting);
        for (struct pool_task *t = pool_collect(pool), *next; t; t = next) {
            next = t->next;
            atomic_fetch_add(&collected, 1);
            count_end(t);
        }
        check_pause();
    }
    return NULL;
}

static struct slot new_slot(struct pool *pool, void (*run)(struct pool_task *))
{
    return (struct slot){.task = {.run = run, .done = done_whim}, .pool = pool, .whim = 1};
}

static void start(pthread_t *thread, void *(*run)(void *), void *arg)
{
    if (pthread_create(thread, NULL, run, arg) != 0)
        abort();
}

static void start_crews(struct pool *pool, uint64_t seed)
{
    for (size_t i = 0; i < RUSH; i++)
        rush[i] = new_slot(pool, run_nothing);
    for (size_t i = 0; i < PLUGS; i++) {
        plugs[i] = new_slot(pool, run_plug);
        plugs[i].task.priority = POOL_HIGH;
    }
    for (size_t i = 0; i < SUBMITTERS; i++) {
        struct crew *c = &crews[i];
        c->pool = pool;
        c->seed = seed * (i + 1) | 1;
        for (size_t k = 0; k < SLOTS; k++) {
            c->slots[k] = c->children[k] = new_slot(pool, run_whim);
            c->slots[k].child = &c->children[k];
        }
        start(&c->thread, play, c);
    }
}

static struct pool_config some_config(uint64_t dice)
{
    unsigned max = 1 + (unsigned)(dice % 8);
    return (struct pool_config){.min = (unsigned)(dice >> 8) % (max + 1),
                                .max = max,
                                .max_queue = dice >> 22 & 1 ? 2000 : (dice >> 16) % 20,
                                .max_waiters = (dice >> 24) % 4,
                                .idle_timeout_ms = (unsigned)(dice >> 32) % 4,
                                .queue_timeout_ms = (unsigned)(dice >> 40) % 8,
                                .discipline = (enum pool_discipline)((dice >> 48) % 3)};
}

/* Now and then everything ends, in one way or another, and begins again. */
static void close_and_open(struct pool *pool, uint64_t dice)
{
    enum pool_shutdown_mode mode = dice & 1 ? POOL_DROP : POOL_DRAIN;
    uint64_t deadline_us = dice & 2 ? UINT64_MAX : clock_mono_us() + (dice >> 8) % 2000;
    if (pool_shutdown(pool, mode, deadline_us) == POOL_ETIMEDOUT) {
        CHECK_NUMBER(deadline_us == UINT64_MAX, false);
        CHECK_NUMBER(pool_shutdown(pool, dice & 4 ? POOL_DROP : mode, UINT64_MAX), POOL_OK);
    }
    CHECK_NUMBER(FIGURE(pool, idle) + FIGURE(pool, running) + FIGURE(pool, stuck), 0);
    CHECK_NUMBER(pool_restart(pool), POOL_OK);
}

/* Tasks that block the only thread for longer than codel looks on: then it sheds. */
static void crawl(struct pool *pool)
{
    struct pool_config config = {.max = 1, .max_queue = 2000, .discipline = POOL_CODEL};
    CHECK_NUMBER(pool_reconfigure(pool, &config), POOL_OK);
    for (size_t i = 0; i < PLUGS; i++)
        if (!atomic_load(&plugs[i].in_pool))
            submit_one(&plugs[i], UINT64_MAX);
    usleep(350000);
}

/* The other hand, for the time that it takes. */
static void disturb(struct pool *pool, uint64_t seed, uint64_t ms)
{
    static const long pauses_us[] = {1, 200, 2000, 20000};
    uint64_t end_ms = clock_mono_ms() + ms;
    unsigned restarts = 0;
    crawl(pool);
    while (clock_mono_ms() < end_ms) {
        uint64_t dice = check_random(&seed);
        struct pool_config config = some_config(dice);
        CHECK_NUMBER(pool_reconfigure(pool, &config), POOL_OK);
        (void)pool_prestart(pool);
        pool_expire(pool);
        (void)pool_oldest_running_us(pool);
        usleep((useconds_t)pauses_us[(dice >> 52) % 4]);
        if ((dice >> 56) % 16 == 0) {
            close_and_open(pool, check_random(&seed));
            restarts++;
        } else if ((dice >> 56) == 255) {
            crawl(pool);
        }
    }
    CU_ASSERT(restarts > 0);
}

/* Counts what a slot has seen into the sums, and checks that it is consistent. */
static void check_slot(struct slot *s, uint64_t *taken, uint64_t *runs)
{
    unsigned ends = atomic_load(&s->ends);
    if (atomic_load(&s->in_pool) || atomic_load(&s->doubles) || ends != atomic_load(&s->taken) ||
        atomic_load(&s->runs) > ends) {
        CHECK_NUMBER(atomic_load(&s->in_pool), false);
        CHECK_NUMBER(atomic_load(&s->doubles), 0);
        CHECK_NUMBER(ends, atomic_load(&s->taken));
        CHECK_NUMBER(atomic_load(&s->runs) <= ends, true);
    }
    *taken += ends;
    *runs += atomic_load(&s->runs);
}

static void check_books(struct pool *pool)
{
    uint64_t taken = 0, runs = 0;
    for (size_t i = 0; i < RUSH; i++)
        check_slot(&rush[i], &taken, &runs);
    for (size_t i = 0; i < PLUGS; i++)
        check_slot(&plugs[i], &taken, &runs);
    for (size_t i = 0; i < SUBMITTERS; i++)
        for (size_t k = 0; k < SLOTS; k++) {
            check_slot(&crews[i].slots[k], &taken, &runs);
            check_slot(&crews[i].children[k], &taken, &runs);
        }
    pool_check_sums(pool);
    CHECK_NUMBER(FIGURE(pool, submitted), taken);
    CHECK_NUMBER(FIGURE(pool, submitted), FIGURE(pool, started) + FIGURE(pool, cancelled) +
                                              FIGURE(pool, expired) + FIGURE(pool, shed) +
                                              FIGURE(pool, dropped));
    CHECK_NUMBER(FIGURE(pool, started), FIGURE(pool, completed) + FIGURE(pool, failed));
    CU_ASSERT(FIGURE(pool, started) >= runs && FIGURE(pool, started) - runs <= atomic_load(&struck));
    CHECK_NUMBER(FIGURE(pool, cancelled), atomic_load(&cancelled));
    CHECK_NUMBER(FIGURE(pool, refused_full), atomic_load(&refused[POOL_EOVERLOAD]));
    CHECK_NUMBER(FIGURE(pool, refused_closed), atomic_load(&refused[POOL_ECLOSED]));
    CHECK_NUMBER(atomic_load(&refused[POOL_EINVAL]), 0);
    CHECK_NUMBER(FIGURE(pool, spawned), FIGURE(pool, retired));
    CHECK_NUMBER(FIGURE(pool, idle) + FIGURE(pool, waiting), 0);
    CU_ASSERT(taken > 1000 && runs > 500 && atomic_load(&cancelled) > 0 && atomic_load(&struck) > 0 &&
              atomic_load(&collected) > 0);
    CU_ASSERT(FIGURE(pool, failed) > 0 && FIGURE(pool, expired) > 0 && FIGURE(pool, shed) > 0);
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *said = getenv(variable);
    return said ? strtoull(said, NULL, 0) : otherwise;
}

static void every_task_ends_exactly_once(void)
{
    struct pool *pool = pool_of(1, 4, 10);
    uint64_t seconds = number_from("WEIR_UNIT_SECONDS", SECONDS), now_us = clock_mono_us();
    uint64_t seed = number_from("WEIR_UNIT_SEED", now_us ^ now_us << 20) | 1, rush_seed = seed;
    pthread_t rusher, collector;
    alarm((unsigned)seconds + CHECK_LIMIT_S);
    printf("pool/stress: WEIR_UNIT_SEED=%llu\n", (unsigned long long)seed);
    atomic_store(&collecting, true);
    start_crews(pool, seed);
    start(&rusher, send_rushes, &rush_seed);
    start(&collector, collect, pool);
    disturb(pool, seed, seconds * 1000);
    atomic_store(&over, true);
    for (size_t i = 0; i < SUBMITTERS; i++)
        pthread_join(crews[i].thread, NULL);
    pthread_join(rusher, NULL);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, in_ms(CHECK_PATIENCE_MS)), POOL_OK);
    atomic_store(&collecting, false);
    pthread_join(collector, NULL);
    check_books(pool);
    if (getenv("WEIR_UNIT_VERBOSE"))
        printf("%llu tasks, %llu rushes, %llu threads, %llu given up, %llu shed, %llu dropped ",
               (unsigned long long)FIGURE(pool, submitted), atomic_load(&rushes),
               (unsigned long long)FIGURE(pool, spawned), atomic_load(&given_up),
               (unsigned long long)FIGURE(pool, shed), (unsigned long long)FIGURE(pool, dropped));
    pool_destroy(pool);
}

static const struct check_case cases[] = {{"every task ends exactly once", every_task_ends_exactly_once}};

CHECK_MAIN("pool/stress", cases)
