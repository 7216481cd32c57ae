/*
 * tests/unit/shm/test_keyed_table.c - the table of keys: what was added is found and nothing else, cells are used up and
 * used again, the order of use, and making it anew.
 */
#include "tests/unit/shm/keyed_help.h"

enum { SMALL_BYTES = KEYED_BYTES_MIN, KEYS = 200 };

static struct keyed_zone table_with(size_t bytes, uint32_t buckets)
{
    struct keyed_zone z = {.kind = KEYED_REQUESTS, .bytes = bytes, .seed = 4711};
    z.links = aligned_alloc(64, (bytes + 63) / 64 * 64);
    CU_ASSERT_PTR_NOT_NULL_FATAL(z.links);
    memset(z.links, 0, bytes);
    keyed_table_begin(&z);
    if (buckets)
        z.bucket_count = buckets;
    return z;
}

static void end_table(struct keyed_zone *z)
{
    CHECK_WHOLE(table_fault(z, NULL));
    free(z->links);
}

static void memory_is_divided(void)
{
    static const size_t sizes[] = {32768, 32769, 33000, 65536, 100000, 1 << 20, (1 << 20) + 63, 10 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct keyed_zone z = table_with(sizes[i], 0);
        const char *first = (const char *)z.cells, *end = (const char *)(z.cells + z.cell_count);
        CU_ASSERT((z.bucket_count & (z.bucket_count - 1)) == 0);
        CU_ASSERT(first >= (const char *)(z.buckets + z.bucket_count));
        CU_ASSERT((uintptr_t)first % 64 == 0);
        CU_ASSERT(end <= (const char *)z.links + z.bytes);
        CU_ASSERT(z.cell_count >= sizes[i] / 64 * 9 / 10); /* the index takes a small part only */
        end_table(&z);
    }
}

/* --- finding --- */

static void keys_of_each_length(void)
{
    static const size_t lengths[] = {0, 1, 2, 23, 24, 25, 63, 64, 65, 104, 105, 144, 145, 254, 255};
    enum { COUNT = sizeof lengths / sizeof lengths[0] };
    struct keyed_zone z = table_with(SMALL_BYTES, 0);
    struct check_guarded room = check_guarded_new(KEYED_KEY_MAX);
    char text[KEYED_KEY_MAX] = {0}; /* all are prefixes of the longest one */
    uint32_t cells[COUNT];
    for (int i = 0; i < COUNT; i++) {
        struct slice key = {text, lengths[i]};
        key.data = check_guarded_at_end(&room, key);
        CHECK_NUMBER(keyed_find(&z, key), 0);
        cells[i] = keyed_find_or_add(&z, key);
        CU_ASSERT(cells[i] != 0);
        CHECK_NUMBER(keyed_find_or_add(&z, key), cells[i]);
        CHECK_NUMBER(keyed_cell_of(&z, cells[i])->key_len, lengths[i]);
    }
    CHECK_WHOLE(table_fault(&z, NULL));
    for (int i = 0; i < COUNT; i++) {
        struct slice key = {text, lengths[i]};
        CHECK_NUMBER(keyed_find(&z, key), cells[i]);
        keyed_remove(&z, cells[i]);
        CHECK_NUMBER(keyed_find(&z, key), 0);
        CHECK_WHOLE(table_fault(&z, NULL));
    }
    CHECK_NUMBER(z.links->oldest, 0);
    check_guarded_free(&room);
    end_table(&z);
}

static void every_byte_counts(void)
{
    struct keyed_zone z = table_with(SMALL_BYTES, 0);
    char text[KEYED_KEY_MAX] = {0};
    struct slice key = {text, sizeof text};
    CU_ASSERT(keyed_find_or_add(&z, key) != 0);
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = 1;
        CHECK_NUMBER(keyed_find(&z, key), 0);
        text[i] = 0;
    }
    CU_ASSERT(keyed_find(&z, key) != 0);
    end_table(&z);
}

static void colliding_keys(void)
{
    enum { COUNT = 40 };
    struct keyed_zone z = table_with(SMALL_BYTES, 1);
    char text[KEYED_KEY_MAX];
    for (unsigned i = 0; i < COUNT; i++)
        CU_ASSERT(keyed_find_or_add(&z, key_number(i, text)) != 0);
    CHECK_WHOLE(table_fault(&z, NULL));
    for (unsigned i = 0; i < COUNT; i++) { /* from the ends and from the middle */
        unsigned gone = i * 17 % COUNT;
        keyed_remove(&z, keyed_find(&z, key_number(gone, text)));
        for (unsigned k = 0; k < COUNT; k++) {
            bool there = keyed_find(&z, key_number(k * 17 % COUNT, text)) != 0;
            if (there != (k > i))
                CHECK_NUMBER(there, k > i);
        }
        CHECK_WHOLE(table_fault(&z, NULL));
    }
    end_table(&z);
}

/* --- room --- */

static uint32_t fill(struct keyed_zone *z, unsigned first)
{
    uint32_t count = 0;
    char text[8];
    for (; count <= z->cell_count; count++) {
        unsigned number = first + count;
        memcpy(text, &number, sizeof number);
        if (!keyed_find_or_add(z, (struct slice){text, sizeof number}))
            break;
    }
    return count;
}

static void cells_are_used_up_and_used_again(void)
{
    struct keyed_zone z = table_with(SMALL_BYTES, 0);
    char text[KEYED_KEY_MAX];
    struct slice long_key = key_number(7, text);
    CHECK_NUMBER(fill(&z, 0), z.cell_count);
    CHECK_NUMBER(keyed_find_or_add(&z, long_key), 0);
    CHECK_WHOLE(table_fault(&z, NULL));
    for (int i = 0; i < 6; i++)
        keyed_remove(&z, z.links->oldest);
    CHECK_NUMBER(keyed_find_or_add(&z, long_key), 0); /* it needs seven */
    CHECK_WHOLE(table_fault(&z, NULL));
    keyed_remove(&z, z.links->oldest);
    CU_ASSERT(keyed_find_or_add(&z, long_key) != 0);
    CHECK_NUMBER(fill(&z, 100000), 0);
    keyed_remove(&z, keyed_find(&z, long_key));
    CHECK_NUMBER(fill(&z, 100000), 7);
    while (z.links->oldest)
        keyed_remove(&z, z.links->oldest);
    CHECK_NUMBER(fill(&z, 200000), z.cell_count);
    CHECK_NUMBER(z.links->used, z.cell_count);
    end_table(&z);
}

static void at_random(void)
{
    struct keyed_zone z = table_with(SMALL_BYTES, 0);
    uint64_t random = 88172645463325252u;
    bool there[KEYS] = {0};
    char text[KEYED_KEY_MAX];
    for (int i = 0; i < 20000; i++) {
        unsigned number = (unsigned)(check_random(&random) % KEYS);
        struct slice key = key_number(number, text);
        uint32_t cell = keyed_find(&z, key);
        if ((cell != 0) != there[number])
            CHECK_NUMBER(cell != 0, there[number]);
        if (!cell)
            there[number] = keyed_find_or_add(&z, key) != 0;
        else if (check_random(&random) % 2)
            keyed_touch(&z, cell);
        else
            keyed_remove(&z, cell), there[number] = false;
        if (i % 100 == 0)
            CHECK_WHOLE(table_fault(&z, NULL));
    }
    end_table(&z);
}

/* --- age --- */

static void check_order(const struct keyed_zone *z, const unsigned *order, int count)
{
    char text[KEYED_KEY_MAX];
    uint32_t at = z->links->oldest;
    int i = 0;
    for (; i < count && at && at == keyed_find(z, key_number(order[i], text)); i++)
        at = keyed_cell_of(z, at)->newer;
    /* So many are in their place, and then there is no other. */
    CHECK_NUMBER(i, count);
    CHECK_NUMBER(at, 0);
}

static void the_order_of_use(void)
{
    struct keyed_zone z = table_with(SMALL_BYTES, 0);
    char text[KEYED_KEY_MAX];
    for (unsigned i = 0; i < 5; i++)
        keyed_find_or_add(&z, key_number(i, text));
    check_order(&z, (unsigned[]){0, 1, 2, 3, 4}, 5);
    keyed_touch(&z, keyed_find(&z, key_number(2, text)));
    check_order(&z, (unsigned[]){0, 1, 3, 4, 2}, 5);
    keyed_touch(&z, keyed_find(&z, key_number(2, text)));
    keyed_touch(&z, keyed_find(&z, key_number(0, text)));
    check_order(&z, (unsigned[]){1, 3, 4, 2, 0}, 5);
    keyed_find_or_add(&z, key_number(3, text)); /* finding is no use */
    check_order(&z, (unsigned[]){1, 3, 4, 2, 0}, 5);
    keyed_remove(&z, keyed_find(&z, key_number(4, text)));
    keyed_remove(&z, z.links->oldest);
    keyed_remove(&z, z.links->newest);
    check_order(&z, (unsigned[]){3, 2}, 2);
    end_table(&z);
}

/* --- making it anew --- */

/* Keys 0 to 31 are used again in an order that is not that of their cells; gets that order. */
static void use_in_another_order(struct keyed_zone *z, unsigned order[32])
{
    char text[KEYED_KEY_MAX];
    for (unsigned i = 0; i < 32; i++)
        keyed_find_or_add(z, key_number(i, text));
    for (unsigned i = 0; i < 32; i++) {
        order[i] = i * 13 % 32;
        uint32_t cell = keyed_find(z, key_number(order[i], text));
        keyed_cell_of(z, cell)->last_us = 1000 + i;
        keyed_cell_of(z, cell)->excess = order[i];
        keyed_touch(z, cell);
    }
}

static void all_keys_outlive_a_rebuild(void)
{
    struct keyed_zone z = table_with(SMALL_BYTES, 0);
    unsigned order[32];
    char text[KEYED_KEY_MAX];
    use_in_another_order(&z, order);
    keyed_remove(&z, keyed_find(&z, key_number(7, text)));
    memset(z.buckets, 0xff, z.bucket_count * sizeof *z.buckets);
    z.links->free = z.links->oldest = z.links->newest = UINT32_MAX; /* nothing of this is believed */
    keyed_table_check(&z);
    keyed_table_rebuild(&z);
    CHECK_WHOLE(table_fault(&z, NULL));
    for (unsigned i = 0; i < 32; i++) {
        uint32_t cell = keyed_find(&z, key_number(i, text));
        CHECK_NUMBER(cell != 0, i != 7);
        if (cell)
            CHECK_NUMBER(keyed_cell_of(&z, cell)->excess, i);
    }
    end_table(&z);
}

static void the_order_of_use_outlives_a_rebuild(void)
{
    struct keyed_zone z = table_with(SMALL_BYTES, 0);
    unsigned order[32];
    use_in_another_order(&z, order);
    keyed_table_check(&z);
    keyed_table_rebuild(&z);
    check_order(&z, order, 32);
    end_table(&z);
}

static void connections_are_kept_as_they_are_counted(void)
{
    struct keyed_zone z = table_with(SMALL_BYTES, 0);
    char text[KEYED_KEY_MAX];
    z.kind = KEYED_CONNECTIONS;
    for (unsigned i = 0; i < 32; i++)
        keyed_cell_of(&z, keyed_find_or_add(&z, key_number(i, text)))->count = 99;
    keyed_table_check(&z);
    for (unsigned i = 0; i < 32; i += 3)
        keyed_cell_of(&z, keyed_find(&z, key_number(i, text)))->count = i + 1;
    keyed_table_rebuild(&z);
    for (unsigned i = 0; i < 32; i++) {
        uint32_t cell = keyed_find(&z, key_number(i, text));
        CHECK_NUMBER(cell ? keyed_cell_of(&z, cell)->count : 0, i % 3 ? 0 : i + 1);
    }
    CHECK_WHOLE(table_fault(&z, NULL));
    end_table(&z);
}

/* As a kill leaves it: cells taken for a long key that never became one, and one that was being removed. */
static void half_made_keys_are_freed(void)
{
    struct keyed_zone z = table_with(SMALL_BYTES, 0);
    char text[KEYED_KEY_MAX];
    for (unsigned i = 0; i < 32; i++)
        keyed_find_or_add(&z, key_number(i, text));
    uint32_t made = keyed_find(&z, key_number(15, text)), going = keyed_find(&z, key_number(7, text));
    keyed_cell_of(&z, made)->kind = KEYED_FREE;
    keyed_cell_of(&z, going)->kind = KEYED_FREE;
    keyed_cell_of(&z, going)->more = 0;
    z.links->used += 3; /* taken, and nothing written yet */
    keyed_table_check(&z);
    keyed_table_rebuild(&z);
    CHECK_WHOLE(table_fault(&z, NULL));
    CHECK_NUMBER(keyed_find(&z, key_number(15, text)), 0);
    CHECK_NUMBER(keyed_find(&z, key_number(7, text)), 0);
    CU_ASSERT(keyed_find(&z, key_number(23, text)) != 0);
    while (z.links->oldest)
        keyed_remove(&z, z.links->oldest);
    CHECK_NUMBER(fill(&z, 0), z.cell_count);
    end_table(&z);
}

/* A link may have changed since it was looked at. */
static void cells_that_cannot_be(void)
{
    struct keyed_zone z = table_with(SMALL_BYTES, 0);
    CU_ASSERT(!keyed_remove(&z, 0));
    CU_ASSERT(!keyed_remove(&z, z.cell_count + 1));
    CU_ASSERT(!keyed_remove(&z, UINT32_MAX));
    end_table(&z);
}

static const struct check_case cases[] = {
    {"memory is divided", memory_is_divided},
    {"cells that cannot be", cells_that_cannot_be},
    {"keys of each length", keys_of_each_length},
    {"every byte counts", every_byte_counts},
    {"colliding keys", colliding_keys},
    {"cells are used up and used again", cells_are_used_up_and_used_again},
    {"at random", at_random},
    {"the order of use", the_order_of_use},
    {"all keys outlive a rebuild", all_keys_outlive_a_rebuild},
    {"the order of use outlives a rebuild", the_order_of_use_outlives_a_rebuild},
    {"connections are kept as they are counted", connections_are_kept_as_they_are_counted},
    {"half-made keys are freed", half_made_keys_are_freed},
};

CHECK_MAIN("shm/keyed_table", cases)
