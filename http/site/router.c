/*
 * http/site/router.c - server names and locations.
 *
 * Names of each kind stand in a sorted array. Prefix locations do too; since a prefix sorts before what it is a
 * prefix of, the longest match is the greatest entry not above the path, or one of the chain of its own prefixes.
 */
#include "http/site/router.h"

#include "base/arena.h"
#include "base/slice.h"
#include "http/request/regex.h"

#include <assert.h>
#include <stdint.h>

struct entry {
    struct slice key;
    void *value;
    struct http_regex *regex;
    struct http_locations *nested;
    /* Index of the longest other prefix of this key, or -1. */
    int shorter;
    bool final;
};

struct table {
    struct arena *arena;
    struct entry *items;
    int count, cap;
};

struct http_names {
    struct table exact, leading, trailing, regexes;
};

struct http_locations {
    struct table exact, prefixes, regexes;
};

static int compare_keys(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.data, b.data, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static bool table_add(struct table *t, struct entry e)
{
    if (t->count == t->cap) {
        int cap = t->cap ? t->cap * 2 : 8;
        struct entry *items = arena_alloc(t->arena, (size_t)cap * sizeof *items);
        if (!items)
            return false;
        if (t->count)
            memcpy(items, t->items, (size_t)t->count * sizeof *items);
        t->items = items;
        t->cap = cap;
    }
    assert(t->count < t->cap);
    t->items[t->count++] = e;
    return true;
}

/* Index of the greatest entry not above key, or -1. */
static int floor_of(const struct table *t, struct slice key)
{
    int low = 0, high = t->count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (compare_keys(t->items[middle].key, key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

/* Inserts in order; an equal key stays the first one's, and *why says so if it is another's. */
static bool table_insert(struct table *t, struct entry e, struct slice *why)
{
    int at = floor_of(t, e.key) + 1;
    assert(at >= 0 && at <= t->count);
    if (at > 0 && compare_keys(t->items[at - 1].key, e.key) == 0) {
        if (t->items[at - 1].value != e.value)
            *why = SLICE("duplicate");
        return true;
    }
    if (!table_add(t, e))
        return false;
    memmove(&t->items[at + 1], &t->items[at], (size_t)(t->count - 1 - at) * sizeof e);
    t->items[at] = e;
    return true;
}

static const struct entry *table_find(const struct table *t, struct slice key)
{
    int at = floor_of(t, key);
    return at >= 0 && compare_keys(t->items[at].key, key) == 0 ? &t->items[at] : NULL;
}

static void table_free_regexes(struct table *t)
{
    for (int i = 0; i < t->count; i++)
        http_regex_free(t->items[i].regex);
    t->count = 0;
}

struct http_names *http_names_new(struct arena *arena)
{
    struct http_names *n = arena_zalloc(arena, sizeof *n);
    if (n)
        n->exact.arena = n->leading.arena = n->trailing.arena = n->regexes.arena = arena;
    return n;
}

static bool add_wildcard(struct http_names *names, struct slice name, void *server, struct slice *why)
{
    bool dotted = name.data[0] == '.', leading = dotted || slice_starts(name, SLICE("*."));
    bool trailing = !leading && name.len > 2 && memcmp(name.data + name.len - 2, ".*", 2) == 0;
    struct slice key = leading    ? slice_from(name, dotted ? 1 : 2)
                       : trailing ? (struct slice){name.data, name.len - 2}
                                  : name;
    if ((!leading && !trailing) || key.len == 0 || memchr(key.data, '*', key.len)) {
        *why = SLICE(
            "a wildcard stands only as a whole label at one end, such as *.example.org or www.example.*");
        return false;
    }
    struct entry e = {.key = key, .value = server};
    if (trailing)
        return table_insert(&names->trailing, e, why);
    return table_insert(&names->leading, e, why) && (!dotted || table_insert(&names->exact, e, why));
}

bool http_names_add(struct http_names *names, struct slice name, void *server, struct slice *why)
{
    struct arena *arena = names->exact.arena;
    if (name.len > 1 && name.data[0] == '~') {
        struct http_regex *regex = http_regex_new(arena, slice_from(name, 1), true, why);
        return regex && table_add(&names->regexes, (struct entry){.value = server, .regex = regex});
    }
    name = arena_dup_lower(arena, name);
    if (name.len && (name.data[0] == '.' || memchr(name.data, '*', name.len)))
        return add_wildcard(names, name, server, why);
    return table_insert(&names->exact, (struct entry){.key = name, .value = server}, why);
}

/* The longest suffix of host, cut at a dot, that is in the table. */
static void *find_leading(const struct table *t, struct slice host)
{
    while (t->count && host.len) {
        const char *dot = memchr(host.data, '.', host.len);
        if (!dot)
            break;
        host = slice_from(host, (size_t)(dot - host.data) + 1);
        const struct entry *e = table_find(t, host);
        if (e)
            return e->value;
    }
    return NULL;
}

static void *find_trailing(const struct table *t, struct slice host)
{
    while (t->count && host.len) {
        const char *dot = memrchr(host.data, '.', host.len);
        if (!dot)
            break;
        host.len = (size_t)(dot - host.data);
        const struct entry *e = table_find(t, host);
        if (e)
            return e->value;
    }
    return NULL;
}

void *http_names_find(const struct http_names *names, struct slice host, struct http_captures *captures)
{
    /* No host: captures point into what was sent, so there must be something. */
    if (!host.data)
        host = SLICE("");
    struct slice as_sent = host;
    char lower[256];
    if (host.len > sizeof lower)
        return NULL;
    for (size_t i = 0; i < host.len; i++)
        lower[i] = (char)(host.data[i] >= 'A' && host.data[i] <= 'Z' ? host.data[i] | 0x20 : host.data[i]);
    host.data = lower;
    const struct entry *e = table_find(&names->exact, host);
    if (e)
        return e->value;
    void *found = find_leading(&names->leading, host);
    if (!found)
        found = find_trailing(&names->trailing, host);
    for (int i = 0; !found && i < names->regexes.count; i++)
        if (http_regex_match(names->regexes.items[i].regex, host, captures))
            found = names->regexes.items[i].value;
    /* `lower` goes away: the same places in what was sent. */
    for (int i = 0; i < captures->count; i++)
        if (captures->groups[i].data)
            captures->groups[i].data = as_sent.data + (captures->groups[i].data - lower);
    return found;
}

void http_names_free(struct http_names *names)
{
    table_free_regexes(&names->regexes);
}

struct http_locations *http_locations_new(struct arena *arena)
{
    struct http_locations *l = arena_zalloc(arena, sizeof *l);
    if (l)
        l->exact.arena = l->prefixes.arena = l->regexes.arena = arena;
    return l;
}

bool http_locations_add(struct http_locations *l, enum http_match match, struct slice pattern,
                        struct http_locations *nested, void *location, struct slice *why)
{
    struct entry e = {.key = pattern, .value = location, .nested = nested, .shorter = -1};
    switch (match) {
    case HTTP_MATCH_EXACT:
        return table_insert(&l->exact, e, why);
    case HTTP_MATCH_PREFIX_FINAL:
        e.final = true;
        return table_insert(&l->prefixes, e, why);
    case HTTP_MATCH_PREFIX:
        return table_insert(&l->prefixes, e, why);
    default:
        e.regex = http_regex_new(l->exact.arena, pattern, match == HTTP_MATCH_REGEX_NOCASE, why);
        return e.regex && table_add(&l->regexes, e);
    }
}

void http_locations_finish(struct http_locations *l)
{
    struct table *t = &l->prefixes;
    for (int i = 0; i < t->count; i++) {
        int j = i - 1;
        while (j >= 0 && !slice_starts(t->items[i].key, t->items[j].key))
            j = t->items[j].shorter;
        assert(j < i);
        t->items[i].shorter = j;
    }
}

static const struct entry *longest_prefix(const struct table *t, struct slice path)
{
    int i = floor_of(t, path);
    while (i >= 0 && !slice_starts(path, t->items[i].key))
        i = t->items[i].shorter;
    return i >= 0 ? &t->items[i] : NULL;
}

/* What the search in one level and below it found. */
struct found {
    void *location; /* the best so far */
    /* No regular expression may replace the location: it is exact, or one itself. */
    bool settled;
    http_captures_fn on_match;
    void *arg;
};

static void find_in_level(const struct http_locations *l, struct slice path, struct found *found,
                          struct http_captures *captures)
{
    const struct entry *e = table_find(&l->exact, path);
    if (e) {
        found->location = e->value;
        found->settled = true;
        return;
    }
    e = longest_prefix(&l->prefixes, path);
    if (e) {
        found->location = e->value;
        if (e->nested)
            find_in_level(e->nested, path, found, captures);
        /* "^~" is final for the expressions of its own level, as in nginx. */
        if (found->settled || e->final)
            return;
    }
    for (int i = 0; i < l->regexes.count; i++) {
        const struct entry *r = &l->regexes.items[i];
        if (!http_regex_match(r->regex, path, captures))
            continue;
        found->location = r->value;
        found->settled = false;
        if (found->on_match)
            found->on_match(found->arg, captures);
        if (r->nested)
            find_in_level(r->nested, path, found, captures);
        found->settled = true;
        return;
    }
}

void *http_locations_find(const struct http_locations *l, struct slice path, struct http_captures *captures,
                          http_captures_fn on_match, void *arg)
{
    struct found found = {.on_match = on_match, .arg = arg};
    find_in_level(l, path, &found, captures);
    return found.location;
}

void http_locations_free(struct http_locations *l)
{
    for (int i = 0; i < l->prefixes.count; i++)
        if (l->prefixes.items[i].nested)
            http_locations_free(l->prefixes.items[i].nested);
    for (int i = 0; i < l->regexes.count; i++)
        if (l->regexes.items[i].nested)
            http_locations_free(l->regexes.items[i].nested);
    table_free_regexes(&l->regexes);
}
