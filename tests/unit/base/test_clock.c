/*
 * tests/unit/base/test_clock.c - clocks that go forward, and dates as HTTP and logs write and read them.
 */
#include "base/clock.h"
#include "tests/unit/check.h"

static void time_goes_forward(void)
{
    uint64_t us = clock_mono_us(), ms = clock_mono_ms();
    CU_ASSERT(ms >= us / 1000);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_mono_us();
        CU_ASSERT(now >= us);
        us = now;
    }
    CU_ASSERT(clock_wall_ms() / 1000 + 1 >= (uint64_t)time(NULL));
}

static void writes_http_dates(void)
{
    static const struct {
        time_t t;
        const char *text;
    } cases[] = {{784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
                 {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
                 {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
                 {4102444799, "Thu, 31 Dec 2099 23:59:59 GMT"},
                 {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[CLOCK_HTTP_DATE_BYTES + 1];
        clock_http_date(cases[i].t, text);
        CU_ASSERT_STRING_EQUAL(text, cases[i].text);
        CHECK_NUMBER(clock_parse_http_date(slice_of(text)), cases[i].t);
    }
}

static void writes_something_valid_for_wild_times(void)
{
    static const time_t wild[] = {INT64_MAX, INT64_MIN, 253402300800, -62200000000, 1ll << 55};
    for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
        char text[CLOCK_HTTP_DATE_BYTES + 1];
        clock_http_date(wild[i], text);
        CHECK_NUMBER(strlen(text), CLOCK_HTTP_DATE_BYTES);
        CU_ASSERT_STRING_EQUAL(text + 25, " GMT");
    }
}

static void reads_all_three_forms(void)
{
    CHECK_NUMBER(clock_parse_http_date(SLICE("Sun, 06 Nov 1994 08:49:37 GMT")), 784111777);
    CHECK_NUMBER(clock_parse_http_date(SLICE("Sunday, 06-Nov-94 08:49:37 GMT")), 784111777);
    CHECK_NUMBER(clock_parse_http_date(SLICE("Wednesday, 09-Nov-94 08:49:37 GMT")), 784370977);
    CHECK_NUMBER(clock_parse_http_date(SLICE("Sun Nov  6 08:49:37 1994")), 784111777);
    CHECK_NUMBER(clock_parse_http_date(SLICE("Wed Nov 16 08:49:37 1994")), 784975777);
    CHECK_NUMBER(clock_parse_http_date(SLICE("Wednesday, 09-Nov-33 08:49:37 GMT")),
                 2015138977); /* two digits: 2033 */
}

static void refuses_everything_else(void)
{
    static const char *const cases[] = {
        "",
        "0",
        "now",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 GMT; length=5",
        "Foo, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sunday, 06 Nov 94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994 GMT",
        "06 Nov 1994 08:49:37 GMT padding",
        "Sun, 06 Nov 1994 08:49:37 GMT and a text that is longer than any date may be",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_FOR(cases[i], clock_parse_http_date(slice_of(cases[i])) == -1);
}

/* RFC 9110 section 5.6.7 gives each field a fixed number of digits; a sign or a blank is not one. */
static void refuses_signs_and_short_fields(void)
{
    static const char *const cases[] = {
        "Sun, 06 Nov 1994 -1:49:37 GMT", "Sun, 06 Nov 1994 08:-9:37 GMT",  "Sun, 06 Nov 1994 08:49:-7 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT", "Sun, +6 Nov 1994 08:49:37 GMT",  "Sun, 06 Nov 1994  8:49:37 GMT",
        "Sun,  6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994\t08:49:37 GMT",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_FOR(cases[i], clock_parse_http_date(slice_of(cases[i])) == -1);
}

static void every_day_round_trips(void)
{
    size_t wrong = 0;
    for (time_t t = 0; t < 4102444800; t += 86400 * 11 + 3661) {
        char text[CLOCK_HTTP_DATE_BYTES + 1];
        clock_http_date(t, text);
        wrong += clock_parse_http_date(slice_of(text)) != t;
    }
    CHECK_NUMBER(wrong, 0);
}

static void set_zone(const char *zone)
{
    setenv("TZ", zone, 1);
    tzset();
}

static void writes_log_dates_in_local_time(void)
{
    char text[CLOCK_TEXT_BYTES];
    set_zone("TST-05:30"); /* east of Greenwich, with minutes */
    CHECK_NUMBER(clock_log_date(784111777, text), 26);
    CU_ASSERT_STRING_EQUAL(text, "06/Nov/1994:14:19:37 +0530");
    CHECK_NUMBER(clock_iso8601(784111777, text), 25);
    CU_ASSERT_STRING_EQUAL(text, "1994-11-06T14:19:37+05:30");
    set_zone("TST3:30");
    clock_log_date(784111777, text);
    CU_ASSERT_STRING_EQUAL(text, "06/Nov/1994:05:19:37 -0330");
    clock_iso8601(784111777, text);
    CU_ASSERT_STRING_EQUAL(text, "1994-11-06T05:19:37-03:30");
    set_zone("UTC");
    CHECK_NUMBER(clock_error_date(784111777, text), 19);
    CU_ASSERT_STRING_EQUAL(text, "1994/11/06 08:49:37");
}

static const struct check_case cases[] = {
    {"time goes forward", time_goes_forward},
    {"writes HTTP dates", writes_http_dates},
    {"writes something valid for wild times", writes_something_valid_for_wild_times},
    {"reads all three forms", reads_all_three_forms},
    {"refuses everything else", refuses_everything_else},
    {"refuses signs and short fields", refuses_signs_and_short_fields},
    {"every day round trips", every_day_round_trips},
    {"writes log dates in local time", writes_log_dates_in_local_time},
};

CHECK_MAIN("base/clock", cases)
