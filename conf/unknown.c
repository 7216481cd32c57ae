/*
 * conf/unknown.c - directives that are not there: of nginx, of third parties' modules, or of nobody.
 *
 * A configuration that is brought along may have hundreds of lines of one feature: each feature is told once, with the
 * number of its lines.
 */
#include "conf/unknown.h"

/* What is not there, by its mark, or, of a name that nobody knows, by the name. */
struct conf_absent {
    const struct conf_mark *mark; /* NULL: none */
    const struct conf_node *first;
    /* Of `first` that asks for it; data NULL: the directive itself does. */
    struct slice parameter;
    int lines;
    struct conf_absent *next;
};

/* Levenshtein distance, cut off at names longer than 63 bytes: only used to guess what was meant. */
static size_t distance(struct slice a, const char *b)
{
    size_t row[64], len = strlen(b);
    if (a.len >= 64 || len >= 64)
        return 64;
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= len; j++) {
            size_t best = diagonal + (a.data[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[len];
}

static const char *guess(struct slice name, enum conf_context context)
{
    const char *found = NULL;
    size_t best = 4;
    for (const struct conf_table **t = conf_tables; *t; t++) {
        for (const struct conf_directive *d = (*t)->rows; d->name; d++) {
            size_t far = distance(name, d->name);
            if ((d->where & context) && far < best && far < name.len) {
                best = far;
                found = d->name;
            }
        }
    }
    return found;
}

static bool is_absent(const struct conf_mark *mark)
{
    return mark && (mark->kind == CONF_ABSENT || mark->kind == CONF_FOREIGN);
}

/* A sentence as a part of another one. */
static struct slice without_stop(const char *sentence)
{
    struct slice text = slice_of(sentence);
    text.len -= text.len && text.data[text.len - 1] == '.';
    return text;
}

static void count(struct conf *conf, const struct conf_mark *mark, const struct conf_node *n,
                  struct slice parameter)
{
    struct conf_absent **tail = &conf->absent;
    for (; *tail; tail = &(*tail)->next) {
        struct conf_absent *a = *tail;
        if (a->mark == mark && (mark || slice_eq(a->first->name, n->name))) {
            a->lines++;
            return;
        }
    }
    *tail = conf_must(arena_zalloc(&conf->arena, sizeof **tail));
    **tail = (struct conf_absent){mark, n, parameter, 1, NULL};
}

void conf_count_absent(struct conf *conf, const char *name, const struct conf_node *n, struct slice parameter)
{
    count(conf, conf_find_mark(slice_of(name)), n, parameter);
}

void conf_unknown(struct conf_walk *w, const struct conf_node *n)
{
    const struct conf_mark *mark = conf_find_mark(n->name);
    bool absent = is_absent(mark);
    if (absent && !n->has_block && n->nargs == 1 && slice_eq(n->args[0], SLICE("off")))
        return; /* what is not there is off */
    const char *meant = absent ? NULL : guess(n->name, w->context);
    if (meant)
        conf_error(&w->conf->errors, n, "unknown directive \"%.*s\"; did you mean \"%s\"?",
                   SLICE_ARGS(n->name), meant);
    else
        count(w->conf, absent ? mark : NULL, n, (struct slice){0});
}

/* --- a file that cannot be read to its end --- */

static bool is_known(struct slice name)
{
    for (const struct conf_table **t = conf_tables; *t; t++)
        for (const struct conf_directive *d = (*t)->rows; d->name; d++)
            if (slice_eq(name, slice_of(d->name)))
                return true;
    return false;
}

/* Blocks whose words are directives; in others, as map and types, they are anything. */
static bool has_directives(struct slice name)
{
    static const char *const names[] = {"http",     "events", "server",      "location",
                                        "upstream", "if",     "limit_except"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_eq(name, slice_of(names[i])))
            return true;
    return false;
}

static void look_for_unknown(struct conf_walk *w, const struct conf_node *n)
{
    for (; n; n = n->next) {
        if (!is_known(n->name))
            conf_unknown(w, n);
        else if (has_directives(n->name))
            look_for_unknown(w, n->children);
    }
}

void conf_look_for_unknown(struct conf *conf)
{
    struct conf_walk w = {.conf = conf, .context = (enum conf_context) ~0u};
    look_for_unknown(&w, conf->tree.root);
    conf_tell_absent(conf);
}

/* --- modules of nginx's --- */

static bool cut_start(struct slice *s, const char *start)
{
    bool has_it = slice_starts(*s, slice_of(start));
    if (has_it)
        *s = slice_from(*s, strlen(start));
    return has_it;
}

/* What is said of the directives of a module: most of them begin with its name. */
static const struct conf_mark *find_module(struct conf *conf, struct slice name)
{
    static const struct {
        const char *module, *directive;
    } others[] = {{"headers_more", "more_set_headers"},
                  {"uploadprogress", "track_uploads"},
                  {"form_input", "set_form_input"},
                  {"set_misc", "set_escape_uri"},
                  {"stream_", "stream"},
                  {"upstream_check", "check"}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (slice_starts(name, slice_of(others[i].module)))
            return conf_find_mark(slice_of(others[i].directive));
    const struct conf_mark *mark = conf_find_mark(arena_printf(&conf->arena, "%.*s_", SLICE_ARGS(name)));
    return is_absent(mark) ? mark : conf_find_mark(name);
}

struct slice conf_about_module(struct conf *conf, struct slice path)
{
    static const struct slice end = {"_module.so", 10};
    const char *slash = path.len ? memrchr(path.data, '/', path.len) : NULL;
    struct slice name = slice_from(path, slash ? (size_t)(slash - path.data) + 1 : 0);
    bool ends = name.len > end.len && slice_eq(slice_from(name, name.len - end.len), end);
    if (!ends || !(cut_start(&name, "ngx_http_") || cut_start(&name, "ngx_") || cut_start(&name, "ndk_")))
        return (struct slice){0};
    name.len -= end.len;
    const struct conf_mark *mark = find_module(conf, name);
    struct slice text = is_absent(mark) ? without_stop(mark->text) : SLICE("");
    return arena_printf(
        &conf->arena, "; by its name it is nginx's, and only modules for weir can be loaded: remove it%s%.*s",
        text.len ? "; of what it has: " : "", SLICE_ARGS(text));
}

/* --- what is told --- */

/* "unknown directive ...", or the parameter that asks for it. */
static struct slice what(struct conf *conf, const struct conf_absent *a)
{
    if (a->parameter.data)
        return arena_printf(&conf->arena, "parameter \"%.*s\" of \"%.*s\"", SLICE_ARGS(a->parameter),
                            SLICE_ARGS(a->first->name));
    return arena_printf(&conf->arena, "unknown directive \"%.*s\"", SLICE_ARGS(a->first->name));
}

/* How many lines there are, before the place of the first one. */
static struct slice how_many(struct conf *conf, const struct conf_absent *a)
{
    bool family = a->mark && strchr(a->mark->name, '*');
    if (a->lines == 1)
        return SLICE("");
    return arena_printf(&conf->arena, "; %d lines%s%s%s, the first one", a->lines, family ? " (" : "",
                        family ? a->mark->name : "", family ? ")" : "");
}

void conf_tell_absent(struct conf *conf)
{
    for (const struct conf_absent *a = conf->absent; a; a = a->next) {
        struct slice text = without_stop(a->mark ? a->mark->text : "");
        const char *why = !a->mark ? "remove it, or see docs/directives.md for what there is"
                          : a->mark->kind == CONF_FOREIGN ? "nginx has it from a third party's module: "
                                                          : "nginx's is not supported: ";
        conf_error(&conf->errors, a->first, "%.*s; %s%.*s%.*s", SLICE_ARGS(what(conf, a)), why,
                   SLICE_ARGS(text), SLICE_ARGS(how_many(conf, a)));
    }
}
