/*
 * tests/unit/base/test_arena.c - bump allocation: alignment, growth, oversized blocks, reuse after a reset.
 */
#include "base/arena.h"
#include "tests/unit/check.h"

#include <stdalign.h>
#include <stddef.h>

enum { CHUNK = 1024 };

static void aligns_every_size(void)
{
    struct arena a;
    arena_init(&a, CHUNK);
    for (size_t size = 0; size < 200; size++) {
        char *p = arena_alloc(&a, size);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        CHECK_NUMBER((uintptr_t)p % alignof(max_align_t), 0);
        memset(p, (int)size, size); /* AddressSanitizer sees what does not fit */
    }
    arena_free(&a);
}

static void keeps_blocks_apart(void)
{
    enum { BLOCKS = 300 };
    struct arena a;
    unsigned char *blocks[BLOCKS];
    arena_init(&a, CHUNK);
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = arena_alloc(&a, 1 + i * 7 % 90);
        CU_ASSERT_PTR_NOT_NULL_FATAL(blocks[i]);
        memset(blocks[i], (int)(i % 251), 1 + i * 7 % 90);
    }
    size_t wrong = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        for (size_t k = 0; k < 1 + i * 7 % 90; k++)
            wrong += blocks[i][k] != i % 251;
    CHECK_NUMBER(wrong, 0);
    arena_free(&a);
}

static void zeroes_on_demand(void)
{
    struct arena a;
    arena_init(&a, CHUNK);
    memset(arena_alloc(&a, 500), 0xff, 500);
    arena_reset(&a);
    unsigned char *p = arena_zalloc(&a, 500);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    size_t set = 0;
    for (size_t i = 0; i < 500; i++)
        set += p[i] != 0;
    CHECK_NUMBER(set, 0);
    arena_free(&a);
}

static void copies_text_with_a_zero(void)
{
    struct arena a;
    arena_init(&a, CHUNK);
    struct slice copy = arena_dup(&a, SLICE("a\0b"));
    CHECK_NUMBER(copy.len, 3);
    CU_ASSERT(memcmp(copy.data, "a\0b", 4) == 0);
    struct slice both = arena_join(&a, SLICE("/a\0"), SLICE("b")),
                 none = arena_join(&a, (struct slice){0}, (struct slice){0});
    CU_ASSERT(slice_eq(both, SLICE("/a\0b")) && both.data[both.len] == '\0');
    CU_ASSERT(slice_eq(arena_join(&a, (struct slice){0}, SLICE("b")), SLICE("b")));
    CU_ASSERT(none.data && none.len == 0 && none.data[0] == '\0');
    struct slice empty = arena_dup(&a, (struct slice){0});
    CHECK_SLICE(empty, "");
    CHECK_NUMBER(empty.data[0], 0);
    arena_free(&a);
}

static void prints(void)
{
    struct arena a;
    arena_init(&a, 64);
    CHECK_SLICE(arena_printf(&a, "%s-%d", "n", 42), "n-42");
    CHECK_SLICE(arena_printf(&a, "%s", ""), "");
    struct slice wide = arena_printf(&a, "%500d", 7); /* wider than a chunk */
    CHECK_NUMBER(wide.len, 500);
    CHECK_NUMBER(strlen(wide.data), 500);
    arena_free(&a);
}

static void oversized_blocks_do_not_end_the_current_chunk(void)
{
    struct arena a;
    arena_init(&a, CHUNK);
    char *first = arena_alloc(&a, 16);
    char *large = arena_alloc(&a, 10 * CHUNK);
    char *second = arena_alloc(&a, 16);
    CU_ASSERT_PTR_NOT_NULL_FATAL(large);
    memset(large, 1, (size_t)10 * CHUNK);
    CU_ASSERT_PTR_EQUAL(second, first + 16);
    arena_free(&a);
}

static void reset_keeps_the_first_chunk(void)
{
    struct arena a;
    arena_init(&a, CHUNK);
    void *first = arena_alloc(&a, 100);
    struct arena_chunk *chunk = a.chunks;
    for (int i = 0; i < 50; i++)
        (void)arena_alloc(&a, 100);
    arena_reset(&a);
    CU_ASSERT_PTR_EQUAL(a.chunks, chunk);
    CU_ASSERT_PTR_EQUAL(arena_alloc(&a, 100), first);
    arena_free(&a);
}

/* "Frees all but the first ordinary chunk, so that a reused arena allocates nothing": large blocks do not change it. */
static void reset_keeps_the_first_chunk_beside_large_blocks(void)
{
    struct arena a;
    arena_init(&a, CHUNK);
    void *first = arena_alloc(&a, 100);
    struct arena_chunk *chunk = a.chunks;
    (void)arena_alloc(&a, 5 * CHUNK);
    arena_reset(&a);
    CU_ASSERT_PTR_EQUAL(a.chunks, chunk);
    CU_ASSERT_PTR_EQUAL(arena_alloc(&a, 100), first);
    arena_free(&a);
}

static void a_large_first_block_is_given_back(void)
{
    struct arena a;
    arena_init(&a, CHUNK);
    (void)arena_alloc(&a, 5 * CHUNK);
    arena_reset(&a);
    char *p = arena_alloc(&a, CHUNK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    memset(p, 1, CHUNK);
    arena_free(&a);
}

static void refuses_sizes_that_wrap(void)
{
    struct arena a;
    arena_init(&a, CHUNK);
    for (size_t below = 0; below < 31; below++)
        CU_ASSERT_PTR_NULL(arena_alloc(&a, SIZE_MAX - below));
    CU_ASSERT_PTR_NULL(arena_zalloc(&a, SIZE_MAX));
    CU_ASSERT_PTR_NOT_NULL(arena_alloc(&a, 16)); /* and goes on */
    arena_free(&a);
}

static void free_and_reset_are_harmless_on_nothing(void)
{
    struct arena a;
    arena_init(&a, CHUNK);
    arena_reset(&a);
    arena_free(&a);
    arena_free(&a);
    CU_ASSERT_PTR_NOT_NULL(arena_alloc(&a, 8)); /* may be used again */
    arena_free(&a);
}

static const struct check_case cases[] = {
    {"aligns every size", aligns_every_size},
    {"keeps blocks apart", keeps_blocks_apart},
    {"zeroes on demand", zeroes_on_demand},
    {"copies text with a zero behind it", copies_text_with_a_zero},
    {"prints", prints},
    {"oversized blocks do not end the current chunk", oversized_blocks_do_not_end_the_current_chunk},
    {"reset keeps the first chunk", reset_keeps_the_first_chunk},
    {"reset keeps the first chunk beside large blocks", reset_keeps_the_first_chunk_beside_large_blocks},
    {"a large first block is given back", a_large_first_block_is_given_back},
    {"refuses sizes that wrap", refuses_sizes_that_wrap},
    {"free and reset are harmless on nothing", free_and_reset_are_harmless_on_nothing},
};

CHECK_MAIN("base/arena", cases)
