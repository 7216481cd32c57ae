/*
 * tests/fuzz/fuzz_regex.c - routing: what the tables find is what trying every location and every server name in nginx's
 * order finds, and the groups of a match lie inside of what was matched.
 *
 * The input is lines. The first is the path, the second the host; each other one adds a rule, its first byte says which:
 * "/" a prefix, "=" exact, "^" a final prefix, "~" and "*" an expression, with and without case, "!" a server name. A
 * location behind ">" is nested in the last one that is not.
 */
#include "tests/fuzz/fuzz.h"

#include "http/site/router.h"

enum { RULES_MAX = 16, INPUT_MAX = 400, TOP = -1 };

struct rule {
    bool is_name;
    enum http_match match;
    struct slice pattern;
    int parent;                    /* the rule it is nested in, or TOP */
    struct http_regex *regex;      /* compiled once more, for the plain search */
    struct http_locations *nested; /* NULL for what can hold none */
};

/* What one input says; a rule stands for itself as what is found. */
struct routes {
    struct arena arena;
    struct http_locations *top;
    struct http_names *names;
    struct rule rules[RULES_MAX];
    int count, last_top;
};

static struct slice next_line(struct slice *rest)
{
    const char *end = memchr(rest->data, '\n', rest->len);
    struct slice line = {rest->data, end ? (size_t)(end - rest->data) : rest->len};
    *rest = slice_from(*rest, line.len + 1);
    return line;
}

/* --- what was given to the tables --- */

static bool is_regex(enum http_match match)
{
    return match == HTTP_MATCH_REGEX || match == HTTP_MATCH_REGEX_NOCASE;
}

/* The groups' names: each leads back to its number, unless several groups share one. */
static void check_group_names(const struct http_regex *regex)
{
    struct slice name;
    int group;
    for (int i = 0; http_regex_name(regex, i, &name, &group); i++) {
        int found = http_regex_group(regex, name);
        FUZZ_CHECK(name.len > 0 && group > 0 && (found == group || found == -1));
    }
}

static struct http_regex *compile_again(struct routes *all, struct slice pattern, bool no_case)
{
    struct slice why = {0};
    struct http_regex *regex = http_regex_new(&all->arena, pattern, no_case, &why);
    FUZZ_CHECK(regex);
    check_group_names(regex);
    return regex;
}

static bool add_name(struct routes *all, struct rule *r)
{
    struct slice why = {0};
    if (!http_names_add(all->names, r->pattern, r, &why)) {
        FUZZ_CHECK(why.len > 0);
        return false;
    }
    if (r->pattern.len > 1 && r->pattern.data[0] == '~')
        r->regex = compile_again(all, slice_from(r->pattern, 1), true);
    else
        r->pattern = arena_dup_lower(&all->arena, r->pattern);
    return true;
}

static bool add_location(struct routes *all, struct rule *r, struct http_locations *to)
{
    struct slice why = {0};
    r->nested = r->match == HTTP_MATCH_EXACT ? NULL : http_locations_new(&all->arena);
    bool added = http_locations_add(to, r->match, r->pattern, r->nested, r, &why);
    FUZZ_CHECK(added || (is_regex(r->match) && why.len > 0));
    /* A bad expression, or the first of equals stays. */
    if (!added || why.data)
        return false;
    if (is_regex(r->match))
        r->regex = compile_again(all, r->pattern, r->match == HTTP_MATCH_REGEX_NOCASE);
    return true;
}

/* Reads a rule's kind off its line; a prefix keeps its slash. */
static bool read_kind(struct rule *r, struct slice line)
{
    r->pattern = slice_from(line, 1);
    switch (line.len ? line.data[0] : 0) {
    case '/':
        r->match = HTTP_MATCH_PREFIX;
        r->pattern = line;
        return true;
    case '=':
        r->match = HTTP_MATCH_EXACT;
        return true;
    case '^':
        r->match = HTTP_MATCH_PREFIX_FINAL;
        return true;
    case '~':
        r->match = HTTP_MATCH_REGEX;
        return true;
    case '*':
        r->match = HTTP_MATCH_REGEX_NOCASE;
        return true;
    case '!':
        r->is_name = true;
        return true;
    default:
        return false;
    }
}

static void add_rule(struct routes *all, struct slice line)
{
    struct rule *r = &all->rules[all->count];
    *r = (struct rule){.parent = TOP};
    bool inside = line.len && line.data[0] == '>' && all->last_top != TOP;
    if (!read_kind(r, inside ? slice_from(line, 1) : line))
        return;
    if (r->is_name) {
        all->count += add_name(all, r);
        return;
    }
    r->parent = inside ? all->last_top : TOP;
    if (!add_location(all, r, inside ? all->rules[all->last_top].nested : all->top))
        return;
    if (!inside && r->nested)
        all->last_top = all->count;
    all->count++;
}

static void build(struct routes *all, struct slice text)
{
    arena_init(&all->arena, 4096);
    all->top = http_locations_new(&all->arena);
    all->names = http_names_new(&all->arena);
    all->count = 0;
    all->last_top = TOP;
    while (text.len && all->count < RULES_MAX)
        add_rule(all, next_line(&text));
    http_locations_finish(all->top);
    for (int i = 0; i < all->count; i++)
        if (all->rules[i].nested)
            http_locations_finish(all->rules[i].nested);
}

static void tear_down(struct routes *all)
{
    for (int i = 0; i < all->count; i++)
        http_regex_free(all->rules[i].regex);
    http_locations_free(all->top);
    http_names_free(all->names);
    arena_free(&all->arena);
}

/* --- the plain search: every rule, in nginx's order --- */

static const struct rule *exact_of(const struct routes *all, int parent, struct slice path)
{
    for (const struct rule *r = all->rules; r < all->rules + all->count; r++)
        if (!r->is_name && r->parent == parent && r->match == HTTP_MATCH_EXACT && slice_eq(r->pattern, path))
            return r;
    return NULL;
}

static const struct rule *prefix_of(const struct routes *all, int parent, struct slice path)
{
    const struct rule *best = NULL;
    for (const struct rule *r = all->rules; r < all->rules + all->count; r++)
        if (!r->is_name && r->parent == parent &&
            (r->match == HTTP_MATCH_PREFIX || r->match == HTTP_MATCH_PREFIX_FINAL) &&
            slice_starts(path, r->pattern) && (!best || r->pattern.len > best->pattern.len))
            best = r;
    return best;
}

static const struct rule *regex_of(const struct routes *all, int parent, struct slice path)
{
    for (const struct rule *r = all->rules; r < all->rules + all->count; r++)
        if (!r->is_name && r->parent == parent && is_regex(r->match) &&
            http_regex_match(r->regex, path, NULL))
            return r;
    return NULL;
}

/* *settled: no expression further out replaces it. */
static const struct rule *plain_location(const struct routes *all, int parent, struct slice path,
                                         bool *settled)
{
    const struct rule *found = exact_of(all, parent, path);
    if ((*settled = found != NULL))
        return found;
    const struct rule *prefix = prefix_of(all, parent, path), *inner = NULL;
    if (prefix)
        inner = plain_location(all, (int)(prefix - all->rules), path, settled);
    found = inner ? inner : prefix;
    if (*settled || (prefix && prefix->match == HTTP_MATCH_PREFIX_FINAL))
        return found;
    const struct rule *regex = regex_of(all, parent, path);
    if (!regex)
        return found;
    inner = plain_location(all, (int)(regex - all->rules), path, settled);
    *settled = true;
    return inner ? inner : regex;
}

enum name_kind { NAME_EXACT, NAME_LEADING, NAME_TRAILING, NAME_REGEX };

/* Whether a name matches a host in lower case as that kind; *weight is the longer the better. ".x" is both exact and leading. */
static bool name_matches(const struct rule *r, enum name_kind kind, struct slice host, size_t *weight)
{
    struct slice key = r->pattern, rest;
    bool dotted = key.len > 1 && key.data[0] == '.', star = slice_starts(key, SLICE("*."));
    bool open = !dotted && !star && key.len > 2 && memcmp(key.data + key.len - 2, ".*", 2) == 0;
    if (r->regex || kind == NAME_REGEX)
        return r->regex && kind == NAME_REGEX && http_regex_match(r->regex, host, NULL);
    if (open != (kind == NAME_TRAILING) || (star && kind == NAME_EXACT) ||
        (!star && !dotted && kind == NAME_LEADING))
        return false;
    key = open ? (struct slice){key.data, key.len - 2} : slice_from(key, (size_t)(star ? 2 : dotted));
    FUZZ_CHECK(!memchr(key.data, '*', key.len)); /* one that could never match is refused */
    *weight = key.len;
    if (kind == NAME_EXACT)
        return slice_eq(key, host);
    if (host.len <= key.len)
        return false;
    rest = kind == NAME_LEADING ? slice_from(host, host.len - key.len) : (struct slice){host.data, key.len};
    return host.data[kind == NAME_LEADING ? host.len - key.len - 1 : key.len] == '.' && slice_eq(key, rest);
}

static const struct rule *plain_name(const struct routes *all, struct slice host)
{
    const struct rule *best = NULL;
    for (enum name_kind kind = NAME_EXACT; !best && kind <= NAME_REGEX; kind++) {
        size_t weight = 0, most = 0;
        for (const struct rule *r = all->rules; r < all->rules + all->count; r++) {
            if ((best && kind == NAME_REGEX) || !r->is_name || !name_matches(r, kind, host, &weight))
                continue;
            if (!best || weight > most)
                best = r;
            most = best == r ? weight : most;
        }
    }
    return best;
}

/* --- both, side by side --- */

static void check_captures(const struct http_captures *c, struct slice subject)
{
    FUZZ_CHECK(c->count >= 0 && c->count <= HTTP_GROUPS_MAX);
    FUZZ_CHECK(c->count == 0 || (c->regex && c->groups[0].data));
    for (int i = 0; i < c->count; i++) {
        struct slice g = c->groups[i];
        FUZZ_CHECK(g.data ? g.data >= subject.data && g.data <= subject.data + subject.len : g.len == 0);
        FUZZ_CHECK(!g.data || g.len <= (size_t)(subject.data + subject.len - g.data));
    }
}

static void check_path(const struct routes *all, struct slice path)
{
    bool settled = false;
    struct http_captures captures = {0}, again = {0};
    const void *found = http_locations_find(all->top, path, &captures, NULL, NULL);
    bool failed = http_regex_take_failure();
    FUZZ_CHECK(found == plain_location(all, TOP, path, &settled));
    FUZZ_CHECK(failed == http_regex_take_failure());
    FUZZ_CHECK(found == http_locations_find(all->top, path, &again, NULL, NULL));
    FUZZ_CHECK(failed == http_regex_take_failure() && captures.count == again.count);
    check_captures(&captures, path);
}

/* Names are compared and matched in lower case; captures are of what was sent. No host at all is as an empty one. */
static void check_host(struct routes *all, struct slice host)
{
    struct http_captures captures = {0}, none = {0};
    struct slice lower = arena_dup_lower(&all->arena, host);
    const void *found = http_names_find(all->names, host, &captures);
    bool failed = http_regex_take_failure();
    check_captures(&captures, host);
    if (host.len == 0) {
        FUZZ_CHECK(found == http_names_find(all->names, (struct slice){0}, &none));
        FUZZ_CHECK(failed == http_regex_take_failure() && none.count == captures.count);
    }
    if (host.len > 256) {
        FUZZ_CHECK(!found);
        return;
    }
    FUZZ_CHECK(found == plain_name(all, lower));
    FUZZ_CHECK(failed == http_regex_take_failure());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct routes all;
    struct slice text = {(const char *)data, size};
    /* Compiling grows with the text, and says nothing new. */
    if (size > INPUT_MAX)
        return 0;
    struct slice path = next_line(&text), host = next_line(&text);
    path.data = fuzz_copy(path.data, path.len);
    host.data = fuzz_copy(host.data, host.len);
    build(&all, text);
    check_path(&all, path);
    check_host(&all, host);
    tear_down(&all);
    free((char *)(uintptr_t)path.data);
    free((char *)(uintptr_t)host.data);
    return 0;
}
