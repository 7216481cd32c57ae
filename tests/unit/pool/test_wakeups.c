/*
 * tests/unit/pool/test_wakeups.c - no wake-up gets lost: whatever was submitted is run, without anybody calling the
 * pool again.
 *
 * Some submitters send a few tasks each, at the same moment, to a pool that idles, retires its threads, or still runs
 * what came before; then all of them only wait. The numbers are random; WEIR_UNIT_SEED=N repeats them, though not the
 * interleaving, and WEIR_UNIT_SECONDS=N goes on for longer.
 */
#include "tests/unit/pool/pool_help.h"

#include <sched.h>

enum { SENDERS = 3, JOBS = 800, ROUNDS = 40, SECONDS = 2 };

struct sender {
    pthread_t thread;
    uint64_t seed;
    struct pool *pool;
    struct pool_task tasks[JOBS];
    struct pool_task *batch[JOBS];
};

static struct sender senders[SENDERS];
static pthread_barrier_t gate;
static atomic_bool over;
static atomic_uint sent, ended;

static void spin_us(uint64_t us)
{
    for (uint64_t end_us = clock_mono_us() + us; clock_mono_us() < end_us;)
        ;
}

static void run_nothing(struct pool_task *t)
{
    (void)t;
}

static void run_spin(struct pool_task *t)
{
    (void)t;
    spin_us(20);
}

static void run_sleep(struct pool_task *t)
{
    (void)t;
    usleep(100);
}

static void run_fail(struct pool_task *t)
{
    (void)t;
    pool_task_fail("as it was told to");
}

static void done_count(struct pool_task *t)
{
    (void)t;
    atomic_fetch_add(&ended, 1);
}

/* Tasks that do nothing rush; here and there, or at the end of them only, is one that does something. */
static struct pool_task some_task(uint64_t dice, bool pure)
{
    static void (*const runs[])(struct pool_task *) = {run_nothing, run_spin, run_sleep, run_fail};
    unsigned kind = pure || dice % 64 < 54 ? 0 : dice % 64 < 59 ? 1 : dice % 64 < 63 ? 2 : 3;
    return (struct pool_task){.run = runs[kind],
                              .done = done_count,
                              .priority = dice >> 8 & 63 ? POOL_NORMAL : (uint8_t)((dice >> 14) % 3)};
}

static void send(struct sender *s)
{
    uint64_t dice = check_random(&s->seed);
    size_t count = dice % 4 == 0 ? 1 : dice % 4 == 1 ? (dice >> 2) % 8 : (dice >> 2) % JOBS;
    atomic_fetch_add(&sent, (unsigned)count);
    for (size_t i = 0; i < count; i++) {
        s->tasks[i] = some_task(check_random(&s->seed), (dice >> 34 & 3) && i + 4 < count);
        s->batch[i] = &s->tasks[i];
    }
    if (dice >> 32 & 1)
        spin_us(dice >> 40 & 63);
    if (dice >> 33 & 1) {
        (void)pool_submit_batch(s->pool, s->batch, count, UINT64_MAX, NULL);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        (void)pool_submit_until(s->pool, s->batch[i], UINT64_MAX);
        if (check_random(&s->seed) % 32 == 0)
            spin_us(check_random(&s->seed) % 64);
    }
}

static void *keep_sending(void *arg)
{
    for (;;) {
        pthread_barrier_wait(&gate);
        if (atomic_load(&over))
            return NULL;
        send(arg);
        pthread_barrier_wait(&gate);
    }
}

static struct pool *some_pool(uint64_t dice)
{
    unsigned max = 1 + (unsigned)(dice % 5);
    struct pool_config config = {.min = (unsigned)(dice >> 8) % (max + 1),
                                 .max = max,
                                 .max_queue = dice >> 16 & 1 ? 1000 : (dice >> 17) % 50,
                                 .idle_timeout_ms = dice >> 32 & 1 ? 60000 : 1,
                                 .discipline = dice >> 33 & 1 ? POOL_LIFO : POOL_FIFO};
    return pool_create(&config);
}

/* One round; false when something was left lying. */
static bool play_round(struct pool *pool, uint64_t dice)
{
    atomic_store(&sent, 0);
    atomic_store(&ended, 0);
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    uint64_t end_ms = clock_mono_ms() + 3000;
    while (atomic_load(&ended) < atomic_load(&sent) && clock_mono_ms() < end_ms)
        sched_yield();
    bool all = atomic_load(&ended) == atomic_load(&sent);
    /* Between two rounds threads fall asleep, or do not. */
    if (dice & 3)
        spin_us(dice >> 2 & 255);
    if (!all)
        printf("%u of %u ended; %llu idle, %llu running, %llu wait\n", atomic_load(&ended),
               atomic_load(&sent), (unsigned long long)FIGURE(pool, idle),
               (unsigned long long)FIGURE(pool, running), (unsigned long long)pool_waiting(pool));
    return all;
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *said = getenv(variable);
    return said ? strtoull(said, NULL, 0) : otherwise;
}

static void whatever_was_submitted_is_run(void)
{
    uint64_t seconds = number_from("WEIR_UNIT_SECONDS", SECONDS), now_us = clock_mono_us();
    uint64_t seed = number_from("WEIR_UNIT_SEED", now_us ^ now_us << 20) | 1;
    printf("pool/wakeups: WEIR_UNIT_SEED=%llu\n", (unsigned long long)seed);
    alarm((unsigned)seconds + CHECK_LIMIT_S);
    pthread_barrier_init(&gate, NULL, SENDERS + 1);
    for (size_t i = 0; i < SENDERS; i++) {
        senders[i].seed = seed * (i + 3) | 1;
        if (pthread_create(&senders[i].thread, NULL, keep_sending, &senders[i]) != 0)
            abort();
    }
    bool all = true;
    unsigned rounds = 0;
    for (uint64_t end_ms = clock_mono_ms() + seconds * 1000; all && clock_mono_ms() < end_ms;) {
        struct pool *pool = some_pool(check_random(&seed));
        for (size_t i = 0; i < SENDERS; i++)
            senders[i].pool = pool;
        for (int round = 0; all && round < ROUNDS; round++, rounds++)
            all = play_round(pool, check_random(&seed));
        CU_ASSERT(all);
        CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, in_ms(CHECK_PATIENCE_MS)), POOL_OK);
        pool_check_sums(pool);
        pool_destroy(pool);
    }
    if (getenv("WEIR_UNIT_VERBOSE"))
        printf("%u rounds ", rounds);
    atomic_store(&over, true);
    pthread_barrier_wait(&gate);
    for (size_t i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    pthread_barrier_destroy(&gate);
}

static const struct check_case cases[] = {{"whatever was submitted is run", whatever_was_submitted_is_run}};

CHECK_MAIN("pool/wakeups", cases)
