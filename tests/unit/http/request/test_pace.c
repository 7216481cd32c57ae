/*
 * tests/unit/http/request/test_pace.c - limit_rate: over any time no more than the rate and what goes at a time, and no wait that is too short
 * or much too long.
 */
#include "http/request/pace.h"

#include "tests/unit/check.h"

enum { BEGINS_MS = 5000, STEP_MS = 100 };

static struct http_exchange ex;
static uint64_t now_ms;

static void begin(uint64_t rate, uint64_t after)
{
    memset(&ex, 0, sizeof ex);
    now_ms = BEGINS_MS;
    ex.now_ms = &now_ms;
    ex.pace.rate = rate;
    ex.pace.after = after;
}

static void without_a_rate(void)
{
    int64_t wait_ms = -7;
    begin(0, 0);
    CU_ASSERT(pace_allows(&ex, &wait_ms) == UINT64_MAX);
    ex.sent.body = UINT64_MAX / 2;
    CU_ASSERT(pace_allows(&ex, &wait_ms) == UINT64_MAX);
    CHECK_NUMBER(wait_ms, -7);
}

/* A tenth of a second's share at once, and as much again once that time is over. */
static void in_steps(void)
{
    int64_t wait_ms = 0;
    begin(10000, 0);
    CHECK_NUMBER(pace_allows(&ex, &wait_ms), 1000);
    ex.sent.body = 400;
    CHECK_NUMBER(pace_allows(&ex, &wait_ms), 600);
    ex.sent.body = 1000;
    CHECK_NUMBER(pace_allows(&ex, &wait_ms), 0);
    CU_ASSERT(wait_ms >= STEP_MS && wait_ms <= STEP_MS + 2);
    now_ms += (uint64_t)wait_ms;
    uint64_t allowed = pace_allows(&ex, &wait_ms);
    CU_ASSERT(allowed >= 1000 && allowed <= 1020);
}

/* limit_rate_after: that much is free. */
static void after_a_part(void)
{
    int64_t wait_ms = 0;
    begin(10000, 50000);
    CHECK_NUMBER(pace_allows(&ex, &wait_ms), 51000);
    ex.sent.body = 51000;
    CHECK_NUMBER(pace_allows(&ex, &wait_ms), 0);
    now_ms += 1000;
    CHECK_NUMBER(pace_allows(&ex, &wait_ms), 10000);
}

/* Time counts from when it was asked first. */
static void from_the_first_question(void)
{
    int64_t wait_ms = 0;
    begin(1000, 0);
    now_ms += 3600000;
    CHECK_NUMBER(pace_allows(&ex, &wait_ms), 100);
}

/* Who sends what is allowed and waits as long as that says never waits for nothing, and keeps to the rate. */
static void keeps_to(uint64_t rate)
{
    int64_t wait_ms = 0;
    uint64_t step = rate * STEP_MS / 1000, waits = 0;
    begin(rate, 0);
    step = step ? step : 1;
    for (int i = 0; i < 1000; i++) {
        uint64_t n = pace_allows(&ex, &wait_ms), passed_ms = now_ms - BEGINS_MS;
        ex.sent.body += n;
        CU_ASSERT(ex.sent.body <= passed_ms * rate / 1000 + step);
        if (n)
            continue;
        waits++;
        CU_ASSERT(wait_ms > 0);
        now_ms += (uint64_t)wait_ms;
        CU_ASSERT(pace_allows(&ex, &wait_ms) > 0);
    }
    CU_ASSERT(waits > 0);
    uint64_t passed_ms = now_ms - BEGINS_MS;
    CHECK_NUMBER(ex.sent.body + 3 * step >= passed_ms * rate / 1000, 1);
}

static void any_rate(void)
{
    static const uint64_t rates[] = {1, 9, 10, 11, 999, 1000, 1024, 65536, 1000003, 1ull << 30, 1ull << 40};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        keeps_to(rates[i]);
}

static const struct check_case cases[] = {{"no rate, no bound", without_a_rate},
                                          {"in steps", in_steps},
                                          {"limit_rate_after", after_a_part},
                                          {"from the first question on", from_the_first_question},
                                          {"any rate is kept to", any_rate}};

CHECK_MAIN("pace", cases)
