/*
 * tests/unit/http/wire/test_grpc.c - types, deadlines and codes of gRPC.
 */
#include "http/wire/grpc.h"

#include "tests/unit/check.h"

static void types(void)
{
    static const char *const are[] = {"application/grpc", "application/grpc+proto", "application/grpc;a=b",
                                      "APPLICATION/GRPC+json"};
    static const char *const are_not[] = {
        "",           "application/grp",  "application/grpc-web", "application/grpcs",
        "text/plain", " application/grpc"};
    for (size_t i = 0; i < sizeof are / sizeof are[0]; i++)
        CHECK_FOR(are[i], grpc_is_type(slice_of(are[i])));
    for (size_t i = 0; i < sizeof are_not / sizeof are_not[0]; i++)
        CHECK_FOR(are_not[i], !grpc_is_type(slice_of(are_not[i])));
}

static void deadlines(void)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: none */
    } cases[] = {{"1S", 1000},
                 {"0S", 0},
                 {"0n", 0},
                 {"1n", 1},
                 {"1000001n", 2},
                 {"99999999n", 100},
                 {"1u", 1},
                 {"1001u", 2},
                 {"5m", 5},
                 {"00000005m", 5},
                 {"2M", 120000},
                 {"1H", 3600000},
                 {"99999999H", 359999996400000},
                 {"", -1},
                 {"S", -1},
                 {"1", -1},
                 {"100000000S", -1},
                 {"000000005m", -1},
                 {"1s", -1},
                 {"1h", -1},
                 {"-1S", -1},
                 {"+1S", -1},
                 {"1.5S", -1},
                 {" 1S", -1},
                 {"1S ", -1},
                 {"1SS", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms = -1;
        bool is_one = grpc_parse_timeout(slice_of(cases[i].text), &ms);
        CHECK_FOR(cases[i].text, is_one == (cases[i].ms >= 0) && ms == cases[i].ms);
    }
}

/* What is written is read as the same time, or where it has no place in the digits as the next one. */
static void deadlines_written(void)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{1, "1m"},
                 {1000, "1000m"},
                 {99999999, "99999999m"},
                 {100000000, "100000S"},
                 {100000001, "100001S"},
                 {99999999000, "99999999S"},
                 {99999999001, "1666667M"},
                 {359999996400000, "99999999H"},
                 {INT64_MAX, "99999999H"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[GRPC_TIMEOUT_BYTES];
        struct slice written = grpc_print_timeout(text, cases[i].ms);
        int64_t ms = 0;
        CHECK_SLICE(written, cases[i].text);
        CHECK_FOR(cases[i].text, grpc_parse_timeout(written, &ms));
        CHECK_FOR(cases[i].text, ms >= cases[i].ms || cases[i].ms == INT64_MAX);
    }
}

static void codes(void)
{
    CHECK_NUMBER(grpc_code_of(503, true), 8);
    CHECK_NUMBER(grpc_code_of(503, false), 14);
    CHECK_NUMBER(grpc_code_of(429, false), 8);
    CHECK_NUMBER(grpc_code_of(502, false), 14);
    CHECK_NUMBER(grpc_code_of(504, false), 4);
    CHECK_NUMBER(grpc_code_of(401, false), 16);
    CHECK_NUMBER(grpc_code_of(418, false), 2);
}

static const struct check_case cases[] = {
    {"types", types}, {"deadlines", deadlines}, {"deadlines written", deadlines_written}, {"codes", codes}};

CHECK_MAIN("http/wire/grpc", cases)
