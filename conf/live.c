/*
 * conf/live.c - what running workers can take over, and taking it over.
 *
 * Two configurations differ only in live values if their trees are the same once statements that are live from their
 * first argument on are left out, and the live arguments of the others are cut off. Their settings then have the
 * same shape, and the rows marked live are copied field by field.
 */
#include "conf/conf.h"
#include "conf/directive.h"

/* A name may mean one thing in an upstream and another elsewhere; other contexts share their rows. */
static enum conf_live live_part(const struct conf_node *n, enum conf_context context)
{
    const struct conf_directive *d = conf_find_directive(n->name, context);
    return d ? d->live : CONF_FIXED; /* lines of a types block are no directives */
}

static enum conf_context context_in(const struct conf_node *block)
{
    return slice_eq(block->name, SLICE("upstream")) ? CONF_UPSTREAM : CONF_HTTP;
}

static const struct conf_node *skip_live(const struct conf_node *n, enum conf_context context)
{
    while (n && live_part(n, context) == CONF_LIVE)
        n = n->next;
    return n;
}

static bool same_tree(const struct conf_node *a, const struct conf_node *b, enum conf_context context);

static bool same_statement(const struct conf_node *a, const struct conf_node *b, enum conf_context context)
{
    if (!slice_eq(a->name, b->name) || a->has_block != b->has_block)
        return false;
    bool fixed = live_part(a, context) == CONF_FIXED;
    if (fixed && a->nargs != b->nargs)
        return false;
    for (int i = 0; i < (fixed ? a->nargs : 1); i++)
        if (i >= a->nargs || i >= b->nargs || !slice_eq(a->args[i], b->args[i]))
            return false;
    return same_tree(a->children, b->children, context_in(a));
}

static bool same_tree(const struct conf_node *a, const struct conf_node *b, enum conf_context context)
{
    for (a = skip_live(a, context), b = skip_live(b, context); a && b;
         a = skip_live(a->next, context), b = skip_live(b->next, context))
        if (!same_statement(a, b, context))
            return false;
    return !a && !b;
}

bool conf_differs_only_live(const struct conf *a, const struct conf *b)
{
    return same_tree(a->tree.root, b->tree.root, CONF_MAIN);
}

/*
 * settings: of the table's rows, those that are fields of struct settings; else the others. The fields of live rows are values:
 * nothing that they point to would outlive `from`.
 */
static void copy_rows(const struct conf_directive *table, bool settings, void *to, const void *from)
{
    for (const struct conf_directive *d = table; d->name; d++)
        if (d->live == CONF_LIVE && conf_is_setting(d) == settings)
            memcpy(conf_field_in(d, to), conf_field_of(d, from), d->field.size);
}

static void copy_log_levels(struct conf_error_log *to, const struct conf_error_log *from)
{
    for (; to && from; to = to->next, from = from->next) {
        __atomic_store_n(&to->level, from->level, __ATOMIC_RELAXED); /* handlers' threads read them */
        __atomic_store_n(&to->json, from->json, __ATOMIC_RELAXED);
    }
}

static void copy_settings(struct settings *to, const struct settings *from)
{
    for (const struct conf_table **t = conf_tables; *t; t++)
        copy_rows((*t)->rows, true, to, from);
    copy_log_levels(to->logs.errors, from->logs.errors);
}

static void copy_locations(struct conf_location *to, const struct conf_location *from)
{
    for (; to && from; to = to->next, from = from->next) {
        copy_settings(&to->settings, &from->settings);
        copy_locations(to->locations, from->locations);
        copy_locations(to->ifs, from->ifs);
    }
}

static void copy_pools(struct conf_pool *to, const struct conf_pool *from)
{
    for (; to && from; to = to->next, from = from->next) {
        struct slice name = to->name;
        struct conf_pool *next = to->next;
        const struct conf_node *node = to->node;
        *to = *from;
        to->name = name;
        to->next = next;
        to->node = node;
    }
}

static void copy_zones(struct conf_zone *to, const struct conf_zone *from)
{
    for (; to && from; to = to->next, from = from->next) {
        struct conf_zone old = *to;
        *to = *from;
        to->name = old.name;
        to->index = old.index;
        to->node = old.node;
        to->next = old.next;
    }
}

void conf_copy_live(struct conf *to, const struct conf *from)
{
    copy_rows(conf_core_directives, false, to, from);
    copy_pools(to->pools, from->pools);
    copy_log_levels(to->error_logs, from->error_logs);
    if (!to->http)
        return;
    copy_zones(to->http->zones, from->http->zones);
    copy_settings(&to->http->settings, &from->http->settings);
    struct conf_server *server = to->http->servers;
    for (const struct conf_server *s = from->http->servers; s && server; s = s->next, server = server->next)
        copy_locations(&server->top, &s->top);
}
