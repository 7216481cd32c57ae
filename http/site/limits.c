/*
 * http/site/limits.c - a location's limits: their zones found, their texts compiled.
 */
#include "http/site/site.h"

#include "base/slice.h"
#include "conf/tree.h"
#include "http/site/build.h"

#include <stdlib.h>

static const struct conf_zone *find_zone(struct site *site, struct conf_limit *c)
{
    const struct conf_zone *z = site->conf->http->zones;
    while (z && !slice_eq(z->name, c->zone))
        z = z->next;
    if (!z && !c->reported)
        conf_error(&site->conf->errors, c->node,
                   "unknown zone \"%.*s\"; define it in http: limit_concurrency_zone %.*s limit=N;",
                   SLICE_ARGS(c->zone), SLICE_ARGS(c->zone));
    c->reported |= !z;
    return z;
}

static struct location_limit limit_of(struct site *site, struct conf_limit *c)
{
    struct location_limit l = {.zone = find_zone(site, c), .priority = PERMIT_NORMAL};
    if (slice_eq(c->priority, SLICE("high")))
        l.priority = PERMIT_HIGH;
    else if (slice_eq(c->priority, SLICE("low")))
        l.priority = PERMIT_LOW;
    else if (c->priority.len && c->priority.data[0] == '$')
        l.priority_text = site_compile(site, c->priority, c->node);
    return l;
}

static int by_zone_name(const void *a, const void *b)
{
    const struct location_limit *x = a, *y = b;
    return strcmp(x->zone->name.data, y->zone->name.data);
}

static void build_concurrency(struct site *site, struct location *l, struct conf_limit *list)
{
    int count = 0;
    for (struct conf_limit *c = list; c; c = c->next)
        count++;
    if (count > SITE_LIMITS_MAX)
        conf_error(&site->conf->errors, list->node, "more than %d \"limit_concurrency\" here; remove some",
                   SITE_LIMITS_MAX);
    if (count == 0 || count > SITE_LIMITS_MAX)
        return;
    l->limits = site_array(site, count, sizeof *l->limits);
    for (struct conf_limit *c = list; c; c = c->next) {
        l->limits[l->limit_count] = limit_of(site, c);
        l->limit_count += l->limits[l->limit_count].zone != NULL;
    }
    qsort(l->limits, (size_t)l->limit_count, sizeof *l->limits, by_zone_name);
}

static const struct conf_keyed_zone *find_keyed_zone(struct site *site, struct conf_keyed_limit *c,
                                                     enum conf_keyed_kind kind)
{
    const struct conf_keyed_zone *z = site->conf->http->keyed_zones;
    while (z && (!slice_eq(z->name, c->zone) || z->kind != kind))
        z = z->next;
    if (!z && !c->reported)
        conf_error(&site->conf->errors, c->node, "unknown zone \"%.*s\"; define it in http with %s",
                   SLICE_ARGS(c->zone), kind == CONF_KEYED_REQUESTS ? "limit_req_zone" : "limit_conn_zone");
    c->reported |= !z;
    return z;
}

/* Once for each zone, used or not, so that a mistake in its key is said, and said once. */
void site_build_zones(struct site *site)
{
    int count = 0;
    for (const struct conf_keyed_zone *z = site->conf->http ? site->conf->http->keyed_zones : NULL; z;
         z = z->next)
        count++;
    if (count == 0)
        return;
    site->zone_keys = site_array(site, count, sizeof(const struct http_template *));
    count = 0;
    for (const struct conf_keyed_zone *z = site->conf->http->keyed_zones; z; z = z->next)
        site->zone_keys[count++] = site_compile(site, z->key, z->node);
}

static const struct http_template *key_of_zone(const struct site *site, const struct conf_keyed_zone *zone)
{
    int at = 0;
    for (const struct conf_keyed_zone *z = site->conf->http->keyed_zones; z != zone; z = z->next)
        at++;
    return site->zone_keys[at];
}

static struct location_keyed *build_keyed(struct site *site, struct conf_keyed_limit *list,
                                          enum conf_keyed_kind kind, int *count)
{
    int lines = 0;
    for (struct conf_keyed_limit *c = list; c; c = c->next)
        lines++;
    if (lines > SITE_LIMITS_MAX)
        conf_error(&site->conf->errors, list->node, "more than %d \"%.*s\" here; remove some",
                   SITE_LIMITS_MAX, SLICE_ARGS(list->node->name));
    if (lines == 0 || lines > SITE_LIMITS_MAX)
        return NULL;
    struct location_keyed *items = site_array(site, lines, sizeof *items);
    for (struct conf_keyed_limit *c = list; c; c = c->next) {
        const struct conf_keyed_zone *z = find_keyed_zone(site, c, kind);
        if (z)
            items[(*count)++] = (struct location_keyed){z, c, key_of_zone(site, z)};
    }
    return items;
}

void site_build_limits(struct site *site, struct location *l)
{
    build_concurrency(site, l, l->settings->limit_concurrency.zones);
    l->conn_limits =
        build_keyed(site, l->settings->limit_conn.zones, CONF_KEYED_CONNECTIONS, &l->conn_limit_count);
    l->req_limits = build_keyed(site, l->settings->limit_req.zones, CONF_KEYED_REQUESTS, &l->req_limit_count);
}
