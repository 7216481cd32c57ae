/*
 * http/site/feature.c - walking the list of features.
 */
#include "http/site/feature.h"

#include "conf/conf.h"
#include "http/site/build.h"

#include <assert.h>

static const struct feature *const *list;

static size_t location_size, site_size; /* of all parts of one */

void site_use_features(const struct feature *const *features)
{
    static const struct conf_table *tables[CONF_TABLES_MAX + 1];
    size_t count = 0;
    assert(!list);
    list = features;
    for (const struct feature *const *f = list; *f; f++) {
        if ((*f)->location)
            part_place((*f)->location, &location_size);
        if ((*f)->site)
            part_place((*f)->site, &site_size);
        if ((*f)->table && count < CONF_TABLES_MAX)
            tables[count++] = (*f)->table;
    }
    conf_use_tables(tables);
}

void features_begin(struct site *site)
{
    site->parts.bytes = conf_must(arena_zalloc(&site->arena, site_size));
}

void features_define_variables(struct site *site)
{
    for (const struct feature *const *f = list; *f; f++)
        for (const struct feature_variable *v = (*f)->variables; v && v->name; v++)
            site_define(site, v->name, v->get);
}

void features_name_variables(struct site *site)
{
    for (const struct feature *const *f = list; *f; f++)
        if ((*f)->name_variables)
            (*f)->name_variables(site);
}

void features_each_set(struct site *site, const struct settings *s,
                       void (*each)(struct site *site, const struct conf_node *node))
{
    for (const struct feature *const *f = list; *f; f++)
        for (const struct conf_lines *l = (*f)->sets ? (*f)->sets(s) : NULL; l; l = l->next)
            each(site, l->node);
}

void features_prepare(struct site *site)
{
    for (const struct feature *const *f = list; *f; f++)
        if ((*f)->prepare)
            (*f)->prepare(site);
}

void features_build(struct site *site, struct location *l, const struct conf_location *c)
{
    l->parts.bytes = conf_must(arena_zalloc(&site->arena, location_size));
    for (const struct feature *const *f = list; *f; f++)
        if ((*f)->build)
            (*f)->build(site, l, c);
}

void features_build_upstream(struct site *site, struct upstream *u, const struct conf_upstream *c)
{
    for (const struct feature *const *f = list; *f; f++)
        if ((*f)->build_upstream)
            (*f)->build_upstream(site, u, c);
}

void features_drop(struct location *l)
{
    for (const struct feature *const *f = list; *f; f++)
        if ((*f)->drop)
            (*f)->drop(l);
}

void features_end(struct site *site)
{
    for (const struct feature *const *f = list; *f; f++)
        if ((*f)->end)
            (*f)->end(site);
}
