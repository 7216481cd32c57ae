/*
 * conf/inherit.c - what no statement of a level has set: it is taken over from the level around it, else from the tables.
 *
 * A default is text that stands in its row as it would stand in a file, and is applied as that statement would be.
 */
#include "conf/conf.h"
#include "conf/directive.h"

#include <stdlib.h>

/* Paths have their place where the program is installed. */
static void place_paths(struct conf *conf, const struct conf_directive *d, struct conf_node *n)
{
    struct slice *args = conf_must(arena_alloc(&conf->arena, (size_t)(n->nargs + 1) * sizeof *args));
    for (int i = 0; i < n->nargs; i++)
        args[i] = d->type == CONF_PATH || slice_starts(n->args[i], SLICE("logs/"))
                      ? conf_default_path(conf, n->args[i].data)
                      : n->args[i];
    n->args = args;
}

/* The default as a statement that stands in no file. Its text is right, or the table is wrong. */
static const struct conf_node *default_statement(struct conf *conf, const struct conf_directive *d)
{
    struct conf_tree tree = {.arena = &conf->arena, .errors = &conf->errors};
    struct slice text = arena_printf(&conf->arena, "%s %s%s", d->name, d->default_text, d->block ? "" : ";");
    if (!conf_tree_read_text(&tree, "default", text) || !tree.root)
        abort();
    place_paths(conf, d, tree.root);
    return tree.root;
}

void conf_apply_default(struct conf_walk *w, const struct conf_directive *d, void *values)
{
    struct conf_walk inner = *w;
    int before = w->conf->errors.count;
    inner.is_default = true;
    bool ok = conf_set_value(&inner, default_statement(w->conf, d), d, values);
    if (!ok || w->conf->errors.count != before)
        abort();
}

/* values is what w fills. */
static void inherit_row(struct conf_walk *w, const struct conf_directive *d, const struct conf_given *given,
                        void *values, const void *parent)
{
    if (d->field.size == 0 || conf_is_given(given, d))
        return;
    if (parent)
        memcpy(conf_field_in(d, values), conf_field_of(d, parent), d->field.size);
    else if (d->default_text)
        conf_apply_default(w, d, values);
}

void conf_fill_core_defaults(struct conf *conf)
{
    struct conf_walk w = {.conf = conf};
    for (const struct conf_directive *d = conf_core_directives; d->name; d++)
        inherit_row(&w, d, &conf->given, conf, NULL);
}

void conf_fill_upstream_defaults(struct conf_upstream *upstream, struct conf *conf)
{
    struct conf_walk w = {.conf = conf, .upstream = upstream};
    for (const struct conf_directive *d = conf_upstream_directives; d->name; d++)
        inherit_row(&w, d, &upstream->given, upstream, NULL);
}

void conf_inherit(struct settings *s, const struct settings *parent, struct conf *conf)
{
    struct conf_walk w = {.conf = conf, .settings = s};
    for (const struct conf_table **t = conf_tables; *t; t++) {
        for (const struct conf_directive *d = (*t)->rows; d->name; d++)
            if (conf_is_setting(d))
                inherit_row(&w, d, &s->given, s, parent);
        if ((*t)->inherit)
            (*t)->inherit(s, parent);
    }
}
