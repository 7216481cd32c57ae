/*
 * tests/unit/http/wire/head_help.h - request heads out of a test's text: scanned and parsed, whole or cut anywhere.
 */
#ifndef WEIR_TESTS_UNIT_HTTP_HEAD_HELP_H
#define WEIR_TESTS_UNIT_HTTP_HEAD_HELP_H

#include "http/wire/request.h"
#include "tests/unit/check.h"

enum { HEAD_BYTES_MAX = 40000 };

/* What became of a head: 0 when it is good, -1 when more bytes are wanted, else the status of the refusal. */
struct parsed_head {
    int status;
    size_t head_len;
    struct http_request req;
    /* What req points to beside the head; until the next call. */
    struct arena arena;
};

static const struct http_head_limits head_limits = {8192, 32768};

/* Scans the first `len` bytes and then some more, in the steps given by `step` (0: all at once), and parses the head. */
static inline void read_head(struct parsed_head *v, const char *data, size_t len, size_t first, size_t step)
{
    struct http_scan scan = {0};
    struct http_error error = {0};
    enum http_scan_result result = HTTP_SCAN_MORE;
    if (v->arena.chunk_bytes)
        arena_free(&v->arena);
    *v = (struct parsed_head){.status = -1};
    arena_init(&v->arena, 1024);
    for (size_t end = first < len ? first : len;; end = step && end + step < len ? end + step : len) {
        result = http_scan_head(&scan, &head_limits, data, end, &v->head_len, &error);
        if (result != HTTP_SCAN_MORE || end == len)
            break;
    }
    if (result == HTTP_SCAN_MORE)
        return;
    bool ok = result == HTTP_SCAN_DONE &&
              http_parse_head(&v->req, &v->arena, data, v->head_len, &http_parse_defaults, &error);
    v->status = ok ? 0 : error.status;
    if (!ok)
        CU_ASSERT_PTR_NOT_NULL(error.text); /* each refusal says why */
}

static inline void read_whole_head(struct parsed_head *v, struct slice text)
{
    read_head(v, text.data, text.len, text.len, 0);
}

/* The verdict on a text; the request that it holds lives until the next call. */
static inline const struct parsed_head *verdict_on(const char *text)
{
    static struct parsed_head v;
    read_whole_head(&v, slice_of(text));
    return &v;
}

#endif
