/*
 * tests/unit/http/wire/test_range.c - byte ranges, and conditional requests in the order of RFC 9110 section 13.2.2.
 */
#include "http/wire/range.h"

#include "tests/unit/check.h"

enum { RANGES_MAX = 64 /* the default of max_ranges */ };

static const char etag_text[] = "\"5f-a\"";
static const time_t modified = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT */

/* The ranges of a header over `size` bytes as text: "0-1 5-9", "ignore", "416". */
static const char *ranges_of(const char *value, uint64_t size)
{
    static char text[2000];
    struct http_range ranges[RANGES_MAX];
    int count = 0;
    switch (http_parse_ranges(slice_of(value), size, ranges, RANGES_MAX, &count)) {
    case HTTP_RANGES_IGNORE:
        return "ignore";
    case HTTP_RANGES_UNSATISFIABLE:
        return "416";
    default:
        break;
    }
    size_t n = 0;
    for (int i = 0; i < count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%llu-%llu", i ? " " : "",
                              (unsigned long long)ranges[i].first, (unsigned long long)ranges[i].last);
    return text;
}

static void ranges_of_a_hundred_bytes(void)
{
    static const struct {
        const char *value, *wanted;
    } cases[] = {
        {"bytes=0-0", "0-0"},
        {"bytes=0-99", "0-99"},
        {"bytes=0-", "0-99"},
        {"bytes=99-", "99-99"},
        {"bytes=10-19", "10-19"},
        {"bytes=10-1000000", "10-99"},
        {"bytes=-1", "99-99"},
        {"bytes=-100", "0-99"},
        {"bytes=-1000", "0-99"},
        {"BYTES=0-1", "0-1"},
        {"bytes=0-1,5-9", "0-1 5-9"},
        {"bytes= 0-1 ,, 5-9 ,", "0-1 5-9"},
        {"bytes=5-9,0-1", "5-9 0-1"},
        {"bytes=0-1,200-300", "0-1"}, /* what lies outside is left out */
        {"bytes=0-9223372036854775807", "0-99"},
        {"bytes=100-", "416"},
        {"bytes=100-200", "416"},
        {"bytes=-0", "416"},
        {"bytes=200-300,100-", "416"},
        {"", "ignore"},
        {"bytes", "ignore"},
        {"lines=0-1", "ignore"},
        {"bytes 0-1", "ignore"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *got = ranges_of(cases[i].value, 100);
        char seen[300];
        snprintf(seen, sizeof seen, "%s\" gave \"%s", cases[i].value, got);
        CHECK_FOR(seen, strcmp(got, cases[i].wanted) == 0);
    }
}

/* Nothing of a malformed header is served as a range; whether it is 416 or the whole is left open by the RFC. */
static void malformed_ranges_are_not_served(void)
{
    static const char *const values[] = {"bytes=",
                                         "bytes=,",
                                         "bytes=a-b",
                                         "bytes=1",
                                         "bytes=--1",
                                         "bytes=2-1",
                                         "bytes=1-2-3",
                                         "bytes=-",
                                         "bytes=0x0-0x1",
                                         "bytes=0-1,x",
                                         "bytes=+1-2",
                                         "bytes=1.0-2",
                                         "bytes=0-1;5-6",
                                         "bytes=99999999999999999999-",
                                         "bytes=0-99999999999999999999"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        const char *got = ranges_of(values[i], 100);
        CHECK_FOR(values[i], strcmp(got, "416") == 0 || strcmp(got, "ignore") == 0);
    }
}

static void an_empty_body_has_no_ranges(void)
{
    CU_ASSERT_STRING_EQUAL(ranges_of("bytes=0-", 0), "416");
    CU_ASSERT_STRING_EQUAL(ranges_of("bytes=0-0", 0), "416");
    CU_ASSERT_STRING_EQUAL(ranges_of("bytes=-1", 0), "416");
}

static void greedy_headers_are_ignored(void)
{
    char value[1000];
    size_t n = (size_t)snprintf(value, sizeof value, "bytes=");
    for (int i = 0; i < RANGES_MAX + 1; i++)
        n += (size_t)snprintf(value + n, sizeof value - n, "%d-%d,", i, i);
    CU_ASSERT_STRING_EQUAL(ranges_of(value, 100), "ignore");
    CU_ASSERT_STRING_EQUAL(ranges_of("bytes=0-99,0-99", 100), "ignore"); /* together more than there is */
    CU_ASSERT_STRING_EQUAL(ranges_of("bytes=0-,1-,2-,3-", 100), "ignore");
    CU_ASSERT_STRING_EQUAL(ranges_of("bytes=0-49,50-99", 100), "0-49 50-99");
}

/* A request with these headers, each given as "Name: value". */
static void make_request(struct http_request *req, const char *const *headers)
{
    static struct http_header room[8];
    req->headers = room;
    req->header_count = 0;
    for (; *headers; headers++) {
        const char *colon = strchr(*headers, ':');
        req->headers[req->header_count++] =
            (struct http_header){{*headers, (size_t)(colon - *headers)}, slice_trim(slice_of(colon + 1))};
    }
}

#define CONDITION(...) condition((const char *const[]){__VA_ARGS__, NULL})

static enum http_condition condition(const char *const *headers)
{
    static struct http_request req;
    make_request(&req, headers);
    return http_check_conditions(&req, slice_of(etag_text), modified, HTTP_SINCE_EXACT);
}

static void none_match_compares_weakly(void)
{
    CHECK_NUMBER(CONDITION("If-None-Match: \"5f-a\""), HTTP_NOT_MODIFIED);
    CHECK_NUMBER(CONDITION("If-None-Match: W/\"5f-a\""), HTTP_NOT_MODIFIED);
    CHECK_NUMBER(CONDITION("If-None-Match: \"x\", W/\"y\" ,\"5f-a\""), HTTP_NOT_MODIFIED);
    CHECK_NUMBER(CONDITION("If-None-Match: *"), HTTP_NOT_MODIFIED);
    CHECK_NUMBER(CONDITION("If-None-Match: \"x\""), HTTP_CONDITION_NONE);
    CHECK_NUMBER(CONDITION("If-None-Match: 5f-a"), HTTP_CONDITION_NONE);
    CHECK_NUMBER(CONDITION("If-None-Match:"), HTTP_CONDITION_NONE);
}

static void match_compares_strongly(void)
{
    CHECK_NUMBER(CONDITION("If-Match: \"5f-a\""), HTTP_CONDITION_NONE);
    CHECK_NUMBER(CONDITION("If-Match: \"x\",\"5f-a\""), HTTP_CONDITION_NONE);
    CHECK_NUMBER(CONDITION("If-Match: *"), HTTP_CONDITION_NONE);
    CHECK_NUMBER(CONDITION("If-Match: W/\"5f-a\""), HTTP_PRECONDITION_FAILED);
    CHECK_NUMBER(CONDITION("If-Match: \"x\""), HTTP_PRECONDITION_FAILED);
}

static void dates_are_compared(void)
{
    CHECK_NUMBER(CONDITION("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"), HTTP_NOT_MODIFIED);
    CHECK_NUMBER(CONDITION("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT"), HTTP_NOT_MODIFIED);
    CHECK_NUMBER(CONDITION("If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT"), HTTP_CONDITION_NONE);
    CHECK_NUMBER(CONDITION("If-Modified-Since: yesterday"), HTTP_CONDITION_NONE);
    CHECK_NUMBER(CONDITION("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"), HTTP_CONDITION_NONE);
    CHECK_NUMBER(CONDITION("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:38 GMT"), HTTP_CONDITION_NONE);
    CHECK_NUMBER(CONDITION("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT"), HTTP_PRECONDITION_FAILED);
    CHECK_NUMBER(CONDITION("If-Unmodified-Since: yesterday"), HTTP_CONDITION_NONE);
}

static void the_order_of_precedence(void)
{
    CHECK_NUMBER(CONDITION("If-Match: \"5f-a\"", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT"),
                 HTTP_CONDITION_NONE); /* the date is ignored beside If-Match */
    CHECK_NUMBER(CONDITION("If-None-Match: \"x\"", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"),
                 HTTP_CONDITION_NONE); /* and beside If-None-Match */
    CHECK_NUMBER(CONDITION("If-Match: \"x\"", "If-None-Match: \"5f-a\""), HTTP_PRECONDITION_FAILED);
    CHECK_NUMBER(CONDITION("If-Match: *", "If-None-Match: *"), HTTP_NOT_MODIFIED);
    CHECK_NUMBER(CONDITION("X: y"), HTTP_CONDITION_NONE);
}

static bool if_range(const char *header)
{
    static struct http_request req;
    make_request(&req, (const char *const[]){header, NULL});
    return http_if_range_matches(&req, slice_of(etag_text), modified);
}

static void if_range_wants_exactly_this_version(void)
{
    CU_ASSERT(if_range("Range: bytes=0-1"));
    CU_ASSERT(if_range("If-Range: \"5f-a\""));
    CU_ASSERT(!if_range("If-Range: W/\"5f-a\""));
    CU_ASSERT(!if_range("If-Range: \"x\""));
    CU_ASSERT(!if_range("If-Range: *"));
    CU_ASSERT(!if_range("If-Range:"));
    CU_ASSERT(if_range("If-Range: Sun, 06 Nov 1994 08:49:37 GMT"));
    CU_ASSERT(!if_range("If-Range: Sun, 06 Nov 1994 08:49:38 GMT"));
    CU_ASSERT(!if_range("If-Range: Sun, 06 Nov 1994 08:49:36 GMT"));
}

static const struct check_case cases[] = {
    {"ranges of a hundred bytes", ranges_of_a_hundred_bytes},
    {"malformed ranges are not served", malformed_ranges_are_not_served},
    {"an empty body has no ranges", an_empty_body_has_no_ranges},
    {"greedy headers are ignored", greedy_headers_are_ignored},
    {"If-None-Match compares weakly", none_match_compares_weakly},
    {"If-Match compares strongly", match_compares_strongly},
    {"dates are compared", dates_are_compared},
    {"the order of precedence", the_order_of_precedence},
    {"If-Range wants exactly this version", if_range_wants_exactly_this_version},
};

CHECK_MAIN("http/range", cases)
