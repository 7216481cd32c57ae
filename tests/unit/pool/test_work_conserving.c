/*
 * tests/unit/pool/test_work_conserving.c - no task waits while a thread could run it, also where short tasks rush.
 *
 * Tasks of a microsecond are mixed with tasks that block; never so many of the latter that all threads block. Then a
 * task that waits for more than a moment has been forgotten: by the guard, or by a wake-up that got lost. How long a
 * moment is on a machine that others use, too, a canary says: a thread that does nothing but sleep and see how late it
 * wakes. As a busy machine is not busy evenly, what went wrong is tried again before it counts: a fault of the pool shows
 * each time. WEIR_UNIT_VERBOSE prints how long the tasks waited.
 */
#include "tests/unit/pool/pool_help.h"

enum { BOUND_MS = 20, CANARY_TIMES = 4, ATTEMPTS = 3, BLOCK_MS = 100 };

static struct {
    pthread_t thread;
    atomic_bool stop;
    _Atomic uint64_t worst_us; /* since it was asked last */
} canary;

static void *sing(void *arg)
{
    while (!atomic_load(&canary.stop)) {
        uint64_t before_us = clock_mono_us();
        check_pause();
        uint64_t took_us = clock_mono_us() - before_us;
        if (took_us > atomic_load(&canary.worst_us))
            atomic_store(&canary.worst_us, took_us);
    }
    return arg;
}

static void canary_start(void)
{
    atomic_store(&canary.stop, false);
    atomic_store(&canary.worst_us, 0);
    if (pthread_create(&canary.thread, NULL, sing, NULL) != 0)
        abort();
}

/* How long a moment was since it was started: longer where many wait for each processor. */
static uint64_t canary_stop(void)
{
    double load = 0, crowd = 1;
    atomic_store(&canary.stop, true);
    pthread_join(canary.thread, NULL);
    if (getloadavg(&load, 1) == 1 && load > (double)sysconf(_SC_NPROCESSORS_ONLN))
        crowd = load / (double)sysconf(_SC_NPROCESSORS_ONLN);
    return (uint64_t)(BOUND_MS * 1000 * check_slowness() * crowd) +
           CANARY_TIMES * atomic_load(&canary.worst_us);
}

/* A task of no length, or one that blocks. */
struct probe {
    struct pool_task task;
    unsigned block_ms;
    struct latch *hold; /* or waits here */
    uint64_t begun_us;
    atomic_bool begun, busy; /* from submit to done */
};

static atomic_uint blocked, probes_ended;

static void run_probe(struct pool_task *t)
{
    struct probe *p = container_of(t, struct probe, task);
    p->begun_us = clock_mono_us();
    atomic_store(&p->begun, true);
    if (p->block_ms)
        usleep(p->block_ms * 1000);
    if (p->hold)
        latch_wait(p->hold);
}

static void done_probe(struct pool_task *t)
{
    struct probe *p = container_of(t, struct probe, task);
    if (p->block_ms)
        atomic_fetch_sub(&blocked, 1);
    atomic_fetch_add(&probes_ended, 1);
    atomic_store(&p->busy, false);
}

static void probe_init(struct probe *p, unsigned block_ms, struct latch *hold)
{
    *p = (struct probe){.task = {.run = run_probe, .done = done_probe}, .block_ms = block_ms, .hold = hold};
    atomic_store(&p->busy, true);
}

/* Submit to start. */
static uint64_t waited_us(const struct probe *p)
{
    return p->begun_us > p->task.submitted_us ? p->begun_us - p->task.submitted_us : 0;
}

/* The longest waits of so many probes. */
static void report_waits(const char *what, const uint64_t *sorted, size_t n, uint64_t bound_us)
{
    if (getenv("WEIR_UNIT_VERBOSE") && n > 0)
        printf("\n    %s: %zu tasks, us: half %llu, 99%% %llu, 99.9%% %llu, most %llu; bound %llu ", what, n,
               (unsigned long long)sorted[n / 2], (unsigned long long)sorted[n * 99 / 100],
               (unsigned long long)sorted[n * 999 / 1000], (unsigned long long)sorted[n - 1],
               (unsigned long long)bound_us);
}

static int compare_times(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Whether none waited too long; on the last attempt that is a check. */
static bool check_waits(const char *what, uint64_t *waits, size_t n, uint64_t bound_us, int attempt)
{
    char text[128];
    qsort(waits, n, sizeof *waits, compare_times);
    report_waits(what, waits, n, bound_us);
    uint64_t most_us = n > 0 ? waits[n - 1] : 0;
    bool ok = n > 0 && most_us <= bound_us;
    snprintf(text, sizeof text, "%s: waited for %llu us, %llu at most", what, (unsigned long long)most_us,
             (unsigned long long)bound_us);
    return ok || attempt < ATTEMPTS ? ok : check_report(ok, text, __FILE__, __LINE__);
}

enum { STREAM = 512, WAITS_MAX = 1000000 };

static struct probe probes[STREAM];
static uint64_t waits[WAITS_MAX];

/* Sends one burst of what is free among the probes; every now and then one blocks. Returns how many were sent. */
static size_t send_burst(struct pool *pool, uint64_t *seed, unsigned may_block)
{
    struct pool_task *tasks[STREAM];
    size_t count = 0, most = 1 + check_random(seed) % STREAM;
    for (size_t i = 0; i < STREAM && count < most; i++) {
        struct probe *p = &probes[i];
        if (atomic_load(&p->busy))
            continue;
        if (p->begun_us)
            continue; /* its wait has not been noted yet */
        bool blocks = check_random(seed) % 64 == 0 && atomic_load(&blocked) < may_block;
        if (blocks)
            atomic_fetch_add(&blocked, 1);
        probe_init(p, blocks ? BLOCK_MS : 0, NULL);
        tasks[count++] = &p->task;
    }
    if (check_random(seed) % 2)
        return pool_submit_batch(pool, tasks, count, UINT64_MAX, NULL);
    for (size_t i = 0; i < count; i++)
        (void)pool_submit_until(pool, tasks[i], UINT64_MAX);
    return count;
}

static size_t note_waits(size_t n)
{
    for (size_t i = 0; i < STREAM; i++)
        if (!atomic_load(&probes[i].busy) && probes[i].begun_us) {
            if (n < WAITS_MAX)
                waits[n++] = waited_us(&probes[i]);
            probes[i].begun_us = 0;
        }
    return n;
}

static bool mix(unsigned threads, bool bounded, int attempt)
{
    struct pool *pool = pool_of(0, threads, bounded ? 64 : STREAM);
    uint64_t seed = 7 + threads, end_ms = clock_mono_ms() + 300;
    size_t sent = 0, noted = 0;
    char what[64];
    memset(probes, 0, sizeof probes);
    snprintf(what, sizeof what, "%u threads%s", threads, bounded ? ", waiting for room" : "");
    canary_start();
    while (clock_mono_ms() < end_ms && noted < WAITS_MAX - STREAM) {
        sent += send_burst(pool, &seed, threads - 1);
        if (check_random(&seed) % 4 == 0)
            check_pause();
        noted = note_waits(noted);
    }
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    noted = note_waits(noted);
    CHECK_NUMBER(noted, sent);
    CHECK_NUMBER(atomic_load(&blocked), 0);
    pool_check_sums(pool);
    pool_destroy(pool);
    return check_waits(what, waits, noted, canary_stop(), attempt);
}

static void short_ones_do_not_wait_for_long_ones(void)
{
    static const unsigned threads[] = {2, 3, 4, 8, 16, 64};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++)
        for (int bounded = 0; bounded <= 1; bounded++)
            for (int attempt = 1; !mix(threads[i], bounded, attempt) && attempt < ATTEMPTS; attempt++)
                ;
}

enum { RUSH = 2000, ROUNDS = 100 };

static struct probe rush[RUSH];
static struct pool_task *rush_tasks[RUSH];

/* A rush on a pool, of which the last one is a task that blocks; returns once that has begun. */
static void rush_and_block(struct pool *pool, struct latch *hold)
{
    for (size_t i = 0; i < RUSH; i++) {
        probe_init(&rush[i], 0, i == RUSH - 1 ? hold : NULL);
        rush_tasks[i] = &rush[i].task;
    }
    (void)pool_submit_batch(pool, rush_tasks, RUSH, UINT64_MAX, NULL);
    CHECK_EVENTUALLY(atomic_load(&rush[RUSH - 1].begun));
}

/*
 * Then one short one, and nothing else that would wake anybody. `before`: it waits behind the one that blocks already
 * when that begins, so that the rush goes on to the very end.
 */
static bool rush_then_one(unsigned threads, bool there, bool before, int attempt)
{
    char what[64];
    snprintf(what, sizeof what, "%u threads%s, the short one %s", threads, there ? ", all there" : "",
             before ? "waits already" : "comes late");
    canary_start();
    for (int round = 0; round < ROUNDS; round++) {
        struct pool *pool = pool_of(there ? threads : 0, threads, 2 * RUSH);
        struct latch hold = LATCH_CLOSED;
        struct probe one;
        CHECK_NUMBER(pool_prestart(pool), POOL_OK);
        probe_init(&one, 0, NULL);
        if (before) {
            for (size_t i = 0; i < RUSH; i++) {
                probe_init(&rush[i], 0, i == RUSH - 2 ? &hold : NULL);
                rush_tasks[i] = &rush[i].task;
            }
            (void)pool_submit_batch(pool, rush_tasks, RUSH, UINT64_MAX, NULL);
            CHECK_EVENTUALLY(atomic_load(&rush[RUSH - 1].begun));
            waits[round] = waited_us(&rush[RUSH - 1]);
        } else {
            rush_and_block(pool, &hold);
            CHECK_NUMBER(pool_submit(pool, &one.task), POOL_OK);
            CHECK_EVENTUALLY(atomic_load(&one.begun));
            waits[round] = waited_us(&one);
        }
        latch_open(&hold);
        CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
        pool_destroy(pool);
    }
    return check_waits(what, waits, ROUNDS, canary_stop(), attempt);
}

static void one_that_blocks_ends_a_rush(void)
{
    for (unsigned threads = 2; threads <= 8; threads *= 2)
        for (int way = 0; way < 4; way++)
            for (int attempt = 1; !rush_then_one(threads, way % 2, way / 2, attempt) && attempt < ATTEMPTS;
                 attempt++)
                ;
}

static void a_rush_of_one_thread(void)
{
    struct pool *pool = pool_of(0, 1, RUSH);
    struct latch hold = LATCH_CLOSED;
    struct probe one;
    for (int round = 0; round < ROUNDS; round++) {
        latch_set(&hold, false);
        rush_and_block(pool, &hold);
        probe_init(&one, 0, NULL);
        CHECK_NUMBER(pool_submit(pool, &one.task), POOL_OK);
        CHECK_NUMBER(atomic_load(&one.begun), false); /* there is nobody else */
        latch_open(&hold);
        CHECK_EVENTUALLY(!atomic_load(&one.busy));
        pool_settle(pool, 1);
    }
    CHECK_NUMBER(FIGURE(pool, spawned), 1);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static const struct check_case cases[] = {
    {"short ones do not wait for long ones", short_ones_do_not_wait_for_long_ones},
    {"one that blocks ends a rush", one_that_blocks_ends_a_rush},
    {"a rush of one thread", a_rush_of_one_thread},
};

CHECK_MAIN("pool/work conserving", cases)
