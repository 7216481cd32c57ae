/*
 * tests/unit/pool/test_visit.c - looking at the tasks that run, and starting threads ahead of time.
 */
#include "tests/unit/pool/pool_help.h"

enum { RUNNING = 4 };

/* A job that knows its thread. */
struct known {
    struct job job;
    struct latch hold;
    _Atomic pid_t tid;
};

static void run_known(struct pool_task *t)
{
    atomic_store(&container_of(job_of(t), struct known, job)->tid, gettid());
    job_run(t);
}

static void known_begin(struct known *k, struct pool *pool)
{
    *k = (struct known){.hold = LATCH_CLOSED};
    k->job = job_with(&k->hold);
    k->job.task.run = run_known;
    job_begin(pool, &k->job);
}

/* What a visit saw, up to so many. */
struct sight {
    struct pool_running seen[RUNNING + 1];
    int count, limit;
};

static bool look(const struct pool_running *running, void *arg)
{
    struct sight *s = arg;
    if (s->count <= RUNNING)
        s->seen[s->count] = *running;
    return ++s->count < s->limit;
}

static struct sight visit(struct pool *pool, int limit)
{
    struct sight s = {.limit = limit};
    pool_visit_running(pool, look, &s);
    return s;
}

static const struct pool_running *find(const struct sight *s, const struct pool_task *task)
{
    for (int i = 0; i < s->count && i <= RUNNING; i++)
        if (s->seen[i].task == task)
            return &s->seen[i];
    return NULL;
}

static void a_visit_sees_what_runs(void)
{
    struct pool *pool = pool_of(0, RUNNING, 10);
    struct known jobs[RUNNING];
    struct job queued = job_with(NULL);
    CHECK_NUMBER(visit(pool, 100).count, 0);
    for (int i = 0; i < RUNNING; i++) {
        known_begin(&jobs[i], pool);
        CHECK_EVENTUALLY(clock_mono_us() > jobs[i].job.task.started_us + 2000);
    }
    CHECK_NUMBER(pool_submit(pool, &queued.task), POOL_OK);
    struct sight s = visit(pool, 100);
    CHECK_NUMBER(s.count, RUNNING); /* and not the one that waits */
    for (int i = 0; i < RUNNING; i++) {
        const struct pool_running *seen = find(&s, &jobs[i].job.task),
                                  *older = i ? find(&s, &jobs[i - 1].job.task) : NULL;
        CU_ASSERT_PTR_NOT_NULL_FATAL(seen);
        CHECK_NUMBER(seen->tid, atomic_load(&jobs[i].tid));
        CU_ASSERT(!seen->abandoned);
        CU_ASSERT(seen->age_us >= 2000 && (!older || seen->age_us <= older->age_us));
    }
    CU_ASSERT(pool_oldest_running_us(pool) >= find(&s, &jobs[0].job.task)->age_us);
    for (int limit = 1; limit <= RUNNING; limit++)
        CHECK_NUMBER(visit(pool, limit).count, limit); /* it stops where it is told to */
    for (int i = 0; i < RUNNING; i++)
        latch_open(&jobs[i].hold);
    job_check_end(&queued, POOL_TASK_DONE);
    pool_settle(pool, RUNNING);
    CHECK_NUMBER(visit(pool, 100).count, 0);
    pool_destroy(pool);
}

static void a_visit_sees_what_was_given_up(void)
{
    struct pool *pool = pool_of(0, 2, 10);
    struct known jobs[3];
    known_begin(&jobs[0], pool);
    known_begin(&jobs[1], pool);
    CU_ASSERT(pool_abandon(pool, &jobs[1].job.task));
    known_begin(&jobs[2], pool);
    struct sight s = visit(pool, 100);
    CHECK_NUMBER(s.count, 3);
    for (int i = 0; i < 3; i++) {
        const struct pool_running *seen = find(&s, &jobs[i].job.task);
        CU_ASSERT_PTR_NOT_NULL_FATAL(seen);
        CHECK_NUMBER(seen->abandoned, i == 1);
        CHECK_NUMBER(seen->tid, atomic_load(&jobs[i].tid));
    }
    latch_open(&jobs[0].hold);
    job_check_end(&jobs[0].job, POOL_TASK_DONE);
    CHECK_EVENTUALLY(visit(pool, 100).count == 2);
    s = visit(pool, 100);
    CU_ASSERT(find(&s, &jobs[1].job.task) && find(&s, &jobs[2].job.task));
    latch_open(&jobs[1].hold);
    latch_open(&jobs[2].hold);
    job_check_end(&jobs[1].job, POOL_TASK_DONE);
    job_check_end(&jobs[2].job, POOL_TASK_DONE);
    pool_destroy(pool);
}

/* Visits all the time, while tasks begin and end: what is seen of a task must be true of it. */
static bool compare_tid(const struct pool_running *running, void *wrong)
{
    const struct job *j = container_of(running->task, struct job, task);
    if (running->task->run != run_known || j->pool == NULL || running->tid <= 0)
        ++*(int *)wrong;
    return true;
}

static void visits_disturb_nobody(void)
{
    enum { TASKS = 20000 };
    static struct known jobs[TASKS];
    struct pool *pool = pool_of(0, 3, TASKS);
    int wrong = 0, visits = 0;
    for (int i = 0; i < TASKS; i++) {
        jobs[i].job = job_with(NULL);
        jobs[i].job.task.run = run_known;
        jobs[i].job.pool = pool;
        CHECK_NUMBER(pool_submit(pool, &jobs[i].job.task), POOL_OK);
        if (i % 64 == 0)
            pool_visit_running(pool, compare_tid, &wrong);
    }
    while (FIGURE(pool, completed) < TASKS && visits++ < 1000000)
        pool_visit_running(pool, compare_tid, &wrong);
    CHECK_NUMBER(wrong, 0);
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    CHECK_NUMBER(FIGURE(pool, completed), TASKS);
    pool_destroy(pool);
}

static void prestarting_starts_min_threads(void)
{
    for (unsigned min = 0; min <= 5; min++) {
        struct pool *pool = pool_of(min, 5, 10);
        CHECK_NUMBER(FIGURE(pool, spawned), 0);
        CHECK_NUMBER(pool_prestart(pool), POOL_OK);
        pool_settle(pool, min);
        CHECK_NUMBER(FIGURE(pool, spawned), min);
        CHECK_NUMBER(pool_prestart(pool), POOL_OK); /* they are there */
        CHECK_NUMBER(FIGURE(pool, spawned), min);
        CHECK_STAYS(FIGURE(pool, idle) == min, 5);
        struct known k[5];
        for (unsigned i = 0; i < 5; i++)
            known_begin(&k[i], pool);
        CHECK_NUMBER(FIGURE(pool, spawned), 5);
        for (unsigned i = 0; i < 5; i++)
            latch_open(&k[i].hold);
        CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
        CHECK_NUMBER(pool_prestart(pool), POOL_ECLOSED);
        CHECK_NUMBER(FIGURE(pool, spawned), 5);
        CHECK_NUMBER(pool_restart(pool), POOL_OK);
        CHECK_NUMBER(pool_prestart(pool), POOL_OK);
        pool_settle(pool, min);
        pool_destroy(pool);
    }
}

static const struct check_case cases[] = {
    {"a visit sees what runs", a_visit_sees_what_runs},
    {"a visit sees what was given up", a_visit_sees_what_was_given_up},
    {"visits disturb nobody", visits_disturb_nobody},
    {"prestarting starts min threads", prestarting_starts_min_threads},
};

CHECK_MAIN("pool/visit", cases)
