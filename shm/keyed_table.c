/*
 * shm/keyed_table.c - keys, cells and links.
 */
#include "shm/keyed_table.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct keyed_cell) == 64, "a cell is a line of cache");

void keyed_table_begin(struct keyed_zone *z)
{
    size_t cells = z->bytes / sizeof(struct keyed_cell);
    z->bucket_count = 64;
    while (z->bucket_count * 2 < cells)
        z->bucket_count *= 2;
    size_t index_bytes = (z->bucket_count * sizeof(uint32_t) + 63) / 64 * 64;
    z->buckets = z->memory;
    z->cells = (struct keyed_cell *)(void *)((char *)z->memory + index_bytes);
    z->cell_count = (uint32_t)((z->bytes - index_bytes) / sizeof(struct keyed_cell));
}

/* Mixes as SplitMix64 does (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint32_t *bucket_of(const struct keyed_zone *z, struct slice key)
{
    uint64_t h = z->seed ^ key.len;
    for (size_t at = 0; at < key.len; at += 8) {
        uint64_t part = 0;
        memcpy(&part, key.data + at, key.len - at < 8 ? key.len - at : 8);
        h = mix(h ^ part);
    }
    return &z->buckets[h & (z->bucket_count - 1)];
}

/* A key lies in pieces, the first in its own cell. `at` is where in the key a piece begins. */
static size_t piece_len(size_t at, size_t key_len)
{
    size_t room = at == 0 ? KEYED_INLINE_BYTES : KEYED_MORE_BYTES;
    return key_len - at < room ? key_len - at : room;
}

static char *piece(struct keyed_cell *c, size_t at)
{
    return at == 0 ? c->key : c->rest;
}

static bool has_key(const struct keyed_zone *z, uint32_t cell, struct slice key)
{
    struct keyed_cell *c = keyed_cell_of(z, cell);
    if (c->key_len != key.len)
        return false;
    for (size_t at = 0, n; at < key.len; at += n) {
        n = piece_len(at, key.len);
        if (memcmp(piece(c, at), key.data + at, n) != 0)
            return false;
        if (at + n < key.len)
            c = keyed_cell_of(z, c->more);
    }
    return true;
}

uint32_t keyed_find(const struct keyed_zone *z, struct slice key)
{
    uint32_t cell = *bucket_of(z, key);
    while (cell && !has_key(z, cell, key))
        cell = keyed_cell_of(z, cell)->next;
    return cell;
}

static uint32_t take_cell(struct keyed_zone *z)
{
    uint32_t cell = z->free;
    if (cell)
        z->free = keyed_cell_of(z, cell)->next;
    else if (z->used < z->cell_count)
        cell = ++z->used;
    return cell;
}

static void free_cells(struct keyed_zone *z, uint32_t cell)
{
    while (cell) {
        struct keyed_cell *c = keyed_cell_of(z, cell);
        uint32_t more = c->more;
        c->kind = KEYED_FREE;
        c->more = 0;
        c->next = z->free;
        z->free = cell;
        cell = more;
    }
}

/* Cells for a key, filled and linked to each other only. 0: not enough are free. */
static uint32_t make_key(struct keyed_zone *z, struct slice key)
{
    uint32_t first = 0, *link = &first;
    size_t n;
    for (size_t at = 0; at < key.len || at == 0; at += n) {
        uint32_t cell = take_cell(z);
        if (!cell) {
            free_cells(z, first);
            return 0;
        }
        struct keyed_cell *c = keyed_cell_of(z, cell);
        c->more = 0;
        c->count = 0;
        c->key_len = (uint8_t)key.len;
        n = piece_len(at, key.len);
        memcpy(piece(c, at), key.data + at, n);
        if (at == 0)
            c->last_ms = c->excess = 0;
        else
            c->kind = KEYED_MORE;
        *link = cell;
        link = &c->more;
        if (n == 0)
            break; /* the empty key */
    }
    atomic_store_explicit(&keyed_cell_of(z, first)->kind, KEYED_KEY, memory_order_release);
    return first;
}

static void link_newest(struct keyed_zone *z, uint32_t cell)
{
    struct keyed_cell *c = keyed_cell_of(z, cell);
    c->newer = 0;
    c->older = z->newest;
    *(z->newest ? &keyed_cell_of(z, z->newest)->newer : &z->oldest) = cell;
    z->newest = cell;
}

static void unlink_by_age(struct keyed_zone *z, uint32_t cell)
{
    struct keyed_cell *c = keyed_cell_of(z, cell);
    *(c->older ? &keyed_cell_of(z, c->older)->newer : &z->oldest) = c->newer;
    *(c->newer ? &keyed_cell_of(z, c->newer)->older : &z->newest) = c->older;
}

uint32_t keyed_find_or_add(struct keyed_zone *z, struct slice key)
{
    uint32_t cell = keyed_find(z, key), *bucket = bucket_of(z, key);
    if (cell)
        return cell;
    cell = make_key(z, key);
    if (!cell)
        return 0;
    keyed_cell_of(z, cell)->next = *bucket;
    *bucket = cell;
    link_newest(z, cell);
    return cell;
}

/* The key as one text. */
static struct slice key_of(const struct keyed_zone *z, uint32_t cell, char text[KEYED_KEY_MAX])
{
    struct keyed_cell *c = keyed_cell_of(z, cell);
    size_t len = c->key_len;
    for (size_t at = 0, n; at < len; at += n) {
        n = piece_len(at, len);
        memcpy(text + at, piece(c, at), n);
        if (at + n < len)
            c = keyed_cell_of(z, c->more);
    }
    return (struct slice){text, len};
}

void keyed_remove(struct keyed_zone *z, uint32_t cell)
{
    char text[KEYED_KEY_MAX];
    uint32_t *link = bucket_of(z, key_of(z, cell, text));
    while (*link != cell)
        link = &keyed_cell_of(z, *link)->next;
    *link = keyed_cell_of(z, cell)->next;
    unlink_by_age(z, cell);
    free_cells(z, cell);
}

void keyed_touch(struct keyed_zone *z, uint32_t cell)
{
    if (z->newest == cell)
        return;
    unlink_by_age(z, cell);
    link_newest(z, cell);
}

/* Whether the rest of the key is all there; then it is claimed. */
static bool claim_rest(struct keyed_zone *z, const struct keyed_cell *c)
{
    size_t have = KEYED_INLINE_BYTES;
    for (uint32_t more = c->more; have < c->key_len; have += KEYED_MORE_BYTES) {
        if (more == 0 || more > z->used || keyed_cell_of(z, more)->kind != KEYED_ORPHAN)
            return false;
        keyed_cell_of(z, more)->kind = KEYED_MORE;
        more = keyed_cell_of(z, more)->more;
    }
    return true;
}

void keyed_table_check(struct keyed_zone *z)
{
    for (uint32_t i = 1; i <= z->used; i++)
        if (keyed_cell_of(z, i)->kind == KEYED_MORE)
            keyed_cell_of(z, i)->kind = KEYED_ORPHAN;
    for (uint32_t i = 1; i <= z->used; i++) {
        struct keyed_cell *c = keyed_cell_of(z, i);
        c->count = 0;
        if (c->kind == KEYED_KEY && !claim_rest(z, c))
            c->kind = KEYED_FREE;
    }
}

static int by_last_use(const void *a, const void *b, void *zone)
{
    uint64_t x = keyed_cell_of(zone, *(const uint32_t *)a)->last_ms,
             y = keyed_cell_of(zone, *(const uint32_t *)b)->last_ms;
    return x < y ? -1 : x > y;
}

/* Without memory for it the order stays that of the cells: then the wrong keys may be forgotten first. */
static void sort_by_age(struct keyed_zone *z)
{
    uint32_t *all = malloc((z->used + 1) * sizeof *all), count = 0;
    if (!all)
        return;
    for (uint32_t cell = z->oldest; cell; cell = keyed_cell_of(z, cell)->newer)
        all[count++] = cell;
    qsort_r(all, count, sizeof *all, by_last_use, z);
    z->oldest = z->newest = 0;
    for (uint32_t i = 0; i < count; i++)
        link_newest(z, all[i]);
    free(all);
}

void keyed_table_rebuild(struct keyed_zone *z)
{
    char text[KEYED_KEY_MAX];
    memset(z->buckets, 0, z->bucket_count * sizeof *z->buckets);
    z->free = z->oldest = z->newest = 0;
    for (uint32_t i = 1; i <= z->used; i++) {
        struct keyed_cell *c = keyed_cell_of(z, i);
        if (c->kind == KEYED_KEY && (z->kind == KEYED_REQUESTS || c->count > 0)) {
            uint32_t *bucket = bucket_of(z, key_of(z, i, text));
            c->next = *bucket;
            *bucket = i;
            link_newest(z, i);
        } else if (c->kind == KEYED_KEY) {
            for (uint32_t more = c->more; more; more = keyed_cell_of(z, more)->more)
                keyed_cell_of(z, more)->kind = KEYED_ORPHAN;
            c->kind = KEYED_ORPHAN;
        }
    }
    if (z->kind == KEYED_REQUESTS)
        sort_by_age(z);
    for (uint32_t i = 1; i <= z->used; i++) {
        struct keyed_cell *c = keyed_cell_of(z, i);
        if (c->kind == KEYED_ORPHAN || c->kind == KEYED_FREE) {
            c->more = 0;
            free_cells(z, i);
        }
    }
}
