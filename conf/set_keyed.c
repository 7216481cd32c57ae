/*
 * conf/set_keyed.c - what is kept by key: nginx's limit_conn and limit_req, and the sessions of sticky.
 */
#include "conf/conf.h"
#include "conf/directive.h"

enum { THOUSAND = 1000, ZONES_MAX = 64, BYTES_MIN = 32768, NAME_MAX_BYTES = 31, KEY_MAX_BYTES = 127 };

static const int64_t BYTES_MAX = 64ll << 30;

/* "zone=NAME:SIZE" */
static bool parse_zone(struct slice value, struct conf_keyed_zone *z)
{
    const char *colon = memchr(value.data, ':', value.len);
    if (!colon)
        return false;
    z->name.len = (size_t)(colon - value.data);
    z->name.data = value.data;
    return z->name.len > 0 && z->name.len <= NAME_MAX_BYTES &&
           conf_parse_size(slice_from(value, z->name.len + 1), &z->bytes) && z->bytes >= BYTES_MIN &&
           z->bytes <= BYTES_MAX;
}

/* "10r/s" or "30r/m" */
static bool parse_rate(struct slice value, int64_t *rate)
{
    int64_t n;
    if (value.len < 4 || value.data[value.len - 3] != 'r' || value.data[value.len - 2] != '/')
        return false;
    char unit = value.data[value.len - 1];
    if ((unit != 's' && unit != 'm') || !conf_parse_number((struct slice){value.data, value.len - 3}, &n) ||
        n < 1 || n > INT32_MAX)
        return false;
    *rate = n * THOUSAND / (unit == 'm' ? 60 : 1);
    return true;
}

static void set_zone_parameters(struct conf_walk *w, const struct conf_node *n, struct conf_keyed_zone *z)
{
    for (const struct conf_key_value *kv = conf_key_values(w, n, 1); kv; kv = kv->next) {
        bool ok = slice_eq(kv->key, SLICE("zone"))
                      ? parse_zone(kv->value, z)
                      : z->kind == CONF_KEYED_REQUESTS && slice_eq(kv->key, SLICE("rate")) &&
                            parse_rate(kv->value, &z->rate);
        if (!ok)
            conf_error(
                &w->conf->errors, n,
                "invalid parameter \"%.*s=%.*s\" in \"%.*s\" directive; write zone=NAME:SIZE with a size from 32k to 64g%s",
                SLICE_ARGS(kv->key), SLICE_ARGS(kv->value), SLICE_ARGS(n->name),
                z->kind == CONF_KEYED_REQUESTS ? ", and rate=Nr/s or rate=Nr/m" : "");
    }
}

/* Sessions of several upstreams may lie in one zone. */
static bool may_share(const struct conf_keyed_zone *a, const struct conf_keyed_zone *b)
{
    return a->kind == CONF_KEYED_SESSIONS && b->kind == a->kind && b->bytes == a->bytes;
}

static void add_zone(struct conf_walk *w, const struct conf_node *n, const struct conf_keyed_zone *model)
{
    struct conf_keyed_zone *z = conf_must(arena_zalloc(&w->conf->arena, sizeof *z)),
                           **tail = &w->conf->http->keyed_zones;
    int zones = 0;
    *z = *model;
    z->name = arena_dup(&w->conf->arena, model->name);
    for (; *tail; tail = &(*tail)->next, zones++) {
        if (z->name.len == 0 || !slice_eq((*tail)->name, z->name))
            continue;
        if (may_share(*tail, z))
            return;
        conf_error(&w->conf->errors, n,
                   "duplicate zone \"%.*s\"; the first is in line %d; give it another name",
                   SLICE_ARGS(z->name), (*tail)->node->line);
    }
    if (zones == ZONES_MAX)
        conf_error(
            &w->conf->errors, n,
            "more than %d zones of \"limit_conn_zone\", \"limit_req_zone\" and \"sticky learn\"; remove some",
            ZONES_MAX);
    *tail = z;
}

void conf_set_keyed_zone(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_keyed_zone z = {.key = n->args[0],
                                .kind = slice_eq(n->name, SLICE("limit_req_zone")) ? CONF_KEYED_REQUESTS
                                                                                   : CONF_KEYED_CONNECTIONS,
                                .rate = THOUSAND,
                                .index = -1,
                                .node = n};
    int mistakes = w->conf->errors.count;
    set_zone_parameters(w, n, &z);
    if (z.name.len == 0 && w->conf->errors.count == mistakes)
        conf_error(&w->conf->errors, n, "\"%.*s\" must have \"zone\" parameter: zone=NAME:SIZE",
                   SLICE_ARGS(n->name));
    if (z.key.len > KEY_MAX_BYTES)
        conf_error(&w->conf->errors, n, "the key of \"%.*s\" is longer than %d bytes; shorten it",
                   SLICE_ARGS(n->name), KEY_MAX_BYTES);
    add_zone(w, n, &z);
}

void conf_add_session_zone(struct conf_walk *w, const struct conf_node *n, struct slice zone)
{
    struct conf_keyed_zone z = {.key = SLICE(""), .kind = CONF_KEYED_SESSIONS, .index = -1, .node = n};
    if (parse_zone(zone, &z))
        add_zone(w, n, &z);
}
