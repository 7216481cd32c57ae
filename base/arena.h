/*
 * base/arena.h - bump allocation for things that die together: a request, a configuration.
 *
 * Ownership: the arena owns all that it hands out, until arena_reset or arena_free.
 * Threads:   one thread at a time.
 * Errors:    NULL when memory is exhausted or the arena's limit is reached.
 */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include "base/slice.h"

#include <stdarg.h>
#include <stddef.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    /* next <= end, both inside the newest chunk. */
    char *next;
    char *end;
    size_t chunk_bytes; /* size of an ordinary chunk */
};

/* Prepares an arena that grows in chunks of chunk_bytes. Allocates nothing yet. */
void arena_init(struct arena *a, size_t chunk_bytes);

/* size bytes aligned for any type, not zeroed. */
void *arena_alloc(struct arena *a, size_t size);

/* The same, zeroed. */
void *arena_zalloc(struct arena *a, size_t size);

/* A copy with a zero byte behind it (not counted in len). data is NULL when memory is out. */
struct slice arena_dup(struct arena *a, struct slice s);

/* The same in lower case, for names that know no case (ASCII letters only). */
struct slice arena_dup_lower(struct arena *a, struct slice s);

/* One behind the other, with a zero byte behind both (not counted in len). data is NULL when memory is out. */
struct slice arena_join(struct arena *a, struct slice first, struct slice second);

/* In decimal digits; not zero-terminated. data is NULL when memory is out. */
struct slice arena_number(struct arena *a, unsigned long long n);

/* printf into the arena. data is NULL when memory is out. */
struct slice arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct slice arena_vprintf(struct arena *a, const char *format, va_list args);

/* Frees all but one ordinary chunk, so that a reused arena allocates nothing. */
void arena_reset(struct arena *a);

/* Frees everything; the arena may be used again. */
void arena_free(struct arena *a);

#endif
