/*
 * tests/unit/base/test_slice.c - borrowed runs of bytes: comparing, cutting, lists and numbers.
 */
#include "base/slice.h"
#include "tests/unit/check.h"

static void compares(void)
{
    struct slice absent = {0};
    CU_ASSERT(slice_eq(SLICE("abc"), SLICE("abc")));
    CU_ASSERT(!slice_eq(SLICE("abc"), SLICE("abd")));
    CU_ASSERT(!slice_eq(SLICE("abc"), SLICE("abcd")));
    CU_ASSERT(!slice_eq(SLICE("abc"), SLICE("ABC")));
    CU_ASSERT(slice_eq(absent, SLICE("")));
    CU_ASSERT(slice_eq_nocase(SLICE("Content-Length"), SLICE("content-lENGTH")));
    CU_ASSERT(!slice_eq_nocase(SLICE("Host"), SLICE("Hast")));
    CU_ASSERT(slice_eq_nocase(absent, absent));
    CU_ASSERT(slice_eq(SLICE("a\0b"), SLICE("a\0b")));
    CU_ASSERT(!slice_eq(SLICE("a\0b"), SLICE("a\0c")));
}

static void is_made_from_text(void)
{
    CHECK_SLICE(slice_of("weir"), "weir");
    CHECK_ABSENT(slice_of(NULL));
    CHECK_NUMBER(slice_of("").len, 0);
    CU_ASSERT_PTR_NOT_NULL(slice_of("").data);
}

static void knows_prefixes(void)
{
    CU_ASSERT(slice_starts(SLICE("/images/a.png"), SLICE("/images/")));
    CU_ASSERT(slice_starts(SLICE("/images"), SLICE("")));
    CU_ASSERT(slice_starts((struct slice){0}, SLICE("")));
    CU_ASSERT(slice_starts(SLICE("ab"), SLICE("ab")));
    CU_ASSERT(!slice_starts(SLICE("a"), SLICE("ab")));
    CU_ASSERT(!slice_starts(SLICE("xab"), SLICE("ab")));
}

static void cuts_the_front(void)
{
    CHECK_SLICE(slice_from(SLICE("abc"), 0), "abc");
    CHECK_SLICE(slice_from(SLICE("abc"), 1), "bc");
    CHECK_SLICE(slice_from(SLICE("abc"), 3), "");
    CHECK_SLICE(slice_from(SLICE("abc"), 4), "");
    CHECK_SLICE(slice_from(SLICE("abc"), SIZE_MAX), "");
}

static void trims_blanks(void)
{
    CHECK_SLICE(slice_trim(SLICE(" \t a b\t ")), "a b");
    CHECK_SLICE(slice_trim(SLICE("a")), "a");
    CHECK_NUMBER(slice_trim(SLICE(" \t ")).len, 0);
    CHECK_NUMBER(slice_trim(SLICE("")).len, 0);
    CHECK_SLICE(slice_trim(SLICE("\r\na\n")), "\r\na\n"); /* OWS is blank and tab alone */
}

static void walks_lists(void)
{
    static const char *const wanted[] = {"a", "b c", "d"};
    struct slice list = SLICE(" a ,, b c\t,,d , "), element;
    size_t count = 0;
    while (count < 4 && slice_next_in_list(&list, &element))
        if (count < 3)
            CHECK_SLICE(element, wanted[count++]);
        else
            count++;
    CHECK_NUMBER(count, 3);
    list = SLICE("");
    CU_ASSERT(!slice_next_in_list(&list, &element));
    list = SLICE(" , ,,");
    CU_ASSERT(!slice_next_in_list(&list, &element));
    list = SLICE("one");
    CU_ASSERT(slice_next_in_list(&list, &element));
    CHECK_SLICE(element, "one");
    CU_ASSERT(!slice_next_in_list(&list, &element));
}

static void reads_numbers(void)
{
    static const struct {
        const char *text;
        unsigned long long max;
        bool ok;
        unsigned long long value;
    } cases[] = {
        {"0", 10, true, 0},
        {"10", 10, true, 10},
        {"11", 10, false, 0},
        {"007", 7, true, 7},
        {"", 10, false, 0},
        {"-1", 10, false, 0},
        {"+1", 10, false, 0},
        {" 1", 10, false, 0},
        {"1 ", 10, false, 0},
        {"1a", 99, false, 0},
        {"0x1", 99, false, 0},
        {"18446744073709551615", 18446744073709551615ull, true, 18446744073709551615ull},
        {"18446744073709551616", 18446744073709551615ull, false, 0},
        {"99999999999999999999999", 18446744073709551615ull, false, 0},
        {"9223372036854775807", 9223372036854775807ull, true, 9223372036854775807ull},
        {"9223372036854775808", 9223372036854775807ull, false, 0},
        {"5", 0, false, 0},
        {"5", 4, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned long long value = 77;
        bool ok = slice_to_u64(slice_of(cases[i].text), cases[i].max, &value);
        CHECK_FOR(cases[i].text, ok == cases[i].ok);
        CHECK_FOR(cases[i].text, value == (cases[i].ok ? cases[i].value : 77));
    }
}

static const struct check_case cases[] = {
    {"compares with and without case", compares},
    {"is made from text", is_made_from_text},
    {"knows prefixes", knows_prefixes},
    {"cuts the front", cuts_the_front},
    {"trims blanks", trims_blanks},
    {"walks comma-separated lists", walks_lists},
    {"reads numbers within bounds", reads_numbers},
};

CHECK_MAIN("base/slice", cases)
