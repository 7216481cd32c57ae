/*
 * base/buf.c - growable byte buffer; doubles when full, so that appending is O(1) amortised.
 */
#include "base/buf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_MIN_BYTES = 256 };

bool buf_reserve(struct buf *b, size_t n)
{
    assert(b->start <= b->end && b->end <= b->cap);
    assert(b->data || b->cap == 0);
    if (n <= b->cap - b->end)
        return true;
    size_t len = buf_len(b);
    if (n > SIZE_MAX / 4 - len)
        return false;
    if (b->start > 0 && len + n <= b->cap) {
        memmove(b->data, b->data + b->start, len);
        b->start = 0;
        b->end = len;
        return true;
    }
    size_t cap = b->cap < BUF_MIN_BYTES ? BUF_MIN_BYTES : b->cap;
    while (cap < len + n)
        cap *= 2;
    assert(cap - len >= n);
    char *data = malloc(cap);
    if (!data)
        return false;
    if (len)
        memcpy(data, b->data + b->start, len);
    free(b->data);
    *b = (struct buf){data, 0, len, cap};
    return true;
}

bool buf_append(struct buf *b, const void *data, size_t n)
{
    assert(data || n == 0);
    if (!buf_reserve(b, n))
        return false;
    if (n)
        memcpy(b->data + b->end, data, n);
    b->end += n;
    return true;
}

bool buf_append_slice(struct buf *b, struct slice s)
{
    return buf_append(b, s.data, s.len);
}

bool buf_vprintf(struct buf *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0 || !buf_reserve(b, (size_t)n + 1))
        return false;
    vsnprintf(b->data + b->end, (size_t)n + 1, format, args);
    b->end += (size_t)n;
    assert(b->end < b->cap); /* for the zero behind it */
    return true;
}

bool buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bool ok = buf_vprintf(b, format, args);
    va_end(args);
    return ok;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= buf_len(b));
    b->start += n;
    if (b->start == b->end)
        b->start = b->end = 0;
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

bool buf_append_json(struct buf *b, struct slice text)
{
    bool ok = true;
    for (size_t i = 0; ok && i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        size_t n = slice_utf8(slice_from(text, i)); /* JSON is UTF-8 (section 8.1) */
        ok = c == '"' || c == '\\' ? buf_printf(b, "\\%c", c)
             : c < 0x20            ? buf_printf(b, "\\u%04x", c)
             : n                   ? buf_append(b, &text.data[i], n)
                                   : buf_append(b, "\\ufffd", 6);
        i += n ? n - 1 : 0;
    }
    return ok;
}
