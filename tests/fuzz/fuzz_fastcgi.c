/*
 * tests/fuzz/fuzz_fastcgi.c - FastCGI's records, both ways: what comes in pieces of any length is what comes at once, what has been
 * written as records is what was in them, and a script's head is found or refused without a look beyond its end.
 */
#include "tests/fuzz/fuzz.h"

#include "http/wire/fastcgi.h"
#include "http/wire/response_head.h"

/* All that the records have for stdout; *ok says whether they were some. */
static struct buf read_in_pieces(const uint8_t *data, size_t size, size_t piece, struct fastcgi_reader *r,
                                 bool *ok)
{
    struct buf all = {0};
    *ok = true;
    for (size_t at = 0; *ok && at < size; at += piece) {
        size_t now = size - at < piece ? size - at : piece, left = 0;
        const char *why = NULL;
        char *copy = fuzz_copy(data + at, now);
        *ok = fastcgi_read(r, copy, now, &left, &why);
        FUZZ_CHECK(left <= now && (*ok || why));
        FUZZ_CHECK(buf_len(&r->errors) <= FASTCGI_ERRORS_BYTES);
        if (left)
            FUZZ_CHECK(buf_append(&all, copy, left));
        free(copy);
    }
    return all;
}

static void compare(const uint8_t *data, size_t size, size_t piece)
{
    struct fastcgi_reader one = {0}, other = {0};
    bool ok, other_ok;
    struct buf all = read_in_pieces(data, size, size ? size : 1, &one, &ok);
    struct buf parts = read_in_pieces(data, size, piece, &other, &other_ok);
    FUZZ_CHECK(ok == other_ok && one.is_over == other.is_over && one.output_is_over == other.output_is_over);
    /* Of what is refused less may have been passed on before. */
    FUZZ_CHECK(!ok || (buf_len(&all) == buf_len(&parts)));
    if (ok && buf_len(&all))
        FUZZ_CHECK(memcmp(all.data + all.start, parts.data + parts.start, buf_len(&all)) == 0);
    fastcgi_reader_free(&one);
    fastcgi_reader_free(&other);
    buf_free(&all);
    buf_free(&parts);
}

/* Of bytes as a script's stdout. */
static void go_there_and_back(const uint8_t *data, size_t size)
{
    struct buf out = {0};
    struct fastcgi_reader r = {0};
    bool ok;
    FUZZ_CHECK(fastcgi_write_stream(&out, FASTCGI_STDOUT, (struct slice){(const char *)data, size}));
    FUZZ_CHECK(fastcgi_write_end(&out, FASTCGI_STDOUT) && buf_len(&out) % 8 == 0);
    struct slice text = buf_slice(&out);
    struct buf back = read_in_pieces((const uint8_t *)text.data, text.len, text.len, &r, &ok);
    FUZZ_CHECK(ok && r.output_is_over && !r.is_over && buf_len(&back) == size);
    FUZZ_CHECK(size == 0 || memcmp(back.data + back.start, data, size) == 0);
    fastcgi_reader_free(&r);
    buf_free(&back);
    buf_free(&out);
}

static void look_for_head(const uint8_t *data, size_t size)
{
    static struct http_response_head head;
    const char *why = NULL;
    size_t head_len = 0;
    char *copy = fuzz_copy(data, size);
    enum http_response_head_result result =
        size ? http_parse_cgi_head(&head, copy, size, false, &head_len, &why) : HTTP_RESPONSE_HEAD_MORE;
    FUZZ_CHECK(result != HTTP_RESPONSE_HEAD_BAD || why);
    if (result == HTTP_RESPONSE_HEAD_DONE)
        FUZZ_CHECK(head_len > 0 && head_len <= size && head.status >= 200 && head.status <= 599);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    compare(data + 1, size - 1, (size_t)(data[0] % 32) + 1);
    go_there_and_back(data + 1, size - 1);
    look_for_head(data + 1, size - 1);
    return 0;
}
