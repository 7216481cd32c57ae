/*
 * tests/fuzz/fuzz_multipart.c - forms in parts: all that is found lies in the body, in order, and the walk comes to an end.
 *
 * The input is a Content-Type, a zero byte, and a body.
 */
#include "tests/fuzz/fuzz.h"

#include "http/wire/multipart.h"

static void check_inside(struct slice piece, struct slice whole)
{
    FUZZ_CHECK(piece.data >= whole.data && piece.data + piece.len <= whole.data + whole.len);
}

static void check_text(struct slice text)
{
    struct arena arena = {0};
    struct slice plain = http_part_text(&arena, text);
    FUZZ_CHECK(plain.data && plain.len <= text.len);
    arena_free(&arena);
}

static void walk(struct slice body, struct slice boundary)
{
    struct http_part part;
    size_t at = 0, before = 0;
    enum http_part_result result;
    while ((result = http_next_part(body, boundary, &at, &part)) == HTTP_PART_FOUND) {
        FUZZ_CHECK(at > before || before == 0);
        check_inside(part.content, body);
        check_inside(part.name, body);
        check_text(part.name);
        FUZZ_CHECK(part.content.data + part.content.len <= body.data + at + 2);
        if (part.filename.data) {
            check_inside(part.filename, body);
            check_text(part.filename);
        }
        before = at;
    }
    size_t again = at;
    FUZZ_CHECK(http_next_part(body, boundary, &again, &part) == result && again == at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t type_len = zero ? (size_t)(zero - data) : size, body_len = zero ? size - type_len - 1 : 0;
    char *type = fuzz_copy(data, type_len), *body = fuzz_copy(zero ? zero + 1 : data, body_len);
    struct slice boundary = {0};
    if (http_multipart_boundary((struct slice){type, type_len}, &boundary)) {
        FUZZ_CHECK(boundary.len >= 1 && boundary.len <= 70);
        walk((struct slice){body, body_len}, boundary);
    }
    free(type);
    free(body);
    return 0;
}
