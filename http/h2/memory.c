/*
 * http/h2/memory.c - what nghttp2 holds for a connection: counted, bounded, and packed while the connection is idle.
 */
#include "http/h2/memory.h"

#include <assert.h>
#include <malloc.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    /* Tables of compressed heads, frames that wait to go out. */
    HELD_MAX_BYTES = 512 << 10,
    PAGE_BYTES = 4096,
    /* The largest that nghttp2 makes takes a little more than FRAME_BYTES, with what is put before it. */
    FRAME_BYTES = 16 << 10,
    FRAME_ROOM_BYTES = FRAME_BYTES + 64,
    BLOCK_BYTES = 7 * PAGE_BYTES,
    TABLES_BYTES = BLOCK_BYTES - FRAME_ROOM_BYTES,
    WORD_BYTES = sizeof(uint64_t),
    TABLE_WORDS = TABLES_BYTES / WORD_BYTES,
    MAP_WORDS = (TABLE_WORDS + 63) / 64
};

static_assert(TABLES_BYTES % WORD_BYTES == 0, "tables end with a word");

/* The words of the tables that are not zero, in order; a bit of the map for each word, the lowest first. */
struct h2_packed {
    uint64_t map[MAP_WORDS];
    uint64_t words[];
};

/* --- the block --- */

static bool is_in_block(const struct h2_memory *m, const void *p)
{
    return m->block && (const char *)p >= m->block && (const char *)p < m->block + BLOCK_BYTES;
}

/* Zeroed. NULL: it does not belong there, or there is no room. */
static void *take_table(struct h2_memory *m, size_t bytes)
{
    size_t all = (bytes + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    if (!m->is_being_made || bytes == 0 || all < bytes || all > TABLES_BYTES - m->tables_used)
        return NULL;
    char *p = m->block + m->tables_used;
    m->tables_used += all;
    return memset(p, 0, all);
}

/* nghttp2 has one such buffer, for frames that it makes. */
static void *take_frame(struct h2_memory *m, size_t bytes)
{
    if (!m->is_being_made || m->has_frame || bytes < FRAME_BYTES || bytes > FRAME_ROOM_BYTES)
        return NULL;
    m->has_frame = true;
    return m->block + TABLES_BYTES;
}

/* --- nghttp2's allocations, counted by what they really take --- */

static size_t size_of(const struct h2_memory *m, void *p)
{
    return !p || is_in_block(m, p) ? 0 : malloc_usable_size(p);
}

static void *count_in(struct h2_memory *m, void *p)
{
    m->held += size_of(m, p);
    return p;
}

/*
 * What is beyond the bound ends the connection as soon as nghttp2 has returned. It gets the memory all the same: to 1.52 at least it
 * frees an entry of its queue twice where that cannot grow.
 */
static void look_at_bound(struct h2_memory *m, size_t bytes)
{
    m->is_exceeded |= bytes > m->held_max || m->held > m->held_max - bytes;
}

static void *count_malloc(size_t bytes, void *with)
{
    struct h2_memory *m = with;
    look_at_bound(m, bytes);
    void *p = take_table(m, bytes);
    return count_in(m, p ? p : malloc(bytes));
}

static void *count_calloc(size_t count, size_t bytes, void *with)
{
    struct h2_memory *m = with;
    bool fits = bytes == 0 || count <= SIZE_MAX / bytes;
    size_t all = fits ? count * bytes : 0;
    look_at_bound(m, all);
    void *p = take_table(m, all);
    return count_in(m, p || !fits ? p : calloc(1, all ? all : 1));
}

static void count_free(void *p, void *with)
{
    struct h2_memory *m = with;
    assert(size_of(m, p) <= m->held);
    m->held -= size_of(m, p);
    if (!is_in_block(m, p))
        free(p);
}

/* What lies behind it in the block comes along: nobody looks at it. */
static void *move_out(struct h2_memory *m, const char *old, size_t bytes)
{
    size_t left = (size_t)(m->block + BLOCK_BYTES - old);
    void *p = malloc(bytes ? bytes : 1);
    if (p)
        memcpy(p, old, bytes < left ? bytes : left);
    return p;
}

static void *count_realloc(void *old, size_t bytes, void *with)
{
    struct h2_memory *m = with;
    size_t before = size_of(m, old);
    assert(before <= m->held);
    if (bytes > before)
        look_at_bound(m, bytes - before);
    void *p = old ? NULL : take_frame(m, bytes);
    if (!p)
        p = is_in_block(m, old) ? move_out(m, old, bytes) : realloc(old, bytes ? bytes : 1);
    if (p)
        m->held -= before;
    return count_in(m, p);
}

bool h2_memory_open(struct h2_session *s)
{
    char *block = aligned_alloc(PAGE_BYTES, BLOCK_BYTES);
    s->memory = (struct h2_memory){
        .block = block, .held = BLOCK_BYTES, .held_max = HELD_MAX_BYTES, .is_being_made = block};
    s->allocator = (nghttp2_mem){&s->memory, count_malloc, count_free, count_calloc, count_realloc};
    return block;
}

void h2_memory_is_made(struct h2_session *s)
{
    s->memory.is_being_made = false;
}

void h2_memory_free(struct h2_session *s)
{
    assert(!s->memory.packed);
    free(s->memory.block);
    s->memory.block = NULL;
}

/* --- packing --- */

static uint64_t word_at(const struct h2_memory *m, size_t i)
{
    uint64_t word;
    memcpy(&word, m->block + i * WORD_BYTES, WORD_BYTES);
    return word;
}

static size_t count_words(const struct h2_memory *m)
{
    size_t count = 0;
    for (size_t i = 0; i < m->tables_used / WORD_BYTES; i++)
        count += word_at(m, i) != 0;
    return count;
}

void h2_memory_pack(struct h2_session *s)
{
    struct h2_memory *m = &s->memory;
    if (m->packed || m->stays || nghttp2_session_want_write(s->ng))
        return;
    struct h2_packed *packed = calloc(1, sizeof *packed + count_words(m) * WORD_BYTES);
    if (!packed)
        return;
    size_t count = 0;
    for (size_t i = 0; i < m->tables_used / WORD_BYTES; i++) {
        uint64_t word = word_at(m, i);
        if (!word)
            continue;
        packed->map[i / 64] |= (uint64_t)1 << i % 64;
        packed->words[count++] = word;
    }
    /* Where pages are larger than these, or locked, all stays as it is. */
    m->stays = madvise(m->block, BLOCK_BYTES, MADV_DONTNEED) != 0;
    if (m->stays) {
        free(packed);
        return;
    }
    m->packed = packed;
    m->ng = s->ng;
    s->ng = NULL;
}

void h2_memory_unpack(struct h2_session *s)
{
    struct h2_memory *m = &s->memory;
    if (!m->packed)
        return;
    const uint64_t *word = m->packed->words;
    for (size_t i = 0; i < MAP_WORDS; i++)
        for (uint64_t left = m->packed->map[i]; left; left &= left - 1) {
            size_t at = i * 64 + (size_t)__builtin_ctzll(left);
            memcpy(m->block + at * WORD_BYTES, word++, WORD_BYTES);
        }
    free(m->packed);
    m->packed = NULL;
    s->ng = m->ng;
}
