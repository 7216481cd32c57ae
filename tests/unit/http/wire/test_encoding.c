/*
 * tests/unit/http/wire/test_encoding.c - Accept-Encoding: lists on one line and on several, weights, and what is no weight.
 */
#include "http/wire/encoding.h"

#include "tests/unit/http/wire/head_help.h"

static bool accepts(const char *first, const char *second)
{
    char head[1000];
    snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: %s\r\nX: y\r\n%s%s%s\r\n",
             first, second ? "ACCEPT-encoding: " : "", second ? second : "", second ? "\r\n" : "");
    const struct parsed_head *v = verdict_on(head);
    CHECK_FOR(head, v->status == 0);
    return http_accepts_gzip(&v->req);
}

static void what_takes_gzip(void)
{
    static const char *const values[] = {"gzip",
                                         "GZIP",
                                         "gzip;q=1",
                                         "gzip;Q=1",
                                         "gzip;q=0.001",
                                         "gzip;q=1.000",
                                         "gzip;q=1.",
                                         "gzip ; q=0.5",
                                         "gzip,",
                                         ", ,gzip",
                                         "br, gzip",
                                         "br;q=0,gzip;q=0.9",
                                         "*",
                                         "*;q=0.5",
                                         "br, *;Q=0.1",
                                         "identity, *",
                                         "gzip, *;q=0",
                                         "*;q=0, gzip",
                                         "deflate, gzip",
                                         "br;q=x, gzip"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        CHECK_FOR(values[i], accepts(values[i], NULL));
}

static void what_does_not(void)
{
    static const char *const values[] = {"",
                                         "br",
                                         "x-gzip",
                                         "gzipx",
                                         "identity",
                                         "gzip;q=0",
                                         "gzip;Q=0",
                                         "*;q=0",
                                         "*;Q=0",
                                         "gzip;q=0.",
                                         "gzip;q=0.000",
                                         "gzip; Q=0.0",
                                         "gzip ;\tq=0",
                                         "gzip;q=0, *",
                                         "*, gzip;q=0",
                                         "gzip, gzip;q=0",
                                         "gzip;q=0, gzip"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        CHECK_FOR(values[i], !accepts(values[i], NULL));
}

static void what_is_no_weight_takes_nothing(void)
{
    static const char *const weights[] = {
        "",         "q",        "q=",      "q=-1",   "q=a",   "q=.5",  "q=0.5x",  "q=1.001", "q=0.0000",
        "q=0.0001", "q=1.0000", "q=2",     "q=10",   "q=00",  "q=01",  "q = 0.5", "q =1",    "q= 1",
        "x=1",      "q=1;x=1",  "q=\"1\"", "q=1.0.", "q=1,0", "q=0x1", "q=inf",   "qq=0.5",  "q=0,5"};
    char value[100];
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        /* Its first part is a weight, and what follows another coding. */
        bool list = strchr(weights[i], ',');
        snprintf(value, sizeof value, "gzip;%s", weights[i]);
        CHECK_FOR(value, accepts(value, NULL) == (list && weights[i][2] == '1'));
        snprintf(value, sizeof value, "*;%s", weights[i]);
        CHECK_FOR(value, accepts(value, NULL) == (list && weights[i][2] == '1'));
    }
}

static void several_lines_are_one_list(void)
{
    CU_ASSERT(accepts("br", "gzip"));
    CU_ASSERT(accepts("", "gzip"));
    CU_ASSERT(accepts("gzip", "br"));
    CU_ASSERT(accepts("*;q=0", "gzip"));
    CU_ASSERT(!accepts("gzip", "gzip;q=0"));
    CU_ASSERT(!accepts("gzip;q=0", "gzip"));
    CU_ASSERT(!accepts("*", "gzip;q=0"));
    CU_ASSERT(!accepts("gzip;q=0", "*"));
    CU_ASSERT(!accepts("br", "identity"));
}

static const struct check_case cases[] = {
    {"what takes gzip", what_takes_gzip},
    {"what does not", what_does_not},
    {"what is no weight takes nothing", what_is_no_weight_takes_nothing},
    {"several lines are one list", several_lines_are_one_list},
};

CHECK_MAIN("http/encoding", cases)
