/*
 * tests/unit/shm/test_permit_policy.c - limits and queues that follow what is measured, in simulated time.
 */
#include "tests/unit/shm/permit_help.h"

#include <math.h>

enum { MS = 1000, SECOND = 1000000 };

struct one {
    struct shm *shm;
    struct permit_user u;
    unsigned zone;
    struct permit_zone *z;
    uint64_t now_us;
};

static struct one one_with(struct permit_rules rules)
{
    struct one t = {.shm = shm_create()};
    CU_ASSERT_PTR_NOT_NULL_FATAL(t.shm);
    t.zone = zone_of(t.shm, "tested", rules);
    t.u = user_in(t.shm, 0);
    t.z = zone_at(t.shm, t.zone);
    t.now_us = clock_mono_us() + 1; /* a zone begins by the real time */
    return t;
}

static void end_one(struct one *t)
{
    CHECK_ZONE(t->shm, t->zone);
    permit_close(&t->u);
    shm_destroy(t->shm);
}

static uint32_t limit_of(const struct one *t)
{
    return permit_get(&t->z->limit);
}

/* --- codel --- */

static struct permit_rules codel_rules(uint32_t queue)
{
    struct permit_rules rules = rules_of(1, queue);
    rules.policy = PERMIT_CODEL;
    rules.target_us = 5 * MS;
    rules.interval_us = 100 * MS;
    return rules;
}

static uint32_t arrive(struct one *t, uint64_t at_us)
{
    struct answer a = ask_at(&t->u, t->zone, PERMIT_NORMAL, at_us);
    CHECK_WAITS(a);
    return a.permit;
}

static enum permit_result look_why(struct one *t, uint32_t permit, enum permit_reason *why)
{
    *why = PERMIT_REASONS;
    return permit_look(&t->u, permit, why);
}

/* A queue that stands from the second interval on: two of the first six were admitted in order. Returns who holds. */
static uint32_t stand(struct one *t, uint32_t old[6])
{
    struct answer first = ask_at(&t->u, t->zone, PERMIT_NORMAL, t->now_us);
    /* The smallest delay of the first interval is none at all. */
    CHECK_GO(first);
    t->now_us += 100 * MS;
    for (int i = 0; i < 6; i++)
        old[i] = arrive(t, t->now_us);
    permit_release(&t->u, first.permit, t->now_us + 20 * MS, 0);
    CHECK_NUMBER(look(&t->u, old[0]), PERMIT_GO);
    permit_release(&t->u, old[0], t->now_us + 60 * MS, 0);
    CHECK_NUMBER(look(&t->u, old[1]), PERMIT_GO);
    return old[1];
}

static void a_standing_queue_is_shed_and_the_newest_goes_first(void)
{
    struct one t = one_with(codel_rules(20));
    uint32_t old[6], holder = stand(&t, old);
    uint32_t young = arrive(&t, t.now_us + 121 * MS), newest = arrive(&t, t.now_us + 129 * MS);
    enum permit_reason why;
    permit_release(&t.u, holder, t.now_us + 130 * MS, 0);
    for (int i = 2; i < 6; i++) {
        CHECK_NUMBER(look_why(&t, old[i], &why), PERMIT_NO);
        CHECK_NUMBER(why, PERMIT_CODEL_SHED);
    }
    CHECK_NUMBER(look(&t.u, newest), PERMIT_GO);
    CHECK_NUMBER(look(&t.u, young), PERMIT_WAIT); /* 9 ms: not twice the target */
    uint32_t newer = arrive(&t, t.now_us + 130 * MS);
    permit_release(&t.u, newest, t.now_us + 131 * MS, 0);
    CHECK_NUMBER(look(&t.u, newer), PERMIT_GO);
    CHECK_NUMBER(look(&t.u, young), PERMIT_WAIT); /* 10 ms: not more than twice the target */
    permit_release(&t.u, newer, t.now_us + 150 * MS, 0);
    /* The last one is not shed: a permit is free. */
    CHECK_NUMBER(look(&t.u, young), PERMIT_GO);
    CHECK_NUMBER(t.z->rejected[PERMIT_CODEL_SHED], 4);
    end_one(&t);
}

static void a_queue_that_passes_is_served_in_order(void)
{
    struct one t = one_with(codel_rules(20));
    uint32_t holder = ask_at(&t.u, t.zone, PERMIT_NORMAL, t.now_us).permit;
    for (int round = 0; round < 60; round++, t.now_us += 10 * MS) { /* six intervals; each round ends empty */
        uint32_t waiters[3];
        for (int i = 0; i < 3; i++)
            waiters[i] = arrive(&t, t.now_us);
        for (int i = 0; i < 3; i++) {
            permit_release(&t.u, holder, t.now_us + (uint64_t)(i + 1) * 2 * MS, 0);
            if (look(&t.u, waiters[i]) != PERMIT_GO)
                CU_FAIL_FATAL("a waiter was passed over");
            holder = waiters[i];
        }
        permit_release(&t.u, holder, t.now_us + 8 * MS, 0);
        holder = ask_at(&t.u, t.zone, PERMIT_NORMAL, t.now_us + 8 * MS).permit;
    }
    CHECK_NUMBER(t.z->rejected[PERMIT_CODEL_SHED], 0);
    end_one(&t);
}

static void after_a_quiet_interval_the_oldest_goes_first_again(void)
{
    struct one t = one_with(codel_rules(20));
    uint32_t old[6], holder = stand(&t, old);
    permit_release(&t.u, holder, t.now_us + 130 * MS, 0);
    CU_ASSERT(t.z->codel.overloaded);
    uint32_t last =
        permit_tag_is_held(permit_region(t.shm)->parts[0].permits[old[5]].tag) ? old[5] : UINT32_MAX;
    CU_ASSERT_FATAL(last != UINT32_MAX);
    permit_release(&t.u, last, t.now_us + 140 * MS, 0);
    for (uint64_t at_us = t.now_us + 150 * MS; at_us < t.now_us + 400 * MS; at_us += 10 * MS) {
        struct answer a = ask_at(&t.u, t.zone, PERMIT_NORMAL, at_us);
        CHECK_GO(a);
        permit_release(&t.u, a.permit, at_us + MS, 0);
    }
    CU_ASSERT(!t.z->codel.overloaded);
    holder = ask_at(&t.u, t.zone, PERMIT_NORMAL, t.now_us + 400 * MS).permit;
    uint32_t first = arrive(&t, t.now_us + 401 * MS), second = arrive(&t, t.now_us + 402 * MS);
    permit_release(&t.u, holder, t.now_us + 415 * MS, 0);
    CHECK_NUMBER(look(&t.u, first), PERMIT_GO);
    CHECK_NUMBER(look(&t.u, second), PERMIT_WAIT);
    end_one(&t);
}

/* --- gradient --- */

static struct permit_rules gradient_rules(uint32_t limit, uint32_t min, uint32_t max)
{
    struct permit_rules rules = rules_of(limit, 0);
    rules.policy = PERMIT_GRADIENT;
    rules.min = min;
    rules.max = max;
    rules.window_us = 100 * MS;
    rules.probe_interval_us = 60 * (uint64_t)SECOND;
    rules.probe_requests = 10;
    rules.buffer_percent = 25;
    rules.jitter_percent = 10;
    return rules;
}

/*
 * One measured request at a time, among as many others as there is room for (a limit that is not used does not grow), or
 * alone. Time goes on with each.
 */
static void serve_one(struct one *t, uint64_t rtt_us, bool alone)
{
    static uint32_t others[2048];
    uint32_t count = 0;
    struct answer measured = ask_at(&t->u, t->zone, PERMIT_NORMAL, t->now_us), a;
    CU_ASSERT_FATAL(measured.result == PERMIT_GO);
    while (!alone && (a = ask_at(&t->u, t->zone, PERMIT_NORMAL, t->now_us)).result == PERMIT_GO)
        others[count++] = a.permit;
    t->now_us += rtt_us;
    while (count > 0)
        permit_release(&t->u, others[--count], t->now_us, 0);
    permit_release(&t->u, measured.permit, t->now_us, rtt_us); /* nothing is under way when it counts */
}

static void serve(struct one *t, int count, uint64_t rtt_us)
{
    for (int i = 0; i < count; i++)
        serve_one(t, rtt_us, false);
}

static void serve_for(struct one *t, uint64_t time_us, uint64_t rtt_us)
{
    for (uint64_t end_us = t->now_us + time_us; t->now_us < end_us;)
        serve(t, 1, rtt_us);
}

/* Until the limit has been set once more. */
static void serve_window(struct one *t, uint64_t rtt_us)
{
    for (uint64_t end_us = t->z->gradient.window_end_us; t->z->gradient.window_end_us == end_us;)
        serve(t, 1, rtt_us);
}

static double next_limit(double limit, double min_rtt, double rtt)
{
    double g = fmin(fmax(min_rtt * 1.25 / rtt, 0.5), 2);
    return g * limit + sqrt(g * limit);
}

/* That a window in which every request took rtt_us sets the limit as published. Times are known to 5 %. */
static void check_window(uint64_t rtt_us)
{
    struct one t = one_with(gradient_rules(20, 3, 1000));
    CU_ASSERT(t.z->gradient.probing);
    CHECK_NUMBER(limit_of(&t), 3);
    serve(&t, 9, 10 * MS);
    CU_ASSERT(t.z->gradient.probing);
    serve(&t, 1, 10 * MS);
    CU_ASSERT(!t.z->gradient.probing);
    CHECK_NUMBER(limit_of(&t), 20); /* as before the probe */
    double min_rtt_us = (double)t.z->gradient.min_rtt_us;
    CU_ASSERT(min_rtt_us > 9500 && min_rtt_us < 10500);
    uint64_t window_end_us = t.z->gradient.window_end_us;
    while (t.now_us + rtt_us < window_end_us)
        serve(&t, 1, rtt_us);
    CHECK_NUMBER(limit_of(&t), 20); /* the window goes on */
    serve(&t, 1, rtt_us);
    double least = next_limit(20, min_rtt_us, (double)rtt_us * 1.05);
    double most = next_limit(20, min_rtt_us, (double)rtt_us * 0.95);
    CU_ASSERT(t.z->gradient.exact_limit >= least && t.z->gradient.exact_limit <= most);
    CHECK_NUMBER(limit_of(&t), (uint32_t)t.z->gradient.exact_limit);
    end_one(&t);
}

static void a_window_sets_the_limit_as_published(void)
{
    check_window(10 * MS); /* 25 + 5 */
    check_window(20 * MS); /* 12.5 + 3.5 */
    check_window(13 * MS);
    check_window(90 * MS); /* no less than half: 10 + 3.2 */
    check_window(1 * MS);  /* no more than twice: 40 + 6.3 */
}

static void one_odd_time_does_not_count(void)
{
    struct one t = one_with(gradient_rules(20, 3, 1000));
    serve(&t, 10, 10 * MS);
    serve(&t, 2, 1 * MS);
    serve(&t, 5, 10 * MS);
    uint64_t rest_us = t.z->gradient.window_end_us - t.now_us;
    serve(&t, 1, rest_us);
    double median_as_usual = next_limit(20, (double)t.z->gradient.min_rtt_us, 10 * MS);
    CU_ASSERT(fabs(t.z->gradient.exact_limit - median_as_usual) < 0.05 * median_as_usual);
    end_one(&t);
}

static void the_bounds_hold(void)
{
    struct one t = one_with(gradient_rules(50, 5, 60));
    for (int round = 0; round < 40; round++) {
        serve_for(&t, 500 * MS, round % 4 < 2 ? 2 * MS : 200 * MS);
        CU_ASSERT(limit_of(&t) >= 5 && limit_of(&t) <= 60);
    }
    end_one(&t);
    t = one_with(gradient_rules(100, 7, 7));
    for (int round = 0; round < 10; round++) {
        serve_for(&t, SECOND, (uint64_t)(1 + round % 3) * 10 * MS);
        CHECK_NUMBER(limit_of(&t), 7);
    }
    end_one(&t);
}

static void it_grows_while_times_are_flat_and_shrinks_when_they_rise(void)
{
    struct one t = one_with(gradient_rules(10, 3, 200));
    serve(&t, 10, 10 * MS);
    uint32_t before = limit_of(&t);
    for (int i = 0; i < 12 && before < 200; i++) {
        serve_window(&t, 10 * MS);
        CU_ASSERT(limit_of(&t) > before);
        before = limit_of(&t);
    }
    CHECK_NUMBER(before, 200);
    for (int i = 0; i < 5; i++) {
        serve_window(&t, 40 * MS);
        CU_ASSERT(limit_of(&t) < before);
        before = limit_of(&t);
    }
    CU_ASSERT(before < 30);
    end_one(&t);
}

static void it_grows_only_when_it_is_used(void)
{
    struct one t = one_with(gradient_rules(20, 3, 200));
    serve(&t, 10, 10 * MS);
    for (int i = 0; i < 100; i++)
        serve_one(&t, 10 * MS, true);
    CHECK_NUMBER(limit_of(&t), 20);
    for (int i = 0; i < 10; i++)
        serve_one(&t, 50 * MS, true);
    CU_ASSERT(limit_of(&t) < 20); /* it shrinks in any case */
    uint32_t before = limit_of(&t);
    for (int i = 0; i < 100; i++)
        serve_one(&t, 10 * MS, true);
    CHECK_NUMBER(limit_of(&t), before);
    serve_for(&t, 500 * MS, 10 * MS);
    CU_ASSERT(limit_of(&t) > before);
    end_one(&t);
}

/* Serves until a probe begins (or ends), and says when it did. */
static uint64_t serve_until(struct one *t, bool probing)
{
    for (int i = 0; i < 10000 && t->z->gradient.probing != probing; i++)
        serve(t, 1, 5 * MS);
    CHECK_NUMBER(t->z->gradient.probing, probing);
    return t->now_us;
}

static void it_probes_now_and_then_with_the_least_limit(void)
{
    struct permit_rules rules = gradient_rules(10, 3, 200);
    rules.probe_interval_us = SECOND;
    struct one t = one_with(rules);
    uint64_t least_us = UINT64_MAX, most_us = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t ended_us = serve_until(&t, false);
        uint64_t planned_us = t.z->gradient.probe_at_us - ended_us;
        uint64_t took_us = serve_until(&t, true) - ended_us;
        CHECK_NUMBER(limit_of(&t), 3);
        CU_ASSERT(planned_us >= SECOND && planned_us <= SECOND + SECOND / 10);
        CU_ASSERT(took_us >= planned_us && took_us <= planned_us + 110 * MS);
        least_us = planned_us < least_us ? planned_us : least_us;
        most_us = planned_us > most_us ? planned_us : most_us;
    }
    /* Of 100 that are possible: spread, not all alike. */
    CU_ASSERT(most_us - least_us > 70 * MS);
    end_one(&t);
}

static void a_probe_counts_what_began_in_it(void)
{
    struct permit_rules rules = gradient_rules(10, 3, 200);
    struct one t = one_with(rules);
    serve(&t, 10, 10 * MS);
    struct answer old[4];
    for (int i = 0; i < 4; i++)
        old[i] = ask_at(&t.u, t.zone, PERMIT_NORMAL, t.now_us);
    t.z->gradient.probe_at_us = t.now_us; /* the next window's end begins a probe */
    serve_window(&t, 10 * MS);
    CU_ASSERT_FATAL(t.z->gradient.probing);
    for (int i = 0; i < 4; i++)
        permit_release(&t.u, old[i].permit, t.now_us + MS, 110 * MS);
    CHECK_NUMBER(t.z->gradient.samples, 0);
    t.now_us += MS;
    serve(&t, 10, 20 * MS);
    CU_ASSERT(!t.z->gradient.probing);
    CU_ASSERT(t.z->gradient.min_rtt_us > 19 * MS && t.z->gradient.min_rtt_us < 21 * MS);
    end_one(&t);
}

static void at_the_least_limit_it_probes_at_once(void)
{
    struct one t = one_with(gradient_rules(10, 3, 200));
    serve(&t, 10, 1 * MS);
    /* All at once everything takes longer: the old measure is wrong. */
    serve_for(&t, 2 * SECOND, 50 * MS);
    CU_ASSERT(t.z->gradient.min_rtt_us > 47 * MS);
    CU_ASSERT(limit_of(&t) > 3);
    end_one(&t);
}

static void the_same_rules_again_change_nothing(void)
{
    struct permit_rules rules = gradient_rules(10, 3, 200);
    struct one t = one_with(rules);
    serve(&t, 10, 10 * MS);
    serve_for(&t, SECOND, 10 * MS);
    CU_ASSERT(limit_of(&t) > 100);
    uint32_t before = limit_of(&t);
    permit_zone_set(t.shm, t.zone, &rules);
    CHECK_NUMBER(limit_of(&t), before);
    rules.max = 100;
    permit_zone_set(t.shm, t.zone, &rules);
    CU_ASSERT(t.z->gradient.probing);
    CHECK_NUMBER(limit_of(&t), 3);
    end_one(&t);
}

static void what_was_not_measured_does_not_count(void)
{
    struct one t = one_with(gradient_rules(10, 3, 200));
    for (int i = 0; i < 50; i++) {
        struct answer a = ask_at(&t.u, t.zone, PERMIT_NORMAL, t.now_us);
        permit_release(&t.u, a.permit, t.now_us += MS, 0);
    }
    CHECK_NUMBER(t.z->gradient.samples, 0);
    CU_ASSERT(t.z->gradient.probing);
    end_one(&t);
}

/* --- gradient with a backend behind it --- */

/* A backend that does `room` requests at a time in base_us; with more than that all of them take longer. */
struct backend {
    uint64_t base_us;
    uint32_t room, running;
    struct {
        uint32_t permit;
        uint64_t since_us, until_us;
    } requests[1024];
};

/* Clients that ask again whenever they are refused, in steps of a millisecond. */
static void load(struct one *t, struct backend *b, uint64_t time_us)
{
    for (uint64_t end_us = t->now_us + time_us; t->now_us < end_us; t->now_us += MS) {
        for (uint32_t i = 0; i < b->running;) {
            if (b->requests[i].until_us > t->now_us) {
                i++;
                continue;
            }
            permit_release(&t->u, b->requests[i].permit, t->now_us, t->now_us - b->requests[i].since_us);
            b->requests[i] = b->requests[--b->running];
        }
        for (struct answer a; (a = ask_at(&t->u, t->zone, PERMIT_NORMAL, t->now_us)).result == PERMIT_GO;) {
            uint32_t n = ++b->running;
            uint64_t takes_us = n > b->room ? b->base_us * n / b->room : b->base_us;
            b->requests[n - 1].permit = a.permit;
            b->requests[n - 1].since_us = t->now_us;
            b->requests[n - 1].until_us = t->now_us + takes_us;
        }
    }
}

static void empty(struct one *t, struct backend *b)
{
    while (b->running > 0)
        permit_release(&t->u, b->requests[--b->running].permit, t->now_us, 0);
}

/* 1.25 * 20 + sqrt(1.25 * 20) is 30: where the formula stands still. A probe may be on: its limit is the least. */
static void check_settled(struct one *t)
{
    double limit = t->z->gradient.exact_limit;
    if (limit < 22 || limit > 38)
        CHECK_NUMBER((long long)limit, 30);
}

static void it_settles_again_after_a_step(void)
{
    static const uint64_t steps_us[] = {10 * MS, 50 * MS, 10 * MS};
    struct permit_rules rules = gradient_rules(10, 3, 500);
    rules.probe_interval_us = 2 * SECOND;
    struct one t = one_with(rules);
    static struct backend b = {.room = 20};
    for (int i = 0; i < 3; i++) {
        b.base_us = steps_us[i];
        load(&t, &b, 5 * SECOND);
        check_settled(&t);
    }
    empty(&t, &b);
    end_one(&t);
}

static void it_follows_slow_backends_too(void)
{
    struct permit_rules rules = gradient_rules(10, 3, 500);
    /* With shorter ones it would act again before it sees what it did. */
    rules.window_us = 6 * SECOND;
    struct one t = one_with(rules);
    static struct backend b = {.room = 20, .base_us = 3 * SECOND};
    load(&t, &b, 200 * (uint64_t)SECOND);
    check_settled(&t);
    empty(&t, &b);
    end_one(&t);
}

static const struct check_case cases[] = {
    {"a standing queue is shed and the newest goes first",
     a_standing_queue_is_shed_and_the_newest_goes_first},
    {"a queue that passes is served in order", a_queue_that_passes_is_served_in_order},
    {"after a quiet interval the oldest goes first again",
     after_a_quiet_interval_the_oldest_goes_first_again},
    {"a window sets the limit as published", a_window_sets_the_limit_as_published},
    {"one odd time does not count", one_odd_time_does_not_count},
    {"the bounds hold", the_bounds_hold},
    {"it grows while times are flat and shrinks when they rise",
     it_grows_while_times_are_flat_and_shrinks_when_they_rise},
    {"it grows only when it is used", it_grows_only_when_it_is_used},
    {"it probes now and then with the least limit", it_probes_now_and_then_with_the_least_limit},
    {"a probe counts what began in it", a_probe_counts_what_began_in_it},
    {"at the least limit it probes at once", at_the_least_limit_it_probes_at_once},
    {"the same rules again change nothing", the_same_rules_again_change_nothing},
    {"what was not measured does not count", what_was_not_measured_does_not_count},
    {"it settles again after a step", it_settles_again_after_a_step},
    {"it follows slow backends too", it_follows_slow_backends_too},
};

CHECK_MAIN("shm/permit_policy", cases)
