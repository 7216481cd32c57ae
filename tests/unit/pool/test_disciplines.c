/*
 * tests/unit/pool/test_disciplines.c - which waiting task runs next, and which has waited too long.
 *
 * Time has to pass here: ages are waited for on the same clock that the pool reads, never guessed.
 */
#include "tests/unit/pool/pool_help.h"

enum { JOBS = 8 };

struct numbered {
    struct job job;
    int number;
};

static atomic_int ran; /* how many have run */
static int order[JOBS];

static void run_note(struct pool_task *t)
{
    struct numbered *n = container_of(job_of(t), struct numbered, job);
    job_run(t);
    order[atomic_load(&ran)] = n->number; /* one thread: nobody else is here */
    atomic_fetch_add(&ran, 1);
}

static struct numbered numbered(int number, struct latch *hold)
{
    struct numbered n = {.job = job_with(hold), .number = number};
    n.job.task.run = run_note;
    return n;
}

static struct pool *pool_with(enum pool_discipline discipline, unsigned queue_timeout_ms)
{
    struct pool_config config = {
        .max = 1, .max_queue = JOBS, .discipline = discipline, .queue_timeout_ms = queue_timeout_ms};
    struct pool *pool = pool_create(&config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    atomic_store(&ran, 0);
    return pool;
}

static void queue_up(struct pool *pool, struct numbered *jobs, int count)
{
    for (int i = 0; i < count; i++) {
        jobs[i] = numbered(i, NULL);
        CHECK_NUMBER(pool_submit(pool, &jobs[i].job.task), POOL_OK);
    }
}

/* Until a task is at least this old. */
static void wait_for_age(const struct job *j, uint64_t age_ms)
{
    CHECK_EVENTUALLY(clock_mono_us() > j->task.submitted_us + age_ms * 1000);
}

static void fifo_runs_the_oldest_first(void)
{
    struct pool *pool = pool_with(POOL_FIFO, 0);
    struct latch hold = LATCH_CLOSED;
    struct job first = job_with(&hold);
    struct numbered jobs[JOBS];
    job_begin(pool, &first);
    queue_up(pool, jobs, JOBS);
    latch_open(&hold);
    CHECK_EVENTUALLY(atomic_load(&ran) == JOBS);
    for (int i = 0; i < JOBS; i++)
        CHECK_NUMBER(order[i], i);
    pool_destroy(pool);
}

static void lifo_runs_the_newest_first(void)
{
    struct pool *pool = pool_with(POOL_LIFO, 0);
    struct latch hold = LATCH_CLOSED;
    struct job first = job_with(&hold);
    struct numbered jobs[JOBS];
    job_begin(pool, &first);
    queue_up(pool, jobs, JOBS);
    latch_open(&hold);
    CHECK_EVENTUALLY(atomic_load(&ran) == JOBS);
    for (int i = 0; i < JOBS; i++)
        CHECK_NUMBER(order[i], JOBS - 1 - i);
    pool_destroy(pool);
}

static void the_discipline_can_change_under_way(void)
{
    struct pool *pool = pool_with(POOL_FIFO, 0);
    struct latch hold = LATCH_CLOSED;
    struct job first = job_with(&hold);
    struct numbered jobs[3];
    job_begin(pool, &first);
    queue_up(pool, jobs, 3);
    struct pool_config lifo = {.max = 1, .max_queue = JOBS, .discipline = POOL_LIFO};
    CHECK_NUMBER(pool_reconfigure(pool, &lifo), POOL_OK);
    latch_open(&hold);
    CHECK_EVENTUALLY(atomic_load(&ran) == 3);
    CHECK_NUMBER(order[0], 2);
    CHECK_NUMBER(order[2], 0);
    pool_destroy(pool);
}

static void old_tasks_expire_when_somebody_looks(void)
{
    struct pool *pool = pool_with(POOL_FIFO, 20);
    struct latch hold = LATCH_CLOSED;
    struct job first = job_with(&hold);
    struct numbered old[3], young = numbered(3, NULL);
    job_begin(pool, &first);
    queue_up(pool, old, 3);
    pool_expire(pool); /* too early */
    CHECK_NUMBER(pool_waiting(pool), 3);
    wait_for_age(&old[2].job, 20);
    CHECK_NUMBER(pool_submit(pool, &young.job.task), POOL_OK);
    pool_expire(pool);
    for (int i = 0; i < 3; i++)
        job_check_end(&old[i].job, POOL_TASK_EXPIRED);
    CHECK_NUMBER(FIGURE(pool, expired), 3);
    CHECK_NUMBER(atomic_load(&young.job.ended), 0);
    latch_open(&hold);
    job_check_end(&first, POOL_TASK_DONE); /* what runs does not expire */
    CHECK_EVENTUALLY(job_has_ended(&young.job));
    CHECK_NUMBER(atomic_load(&ran) + (int)FIGURE(pool, expired) - 3, 1);
    pool_settle(pool, 1);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void old_tasks_expire_when_a_thread_comes(void)
{
    for (int d = POOL_FIFO; d <= POOL_LIFO; d++) {
        struct pool *pool = pool_with((enum pool_discipline)d, 20);
        struct latch hold = LATCH_CLOSED;
        struct job first = job_with(&hold);
        struct numbered old[4];
        job_begin(pool, &first);
        queue_up(pool, old, 4);
        wait_for_age(&old[3].job, 20);
        latch_open(&hold);
        for (int i = 0; i < 4; i++)
            job_check_end(&old[i].job, POOL_TASK_EXPIRED);
        CHECK_NUMBER(atomic_load(&ran), 0);
        pool_settle(pool, 1);
        pool_check_sums(pool);
        pool_destroy(pool);
    }
}

static void expiry_makes_room(void)
{
    struct pool_config config = {.max = 1, .max_queue = 1};
    struct pool *pool = pool_create(&config);
    struct latch hold = LATCH_CLOSED;
    struct job first = job_with(&hold), old = job_with(NULL), next = job_with(NULL);
    job_begin(pool, &first);
    /* Only now: the first may have to wait for a processor. */
    config.queue_timeout_ms = 10;
    CHECK_NUMBER(pool_reconfigure(pool, &config), POOL_OK);
    CHECK_NUMBER(pool_submit(pool, &old.task), POOL_OK);
    CHECK_NUMBER(pool_submit(pool, &next.task), POOL_EOVERLOAD);
    wait_for_age(&old, 10);
    pool_expire(pool);
    CHECK_NUMBER(pool_submit(pool, &next.task), POOL_OK);
    CU_ASSERT(pool_cancel(pool, &next.task));
    latch_open(&hold);
    pool_settle(pool, 1);
    pool_check_sums(pool);
    pool_destroy(pool);
}

/*
 * Two intervals of 100 ms: in the first the smallest delay is that of a task that found an idle thread; in the second
 * it is far above the target. From then on what is older than twice the target is shed, but for the last.
 */
static void codel_sheds_a_standing_queue(void)
{
    struct pool *pool = pool_with(POOL_CODEL, 0);
    struct latch holds[3] = {LATCH_CLOSED, LATCH_CLOSED, LATCH_CLOSED};
    struct job first = job_with(&holds[0]);
    struct numbered jobs[JOBS - 1];
    job_begin(pool, &first);
    jobs[0] = numbered(0, &holds[1]);
    CHECK_NUMBER(pool_submit(pool, &jobs[0].job.task), POOL_OK);
    for (int i = 1; i < JOBS - 1; i++) {
        jobs[i] = numbered(i, NULL);
        CHECK_NUMBER(pool_submit(pool, &jobs[i].job.task), POOL_OK);
    }
    wait_for_age(&jobs[0].job, 110);
    latch_open(&holds[0]);
    CHECK_EVENTUALLY(job_has_started(&jobs[0].job)); /* the oldest: not overloaded yet */
    CHECK_NUMBER(FIGURE(pool, shed), 0);
    wait_for_age(&jobs[0].job, 250);
    latch_open(&holds[1]);
    for (int i = 1; i < JOBS - 2; i++)
        job_check_end(&jobs[i].job, POOL_TASK_SHED);
    job_check_end(&jobs[JOBS - 2].job, POOL_TASK_DONE);
    CHECK_NUMBER(FIGURE(pool, shed), JOBS - 3);
    CHECK_NUMBER(atomic_load(&ran), 2);
    pool_settle(pool, 1);
    pool_check_sums(pool);
    pool_destroy(pool);
}

static void codel_leaves_a_short_queue_alone(void)
{
    struct pool *pool = pool_with(POOL_CODEL, 0);
    uint64_t end_ms = clock_mono_ms() + 250;
    while (clock_mono_ms() < end_ms) {
        struct numbered j = numbered(0, NULL);
        atomic_store(&ran, 0);
        CHECK_NUMBER(pool_submit(pool, &j.job.task), POOL_OK);
        job_check_end(&j.job, POOL_TASK_DONE);
    }
    CHECK_NUMBER(FIGURE(pool, shed), 0);
    pool_destroy(pool);
}

static const struct check_case cases[] = {
    {"fifo runs the oldest first", fifo_runs_the_oldest_first},
    {"lifo runs the newest first", lifo_runs_the_newest_first},
    {"the discipline can change under way", the_discipline_can_change_under_way},
    {"old tasks expire when somebody looks", old_tasks_expire_when_somebody_looks},
    {"old tasks expire when a thread comes", old_tasks_expire_when_a_thread_comes},
    {"expiry makes room", expiry_makes_room},
    {"codel sheds a standing queue", codel_sheds_a_standing_queue},
    {"codel leaves a short queue alone", codel_leaves_a_short_queue_alone},
};

CHECK_MAIN("pool/disciplines", cases)
