/*
 * tests/unit/pool/test_group.c - waiting for a number of things: many waiters, deadlines, reuse, and an early free.
 */
#include "pool/group.h"
#include "tests/unit/pool/pool_help.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* A task that reports to a group, from its run or from its callback. */
struct member {
    struct job job;
    struct pool_group *group;
    unsigned depth; /* of the tree below it */
};

static struct member *member_of(struct pool_task *t)
{
    return container_of(job_of(t), struct member, job);
}

static void run_member(struct pool_task *t)
{
    job_run(t);
    pool_group_done(member_of(t)->group);
}

static void done_member(struct pool_task *t)
{
    struct pool_group *group = member_of(t)->group;
    job_done(t);
    pool_group_done(group);
}

static struct member member_in_run(struct pool_group *group, struct latch *hold)
{
    struct member m = {.job = job_with(hold), .group = group};
    m.job.task.run = run_member;
    return m;
}

static struct member member_in_done(struct pool_group *group, struct latch *hold)
{
    struct member m = {.job = job_with(hold), .group = group};
    m.job.task.done = done_member;
    return m;
}

struct waiter {
    pthread_t thread;
    struct pool_group *group;
    uint64_t deadline_us;
    bool none;
    atomic_bool finished;
};

static void *wait_for_group(void *arg)
{
    struct waiter *w = arg;
    w->none = pool_group_wait(w->group, w->deadline_us);
    atomic_store(&w->finished, true);
    return NULL;
}

static void waiter_start(struct waiter *w, struct pool_group *group, uint64_t deadline_us)
{
    *w = (struct waiter){.group = group, .deadline_us = deadline_us};
    if (pthread_create(&w->thread, NULL, wait_for_group, w) != 0)
        abort();
}

static void many_wait_for_many(void)
{
    enum { TASKS = 100, WAITERS = 8 };
    static struct member members[TASKS];
    struct pool *pool = pool_of(0, 4, TASKS);
    struct latch hold = LATCH_CLOSED;
    struct pool_group group;
    struct waiter waiters[WAITERS];
    pool_group_init(&group);
    pool_group_add(&group, TASKS);
    for (int i = 0; i < TASKS; i++) {
        members[i] = i % 2 ? member_in_run(&group, &hold) : member_in_done(&group, &hold);
        CHECK_NUMBER(pool_submit(pool, &members[i].job.task), POOL_OK);
    }
    for (int i = 0; i < WAITERS; i++)
        waiter_start(&waiters[i], &group, i % 2 ? UINT64_MAX : in_ms(60000));
    for (int i = 0; i < WAITERS; i++)
        CHECK_STAYS(!atomic_load(&waiters[i].finished), 2);
    latch_open(&hold);
    CU_ASSERT(pool_group_wait(&group, in_ms(CHECK_PATIENCE_MS)));
    for (int i = 0; i < TASKS; i++)
        CHECK_NUMBER(atomic_load(&members[i].job.started), 1);
    for (int i = 0; i < WAITERS; i++) {
        pthread_join(waiters[i].thread, NULL);
        CU_ASSERT(waiters[i].none);
    }
    pool_destroy(pool);
    pool_group_destroy(&group);
}

static void deadlines_pass(void)
{
    struct pool_group group;
    pool_group_init(&group);
    /* Nothing is pending: the deadline does not matter. */
    CU_ASSERT(pool_group_wait(&group, 0));
    CU_ASSERT(pool_group_wait(&group, UINT64_MAX));
    pool_group_add(&group, 2);
    CU_ASSERT(!pool_group_wait(&group, 0));
    CU_ASSERT(!pool_group_wait(&group, clock_mono_us()));
    pool_group_done(&group);
    uint64_t begun_us = clock_mono_us();
    CU_ASSERT(!pool_group_wait(&group, begun_us + 30000));
    CU_ASSERT(clock_mono_us() >= begun_us + 30000);
    pool_group_done(&group);
    /* It has passed, but there is nothing to wait for. */
    CU_ASSERT(pool_group_wait(&group, begun_us));
    pool_group_destroy(&group);
}

static void a_group_may_be_used_again(void)
{
    struct pool *pool = pool_of(0, 2, 10);
    struct pool_group group;
    pool_group_init(&group);
    for (int round = 0; round < 200; round++) {
        struct member members[5];
        pool_group_add(&group, 2);
        pool_group_add(&group, 3);
        for (int i = 0; i < 5; i++) { /* done is the last that is touched of each */
            members[i] = member_in_done(&group, NULL);
            CHECK_NUMBER(pool_submit_until(pool, &members[i].job.task, UINT64_MAX), POOL_OK);
        }
        CU_ASSERT(pool_group_wait(&group, in_ms(CHECK_PATIENCE_MS)));
        for (int i = 0; i < 5; i++)
            CHECK_NUMBER(atomic_load(&members[i].job.ended), 1);
        CHECK_NUMBER(group.pending, 0);
    }
    pool_group_destroy(&group);
    pool_destroy(pool);
}

/* Whoever waits may free the group at once, although the one who was last may still be on its way out of done. */
static void a_group_may_be_freed_after_the_wait(void)
{
    enum { ROUNDS = 3000 };
    struct pool *pool = pool_of(2, 2, 10);
    CHECK_NUMBER(pool_prestart(pool), POOL_OK);
    for (int round = 0; round < ROUNDS; round++) {
        struct pool_group *group = malloc(sizeof *group);
        struct member *members = calloc(2, sizeof *members);
        pool_group_init(group);
        pool_group_add(group, 2);
        for (int i = 0; i < 2; i++) {
            members[i] = member_in_done(group, NULL);
            (void)pool_submit_until(pool, &members[i].job.task, UINT64_MAX);
        }
        if (round % 4 == 0)
            check_pause();
        while (round % 2 && !pool_group_wait(group, clock_mono_us() + 1))
            ;
        (void)pool_group_wait(group, UINT64_MAX);
        pool_group_destroy(group);
        memset(group, 0xa5, sizeof *group);
        free(group);
        free(members);
    }
    CHECK_NUMBER(pool_shutdown(pool, POOL_DRAIN, UINT64_MAX), POOL_OK);
    CHECK_NUMBER(FIGURE(pool, completed), 2 * ROUNDS);
    pool_destroy(pool);
}

static atomic_uint grown;

static void run_grow(struct pool_task *t)
{
    struct member *m = member_of(t);
    atomic_fetch_add(&grown, 1);
    for (int i = 0; i < 2 && m->depth > 0; i++) {
        struct member *child = malloc(sizeof *child);
        *child = (struct member){.job = job_with(NULL), .group = m->group, .depth = m->depth - 1};
        child->job.task.run = run_grow;
        child->job.task.done = t->done;
        child->job.pool = m->job.pool;
        /* Before its own end: the group does not come to none in between. */
        pool_group_add(m->group, 1);
        (void)pool_submit_until(m->job.pool, &child->job.task, UINT64_MAX);
    }
}

static void done_free(struct pool_task *t)
{
    struct member *m = member_of(t);
    struct pool_group *group = m->group;
    free(m);
    pool_group_done(group);
}

static void tasks_may_add_more(void)
{
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct pool *pool = pool_of(0, threads, 5);
        struct pool_group group;
        struct member *root = malloc(sizeof *root);
        pool_group_init(&group);
        atomic_store(&grown, 0);
        *root = (struct member){.job = job_with(NULL), .group = &group, .depth = 9};
        root->job.task.run = run_grow;
        root->job.task.done = done_free;
        root->job.pool = pool;
        pool_group_add(&group, 1);
        CHECK_NUMBER(pool_submit(pool, &root->job.task), POOL_OK);
        CU_ASSERT(pool_group_wait(&group, in_ms(CHECK_PATIENCE_MS)));
        CHECK_NUMBER(atomic_load(&grown), (1 << 10) - 1);
        pool_destroy(pool);
        pool_group_destroy(&group);
    }
}

/* A task of one pool waits for tasks of another. */
static void run_wait_for_group(struct pool_task *t)
{
    struct member *m = member_of(t);
    atomic_store(&m->job.result, pool_group_wait(m->group, UINT64_MAX));
}

static void a_group_spans_pools(void)
{
    struct pool *one = pool_of(0, 2, 10), *other = pool_of(0, 1, 10);
    struct latch hold = LATCH_CLOSED;
    struct pool_group group;
    pool_group_init(&group);
    pool_group_add(&group, 3); /* two tasks, and something else */
    struct member waits = {.job = job_with(NULL), .group = &group};
    struct member a = member_in_run(&group, NULL), b = member_in_done(&group, &hold);
    waits.job.task.run = run_wait_for_group;
    CHECK_NUMBER(pool_submit(one, &waits.job.task), POOL_OK);
    CHECK_NUMBER(pool_submit(one, &a.job.task), POOL_OK);
    CHECK_NUMBER(pool_submit(other, &b.job.task), POOL_OK);
    job_check_end(&a.job, POOL_TASK_DONE);
    latch_open(&hold);
    job_check_end(&b.job, POOL_TASK_DONE);
    CHECK_STAYS(!job_has_ended(&waits.job), 10);
    pool_group_done(&group);
    job_check_end(&waits.job, POOL_TASK_DONE);
    CHECK_NUMBER(atomic_load(&waits.job.result), true);
    pool_destroy(one);
    pool_destroy(other);
    pool_group_destroy(&group);
}

/* Every kind of end reports to the group, where done does it. */
static void no_end_is_missed(void)
{
    struct pool *pool = pool_of(0, 1, 10);
    struct latch hold = LATCH_CLOSED;
    struct pool_group group;
    pool_group_init(&group);
    pool_group_add(&group, 3);
    struct member running = member_in_done(&group, &hold), cancelled = member_in_done(&group, NULL),
                  dropped = member_in_done(&group, NULL);
    job_begin(pool, &running.job);
    CHECK_NUMBER(pool_submit(pool, &cancelled.job.task), POOL_OK);
    CHECK_NUMBER(pool_submit(pool, &dropped.job.task), POOL_OK);
    CU_ASSERT(pool_cancel(pool, &cancelled.job.task));
    CHECK_NUMBER(pool_shutdown(pool, POOL_DROP, in_ms(5)), POOL_ETIMEDOUT);
    CHECK_NUMBER(group.pending, 1); /* nobody else touches it now */
    CU_ASSERT(!pool_group_wait(&group, in_ms(5)));
    pthread_cancel(atomic_load(&running.job.thread));
    CU_ASSERT(pool_group_wait(&group, in_ms(CHECK_PATIENCE_MS)));
    CHECK_NUMBER(running.job.task.outcome, POOL_TASK_FAILED);
    pool_destroy(pool);
    pool_group_destroy(&group);
}

/* In a child process, for it ends. */
static void more_done_than_added_aborts(void)
{
    pid_t child = fork();
    if (child == 0) {
        struct pool_group group;
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        alarm(20);
        pool_group_init(&group);
        pool_group_add(&group, 1);
        pool_group_done(&group);
        pool_group_done(&group);
        _exit(0);
    }
    CU_ASSERT_FATAL(child > 0);
    int status = 0;
    CHECK_NUMBER(waitpid(child, &status, 0), child);
    CHECK_NUMBER(WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status), SIGABRT);
}

static const struct check_case cases[] = {
    {"more done than added aborts", more_done_than_added_aborts},
    {"many wait for many", many_wait_for_many},
    {"deadlines pass", deadlines_pass},
    {"a group may be used again", a_group_may_be_used_again},
    {"a group may be freed after the wait", a_group_may_be_freed_after_the_wait},
    {"tasks may add more", tasks_may_add_more},
    {"a group spans pools", a_group_spans_pools},
    {"no end is missed", no_end_is_missed},
};

CHECK_MAIN("pool/group", cases)
