/*
 * tests/unit/shm/keyed_help.h - whether a table of keys is whole: every key reachable, every cell used once, every count
 * what the permits say. For the tests of limits by key.
 */
#ifndef WEIR_TESTS_UNIT_SHM_KEYED_HELP_H
#define WEIR_TESTS_UNIT_SHM_KEYED_HELP_H

#include "shm/keyed_table.h"
#include "tests/unit/shm/permit_child.h"

/* How often each cell has been met: by a key, as the rest of one, among the free ones. */
struct survey {
    const struct keyed_zone *zone;
    uint8_t *met;
    uint32_t *held; /* permits for each cell */
    uint32_t keys;
};

/* The key of a cell, taken together piece by piece. False when it is not all there; its cells are marked as met. */
static inline bool survey_key(struct survey *s, uint32_t cell, char text[KEYED_KEY_MAX])
{
    const struct keyed_cell *c = keyed_cell_of(s->zone, cell);
    if (!c)
        return false;
    size_t len = c->key_len, have = len < KEYED_INLINE_BYTES ? len : KEYED_INLINE_BYTES;
    memcpy(text, c->key, have);
    uint32_t more = c->more;
    while (have < len) {
        const struct keyed_cell *rest = more <= s->zone->links->used ? keyed_cell_of(s->zone, more) : NULL;
        if (!rest || rest->kind != KEYED_MORE)
            return false;
        s->met[more]++;
        size_t n = len - have < KEYED_MORE_BYTES ? len - have : KEYED_MORE_BYTES;
        memcpy(text + have, rest->rest, n);
        have += n;
        more = rest->more;
    }
    return more == 0;
}

static inline const char *bucket_fault(struct survey *s, uint32_t cell)
{
    char text[KEYED_KEY_MAX];
    for (; cell; cell = keyed_cell_of(s->zone, cell)->next) {
        if (cell > s->zone->links->used || keyed_cell_of(s->zone, cell)->kind != KEYED_KEY)
            return "a bucket leads to what is no key";
        if (s->met[cell]++)
            return "a bucket has no end, or a key is in two";
        if (!survey_key(s, cell, text))
            return "a key is not all there";
        if (keyed_find(s->zone, (struct slice){text, keyed_cell_of(s->zone, cell)->key_len}) != cell)
            return "a key is not found by what it is";
        if (s->held && keyed_cell_of(s->zone, cell)->count != s->held[cell])
            return "a count is not the number of permits";
        if (s->held && s->held[cell] == 0)
            return "a key that nobody holds is kept";
        s->keys++;
    }
    return NULL;
}

static inline const char *age_fault(const struct survey *s)
{
    uint32_t before = 0, count = 0;
    for (uint32_t at = s->zone->links->oldest; at; before = at, at = keyed_cell_of(s->zone, at)->newer) {
        if (at > s->zone->links->used || ++count > s->keys)
            return "the list by age has no end";
        if (keyed_cell_of(s->zone, at)->kind != KEYED_KEY)
            return "the list by age leads to what is no key";
        if (keyed_cell_of(s->zone, at)->older != before)
            return "the list by age is not the same both ways";
    }
    if (s->zone->links->newest != before)
        return "the list by age ends elsewhere than at its newest";
    return count == s->keys ? NULL : "a key is missing in the list by age";
}

static inline const char *cells_fault(struct survey *s)
{
    for (uint32_t at = s->zone->links->free; at; at = keyed_cell_of(s->zone, at)->next) {
        if (at > s->zone->links->used || keyed_cell_of(s->zone, at)->kind != KEYED_FREE)
            return "a cell among the free ones is not free";
        if (s->met[at]++)
            return "a free cell is used, or is free twice";
    }
    if (s->zone->links->used > s->zone->cell_count)
        return "more cells are used than there are";
    for (uint32_t i = 1; i <= s->zone->links->used; i++)
        if (s->met[i] != 1)
            return s->met[i] ? "a cell is used twice" : "a cell is lost";
    return NULL;
}

/* What is wrong with a table that nobody changes now; NULL: nothing. `held`: permits for each cell, or NULL. */
static inline const char *table_fault(const struct keyed_zone *z, uint32_t *held)
{
    struct survey s = {.zone = z, .held = held, .met = calloc((size_t)z->cell_count + 1, 1)};
    const char *fault = s.met ? NULL : "there is no memory for the test";
    for (uint32_t i = 0; i < z->bucket_count && !fault; i++)
        fault = bucket_fault(&s, z->buckets[i]);
    if (!fault)
        fault = age_fault(&s);
    if (!fault)
        fault = cells_fault(&s);
    free(s.met);
    return fault;
}

static inline struct keyed_zone *keyed_at(struct shm *shm, unsigned zone)
{
    return &shm->keyed[zone];
}

/* The same for a zone of connections, with counts; its lock is held, or nobody uses it. */
static inline const char *keyed_fault(struct shm *shm, unsigned zone)
{
    struct keyed_zone *z = keyed_at(shm, zone);
    struct permit_region *r = permit_region(shm);
    uint32_t *held = calloc((size_t)z->cell_count + 1, sizeof *held);
    if (!held)
        abort();
    for (int slot = 0; slot < SHM_SLOTS; slot++) {
        uint32_t used = permit_get(&r->parts[slot].used);
        for (uint32_t i = 0; i < used; i++) {
            const struct permit *p = &r->parts[slot].permits[i];
            if (permit_tag_state(p->tag) != PERMIT_HELD || permit_tag_zone(p->tag) != PERMIT_ZONES + zone)
                continue;
            bool known = p->ticket > 0 && p->ticket <= z->links->used &&
                         keyed_cell_of(z, (uint32_t)p->ticket)->kind == KEYED_KEY;
            held[known ? p->ticket : 0]++;
        }
    }
    const char *fault =
        held[0] ? "a permit is for no key" : table_fault(z, z->kind == KEYED_CONNECTIONS ? held : NULL);
    free(held);
    return fault;
}

#define CHECK_WHOLE(fault)                                                                    \
    do {                                                                                      \
        const char *whole_said = (fault);                                                     \
        check_report(!whole_said, whole_said ? whole_said : "the table", __FILE__, __LINE__); \
    } while (0)

/* Keys of many lengths, the same for the same number; no two are alike. */
static inline struct slice key_number(unsigned number, char text[KEYED_KEY_MAX])
{
    static const size_t lengths[] = {4, 24, 25, 64, 65, 104, 105, 255};
    size_t len = lengths[number % (sizeof lengths / sizeof lengths[0])];
    memset(text, 'k', len);
    memcpy(text + len - sizeof number, &number, sizeof number); /* they differ at the end only */
    return (struct slice){text, len};
}

#endif
