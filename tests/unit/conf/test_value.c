/*
 * tests/unit/conf/test_value.c - numbers, sizes and times: nginx's units, and what overflows or is no number.
 */
#include "conf/directive.h"

#include "tests/unit/check.h"

enum { BAD = -1 };

struct value_case {
    const char *text;
    int64_t value; /* BAD: refused */
};

static void check_values(bool (*parse)(struct slice, int64_t *), const struct value_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t value = 4711;
        bool ok = parse(slice_of(cases[i].text), &value);
        CHECK_FOR(cases[i].text, ok == (cases[i].value != BAD));
        CHECK_FOR(cases[i].text, value == (cases[i].value != BAD ? cases[i].value : 4711));
    }
}

#define CHECK_VALUES(parse, cases) check_values((parse), (cases), sizeof(cases) / sizeof((cases)[0]))

static void numbers(void)
{
    static const struct value_case cases[] = {{"0", 0},
                                              {"12", 12},
                                              {"9223372036854775807", INT64_MAX},
                                              {"9223372036854775808", BAD},
                                              {"", BAD},
                                              {"-1", BAD},
                                              {"1.5", BAD},
                                              {"1k", BAD},
                                              {" 1", BAD}};
    CHECK_VALUES(conf_parse_number, cases);
}

static void sizes(void)
{
    static const struct value_case cases[] = {
        {"0", 0},
        {"512", 512},
        {"8k", 8192},
        {"8K", 8192},
        {"1m", 1 << 20},
        {"2M", 2 << 20},
        {"3g", 3ll << 30},
        {"1G", 1ll << 30},
        {"8589934591g", 8589934591ll << 30},
        {"8589934592g", BAD},
        {"9007199254740991k", 9007199254740991ll << 10},
        {"9007199254740992k", BAD},
        {"", BAD},
        {"k", BAD},
        {"1kb", BAD},
        {"1t", BAD},
        {"1 k", BAD},
        {"-1k", BAD},
        {"1.5m", BAD},
    };
    CHECK_VALUES(conf_parse_size, cases);
}

static void times(void)
{
    static const struct value_case cases[] = {
        {"0", 0},
        {"1", 1000},
        {"500ms", 500},
        {"2s", 2000},
        {"3m", 180000},
        {"4h", 14400000},
        {"1d", 86400000},
        {"1w", 7 * 86400000ll},
        {"1M", 30 * 86400000ll},
        {"1y", 365 * 86400000ll},
        {"1h30m", 5400000},
        {"1h 30m", 5400000},
        {"1m30", 90000},
        {"1s500ms", 1500},
        {"1y1M1w1d1h1m1s1ms", (365 + 30 + 7 + 1) * 86400000ll + 3661001},
        {"", BAD},
        {"s", BAD},
        {"1x", BAD},
        {"1m1h", BAD}, /* the larger unit comes first, as in nginx */
        {"1s1s", BAD},
        {"1ms1s", BAD},
        {"-1s", BAD},
        {"1.5s", BAD},
        {"1s 2s", BAD},
        {"99999999999999999999", BAD},
        {"1099511627776y", BAD},
        {"500000000y", BAD},
    };
    CHECK_VALUES(conf_parse_time, cases);
}

static void types_have_words(void)
{
    for (int type = CONF_CUSTOM; type <= CONF_ACCEPTED; type++)
        CU_ASSERT(strlen(conf_type_words((enum conf_type_of_value)type)) > 0);
}

static const struct check_case cases[] = {
    {"numbers", numbers},
    {"sizes", sizes},
    {"times", times},
    {"types have words", types_have_words},
};

CHECK_MAIN("conf/value", cases)
