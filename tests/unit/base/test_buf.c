/*
 * tests/unit/base/test_buf.c - the growable buffer, checked against a plain array that holds the same bytes.
 */
#include "base/buf.h"
#include "tests/unit/check.h"

static void appends_and_consumes(void)
{
    struct buf b = {0};
    CHECK_NUMBER(buf_len(&b), 0);
    CU_ASSERT(buf_append(&b, "hello ", 6));
    CU_ASSERT(buf_append_slice(&b, SLICE("world")));
    CHECK_SLICE(buf_slice(&b), "hello world");
    buf_consume(&b, 6);
    CHECK_SLICE(buf_slice(&b), "world");
    buf_consume(&b, 5);
    CHECK_NUMBER(buf_len(&b), 0);
    CHECK_NUMBER(b.start, 0); /* an empty buffer starts over */
    CU_ASSERT(buf_append(&b, NULL, 0));
    buf_free(&b);
    CU_ASSERT_PTR_NULL(b.data);
}

static void an_empty_buffer_has_an_empty_slice(void)
{
    struct buf b = {0};
    CHECK_NUMBER(buf_slice(&b).len, 0);
    buf_consume(&b, 0);
    buf_free(&b);
}

static void moves_instead_of_growing(void)
{
    struct buf b = {0};
    CU_ASSERT(buf_reserve(&b, 200));
    size_t cap = b.cap;
    while (buf_len(&b) < cap)
        buf_append(&b, "x", 1);
    buf_consume(&b, cap / 2);
    CU_ASSERT(buf_reserve(&b, cap / 2));
    CHECK_NUMBER(b.cap, cap);
    CHECK_NUMBER(b.start, 0);
    CHECK_NUMBER(buf_len(&b), cap - cap / 2);
    CU_ASSERT(buf_reserve(&b, cap)); /* and grows when that is not enough */
    CU_ASSERT(b.cap > cap);
    CHECK_NUMBER(buf_len(&b), cap - cap / 2);
    buf_free(&b);
}

static void prints(void)
{
    struct buf b = {0};
    CU_ASSERT(buf_printf(&b, "%d %s", 5, "five"));
    CU_ASSERT(buf_printf(&b, "%400s.", "")); /* more than its first size */
    CHECK_NUMBER(buf_len(&b), 6 + 401);
    CU_ASSERT(slice_starts(buf_slice(&b), SLICE("5 five    ")));
    CHECK_NUMBER(b.data[b.end - 1], '.');
    buf_free(&b);
}

static void refuses_what_no_memory_holds(void)
{
    struct buf b = {0};
    buf_append(&b, "kept", 4);
    CU_ASSERT(!buf_reserve(&b, SIZE_MAX));
    CU_ASSERT(!buf_reserve(&b, SIZE_MAX / 2));
    CHECK_SLICE(buf_slice(&b), "kept");
    buf_free(&b);
}

static void holds_what_a_plain_array_would(void)
{
    enum { BYTES = 100000 };
    static unsigned char all[BYTES];
    struct buf b = {0};
    uint64_t seed = 88172645463325252ull;
    size_t in = 0, out = 0, wrong = 0;
    for (size_t i = 0; i < BYTES; i++)
        all[i] = (unsigned char)check_random(&seed);
    while (out < BYTES) {
        size_t n = check_random(&seed) % 700, take = check_random(&seed) % 700;
        n = n < BYTES - in ? n : BYTES - in;
        CU_ASSERT_FATAL(buf_append(&b, all + in, n));
        in += n;
        take = take < buf_len(&b) ? take : buf_len(&b);
        wrong += take && memcmp(b.data + b.start, all + out, take) != 0;
        buf_consume(&b, take);
        out += take;
        wrong += buf_len(&b) != in - out || b.start > b.end || b.end > b.cap;
    }
    CHECK_NUMBER(wrong, 0);
    buf_free(&b);
}

static void writes_json(void)
{
    struct buf b = {0};
    CU_ASSERT(buf_append_json(&b, SLICE("a\"b\\c\n\x01 \xc3\xa9 \xff \xe2\x82")));
    CHECK_SLICE(buf_slice(&b), "a\\\"b\\\\c\\u000a\\u0001 \xc3\xa9 \\ufffd \\ufffd\\ufffd");
    buf_free(&b);
    CU_ASSERT(buf_append_json(&b, SLICE("")));
    CHECK_NUMBER(buf_len(&b), 0);
    buf_free(&b);
}

static const struct check_case cases[] = {
    {"appends and consumes", appends_and_consumes},
    {"an empty buffer has an empty slice", an_empty_buffer_has_an_empty_slice},
    {"moves instead of growing", moves_instead_of_growing},
    {"prints", prints},
    {"writes JSON", writes_json},
    {"refuses what no memory holds", refuses_what_no_memory_holds},
    {"holds what a plain array would", holds_what_a_plain_array_would},
};

CHECK_MAIN("base/buf", cases)
