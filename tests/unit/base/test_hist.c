/*
 * tests/unit/base/test_hist.c - the histogram: bounds are inclusive, sums add up over several histograms.
 */
#include "base/hist.h"
#include "tests/unit/check.h"

static void bounds_grow(void)
{
    for (int i = 1; i < HIST_BUCKETS; i++)
        CU_ASSERT(hist_bounds_us[i] > hist_bounds_us[i - 1]);
}

static void a_bound_belongs_to_its_bucket(void)
{
    for (int i = 0; i < HIST_BUCKETS; i++) {
        struct hist h = {0};
        struct hist_sum sum = {0};
        hist_add(&h, hist_bounds_us[i]);
        hist_add(&h, hist_bounds_us[i] + 1ull);
        hist_collect(&h, &sum);
        CHECK_NUMBER(sum.counts[i], 1);
        CHECK_NUMBER(sum.counts[i + 1], 1);
        CHECK_NUMBER(sum.total, 2);
        CHECK_NUMBER(sum.sum_us, 2ull * hist_bounds_us[i] + 1);
    }
}

static void takes_the_extremes(void)
{
    struct hist h = {0};
    struct hist_sum sum = {0};
    hist_add(&h, 0);
    hist_add(&h, 1ull << 60);
    hist_collect(&h, &sum);
    CHECK_NUMBER(sum.counts[0], 1);
    CHECK_NUMBER(sum.counts[HIST_BUCKETS], 1);
    CHECK_NUMBER(sum.sum_us, 1ll << 60);
}

static void collecting_adds_up(void)
{
    struct hist a = {0}, b = {0};
    struct hist_sum sum = {0};
    for (uint64_t us = 0; us < 1000; us++)
        hist_add(us % 2 ? &a : &b, us);
    hist_collect(&a, &sum);
    hist_collect(&b, &sum);
    CHECK_NUMBER(sum.total, 1000);
    CHECK_NUMBER(sum.sum_us, 999 * 1000 / 2);
    CHECK_NUMBER(sum.counts[0], 101);
    CHECK_NUMBER(sum.counts[1], 400);
    CHECK_NUMBER(sum.counts[2], 499);
}

static void counters_count(void)
{
    _Atomic uint64_t c = 0;
    counter_add(&c, 3);
    counter_add(&c, 4);
    CHECK_NUMBER(counter_get(&c), 7);
    counter_set(&c, 1);
    CHECK_NUMBER(counter_get(&c), 1);
}

static const struct check_case cases[] = {
    {"bounds grow", bounds_grow},
    {"a bound belongs to its bucket", a_bound_belongs_to_its_bucket},
    {"takes the extremes", takes_the_extremes},
    {"collecting adds up", collecting_adds_up},
    {"counters count", counters_count},
};

CHECK_MAIN("base/hist", cases)
