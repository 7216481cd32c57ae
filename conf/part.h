/*
 * conf/part.h - a piece of every level's settings, or of every location: who owns it knows its type, all others only its size.
 *
 * Ownership: a block has the room of all parts of its kind, and lives in the arena of what it is a part of.
 * Threads:   parts are placed before there is any thread or child; then only read.
 */
#ifndef WEIR_CONF_PART_H
#define WEIR_CONF_PART_H

#include <assert.h>
#include <stddef.h>

struct part {
    size_t size;
    size_t at; /* in a block; 0: not placed yet */
};

struct part_block {
    char *bytes;
};

/* Gives the part its place in blocks of *size bytes, which grow by it; one that has a place keeps it. *size begins as 0. */
static inline void part_place(struct part *p, size_t *size)
{
    const size_t align = _Alignof(max_align_t);
    if (p->at)
        return;
    if (*size == 0)
        *size = align; /* no part is at 0 */
    p->at = *size;
    *size += (p->size + align - 1) / align * align;
}

static inline void *part_in(const struct part_block *b, const struct part *p, size_t size)
{
    assert(b->bytes && p->at && p->size == size);
    (void)size;
    return b->bytes + p->at;
}

#endif
