/*
 * tests/functional/region.h - where in a process the shared region lies, and where in it its tables and locks are, for those
 * who overwrite them on purpose. docs/shared-memory.md draws it.
 */
#ifndef WEIR_TESTS_FUNCTIONAL_REGION_H
#define WEIR_TESTS_FUNCTIONAL_REGION_H

#include "shm/keyed.h"
#include "shm/peer.h"
#include "shm/permit.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* REGION_PARTS: of those of permits; the others lie in the whole. */
enum { REGION_MAPPINGS = 256, REGION_PARTS = 4 };

#define REGION_LINES(bytes) (((bytes) + 63) / 64 * 64)
#define REGION_SLOTS REGION_LINES(sizeof(struct shm_head))
#define REGION_PEERS (REGION_SLOTS + SHM_SLOTS * sizeof(struct shm_slot))

/* Permits have a mapping of their own: REGION_OF_PERMITS. */
enum region_mapping { REGION_WHOLE, REGION_OF_PERMITS };

static const struct region_table {
    const char *name;
    enum region_mapping in;
    size_t at, bytes;
} region_tables[] = {
    {"header", REGION_WHOLE, 0, sizeof(struct shm_head)},
    {"slots", REGION_WHOLE, REGION_SLOTS, SHM_SLOTS * sizeof(struct shm_slot)},
    {"permit_zones", REGION_OF_PERMITS, 0, offsetof(struct permit_region, parts)},
    {"permit_parts", REGION_OF_PERMITS, offsetof(struct permit_region, parts),
     REGION_PARTS * sizeof(struct permit_part)},
    {"groups", REGION_WHOLE, REGION_PEERS, offsetof(struct peer_region, peers)},
    {"peers", REGION_WHOLE, REGION_PEERS + offsetof(struct peer_region, peers),
     sizeof(((struct peer_region *)0)->peers)},
};
enum { REGION_TABLES = sizeof region_tables / sizeof region_tables[0] };

/* Rows of locks: the first one, how far from one to the next, how many. */
static const struct region_locks {
    enum region_mapping in;
    size_t at, step, count;
} region_locks[] = {
    {REGION_OF_PERMITS, offsetof(struct permit_zone, lock), sizeof(struct permit_zone), PERMIT_ZONES},
    {REGION_WHOLE, REGION_PEERS + offsetof(struct peer_region, lock), 1, 1},
    {REGION_WHOLE, REGION_PEERS + offsetof(struct peer_region, groups) + offsetof(struct shm_group, lock),
     sizeof(struct shm_group), PEER_GROUPS},
};

struct region_range {
    char *at;
    size_t bytes;
};

/* Mappings of this process: those whose line in /proc/self/maps has both words. Returns their number. */
static inline int region_find_mappings(const char *rights, const char *name,
                                       struct region_range found[REGION_MAPPINGS])
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[600];
    int count = 0;
    while (maps && count < REGION_MAPPINGS && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (strstr(line, rights) && strstr(line, name) && sscanf(line, "%lx-%lx", &from, &to) == 2)
            found[count++] = (struct region_range){(char *)from, to - from};
    }
    if (maps)
        fclose(maps);
    return count;
}

static inline int region_find_shared(struct region_range found[REGION_MAPPINGS])
{
    return region_find_mappings(" rw-s ", "/dev/zero (deleted)", found);
}

/* The mapping with all but permits and the keyed zones, each of which has one of its own: by far the largest. */
static inline struct region_range region_find(enum region_mapping in)
{
    if (in == REGION_OF_PERMITS) {
        struct region_range permits[REGION_MAPPINGS] = {{NULL, 0}};
        region_find_mappings(" rw-s ", "/memfd:weir permits", permits);
        return permits[0];
    }
    struct region_range all[REGION_MAPPINGS], largest = {NULL, 0};
    int count = region_find_shared(all);
    for (int i = 0; i < count; i++)
        if (all[i].bytes > largest.bytes)
            largest = all[i];
    return largest;
}

/*
 * What the name stands for: "everything" that is shared, "whole" (the region), "keyed_memory" (all but the region), or a table
 * of the region. Returns the number of ranges; 0: there is no such thing.
 */
static inline int region_find_part(const char *name, struct region_range found[REGION_MAPPINGS])
{
    struct region_range region = region_find(REGION_WHOLE), permits = region_find(REGION_OF_PERMITS),
                        all[REGION_MAPPINGS];
    int shared = region_find_shared(all), count = 0;
    for (int i = 0; i < shared; i++) {
        bool wanted = all[i].at == region.at ? !strcmp(name, "whole") : !strcmp(name, "keyed_memory");
        if (wanted || !strcmp(name, "everything"))
            found[count++] = all[i];
    }
    if (!strcmp(name, "everything"))
        found[count++] = permits;
    for (int i = 0; i < REGION_TABLES; i++) {
        const struct region_table *t = &region_tables[i];
        struct region_range in = t->in == REGION_OF_PERMITS ? permits : region;
        if (!strcmp(name, t->name) && t->at + t->bytes <= in.bytes)
            found[count++] = (struct region_range){in.at + t->at, t->bytes};
    }
    return count;
}

/* Writes this into every lock. */
static inline void region_set_locks(uint32_t value)
{
    for (size_t i = 0; i < sizeof region_locks / sizeof region_locks[0]; i++) {
        const struct region_locks *l = &region_locks[i];
        char *region = region_find(l->in).at;
        for (size_t k = 0; k < l->count; k++)
            memcpy(region + l->at + k * l->step, &value, sizeof value);
    }
    struct region_range keyed[REGION_MAPPINGS];
    for (int i = region_find_part("keyed_memory", keyed) - 1; i >= 0; i--)
        memcpy(keyed[i].at + offsetof(struct keyed_links, lock), &value, sizeof value);
}

/* --- what to write there --- */

static inline uint64_t region_random(uint64_t *state) /* Marsaglia's xorshift64 */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* An address of the program's own variables, which are at the same place in all its processes. */
static inline uint64_t region_some_pointer(uint64_t *random)
{
    static struct region_range data[REGION_MAPPINGS];
    static int count;
    char self[400] = "";
    if (!count && readlink("/proc/self/exe", self, sizeof self - 1) > 0)
        count = region_find_mappings(" rw-p ", self, data);
    if (!count)
        return 0;
    struct region_range r = data[region_random(random) % (unsigned)count];
    return (uint64_t)r.at + region_random(random) % r.bytes / 8 * 8;
}

/* "random", "ones", "zeros", "value" (the number n), "links" (numbers below n, which may well be those of something), "pointers". */
static inline uint64_t region_word(const char *pattern, uint64_t n, uint64_t *random)
{
    switch (pattern[0]) {
    case 'r':
        return region_random(random);
    case 'o':
        return UINT64_MAX;
    case 'v':
        return n << 32 | (uint32_t)n;
    case 'l':
        return (region_random(random) % n) << 32 | region_random(random) % n;
    case 'p':
        return region_some_pointer(random);
    default:
        return 0;
    }
}

/* Fills a range with a pattern, or ("shifted") with its own contents n bytes further on. */
static inline void region_fill(struct region_range r, const char *pattern, uint64_t n, uint64_t *random)
{
    if (!strcmp(pattern, "shifted") && n < r.bytes) {
        memmove(r.at + n, r.at, r.bytes - n);
        return;
    }
    for (size_t at = 0; at + 8 <= r.bytes; at += 8) {
        uint64_t w = region_word(pattern, n, random);
        memcpy(r.at + at, &w, 8);
    }
}

#endif
