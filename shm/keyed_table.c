/*
 * shm/keyed_table.c - keys, cells and links.
 */
#include "shm/keyed_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct keyed_cell) == 64, "a cell is a line of cache");

void keyed_table_begin(struct keyed_zone *z)
{
    char *memory = (char *)z->links + sizeof *z->links;
    size_t bytes = z->bytes - sizeof *z->links, cells = bytes / sizeof(struct keyed_cell);
    z->bucket_count = 64;
    while (z->bucket_count * 2 < cells)
        z->bucket_count *= 2;
    assert(z->bytes > sizeof *z->links && cells >= 64);
    size_t index_bytes = (z->bucket_count * sizeof(uint32_t) + 63) / 64 * 64;
    z->buckets = (uint32_t *)(void *)memory;
    z->cells = (struct keyed_cell *)(void *)(memory + index_bytes);
    z->cell_count = (uint32_t)((bytes - index_bytes) / sizeof(struct keyed_cell));
}

/* Any process may change a link at any moment: it is read once, and what was checked is what is used. */
static uint32_t link_at(const uint32_t *link)
{
    return *(const volatile uint32_t *)link;
}

static uint32_t used_cells(const struct keyed_zone *z)
{
    uint32_t used = link_at(&z->links->used);
    return used < z->cell_count ? used : z->cell_count;
}

void keyed_table_clear(const struct keyed_zone *z)
{
    for (uint32_t i = 1, used = used_cells(z); i <= used; i++)
        keyed_cell_of(z, i)->kind = KEYED_FREE;
    memset(z->buckets, 0, z->bucket_count * sizeof *z->buckets);
    z->links->used = z->links->free = z->links->oldest = z->links->newest = 0;
}

/* Mixes as SplitMix64 does (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint32_t *key_bucket(const struct keyed_zone *z, struct slice key)
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
    assert(at <= key_len);
    size_t room = at == 0 ? KEYED_INLINE_BYTES : KEYED_MORE_BYTES;
    return key_len - at < room ? key_len - at : room;
}

static char *piece(struct keyed_cell *c, size_t at)
{
    return at == 0 ? c->key : c->rest;
}

static bool has_key(const struct keyed_zone *z, struct keyed_cell *c, struct slice key)
{
    if (c->key_len != key.len)
        return false;
    for (size_t at = 0, n; at < key.len; at += n) {
        n = piece_len(at, key.len);
        if (memcmp(piece(c, at), key.data + at, n) != 0)
            return false;
        if (at + n < key.len && !(c = keyed_cell_of(z, link_at(&c->more))))
            return false;
    }
    return true;
}

uint32_t keyed_find(const struct keyed_zone *z, struct slice key)
{
    uint32_t cell = *key_bucket(z, key), steps = 0;
    struct keyed_cell *c;
    for (; (c = keyed_cell_of(z, cell)) && steps < z->cell_count; cell = c->next, steps++)
        if (has_key(z, c, key))
            return cell;
    return 0;
}

static uint32_t take_cell(const struct keyed_zone *z)
{
    uint32_t cell = link_at(&z->links->free);
    const struct keyed_cell *c = keyed_cell_of(z, cell);
    if (c && c->kind == KEYED_FREE) {
        z->links->free = c->next;
        return cell;
    }
    /* No free cell, or a link to one in use: then the list is lost until the table is rebuilt. */
    z->links->free = 0;
    uint32_t used = used_cells(z);
    if (used >= z->cell_count)
        return 0;
    z->links->used = used + 1;
    return used + 1;
}

static void free_cell(const struct keyed_zone *z, uint32_t cell)
{
    struct keyed_cell *c = keyed_cell_of(z, cell);
    if (!c)
        return;
    c->kind = KEYED_FREE;
    c->more = 0;
    c->next = z->links->free;
    z->links->free = cell;
}

/* A key's cells: no more than the longest key has. */
enum { PIECES_MAX = 1 + (KEYED_KEY_MAX - KEYED_INLINE_BYTES + KEYED_MORE_BYTES - 1) / KEYED_MORE_BYTES };

static void free_cells(const struct keyed_zone *z, uint32_t cell)
{
    const struct keyed_cell *c;
    for (int i = 0; (c = keyed_cell_of(z, cell)) && i < PIECES_MAX; i++) {
        uint32_t more = link_at(&c->more);
        free_cell(z, cell);
        cell = more;
    }
}

/* Cells for a key, filled and linked to each other only. 0: not enough are free. */
static uint32_t make_key(const struct keyed_zone *z, struct slice key)
{
    assert(key.len <= KEYED_KEY_MAX);
    uint32_t first = 0, *link = &first;
    struct keyed_cell *head = NULL;
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
        if (at == 0) {
            head = c;
            c->last_us = c->excess = 0;
        } else {
            c->kind = KEYED_MORE;
        }
        *link = cell;
        link = &c->more;
        if (n == 0)
            break; /* the empty key */
    }
    atomic_store_explicit(&head->kind, KEYED_KEY, memory_order_release);
    return first;
}

static void link_newest(const struct keyed_zone *z, uint32_t cell)
{
    struct keyed_cell *c = keyed_cell_of(z, cell), *newest = keyed_cell_of(z, link_at(&z->links->newest));
    c->newer = 0;
    c->older = z->links->newest;
    *(newest ? &newest->newer : &z->links->oldest) = cell;
    z->links->newest = cell;
}

/* Only where its neighbours agree. */
static bool unlink_by_age(const struct keyed_zone *z, uint32_t cell)
{
    struct keyed_cell *c = keyed_cell_of(z, cell), *older = keyed_cell_of(z, link_at(&c->older)),
                      *newer = keyed_cell_of(z, link_at(&c->newer));
    uint32_t *to_newer = older ? &older->newer : &z->links->oldest,
             *to_older = newer ? &newer->older : &z->links->newest;
    if ((c->older && !older) || (c->newer && !newer) || *to_newer != cell || *to_older != cell)
        return false;
    *to_newer = c->newer;
    *to_older = c->older;
    return true;
}

uint32_t keyed_find_or_add(const struct keyed_zone *z, struct slice key)
{
    uint32_t cell = keyed_find(z, key), *bucket = key_bucket(z, key);
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

/* The key as one text. Pieces that are missing leave it short. */
static struct slice key_text(const struct keyed_zone *z, uint32_t cell, char text[KEYED_KEY_MAX])
{
    struct keyed_cell *c = keyed_cell_of(z, cell);
    size_t len = *(const volatile uint8_t *)&c->key_len, at = 0, n; /* read once, as links are */
    for (; c && at < len; at += n) {
        n = piece_len(at, len);
        memcpy(text + at, piece(c, at), n);
        if (at + n < len)
            c = keyed_cell_of(z, link_at(&c->more));
    }
    return (struct slice){text, at};
}

bool keyed_remove(const struct keyed_zone *z, uint32_t cell)
{
    char text[KEYED_KEY_MAX];
    /* The caller's link has changed since it was looked at. */
    if (!keyed_cell_of(z, cell))
        return false;
    uint32_t *link = key_bucket(z, key_text(z, cell, text)), steps = 0;
    struct keyed_cell *c;
    while (*link != cell && (c = keyed_cell_of(z, link_at(link))) && steps++ < z->cell_count)
        link = &c->next;
    if (*link != cell || !unlink_by_age(z, cell))
        return false;
    *link = keyed_cell_of(z, cell)->next;
    free_cells(z, cell);
    return true;
}

bool keyed_touch(const struct keyed_zone *z, uint32_t cell)
{
    if (z->links->newest == cell)
        return true;
    if (!unlink_by_age(z, cell))
        return false;
    link_newest(z, cell);
    return true;
}

/* Whether the rest of the key is all there; then it is claimed. */
static bool claim_rest(const struct keyed_zone *z, const struct keyed_cell *c)
{
    size_t have = KEYED_INLINE_BYTES, len = c->key_len;
    for (uint32_t more = link_at(&c->more); have < len; have += KEYED_MORE_BYTES) {
        struct keyed_cell *rest = more <= used_cells(z) ? keyed_cell_of(z, more) : NULL;
        if (!rest || rest->kind != KEYED_ORPHAN)
            return false;
        rest->kind = KEYED_MORE;
        more = link_at(&rest->more);
    }
    return true;
}

void keyed_table_check(const struct keyed_zone *z)
{
    uint32_t used = used_cells(z);
    z->links->used = used;
    for (uint32_t i = 1; i <= used; i++)
        if (keyed_cell_of(z, i)->kind == KEYED_MORE)
            keyed_cell_of(z, i)->kind = KEYED_ORPHAN;
    for (uint32_t i = 1; i <= used; i++) {
        struct keyed_cell *c = keyed_cell_of(z, i);
        c->count = 0;
        if (c->kind == KEYED_KEY && !claim_rest(z, c))
            c->kind = KEYED_FREE;
    }
}

/* --- rebuilding --- */

struct aged {
    uint64_t last_us;
    uint32_t cell;
};

static int by_last_use(const void *a, const void *b)
{
    const struct aged *x = a, *y = b;
    return x->last_us < y->last_us ? -1 : x->last_us > y->last_us;
}

/* Links all keys by age. Without memory for sorting the order is that of the cells: then the wrong keys may be forgotten first. */
static void link_by_age(const struct keyed_zone *z, uint32_t used)
{
    struct aged *all = z->kind != KEYED_CONNECTIONS ? malloc(((size_t)used + 1) * sizeof *all) : NULL;
    uint32_t count = 0;
    for (uint32_t i = 1; i <= used; i++) {
        const struct keyed_cell *c = keyed_cell_of(z, i);
        if (c->kind != KEYED_KEY)
            continue;
        if (all)
            all[count++] = (struct aged){c->last_us, i};
        else
            link_newest(z, i);
    }
    if (count)
        qsort(all, count, sizeof *all, by_last_use);
    for (uint32_t i = 0; i < count; i++)
        link_newest(z, all[i].cell);
    free(all);
}

static void orphan(const struct keyed_zone *z, struct keyed_cell *c)
{
    c->kind = KEYED_ORPHAN;
    for (int i = 1; (c = keyed_cell_of(z, link_at(&c->more))) && c->kind == KEYED_MORE && i < PIECES_MAX; i++)
        c->kind = KEYED_ORPHAN;
}

void keyed_table_rebuild(const struct keyed_zone *z)
{
    char text[KEYED_KEY_MAX];
    uint32_t used = used_cells(z);
    memset(z->buckets, 0, z->bucket_count * sizeof *z->buckets);
    z->links->free = z->links->oldest = z->links->newest = 0;
    for (uint32_t i = 1; i <= used; i++) {
        struct keyed_cell *c = keyed_cell_of(z, i);
        if (c->kind == KEYED_KEY && (z->kind != KEYED_CONNECTIONS || c->count > 0)) {
            uint32_t *bucket = key_bucket(z, key_text(z, i, text));
            c->next = *bucket;
            *bucket = i;
        } else if (c->kind == KEYED_KEY) {
            orphan(z, c);
        } else if (c->kind != KEYED_MORE) {
            c->kind = KEYED_ORPHAN;
        }
    }
    link_by_age(z, used);
    for (uint32_t i = 1; i <= used; i++)
        if (keyed_cell_of(z, i)->kind == KEYED_ORPHAN)
            free_cell(z, i);
}
