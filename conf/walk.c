/*
 * conf/walk.c - applies statements to settings by the directive tables: context, arity, duplicates.
 *
 * Errors of meaning are all collected: an operator who moves a configuration here sees the whole list at once.
 */
#include "conf/directive.h"

#include "conf/conf.h"
#include "conf/unknown.h"

#include <stdio.h>

static void wrong_arity(struct conf_walk *w, const struct conf_node *n, const struct conf_directive *d)
{
    char count[48], text[CONF_SYNTAX_MAX];
    const char *syntax = conf_syntax_of(d, text);
    if (d->args.max == CONF_ANY)
        snprintf(count, sizeof count, "at least %d", d->args.min);
    else if (d->args.min == d->args.max)
        snprintf(count, sizeof count, d->args.min ? "exactly %d" : "no argument", d->args.min);
    else
        snprintf(count, sizeof count, "%d to %d", d->args.min, d->args.max);
    conf_error(&w->conf->errors, n, "invalid number of arguments in \"%s\" directive; it takes %s: %s%s%s%s",
               d->name, count, d->name, syntax[0] ? " " : "", syntax, d->block ? "" : ";");
}

static void wrong_context(struct conf_walk *w, const struct conf_node *n, const struct conf_directive *d)
{
    static const char *const names[] = {"main", "events", "http", "server", "location", "upstream"};
    char places[64] = "";
    size_t len = 0;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (d->where & 1u << i)
            len += (size_t)snprintf(places + len, sizeof places - len, "%s%s", len ? ", " : "", names[i]);
    conf_error(&w->conf->errors, n, "\"%s\" directive is not allowed here; its place is: %s", d->name,
               places);
}

static bool shape_ok(struct conf_walk *w, const struct conf_node *n, const struct conf_directive *d)
{
    if (!(d->where & w->context)) {
        wrong_context(w, n, d);
        return false;
    }
    if (d->block && !n->has_block) {
        conf_error(&w->conf->errors, n, "directive \"%s\" has no opening \"{\"", d->name);
        return false;
    }
    if (!d->block && n->has_block) {
        conf_error(&w->conf->errors, n, "directive \"%s\" is not terminated by \";\"; it takes no block",
                   d->name);
        return false;
    }
    if (n->nargs < d->args.min || (d->args.max != CONF_ANY && n->nargs > d->args.max)) {
        wrong_arity(w, n, d);
        return false;
    }
    return true;
}

/* What the row's context fills; both are NULL where that is nothing, as for a log of the main level. */
static void *values_of(const struct conf_walk *w, const struct conf_directive *d, struct conf_given **given)
{
    if (conf_is_setting(d)) {
        *given = w->settings ? &w->settings->given : NULL;
        return w->settings;
    }
    if (d->where & CONF_UPSTREAM) {
        *given = &w->upstream->given;
        return w->upstream;
    }
    *given = &w->conf->given;
    return w->conf;
}

static void apply(struct conf_walk *w, const struct conf_node *n, const struct conf_directive *d)
{
    struct conf_given *given;
    void *values = values_of(w, d, &given);
    bool repeats = d->type == CONF_LINES || (d->type == CONF_CUSTOM && !d->once);
    bool has_field = d->field.size && given;
    if (has_field && !repeats && conf_is_given(given, d))
        conf_error(&w->conf->errors, n, "\"%s\" directive is duplicate; remove one of them", d->name);
    else if (conf_set_value(w, n, d, values) && has_field)
        conf_mark_given(given, d);
}

void conf_walk_block(struct conf_walk *w, const struct conf_node *children)
{
    for (const struct conf_node *n = children; n; n = n->next) {
        const struct conf_directive *d = conf_find_directive(n->name, w->context);
        if (!d)
            conf_unknown(w, n);
        else if (shape_ok(w, n, d))
            apply(w, n, d);
    }
}
