/*
 * http/site/maps.c - variables that the configuration defines: map.
 */
#include "http/site/maps.h"

#include "base/slice.h"
#include "conf/directive.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/request/variables.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/map.h"
#include "http/site/site.h"

#include <stdlib.h>

struct site_map {
    struct http_map *map;
    struct http_user_variable variable;
    const struct conf_node *node;
    struct site_map *next;
};

struct map_settings {
    struct conf_lines *maps;
};

struct part map_settings_part = {.size = sizeof(struct map_settings)};
SETTINGS_PART(map_settings)

/* Of a site. */
struct site_maps {
    struct site_map *first;
};

struct part site_maps_part = {.size = sizeof(struct site_maps)};
SITE_PART(site_maps)

static bool has_hostnames(const struct conf_node *n)
{
    for (const struct conf_node *line = n->children; line; line = line->next)
        if (line->nargs == 0 && slice_eq(line->name, SLICE("hostnames")))
            return true;
    return false;
}

/* All names first: a map may use another one that comes later. */
static void name_maps(struct site *site)
{
    for (const struct conf_lines *l = site->conf->http ? map_settings_of(&site->conf->http->settings)->maps
                                                       : NULL;
         l; l = l->next) {
        struct site_map *m = site_array(site, 1, sizeof *m);
        struct slice name = site_variable_name(l->node->args[1]);
        if (name.len == 0)
            conf_error(&site->conf->errors, l->node,
                       "invalid variable name \"%.*s\" in \"map\"; write: map SOURCE $NAME { ... }",
                       SLICE_ARGS(l->node->args[1]));
        else if (site_is_taken(site, name))
            conf_error(&site->conf->errors, l->node,
                       "the variable \"%.*s\" is there already; choose another name", SLICE_ARGS(name));
        *m = (struct site_map){.map = http_map_new(&site->arena, has_hostnames(l->node)),
                               .node = l->node,
                               .next = site_maps_of(site)->first};
        if (!m->map)
            abort();
        for (const struct conf_node *line = l->node->children; line; line = line->next)
            if (line->name.len && line->name.data[0] == '~')
                site_collect_groups(site, line->name, line);
        site_maps_in(site)->first = m;
        m->variable = (struct http_user_variable){name, http_map_get, m->map, site->scope.variables};
        site->scope.variables = &m->variable;
    }
}

static void add_line(struct site *site, struct http_map *map, const struct conf_node *line)
{
    struct slice why = {0};
    if (line->nargs == 0 &&
        (slice_eq(line->name, SLICE("hostnames")) || slice_eq(line->name, SLICE("volatile"))))
        /* Values are never kept, so that all maps are volatile. */
        return;
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

static void build_maps(struct site *site)
{
    for (struct site_map *m = site_maps_of(site)->first; m; m = m->next) {
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

static void free_maps(struct site *site)
{
    for (struct site_map *m = site_maps_of(site)->first; m; m = m->next)
        http_map_free(m->map);
}

#define PART(member) CONF_PART_FIELD(map_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "map", .where = CONF_HTTP, .args = {2, 2}, .type = CONF_LINES, .field = PART(maps), .block = true,
     .syntax = "SOURCE $NAME { KEY VALUE; ... }",
     .help = "A variable whose value depends on another text. Keys: texts, ~REGEX, ~*REGEX, default, hostnames (then also *.HOST and HOST.*)."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_VARIABLES, rows, NULL};

const struct feature feature_map = {.name = "map",
                                    .table = &table,
                                    .site = &site_maps_part,
                                    .name_variables = name_maps,
                                    .prepare = build_maps,
                                    .end = free_maps};
