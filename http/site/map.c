/*
 * http/site/map.c - looking up the value of a map.
 */
#include "http/site/map.h"

#include "base/arena.h"
#include "base/slice.h"
#include "http/request/exchange.h"
#include "http/request/regex.h"
#include "http/request/template.h"
#include "http/site/router.h"

#include <assert.h>
#include <stdlib.h>

enum { DEPTH_MAX = 16 /* maps whose sources are maps */ };

struct entry {
    struct slice key;
    const struct http_template *value;
    struct entry *next;
};

struct pattern {
    struct http_regex *regex;
    const struct http_template *value;
    struct pattern *next;
};

struct http_map {
    struct arena *arena;
    const struct http_template *source, *otherwise;
    struct http_names *hosts; /* with hostnames: all keys but expressions */
    struct entry *list;       /* as they are added */
    struct entry *sorted;     /* after http_map_finish */
    size_t count;
    struct pattern *patterns, **last_pattern;
};

struct http_map *http_map_new(struct arena *arena, bool hostnames)
{
    struct http_map *m = arena_zalloc(arena, sizeof *m);
    if (!m)
        return NULL;
    m->arena = arena;
    m->last_pattern = &m->patterns;
    m->hosts = hostnames ? http_names_new(arena) : NULL;
    return m;
}

void http_map_set_source(struct http_map *map, const struct http_template *source)
{
    map->source = source;
}

void http_map_set_default(struct http_map *map, const struct http_template *value)
{
    map->otherwise = value;
}

static bool add_pattern(struct http_map *m, struct slice key, const struct http_template *value,
                        struct slice *why)
{
    bool no_case = key.len > 1 && key.data[1] == '*';
    struct pattern *p = arena_zalloc(m->arena, sizeof *p);
    if (!p)
        return false;
    p->value = value;
    p->regex = http_regex_new(m->arena, slice_from(key, 1 + no_case), no_case, why);
    if (!p->regex)
        return false;
    *m->last_pattern = p;
    m->last_pattern = &p->next;
    return true;
}

bool http_map_add(struct http_map *m, struct slice key, const struct http_template *value, struct slice *why)
{
    if (key.len && key.data[0] == '~')
        return add_pattern(m, key, value, why);
    if (key.len > 1 && key.data[0] == '\\')
        key = slice_from(key, 1);
    if (m->hosts && key.len) {
        struct slice note = {0};
        bool ok = http_names_add(m->hosts, key, (void *)(uintptr_t)value, &note);
        *why = note;
        return ok && !note.data;
    }
    struct entry *e = arena_zalloc(m->arena, sizeof *e);
    if (!e)
        return false;
    *e = (struct entry){key, value, m->list};
    m->list = e;
    m->count++;
    return true;
}

static int compare_map_keys(const void *a, const void *b)
{
    struct slice x = ((const struct entry *)a)->key, y = ((const struct entry *)b)->key;
    size_t n = x.len < y.len ? x.len : y.len;
    int order = n ? strncasecmp(x.data, y.data, n) : 0;
    return order ? order : (x.len > y.len) - (x.len < y.len);
}

bool http_map_finish(struct http_map *m, struct slice *twice)
{
    size_t i = m->count;
    m->sorted = arena_alloc(m->arena, (m->count + 1) * sizeof *m->sorted);
    if (!m->sorted) {
        m->count = 0;
        return true;
    }
    for (struct entry *e = m->list; e; e = e->next)
        m->sorted[--i] = *e;
    assert(i == 0);
    qsort(m->sorted, m->count, sizeof *m->sorted, compare_map_keys);
    for (i = 1; i < m->count; i++) {
        if (compare_map_keys(&m->sorted[i - 1], &m->sorted[i]) == 0) {
            *twice = m->sorted[i].key;
            return false;
        }
    }
    return true;
}

static const struct http_template *find_in_map(const struct http_map *m, struct slice text,
                                               struct http_captures *captures)
{
    if (m->hosts && text.len && text.data[text.len - 1] == '.')
        text.len--; /* of a name that is written whole */
    struct entry wanted = {.key = text};
    const struct entry *e =
        m->count ? bsearch(&wanted, m->sorted, m->count, sizeof *m->sorted, compare_map_keys) : NULL;
    if (e)
        return e->value;
    const struct http_template *value =
        m->hosts && text.len ? http_names_find(m->hosts, text, captures) : NULL;
    if (value)
        return value;
    for (const struct pattern *p = m->patterns; p; p = p->next)
        if (http_regex_match(p->regex, text, captures))
            return p->value;
    return m->otherwise;
}

struct slice http_map_get(struct http_exchange *ex, const void *map)
{
    const struct http_map *m = map;
    struct http_captures captures = {.count = 0};
    assert(m->sorted || m->count == 0); /* http_map_finish has been called */
    if (!m->source || ex->map_depth >= DEPTH_MAX)
        return SLICE(""); /* maps that go round */
    ex->map_depth++;
    const struct http_template *value = find_in_map(m, http_template_expand(m->source, ex), &captures);
    struct slice text = SLICE("");
    http_keep_named(ex, &captures);
    if (value && captures.count) {
        struct http_captures saved = ex->route.location_captures;
        ex->route.location_captures = captures;
        text = http_template_expand(value, ex);
        ex->route.location_captures = saved;
    } else if (value) {
        text = http_template_expand(value, ex);
    }
    assert(ex->map_depth > 0);
    ex->map_depth--;
    return text;
}

void http_map_free(struct http_map *m)
{
    for (struct pattern *p = m->patterns; p; p = p->next)
        http_regex_free(p->regex);
    if (m->hosts)
        http_names_free(m->hosts);
}
