/*
 * tests/unit/pool/test_priorities.c - which of the waiting tasks runs next, where they differ in priority.
 *
 * Tasks are letters: h of high, n of normal, l of low priority. They are submitted while a plug keeps the only thread,
 * or while the first of them does: then those before it have been looked at already, and those after it have not.
 */
#include "tests/unit/pool/order_help.h"

enum { TASKS_MAX = 64 };

struct scene {
    struct pool *pool;
    struct latch hold, hold_first;
    struct job plug;
    struct lettered tasks[TASKS_MAX];
    unsigned count;
};

static void add(struct scene *s, char letter, struct latch *hold)
{
    struct lettered *l = &s->tasks[s->count++];
    *l = lettered(letter, hold);
    CHECK_NUMBER(pool_submit(s->pool, &l->job.task), POOL_OK);
}

static void add_all(struct scene *s, const char *letters)
{
    for (const char *c = letters; *c; c++)
        add(s, *c, NULL);
}

static void scene_begin(struct scene *s, enum pool_discipline discipline)
{
    *s = (struct scene){.pool = pool_of_one(discipline, TASKS_MAX)};
    s->hold = s->hold_first = (struct latch)LATCH_CLOSED;
    s->plug = job_with(&s->hold);
    job_begin(s->pool, &s->plug);
}

/* Lets the first task go, which holds the thread, and checks what follows. */
static void scene_end(struct scene *s, const char *expected)
{
    latch_open(&s->hold);
    latch_open(&s->hold_first);
    CHECK_DIARY(expected);
    pool_settle(s->pool, 1);
    pool_check_sums(s->pool);
    pool_destroy(s->pool);
}

static void the_higher_goes_first(void)
{
    static const struct {
        const char *submitted, *expected;
    } table[] = {
        {"lnh", "hnl"},       {"hnl", "hnl"},     {"nnhh", "hhnn"},
        {"llnnhh", "hhnnll"}, {"lhlhn", "hhnll"}, {"nl", "nl"},
        {"ln", "nl"},         {"llll", "llll"},   {"hhhhhhhhhhhh", "hhhhhhhhhhhh"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct scene s;
        scene_begin(&s, POOL_FIFO);
        add_all(&s, table[i].submitted);
        scene_end(&s, table[i].expected);
    }
}

/* The same, when those that are overtaken have been looked at by a thread before the others came. */
static void check_overtaking(const char *before, const char *after, const char *expected)
{
    struct scene s;
    scene_begin(&s, POOL_FIFO);
    /* Of high priority, so that it is the first of all. */
    add(&s, 'h', &s.hold_first);
    add_all(&s, before);
    latch_open(&s.hold);
    CHECK_EVENTUALLY(job_has_started(&s.tasks[0].job));
    add_all(&s, after);
    scene_end(&s, expected);
}

static void the_high_overtake_what_waits(void)
{
    check_overtaking("nnnn", "h", "hhnnnn");
    check_overtaking("llll", "h", "hhllll");
    check_overtaking("lnln", "hh", "hhhnnll");
}

static void the_normal_overtake_the_low(void)
{
    check_overtaking("llll", "n", "hnllll");
    check_overtaking("llll", "nh", "hhnllll");
    check_overtaking("lnln", "hn", "hhnnnll");
}

static void a_lower_one_is_let_through_after_eight(void)
{
    static const struct {
        const char *submitted, *expected;
    } table[] = {
        {"lhhhhhhhhhhhh", "hhhhhhhhlhhhh"},
        {"lllhhhhhhhhhhhhhhhhhhh", "hhhhhhhhlhhhhhhhhlhhhl"},
        {"nnhhhhhhhhhhhhhhhhhh", "hhhhhhhhnhhhhhhhhnhh"},
        {"lnnnnnnnnnnnn", "nnnnnnnnlnnnn"},
        {"lnnnnnnhhhhhh", "hhhhhhnnlnnnn"},
        {"nhhhhhhhh", "hhhhhhhhn"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct scene s;
        scene_begin(&s, POOL_FIFO);
        add_all(&s, table[i].submitted);
        scene_end(&s, table[i].expected);
    }
}

/* Of three priorities each waits for eight higher ones at most, and for the turn of the other that waited as long. */
static void none_waits_for_long(void)
{
    struct scene s;
    scene_begin(&s, POOL_FIFO);
    add_all(&s, "lllnnnhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh");
    latch_open(&s.hold);
    CHECK_EVENTUALLY(atomic_load(&diary_length) == s.count);
    unsigned waited_n = 0, waited_l = 0, n = 0, l = 0;
    for (unsigned i = 0; i < s.count; i++) {
        n += diary[i] == 'n';
        l += diary[i] == 'l';
        waited_n = diary[i] == 'n' || n == 3 ? 0 : waited_n + 1;
        waited_l = diary[i] == 'l' || l == 3 ? 0 : waited_l + 1;
        if (waited_n > 9 || waited_l > 9) {
            CHECK_FOR(diary, waited_n <= 9 && waited_l <= 9);
            break;
        }
    }
    scene_end(&s, diary);
}

/* Eight in a row, while one waits: those that it did not wait for do not count. */
static void what_went_before_does_not_count(void)
{
    struct scene s;
    scene_begin(&s, POOL_FIFO);
    add_all(&s, "hhhhhh");
    /* The low one was passed over six times, and then went in its turn. */
    add(&s, 'n', &s.hold_first);
    latch_open(&s.hold);
    CHECK_DIARY("hhhhhhn");
    add_all(&s, "hhhhhhhhhhn");
    scene_end(&s, "hhhhhhnhhhhhhhhnhh");

    scene_begin(&s, POOL_FIFO);
    add_all(&s, "lhhhhhh");
    add(&s, 'h', &s.hold_first);
    latch_open(&s.hold);
    CHECK_DIARY("hhhhhhh");
    CU_ASSERT(pool_cancel(s.pool, &s.tasks[0].job.task)); /* it was passed over seven times */
    add_all(&s, "lhhhhhhhhhh");
    scene_end(&s, "hhhhhhhhhhhhhhhlhh");
}

/* A low task that comes while many normal ones wait, which have been looked at already. */
static void a_late_low_one_waits_for_eight_too(void)
{
    struct scene s;
    scene_begin(&s, POOL_FIFO);
    add(&s, 'n', &s.hold_first);
    add_all(&s, "nnnnnnnnnnnnnnnnnnnn");
    latch_open(&s.hold);
    CHECK_DIARY("n");
    add(&s, 'l', NULL);
    scene_end(&s, "nnnnnnnnnlnnnnnnnnnnnn");
}

/* A job of high priority that submits another one, which does the same: the next is there before the last has ended. */
struct stream {
    struct lettered two[2];
    struct pool *pool;
    atomic_int left;
};

static struct stream stream;

static void run_go_on(struct pool_task *t)
{
    run_letter(t);
    struct lettered *other = &stream.two[&stream.two[0].job.task == t];
    if (atomic_fetch_sub(&stream.left, 1) > 0)
        atomic_fetch_add(&other->job.result,
                         pool_submit_until(stream.pool, &other->job.task, UINT64_MAX) != POOL_OK);
}

static void a_stream_of_high_ones_lets_low_ones_through(void)
{
    struct scene s;
    scene_begin(&s, POOL_FIFO);
    stream.pool = s.pool;
    atomic_store(&stream.left, 300);
    for (int i = 0; i < 2; i++) {
        stream.two[i] = lettered('h', NULL);
        stream.two[i].job.task.run = run_go_on;
    }
    CHECK_NUMBER(pool_submit(s.pool, &stream.two[0].job.task), POOL_OK);
    add_all(&s, "llllllllllllllllllllnnnnnnnnnn");
    latch_open(&s.hold);
    CHECK_EVENTUALLY(atomic_load(&diary_length) == 301 + 30);
    pool_settle(s.pool, 1);
    CHECK_NUMBER(atomic_load(&stream.two[0].job.result) + atomic_load(&stream.two[1].job.result), 0);
    unsigned in_a_row = 0, lower = 0, most = 0;
    for (unsigned i = 0; lower < 30 && i < 331; i++) {
        in_a_row = diary[i] == 'h' ? in_a_row + 1 : 0;
        lower += diary[i] != 'h';
        most = in_a_row > most ? in_a_row : most;
    }
    CHECK_NUMBER(lower, 30);
    CU_ASSERT(most <= 8);
    pool_destroy(s.pool);
}

static void newest_first_within_a_priority(void)
{
    struct scene s;
    scene_begin(&s, POOL_LIFO);
    /* h and l alike: the ones of normal priority show it. */
    add_all(&s, "abhhlcl");
    scene_end(&s, "hhcball");
    struct lettered *h = &s.tasks[2], *l = &s.tasks[4];
    CU_ASSERT(h[0].job.task.started_us >= h[1].job.task.started_us);
    CU_ASSERT(l[0].job.task.started_us >= l[2].job.task.started_us);

    scene_begin(&s, POOL_LIFO);
    add_all(&s, "lhhhhhhhhhhabc");
    scene_end(&s, "hhhhhhhhlchhba");
}

static void codel_knows_priorities(void)
{
    struct scene s;
    scene_begin(&s, POOL_CODEL);
    add_all(&s, "lnhlnh");
    scene_end(&s, "hhnnll");
    CHECK_NUMBER(s.tasks[0].job.task.outcome, POOL_TASK_DONE);
}

/*
 * Overloaded: in two intervals of 100 ms even the smallest delay was above the target. Then the old ones of every
 * priority are shed, and of the young ones the newest of the highest priority goes first.
 */
static void codel_sheds_from_each_priority(void)
{
    struct scene s;
    struct latch hold_second = LATCH_CLOSED;
    scene_begin(&s, POOL_CODEL);
    add(&s, 'h', &s.hold_first);
    add(&s, 'h', &hold_second);
    CHECK_EVENTUALLY(clock_mono_us() > s.tasks[0].job.task.submitted_us + 110000);
    latch_open(&s.hold);
    CHECK_EVENTUALLY(job_has_started(&s.tasks[0].job));
    CHECK_EVENTUALLY(clock_mono_us() > s.tasks[0].job.task.submitted_us + 250000);
    latch_open(&s.hold_first);
    CHECK_EVENTUALLY(job_has_started(&s.tasks[1].job)); /* the last one that waits is not shed */
    add_all(&s, "lnhlnh");
    CHECK_EVENTUALLY(clock_mono_us() > s.tasks[7].job.task.submitted_us + 20000);
    add_all(&s, "nab");
    add(&s, 'h', NULL);
    latch_open(&hold_second);
    for (unsigned i = 2; i < s.count; i++)
        CHECK_EVENTUALLY(job_has_ended(&s.tasks[i].job));
    for (unsigned i = 2; i < 8; i++)
        CHECK_NUMBER(s.tasks[i].job.task.outcome, POOL_TASK_SHED);
    CHECK_NUMBER(s.tasks[11].job.task.outcome, POOL_TASK_DONE);
    CHECK_NUMBER(diary[2], 'h');
    pool_settle(s.pool, 1);
    pool_check_sums(s.pool);
    pool_destroy(s.pool);
}

/* Once before a thread has looked at them, once after it. */
static void each_priority_can_be_taken_back(void)
{
    for (int looked_at = 0; looked_at <= 1; looked_at++) {
        struct scene s;
        scene_begin(&s, POOL_FIFO);
        add(&s, 'h', &s.hold_first);
        add_all(&s, "lnhlnhlnh");
        if (looked_at) {
            latch_open(&s.hold);
            CHECK_EVENTUALLY(job_has_started(&s.tasks[0].job));
        }
        static const unsigned taken[] = {4, 5, 6, 1, 9}; /* from the middle, from each end */
        for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
            CU_ASSERT(pool_cancel(s.pool, &s.tasks[taken[i]].job.task));
            job_check_end(&s.tasks[taken[i]].job, POOL_TASK_CANCELLED);
            CU_ASSERT(!pool_cancel(s.pool, &s.tasks[taken[i]].job.task));
        }
        CHECK_NUMBER(FIGURE(s.pool, cancelled), 5);
        scene_end(&s, "hhnnl");
    }
}

static void other_priorities_are_refused(void)
{
    struct pool *pool = pool_of_one(POOL_FIFO, 10);
    static const uint8_t wrong[] = {POOL_LOW + 1, 4, 127, 128, 255};
    for (size_t i = 0; i < sizeof wrong; i++) {
        struct job j = job_with(NULL);
        j.task.priority = wrong[i];
        CHECK_NUMBER(pool_submit(pool, &j.task), POOL_EINVAL);
        CHECK_NUMBER(pool_submit_until(pool, &j.task, UINT64_MAX), POOL_EINVAL);
        CHECK_NUMBER(atomic_load(&j.ended), 0);
        j.task.priority = POOL_LOW; /* and it may be mended */
        CHECK_NUMBER(pool_submit(pool, &j.task), POOL_OK);
        job_check_end(&j, POOL_TASK_DONE);
    }
    pool_settle(pool, 1);
    CHECK_NUMBER(FIGURE(pool, submitted), sizeof wrong);
    CHECK_NUMBER(FIGURE(pool, refused_full) + FIGURE(pool, refused_closed), 0);
    pool_destroy(pool);
}

static void old_ones_of_each_priority_expire(void)
{
    struct scene s;
    scene_begin(&s, POOL_FIFO);
    add_all(&s, "lnhlnh");
    struct pool_config config = {.max = 1, .max_queue = TASKS_MAX, .queue_timeout_ms = 20};
    CHECK_NUMBER(pool_reconfigure(s.pool, &config), POOL_OK);
    CHECK_EVENTUALLY(clock_mono_us() > s.tasks[5].job.task.submitted_us + 25000);
    pool_expire(s.pool);
    for (unsigned i = 0; i < s.count; i++)
        job_check_end(&s.tasks[i].job, POOL_TASK_EXPIRED);
    CHECK_NUMBER(FIGURE(s.pool, expired), 6);
    scene_end(&s, "");
}

static const struct check_case cases[] = {
    {"the higher goes first", the_higher_goes_first},
    {"the high overtake what waits", the_high_overtake_what_waits},
    {"the normal overtake the low", the_normal_overtake_the_low},
    {"a lower one is let through after eight", a_lower_one_is_let_through_after_eight},
    {"none waits for long", none_waits_for_long},
    {"what went before does not count", what_went_before_does_not_count},
    {"a late low one waits for eight too", a_late_low_one_waits_for_eight_too},
    {"a stream of high ones lets low ones through", a_stream_of_high_ones_lets_low_ones_through},
    {"newest first within a priority", newest_first_within_a_priority},
    {"codel knows priorities", codel_knows_priorities},
    {"codel sheds from each priority", codel_sheds_from_each_priority},
    {"each priority can be taken back", each_priority_can_be_taken_back},
    {"other priorities are refused", other_priorities_are_refused},
    {"old ones of each priority expire", old_ones_of_each_priority_expire},
};

CHECK_MAIN("pool/priorities", cases)
