/*
 * http/site/maps.c - variables that the configuration defines: map.
 */
#include "http/site/build.h"
#include "http/site/map.h"
#include "http/site/site.h"

#include "base/slice.h"
#include "conf/directive.h"
#include "conf/tree.h"
#include "http/request/variables.h"

#include <stdlib.h>

static bool has_hostnames(const struct conf_node *n)
{
    for (const struct conf_node *line = n->children; line; line = line->next)
        if (line->nargs == 0 && slice_eq(line->name, SLICE("hostnames")))
            return true;
    return false;
}

/* All names first: a map may use another one that comes later. */
void site_name_maps(struct site *site)
{
    for (const struct conf_lines *l = site->conf->http ? site->conf->http->settings.variables.maps : NULL; l;
         l = l->next) {
        struct site_map *m = site_array(site, 1, sizeof *m);
        struct slice name = site_variable_name(l->node->args[1]);
        if (name.len == 0)
            conf_error(&site->conf->errors, l->node,
                       "invalid variable name \"%.*s\" in \"map\"; write: map SOURCE $NAME { ... }",
                       SLICE_ARGS(l->node->args[1]));
        else if (site_is_taken(site, name))
            conf_error(&site->conf->errors, l->node,
                       "the variable \"%.*s\" is there already; choose another name", SLICE_ARGS(name));
        *m = (struct site_map){
            .map = http_map_new(&site->arena, has_hostnames(l->node)), .node = l->node, .next = site->maps};
        if (!m->map)
            abort();
        for (const struct conf_node *line = l->node->children; line; line = line->next)
            if (line->name.len && line->name.data[0] == '~')
                site_collect_groups(site, line->name, line);
        site->maps = m;
        m->variable = (struct http_user_variable){name, http_map_get, m->map, site->scope.variables};
        site->scope.variables = &m->variable;
    }
}

static void add_line(struct site *site, struct http_map *map, const struct conf_node *line)
{
    struct slice why = {0};
    if (line->nargs == 0 &&
        (slice_eq(line->name, SLICE("hostnames")) || slice_eq(line->name, SLICE("volatile"))))
        return; /* values are never kept, so that all maps are volatile */
    if (line->nargs != 1 || line->has_block) {
        conf_error(&site->conf->errors, line, "invalid number of the map parameters; write: KEY VALUE;");
        return;
    }
    const struct http_template *value = site_compile(site, line->args[0], line);
    if (slice_eq(line->name, SLICE("default")))
        http_map_set_default(map, value);
    else if (!http_map_add(map, line->name, value, &why))
        conf_error(&site->conf->errors, line, "\"%.*s\" in \"map\": %.*s", SLICE_ARGS(line->name),
                   SLICE_ARGS(why));
}

void site_build_maps(struct site *site)
{
    for (struct site_map *m = site->maps; m; m = m->next) {
        struct slice twice;
        int defaults = 0;
        http_map_set_source(m->map, site_compile(site, m->node->args[0], m->node));
        for (const struct conf_node *line = m->node->children; line; line = line->next) {
            add_line(site, m->map, line);
            defaults += line->nargs == 1 && slice_eq(line->name, SLICE("default"));
            if (defaults == 2)
                conf_error(&site->conf->errors, line, "duplicate default map parameter; remove one of them");
        }
        if (!http_map_finish(m->map, &twice))
            conf_error(&site->conf->errors, m->node,
                       "conflicting parameter \"%.*s\" in \"map\"; it is there twice", SLICE_ARGS(twice));
    }
}

void site_free_maps(struct site *site)
{
    for (struct site_map *m = site->maps; m; m = m->next)
        http_map_free(m->map);
}
