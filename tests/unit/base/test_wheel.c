/*
 * tests/unit/base/test_wheel.c - the timing wheel: never early, at most a tick late, over lazy moves and long sleeps.
 *
 * The last test plays many entries at random against the plain rule of what a deadline means.
 */
#include "base/wheel.h"
#include "tests/unit/check.h"

enum { TICK = WHEEL_TICK_MS, TURN = WHEEL_TICK_MS * WHEEL_SLOTS };

struct timer {
    struct wheel_entry entry;
    uint64_t fired_ms; /* 0 until it fires */
    int fires;
};

/* What fire gets: the time, and what the callback is to do besides. */
struct advance {
    struct wheel *wheel;
    uint64_t now_ms;
    int fired;
    struct timer *clear, *set;
    uint64_t set_to_ms;
};

static void on_fire(struct wheel_entry *e, void *arg)
{
    struct advance *a = arg;
    struct timer *t = container_of(e, struct timer, entry);
    CHECK_NUMBER(e->deadline_ms, 0); /* disarmed beforehand */
    t->fired_ms = a->now_ms;
    t->fires++;
    a->fired++;
    if (a->clear)
        wheel_clear(&a->clear->entry);
    if (a->set)
        wheel_set(a->wheel, &a->set->entry, a->set_to_ms);
    a->set = NULL; /* once */
}

static int advance(struct wheel *w, uint64_t now_ms)
{
    struct advance a = {.wheel = w, .now_ms = now_ms};
    wheel_advance(w, now_ms, on_fire, &a);
    return a.fired;
}

/* Advances millisecond by millisecond, as a busy loop would; returns how many fired. */
static int run_to(struct wheel *w, uint64_t from_ms, uint64_t to_ms)
{
    int fired = 0;
    for (uint64_t now = from_ms; now <= to_ms; now++)
        fired += advance(w, now);
    return fired;
}

static void fires_within_a_tick(void)
{
    static const uint64_t delays[] = {1,    2,           TICK - 1, TICK, TICK + 1,
                                      1000, TURN - TICK, TURN - 1, TURN, TURN + 1};
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        for (uint64_t start = 100000; start < 100000 + TICK; start += 5) {
            static struct wheel w;
            struct timer t = {0};
            wheel_init(&w, start);
            wheel_entry_init(&t.entry);
            wheel_set(&w, &t.entry, start + delays[i]);
            run_to(&w, start, start + delays[i] + TICK);
            CHECK_NUMBER(t.fires, 1);
            CU_ASSERT(t.fired_ms >= start + delays[i]);
            CU_ASSERT(t.fired_ms <= start + delays[i] + TICK);
        }
    }
}

static void a_past_deadline_fires_at_the_next_tick(void)
{
    static struct wheel w;
    struct timer t = {0};
    wheel_init(&w, 5000);
    wheel_entry_init(&t.entry);
    wheel_set(&w, &t.entry, 10);
    CHECK_NUMBER(run_to(&w, 5000, 5000 + 2 * TICK), 1);
}

static void far_deadlines_go_round(void)
{
    static struct wheel w;
    struct timer t = {0};
    uint64_t start = 777, deadline = start + 3ull * TURN + 500;
    wheel_init(&w, start);
    wheel_entry_init(&t.entry);
    wheel_set(&w, &t.entry, deadline);
    CHECK_NUMBER(run_to(&w, start, deadline - 1), 0);
    CHECK_NUMBER(run_to(&w, deadline, deadline + TICK), 1);
}

static void clearing_disarms(void)
{
    static struct wheel w;
    struct timer t = {0};
    wheel_init(&w, 1000);
    wheel_entry_init(&t.entry);
    wheel_clear(&t.entry); /* harmless when not armed */
    wheel_set(&w, &t.entry, 1100);
    wheel_clear(&t.entry);
    CHECK_NUMBER(t.entry.deadline_ms, 0);
    CHECK_NUMBER(run_to(&w, 1000, 1000 + 2 * TURN), 0);
    wheel_set(&w, &t.entry, 1000 + 2 * TURN + 100);
    CHECK_NUMBER(run_to(&w, 1000 + 2 * TURN, 1000 + 3 * TURN), 1);
}

static void moves_later_lazily_and_earlier_at_once(void)
{
    static struct wheel w;
    struct timer t = {0};
    wheel_init(&w, 1000);
    wheel_entry_init(&t.entry);
    wheel_set(&w, &t.entry, 1200);
    struct list_node *neighbour = t.entry.node.prev;
    wheel_set(&w, &t.entry, 9000);
    CU_ASSERT_PTR_EQUAL(t.entry.node.prev, neighbour); /* one store: it stays in its slot */
    CHECK_NUMBER(run_to(&w, 1000, 4000), 0);
    CHECK_NUMBER(run_to(&w, 4001, 8999), 0);
    CHECK_NUMBER(run_to(&w, 9000, 9000 + TICK), 1);
    wheel_set(&w, &t.entry, 30000);
    wheel_set(&w, &t.entry, 20000);
    CHECK_NUMBER(run_to(&w, 9017, 19999), 0);
    CHECK_NUMBER(run_to(&w, 20000, 20000 + TICK), 1);
    /* Later, then a little earlier: still behind its slot. */
    wheel_set(&w, &t.entry, 21000);
    wheel_set(&w, &t.entry, 24000);
    wheel_set(&w, &t.entry, 22000);
    CHECK_NUMBER(run_to(&w, 20017, 21999), 0);
    CHECK_NUMBER(run_to(&w, 22000, 22000 + TICK), 1);
}

static void catches_up_after_a_long_sleep(void)
{
    enum { TIMERS = 200 };
    static const uint64_t sleeps[] = {TURN - TICK, TURN, TURN + TICK, 10ull * TURN + 3};
    for (size_t s = 0; s < sizeof sleeps / sizeof sleeps[0]; s++) {
        static struct wheel w;
        static struct timer timers[TIMERS];
        uint64_t start = 500000, end = start + sleeps[s];
        int due = 0, fired_wrongly = 0;
        wheel_init(&w, start);
        for (size_t i = 0; i < TIMERS; i++) {
            timers[i] = (struct timer){0};
            wheel_entry_init(&timers[i].entry);
            wheel_set(&w, &timers[i].entry, start + 1 + i * 12 * TURN / TIMERS);
            due += start + 1 + i * 12 * TURN / TIMERS + TICK <= end;
        }
        int fired = advance(&w, end);
        CU_ASSERT(fired >= due);
        for (size_t i = 0; i < TIMERS; i++)
            fired_wrongly += timers[i].fires && start + 1 + i * 12 * TURN / TIMERS > end;
        CHECK_NUMBER(fired_wrongly, 0);
        fired += run_to(&w, end + 1, end + TICK); /* the rest is not lost */
        for (uint64_t now = end + TICK; now < end + 13ull * TURN; now += TICK)
            fired += advance(&w, now);
        CHECK_NUMBER(fired, TIMERS);
    }
}

static void callbacks_may_set_and_clear_any(void)
{
    static struct wheel w;
    struct timer first = {0}, second = {0}, third = {0};
    wheel_init(&w, 1000);
    wheel_entry_init(&first.entry);
    wheel_entry_init(&second.entry);
    wheel_entry_init(&third.entry);
    wheel_set(&w, &first.entry, 1100);
    /* The same slot: cleared by the first one's callback. */
    wheel_set(&w, &second.entry, 1100);
    struct advance a = {.wheel = &w, .now_ms = 1120, .clear = &second, .set = &first, .set_to_ms = 1200};
    wheel_advance(&w, 1120, on_fire, &a);
    CHECK_NUMBER(first.fires, 1);
    CHECK_NUMBER(second.fires, 0);
    a = (struct advance){
        .wheel = &w, .now_ms = 1220, .set = &third, .set_to_ms = 1100}; /* set into the past */
    wheel_advance(&w, 1220, on_fire, &a);
    CHECK_NUMBER(first.fires, 2);
    run_to(&w, 1221, 1221 + 2 * TICK);
    CHECK_NUMBER(third.fires, 1);
}

static void tells_when_it_is_wanted(void)
{
    static struct wheel w;
    for (uint64_t delay = 1; delay < 2 * TURN; delay += 97) {
        struct timer t = {0};
        uint64_t now = 123456;
        wheel_init(&w, now);
        CHECK_NUMBER(wheel_next_ms(&w), 0);
        wheel_entry_init(&t.entry);
        wheel_set(&w, &t.entry, now + delay);
        int turns = 0;
        /* Sleeping until told is enough to fire in time. */
        while (!t.fires && turns++ < 5) {
            uint64_t next = wheel_next_ms(&w);
            CU_ASSERT_FATAL(next > now);
            now = next;
            advance(&w, now);
        }
        CHECK_NUMBER(t.fires, 1);
        CU_ASSERT(t.fired_ms >= 123456 + delay && t.fired_ms <= 123456 + delay + TICK);
        CHECK_NUMBER(wheel_next_ms(&w), 0);
    }
}

/* One entry of the random play: when it must have fired at the latest, by the plain rule. */
static size_t count_wrong(const struct timer *timers, const uint64_t *deadlines, size_t n, uint64_t now_ms)
{
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++) {
        bool armed = timers[i].entry.deadline_ms != 0;
        wrong += deadlines[i] ? armed && deadlines[i] + TICK <= now_ms : armed;
        wrong += armed && timers[i].entry.deadline_ms != deadlines[i];
        wrong += !armed && deadlines[i] > now_ms; /* fired too early */
    }
    return wrong;
}

static void plays_by_the_rule_at_random(void)
{
    enum { TIMERS = 300, STEPS = 4000 };
    static struct wheel w;
    static struct timer timers[TIMERS];
    static uint64_t deadlines[TIMERS]; /* 0: not armed */
    uint64_t seed = 1234567890123ull, now = 1000000;
    size_t wrong = 0;
    wheel_init(&w, now);
    for (size_t i = 0; i < TIMERS; i++)
        wheel_entry_init(&timers[i].entry);
    for (int step = 0; step < STEPS; step++) {
        for (int k = 0; k < 5; k++) {
            size_t i = check_random(&seed) % TIMERS;
            deadlines[i] = now + 1 + check_random(&seed) % (check_random(&seed) % 4 ? 3000 : 3 * TURN);
            if (check_random(&seed) % 4 == 0) {
                wheel_clear(&timers[i].entry);
                deadlines[i] = 0;
            } else {
                wheel_set(&w, &timers[i].entry, deadlines[i]);
            }
        }
        now += check_random(&seed) % 200 ? check_random(&seed) % 50 : check_random(&seed) % (3 * TURN);
        advance(&w, now);
        wrong += count_wrong(timers, deadlines, TIMERS, now);
        for (size_t i = 0; i < TIMERS; i++)
            if (!timers[i].entry.deadline_ms)
                deadlines[i] = 0;
    }
    CHECK_NUMBER(wrong, 0);
}

static const struct check_case cases[] = {
    {"fires within a tick, never early", fires_within_a_tick},
    {"a past deadline fires at the next tick", a_past_deadline_fires_at_the_next_tick},
    {"far deadlines go round", far_deadlines_go_round},
    {"clearing disarms", clearing_disarms},
    {"moves later lazily and earlier at once", moves_later_lazily_and_earlier_at_once},
    {"catches up after a long sleep", catches_up_after_a_long_sleep},
    {"callbacks may set and clear any entry", callbacks_may_set_and_clear_any},
    {"tells when it is wanted", tells_when_it_is_wanted},
    {"plays by the rule at random", plays_by_the_rule_at_random},
};

CHECK_MAIN("base/wheel", cases)
