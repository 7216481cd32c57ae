/*
 * base/buf.h - a growable run of bytes with a read position: [start, end) is what is in it.
 *
 * Ownership: the buffer owns its memory until buf_free.
 * Threads:   one thread at a time.
 * Errors:    false when memory is exhausted; the content stays as it was.
 */
#ifndef WEIR_BASE_BUF_H
#define WEIR_BASE_BUF_H

#include "base/slice.h"

#include <stdarg.h>

struct buf {
    char *data;
    size_t start; /* start <= end <= cap */
    size_t end;
    size_t cap;
};

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

static inline struct slice buf_slice(const struct buf *b)
{
    return b->data ? (struct slice){b->data + b->start, b->end - b->start} : (struct slice){0};
}

/* Makes room for n more bytes behind the end, moving the content to the front or growing. */
bool buf_reserve(struct buf *b, size_t n);

bool buf_append(struct buf *b, const void *data, size_t n);
bool buf_append_slice(struct buf *b, struct slice s);
bool buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool buf_vprintf(struct buf *b, const char *format, va_list args);

/* Drops n bytes from the front; n must not exceed buf_len. */
void buf_consume(struct buf *b, size_t n);

/* Gives the memory back and leaves an empty buffer. */
void buf_free(struct buf *b);

/* Appends a text as what stands between the quotes of JSON (RFC 8259); bytes that are no UTF-8 become U+FFFD. */
bool buf_append_json(struct buf *b, struct slice text);

#endif
