/*
 * tests/unit/pool/test_batch.c - many tasks in one call: how many are taken, in which order, and why not more.
 *
 * What is not taken is as if it had never been submitted: it stays its owner's, and may be submitted again.
 */
#include "tests/unit/pool/order_help.h"

enum { MANY = 26 };

struct batch {
    struct lettered jobs[MANY];
    struct pool_task *tasks[MANY];
};

/* Jobs "abc..." that wait at `hold`. */
static void batch_init(struct batch *b, struct latch *hold)
{
    for (int i = 0; i < MANY; i++) {
        b->jobs[i] = lettered((char)('a' + i), hold);
        b->jobs[i].job.task.priority = POOL_NORMAL;
        b->tasks[i] = &b->jobs[i].job.task;
    }
}

/* That the jobs from `from` to before `to` have run, and no others have been touched. */
static void batch_check(struct batch *b, int from, int to)
{
    for (int i = from; i < to; i++)
        job_check_end(&b->jobs[i].job, POOL_TASK_DONE);
    for (int i = 0; i < MANY; i++)
        CHECK_NUMBER(atomic_load(&b->jobs[i].job.started), i >= from && i < to);
}

/* A thread that submits a batch. */
struct sender {
    pthread_t thread;
    struct pool *pool;
    struct pool_task *const *tasks;
    size_t count, taken;
    uint64_t deadline_us;
    enum pool_result result;
    atomic_bool finished;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;
    s->taken = pool_submit_batch(s->pool, s->tasks, s->count, s->deadline_us, &s->result);
    atomic_store(&s->finished, true);
    return NULL;
}

static void sender_start(struct sender *s, struct pool *pool, struct pool_task *const *tasks, size_t count)
{
    *s = (struct sender){
        .pool = pool, .tasks = tasks, .count = count, .deadline_us = UINT64_MAX, .result = POOL_EINVAL};
    if (pthread_create(&s->thread, NULL, send_all, s) != 0)
        abort();
}

static void sender_check(struct sender *s, size_t taken, enum pool_result result)
{
    CHECK_EVENTUALLY(atomic_load(&s->finished));
    if (!atomic_load(&s->finished))
        pool_shutdown(s->pool, POOL_DROP, in_ms(1000));
    pthread_join(s->thread, NULL);
    CHECK_NUMBER(s->taken, taken);
    CHECK_NUMBER(s->result, result);
}

static void all_are_taken_in_order(void)
{
    struct pool *pool = pool_of_one(POOL_FIFO, 2 * MANY);
    struct batch b;
    enum pool_result result = POOL_EINVAL;
    batch_init(&b, NULL);
    CHECK_NUMBER(pool_submit_batch(pool, b.tasks, MANY, 0, &result), MANY);
    CHECK_NUMBER(result, POOL_OK);
    batch_check(&b, 0, MANY);
    CHECK_DIARY("abcdefghijklmnopqrstuvwxyz");
    pool_settle(pool, 1);
    CHECK_NUMBER(FIGURE(pool, submitted), MANY);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void none_is_no_batch(void)
{
    struct pool *pool = pool_of_one(POOL_FIFO, 0);
    enum pool_result result = POOL_EINVAL;
    CHECK_NUMBER(pool_submit_batch(pool, NULL, 0, 0, &result), 0);
    CHECK_NUMBER(result, POOL_OK);
    CHECK_NUMBER(pool_submit_batch(pool, NULL, 0, UINT64_MAX, NULL), 0);
    CHECK_NUMBER(FIGURE(pool, spawned), 0);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    CHECK_NUMBER(pool_submit_batch(pool, NULL, 0, 0, &result), 0);
    CHECK_NUMBER(result, POOL_OK);
    pool_destroy(pool);
}

static void a_full_queue_takes_a_part(void)
{
    struct pool *pool = pool_of_one(POOL_FIFO, 5);
    struct latch hold = LATCH_CLOSED;
    struct job plug = job_with(&hold);
    struct batch b;
    enum pool_result result = POOL_OK;
    batch_init(&b, NULL);
    job_begin(pool, &plug);
    CHECK_NUMBER(pool_submit_batch(pool, b.tasks, 9, 0, &result), 5);
    CHECK_NUMBER(result, POOL_EOVERLOAD);
    CHECK_NUMBER(FIGURE(pool, refused_full), 1); /* the one that was asked about */
    CHECK_NUMBER(pool_submit_batch(pool, b.tasks + 5, 4, 0, NULL), 0);
    latch_open(&hold);
    batch_check(&b, 0, 5);
    CHECK_NUMBER(pool_submit_batch(pool, b.tasks + 5, 4, 0, &result), 4);
    CHECK_NUMBER(result, POOL_OK);
    batch_check(&b, 0, 9);
    CHECK_DIARY("abcdefghi");
    pool_destroy(pool);
}

static void an_idle_pool_takes_its_bound(void)
{
    struct latch hold = LATCH_CLOSED;
    struct batch b;
    for (unsigned idle = 0; idle <= 2; idle++) { /* threads that are there already */
        struct pool *pool = pool_of(idle, 2, 3);
        enum pool_result result = POOL_OK;
        latch_set(&hold, false);
        batch_init(&b, &hold);
        CHECK_NUMBER(pool_prestart(pool), POOL_OK);
        pool_settle(pool, idle);
        CHECK_NUMBER(pool_submit_batch(pool, b.tasks, 9, 0, &result), 5);
        CHECK_NUMBER(result, POOL_EOVERLOAD);
        CHECK_EVENTUALLY(FIGURE(pool, running) == 2); /* one call, two threads */
        CHECK_NUMBER(pool_waiting(pool), 3);
        latch_open(&hold);
        batch_check(&b, 0, 5);
        pool_destroy(pool);
    }
}

static void waits_for_room_part_by_part(void)
{
    struct pool *pool = pool_of_one(POOL_FIFO, 2);
    struct latch holds[MANY];
    struct batch b;
    struct sender s;
    batch_init(&b, NULL);
    for (int i = 0; i < MANY; i++) {
        holds[i] = (struct latch)LATCH_CLOSED;
        b.jobs[i].job.hold = &holds[i];
    }
    sender_start(&s, pool, b.tasks, 9);
    for (unsigned i = 0; i < 9; i++) {
        unsigned inside = i + 3 < 9 ? i + 3 : 9;
        CHECK_EVENTUALLY(FIGURE(pool, submitted) == inside && job_has_started(&b.jobs[i].job));
        if (inside < 9)
            CHECK_EVENTUALLY(FIGURE(pool, waiting) == 1);
        CHECK_STAYS(FIGURE(pool, submitted) == inside, 2);
        CHECK_NUMBER(atomic_load(&s.finished) && inside < 9, false);
        latch_open(&holds[i]);
    }
    sender_check(&s, 9, POOL_OK);
    batch_check(&b, 0, 9);
    CHECK_DIARY("abcdefghi");
    CHECK_NUMBER(FIGURE(pool, waiting), 0);
    CHECK_NUMBER(FIGURE(pool, refused_full), 0);
    pool_destroy(pool);
}

static void more_than_the_bound_goes_through(void)
{
    enum { TASKS = 5000 };
    static struct job jobs[TASKS];
    static struct pool_task *tasks[TASKS];
    for (unsigned max = 1; max <= 4; max++) {
        struct pool *pool = pool_of(0, max, 3);
        enum pool_result result = POOL_EINVAL;
        for (int i = 0; i < TASKS; i++) {
            jobs[i] = job_with(NULL);
            tasks[i] = &jobs[i].task;
        }
        CHECK_NUMBER(pool_submit_batch(pool, tasks, TASKS, UINT64_MAX, &result), TASKS);
        CHECK_NUMBER(result, POOL_OK);
        CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
        CHECK_NUMBER(FIGURE(pool, completed), TASKS);
        pool_check_sums(pool);
        bool once = true;
        for (int i = 0; i < TASKS; i++)
            once = once && atomic_load(&jobs[i].started) == 1 && atomic_load(&jobs[i].ended) == 1;
        CU_ASSERT(once);
        pool_destroy(pool);
    }
}

static void a_deadline_in_the_middle_says_how_many(void)
{
    struct pool *pool = pool_of_one(POOL_FIFO, 2);
    struct latch hold = LATCH_CLOSED;
    struct batch b;
    enum pool_result result = POOL_OK;
    batch_init(&b, &hold);
    uint64_t begun_us = clock_mono_us();
    CHECK_NUMBER(pool_submit_batch(pool, b.tasks, 9, in_ms(40), &result), 3);
    CHECK_NUMBER(result, POOL_ETIMEDOUT);
    CU_ASSERT(clock_mono_us() >= begun_us + 40000);
    CHECK_NUMBER(pool_submit_batch(pool, b.tasks + 3, 6, begun_us, &result), 0); /* it has passed already */
    CHECK_NUMBER(result, POOL_ETIMEDOUT);
    CHECK_NUMBER(FIGURE(pool, submitted), 3);
    CHECK_NUMBER(FIGURE(pool, waiting), 0);
    latch_open(&hold);
    batch_check(&b, 0, 3);
    CHECK_NUMBER(pool_submit_batch(pool, b.tasks + 3, 6, in_ms(CHECK_PATIENCE_MS), &result), 6);
    CHECK_NUMBER(result, POOL_OK);
    batch_check(&b, 0, 9);
    CHECK_DIARY("abcdefghi");
    pool_destroy(pool);
}

static void closing_in_the_middle_says_how_many(void)
{
    struct pool *pool = pool_of_one(POOL_FIFO, 2);
    struct latch hold = LATCH_CLOSED;
    struct batch b;
    struct sender s;
    batch_init(&b, &hold);
    sender_start(&s, pool, b.tasks, 9);
    CHECK_EVENTUALLY(FIGURE(pool, waiting) == 1 && FIGURE(pool, running) == 1);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, in_ms(20)), POOL_ETIMEDOUT);
    sender_check(&s, 3, POOL_ECLOSED);
    CHECK_NUMBER(FIGURE(pool, refused_closed), 1);
    CHECK_NUMBER(FIGURE(pool, waiting), 0);
    latch_open(&hold);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    batch_check(&b, 0, 3);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void an_invalid_task_ends_the_batch(void)
{
    struct pool *pool = pool_of_one(POOL_FIFO, MANY);
    struct latch hold = LATCH_CLOSED;
    struct batch b;
    enum pool_result result = POOL_OK;
    batch_init(&b, &hold);
    b.tasks[3]->run = NULL;
    CHECK_NUMBER(pool_submit_batch(pool, b.tasks, 6, UINT64_MAX, &result), 3);
    CHECK_NUMBER(result, POOL_EINVAL);
    CHECK_NUMBER(pool_submit_batch(pool, b.tasks + 3, 3, UINT64_MAX, &result), 0);
    CHECK_NUMBER(result, POOL_EINVAL);
    b.tasks[5]->priority = POOL_LOW + 1;
    CHECK_NUMBER(pool_submit_batch(pool, b.tasks + 4, 3, 0, &result), 1);
    CHECK_NUMBER(result, POOL_EINVAL);
    struct pool_task *twice[] = {b.tasks[6], b.tasks[6]};
    CHECK_NUMBER(pool_submit_batch(pool, twice, 2, 0, &result), 1);
    CHECK_NUMBER(result, POOL_EINVAL);
    struct pool_task *queued[] = {b.tasks[7], b.tasks[1], b.tasks[8]};
    CHECK_NUMBER(pool_submit_batch(pool, queued, 3, 0, &result), 1);
    CHECK_NUMBER(result, POOL_EINVAL);
    latch_open(&hold);
    CHECK_DIARY("abcegh");
    pool_settle(pool, 1);
    CHECK_NUMBER(FIGURE(pool, submitted), 6);
    pool_check_sums(pool);
    pool_destroy(pool);
}

/* A job that submits a batch to its own pool. */
struct parent {
    struct job job;
    struct batch batch;
    uint64_t deadline_us;
    enum pool_result result;
};

static void run_submit_batch(struct pool_task *t)
{
    struct parent *p = container_of(job_of(t), struct parent, job);
    size_t taken = pool_submit_batch(p->job.pool, p->batch.tasks, 9, p->deadline_us, &p->result);
    atomic_store(&p->job.result, (int)taken);
}

static void own_threads_never_wait(void)
{
    static struct parent p;
    for (int forever = 0; forever <= 1; forever++) {
        struct pool *pool = pool_of_one(POOL_FIFO, 2);
        p = (struct parent){.job = job_with(NULL), .deadline_us = forever ? UINT64_MAX : 0};
        p.job.task.run = run_submit_batch;
        p.job.pool = pool;
        batch_init(&p.batch, NULL);
        CHECK_NUMBER(pool_submit(pool, &p.job.task), POOL_OK);
        job_check_end(&p.job, POOL_TASK_DONE);
        CHECK_NUMBER(atomic_load(&p.job.result), forever ? 9 : 2);
        CHECK_NUMBER(p.result, forever ? POOL_OK : POOL_EOVERLOAD);
        batch_check(&p.batch, 0, forever ? 9 : 2);
        pool_settle(pool, 1);
        CHECK_NUMBER(pool_submit_batch(pool, p.batch.tasks, 2, 0, NULL), 2); /* the bound holds as before */
        pool_destroy(pool);
    }
}

static void too_many_waiting_batches_are_refused(void)
{
    struct pool_config config = {.max = 1, .max_queue = 2, .max_waiters = 1};
    struct pool *pool = pool_create(&config);
    struct latch hold = LATCH_CLOSED;
    struct batch b;
    struct sender s;
    enum pool_result result = POOL_OK;
    diary_clear();
    batch_init(&b, &hold);
    sender_start(&s, pool, b.tasks, 6);
    CHECK_EVENTUALLY(FIGURE(pool, waiting) == 1);
    CHECK_NUMBER(pool_submit_batch(pool, b.tasks + 6, 3, UINT64_MAX, &result), 0);
    CHECK_NUMBER(result, POOL_EOVERLOAD);
    latch_open(&hold);
    sender_check(&s, 6, POOL_OK);
    batch_check(&b, 0, 6);
    pool_destroy(pool);
}

static void two_batches_keep_each_its_order(void)
{
    struct pool *pool = pool_of_one(POOL_FIFO, 1);
    struct batch b;
    struct sender s[2];
    batch_init(&b, NULL);
    sender_start(&s[0], pool, b.tasks, MANY / 2);
    sender_start(&s[1], pool, b.tasks + MANY / 2, MANY / 2);
    sender_check(&s[0], MANY / 2, POOL_OK);
    sender_check(&s[1], MANY / 2, POOL_OK);
    batch_check(&b, 0, MANY);
    char last[2] = {'a' - 1, 'a' + MANY / 2 - 1};
    for (int i = 0; i < MANY; i++) {
        int which = diary[i] >= 'a' + MANY / 2;
        CHECK_NUMBER(diary[i], last[which] + 1);
        last[which] = diary[i];
    }
    pool_destroy(pool);
}

static const struct check_case cases[] = {
    {"all are taken in order", all_are_taken_in_order},
    {"none is no batch", none_is_no_batch},
    {"a full queue takes a part", a_full_queue_takes_a_part},
    {"an idle pool takes its bound", an_idle_pool_takes_its_bound},
    {"waits for room part by part", waits_for_room_part_by_part},
    {"more than the bound goes through", more_than_the_bound_goes_through},
    {"a deadline in the middle says how many", a_deadline_in_the_middle_says_how_many},
    {"closing in the middle says how many", closing_in_the_middle_says_how_many},
    {"an invalid task ends the batch", an_invalid_task_ends_the_batch},
    {"own threads never wait", own_threads_never_wait},
    {"too many waiting batches are refused", too_many_waiting_batches_are_refused},
    {"two batches keep each its order", two_batches_keep_each_its_order},
};

CHECK_MAIN("pool/batch", cases)
