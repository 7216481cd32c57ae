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

static bool is_near(double found, double wanted)
{
    return found > wanted - 0.5 && found < wanted + 0.5;
}

/* Those from 1 to 5 and from 50 to 75 ms. */
static void quantiles_lie_in_their_buckets(void)
{
    struct hist h = {0};
    struct hist_sum none = {0}, sum = {0};
    CU_ASSERT(is_near(hist_quantile_us(&none, 0.5), 0));
    for (int i = 0; i < 100; i++)
        hist_add(&h, i < 50 ? 2000 : 60000);
    hist_collect(&h, &sum);
    CU_ASSERT(is_near(hist_quantile_us(&sum, 0.25), 3000));
    CU_ASSERT(is_near(hist_quantile_us(&sum, 0.5), 5000));
    CU_ASSERT(is_near(hist_quantile_us(&sum, 0.99), 50000 + 25000 * 0.98));
    CU_ASSERT(is_near(hist_quantile_us(&sum, 1), 75000));
    for (int i = 0; i < 1000; i++)
        hist_add(&h, 1ull << 40);
    sum = none;
    hist_collect(&h, &sum);
    CU_ASSERT(is_near(hist_quantile_us(&sum, 0.9), hist_bounds_us[HIST_BUCKETS - 1]));
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
    {"quantiles lie in their buckets", quantiles_lie_in_their_buckets},
    {"counters count", counters_count},
};

CHECK_MAIN("base/hist", cases)
