/*
 * tests/fuzz/fuzz_uri.c - normalising paths: never above the root, no dot segments left, and stable.
 */
#include "tests/fuzz/fuzz.h"

#include "http/wire/chars.h"
#include "http/wire/uri.h"

static void check_normal(struct slice path, bool merged)
{
    FUZZ_CHECK(path.len > 0 && path.data[0] == '/');
    FUZZ_CHECK(!merged || !memmem(path.data, path.len, "//", 2));
    FUZZ_CHECK(!memmem(path.data, path.len, "/../", 4) && !memmem(path.data, path.len, "/./", 3));
    FUZZ_CHECK(path.len < 2 || memcmp(path.data + path.len - 2, "/.", 2) != 0);
    FUZZ_CHECK(path.len < 3 || memcmp(path.data + path.len - 3, "/..", 3) != 0);
    FUZZ_CHECK(!memchr(path.data, '\0', path.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct slice path, again;
    /* The request parser lets no other byte through. */
    for (size_t i = 0; i < size; i++)
        if (!char_is((char)data[i], CHAR_URI))
            return 0;
    char *raw = malloc(size + 1), *scratch = malloc(size + 1);
    raw[0] = '/';
    if (size)
        memcpy(raw + 1, data, size);
    if (http_normalize_path((struct slice){raw, size + 1}, true, scratch, &path)) {
        check_normal(path, true);
        FUZZ_CHECK(path.len <= size + 1);
        arena_init(&arena, 1024);
        struct slice encoded = http_encode_path(&arena, path);
        char *more = malloc(encoded.len);
        FUZZ_CHECK(http_normalize_path(encoded, true, more, &again));
        FUZZ_CHECK(slice_eq(path, again));
        free(more);
        arena_free(&arena);
    }
    if (http_normalize_path((struct slice){raw, size + 1}, false, scratch, &path))
        check_normal(path, false);
    free(raw);
    free(scratch);
    return 0;
}
