/*
 * base/arena.c - bump allocation in a chain of chunks.
 *
 * An ordinary chunk has the arena's chunk size; a request that does not fit into one gets a chunk of its own,
 * linked behind the current one so that bumping goes on where it was.
 */
#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_chunk {
    struct arena_chunk *older;
    size_t bytes;
    _Alignas(max_align_t) char data[];
};

void arena_init(struct arena *a, size_t chunk_bytes)
{
    *a = (struct arena){.chunk_bytes = chunk_bytes};
}

static struct arena_chunk *chunk_new(size_t bytes)
{
    if (bytes > SIZE_MAX - sizeof(struct arena_chunk))
        return NULL;
    struct arena_chunk *c = malloc(sizeof *c + bytes);
    if (c)
        *c = (struct arena_chunk){.bytes = bytes};
    return c;
}

static void *alloc_slow(struct arena *a, size_t size)
{
    assert(size % _Alignof(max_align_t) == 0);
    bool oversize = size > a->chunk_bytes;
    struct arena_chunk *c = chunk_new(oversize ? size : a->chunk_bytes);
    if (!c)
        return NULL;
    if (oversize && a->chunks) {
        c->older = a->chunks->older;
        a->chunks->older = c;
        return c->data;
    }
    c->older = a->chunks;
    a->chunks = c;
    a->next = c->data + size;
    a->end = c->data + c->bytes;
    return c->data;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    if (size > SIZE_MAX - align)
        return NULL;
    size = (size + align - 1) & ~(align - 1);
    assert(!a->next || (a->chunks && a->chunks->data <= a->next && a->next <= a->end));
    if (a->next && size <= (size_t)(a->end - a->next)) {
        void *p = a->next;
        a->next += size;
        return p;
    }
    return alloc_slow(a, size);
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);
    if (p)
        memset(p, 0, size);
    return p;
}

enum { NUMBER_BYTES = 20 /* of 2^64 */ };

struct slice arena_join(struct arena *a, struct slice first, struct slice second)
{
    size_t n = first.len + second.len;
    assert((first.data || !first.len) && (second.data || !second.len));
    assert(n >= first.len && n < SIZE_MAX);
    char *p = arena_alloc(a, n + 1);
    if (!p)
        return (struct slice){0};
    if (first.len)
        memcpy(p, first.data, first.len);
    if (second.len)
        memcpy(p + first.len, second.data, second.len);
    p[n] = '\0';
    return (struct slice){p, n};
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    return arena_join(a, s, (struct slice){0});
}

struct slice arena_number(struct arena *a, unsigned long long n)
{
    char *out = arena_alloc(a, NUMBER_BYTES);
    if (!out)
        return (struct slice){0};
    char *at = out + NUMBER_BYTES;
    do
        *--at = (char)('0' + n % 10);
    while (n /= 10);
    assert(at >= out);
    return (struct slice){at, (size_t)(out + NUMBER_BYTES - at)};
}

struct slice arena_dup_lower(struct arena *a, struct slice s)
{
    struct slice copy = arena_dup(a, s);
    char *p = (char *)(uintptr_t)copy.data;
    for (size_t i = 0; p && i < copy.len; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] | 0x20);
    return copy;
}

struct slice arena_vprintf(struct arena *a, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (!p)
        return (struct slice){0};
    vsnprintf(p, (size_t)n + 1, format, args);
    return (struct slice){p, (size_t)n};
}

struct slice arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct slice s = arena_vprintf(a, format, args);
    va_end(args);
    return s;
}

void arena_reset(struct arena *a)
{
    struct arena_chunk *kept = NULL;
    for (struct arena_chunk *c = a->chunks, *older; c; c = older) {
        older = c->older;
        if (c->bytes != a->chunk_bytes) {
            free(c);
            continue;
        }
        free(kept);
        /* The oldest in the end: the one that is warm in the cache. */
        kept = c;
    }
    size_t chunk_bytes = a->chunk_bytes;
    arena_init(a, chunk_bytes);
    if (!kept)
        return;
    assert(kept->bytes == chunk_bytes);
    kept->older = NULL;
    a->chunks = kept;
    a->next = kept->data;
    a->end = kept->data + kept->bytes;
}

void arena_free(struct arena *a)
{
    for (struct arena_chunk *c = a->chunks; c;) {
        struct arena_chunk *older = c->older;
        free(c);
        c = older;
    }
    arena_init(a, a->chunk_bytes);
}
