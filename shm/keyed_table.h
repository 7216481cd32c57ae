/*
 * shm/keyed_table.h - the table of a keyed zone: a hash of keys in cells of one line of cache, which can be put right
 * after a process has died in the middle of a change. Not for others than shm/keyed.c.
 *
 * Links, lengths and counts are any process's to write: a link is followed only to a cell that there is, a walk takes no
 * more steps than there are cells, and where something does not fit, the table is made anew.
 *
 * All calls with the zone's lock held.
 */
#ifndef WEIR_SHM_KEYED_TABLE_H
#define WEIR_SHM_KEYED_TABLE_H

#include "shm/keyed.h"

enum { KEYED_INLINE_BYTES = 24, KEYED_MORE_BYTES = 40 };

/* What a cell is; written last when it becomes something, so that a half-made one can be told. */
enum keyed_cell_kind {
    KEYED_FREE,
    KEYED_KEY,
    KEYED_MORE, /* the rest of a long key */
    /* While a table is checked: a KEYED_MORE that no key has claimed yet. */
    KEYED_ORPHAN
};

struct keyed_cell {
    uint32_t next;         /* in its bucket, or among the free ones */
    uint32_t older, newer; /* by last use */
    _Atomic uint8_t kind;
    uint8_t key_len;
    uint32_t count; /* connections */
    uint32_t more;  /* the cell where the key goes on; 0: none */
    union {
        struct {
            uint64_t last_us; /* requests, sessions */
            union {
                uint64_t excess; /* requests */
                uint64_t value;  /* sessions */
            };
            char key[KEYED_INLINE_BYTES];
        };
        char rest[KEYED_MORE_BYTES];
    };
};

/* NULL: a link to nothing, or one that cannot be. */
static inline struct keyed_cell *keyed_cell_of(const struct keyed_zone *z, uint32_t cell)
{
    return cell - 1 < z->cell_count ? &z->cells[cell - 1] : NULL;
}

/* Divides the zone's mapping, which is zeroed. */
void keyed_table_begin(struct keyed_zone *z);

/* The key's cell, or 0. */
uint32_t keyed_find(const struct keyed_zone *z, struct slice key);

/* The key's cell, made if need be; 0: there is no room. */
uint32_t keyed_find_or_add(const struct keyed_zone *z, struct slice key);

/* False: its links are not what they should be, and keyed_table_check and _rebuild have to come. */
bool keyed_remove(const struct keyed_zone *z, uint32_t cell);

/* It has been used: it is the newest now. False as with keyed_remove. */
bool keyed_touch(const struct keyed_zone *z, uint32_t cell);

/* After a death: whole keys are kept, with a count of 0; then, once they are counted, all links are made anew. */
void keyed_table_check(const struct keyed_zone *z);
void keyed_table_rebuild(const struct keyed_zone *z);

/* Forgets all. */
void keyed_table_clear(const struct keyed_zone *z);

#endif
