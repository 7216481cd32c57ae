/*
 * http/site/status_zone.c - status_zone: from its name to the figures of a worker.
 */
#include "http/site/status_zone.h"

#include "base/log.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/site/build.h"
#include "shm/shm.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>

struct status_zone_settings {
    const struct conf_node *node; /* the statement; NULL: none */
};

struct part status_zone_settings_part = {.size = sizeof(struct status_zone_settings)};
SETTINGS_PART(status_zone_settings)

struct part location_zones_part = {.size = sizeof(struct location_zones)};
struct part site_zones_part = {.size = sizeof(struct site_zones)};

/* Its label: the server's first name, or where it listens. */
static struct slice label_of(const struct vserver *v, const struct conf_server *s)
{
    return v->name.len || !s->listens ? v->name : s->listens->address;
}

/* What fits, in whole characters; what is none becomes "?", as a label of a metric may not have it. The rest are zeros. */
static void copy_characters(char *to, size_t room, struct slice text)
{
    size_t n = 0;
    for (size_t at = 0; at < text.len;) {
        size_t len = slice_utf8(slice_from(text, at)), step = len ? len : 1;
        if (n + step >= room)
            return;
        memcpy(to + n, len ? text.data + at : "?", step);
        n += step;
        at += step;
    }
}

static int find_or_add(struct site *site, const struct zone_name *name, const struct conf_node *node)
{
    struct site_zones *all = site_zones_in(site);
    for (int i = 0; i < all->count; i++)
        if (memcmp(&all->names[i], name, sizeof *name) == 0)
            return i;
    if (all->count == SHM_STATUS_ZONES) {
        conf_error(
            &site->conf->errors, node,
            "too many zones of \"status_zone\": %d are possible, a name counts in each server; share some",
            SHM_STATUS_ZONES);
        return -1;
    }
    if (!all->names)
        all->names = site_array(site, SHM_STATUS_ZONES, sizeof *all->names);
    all->names[all->count] = *name;
    return all->count++;
}

static void add_zone(struct site *site, struct location_zones *to, const struct conf_node *node)
{
    struct zone_name name = {0};
    struct slice label = label_of(site->building, site->building_conf), zone = node->args[0];
    assert(zone.len > 0 && zone.len < sizeof name.zone);
    memcpy(name.zone, zone.data, zone.len);
    copy_characters(name.server, sizeof name.server, label);
    int index = find_or_add(site, &name, node);
    if (index >= 0 && (to->count == 0 || to->zones[0] != index))
        to->zones[to->count++] = index;
}

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    struct location_zones *to = location_zones_in(l);
    if (!site->building)
        return;
    const struct status_zone_settings *of_server =
                                          status_zone_settings_of(&site->building_conf->top.settings),
                                      *own = status_zone_settings_of(&c->settings);
    if (of_server->node)
        add_zone(site, to, of_server->node);
    if (own->node && own->node != of_server->node)
        add_zone(site, to, own->node);
}

static void set_name(struct conf_walk *w, const struct conf_node *n)
{
    struct slice name = n->args[0];
    bool ok = name.len > 0 && name.len < ZONE_NAME_BYTES;
    for (size_t at = 0; ok && at < name.len; at += slice_utf8(slice_from(name, at)))
        ok = slice_utf8(slice_from(name, at)) > 0 && (unsigned char)name.data[at] >= ' ' &&
             name.data[at] != 0x7f;
    if (!ok)
        conf_error(&w->conf->errors, n,
                   "invalid name \"%.*s\" in \"status_zone\"; write one of 1 to %d characters",
                   SLICE_ARGS(name), ZONE_NAME_BYTES - 1);
    else
        status_zone_settings_in(w->settings)->node = n;
}

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "status_zone", .where = CONF_SERVER | CONF_LOCATION, .args = {1, 1}, .field = CONF_PART_FIELD(status_zone_settings, node), .set = set_name, .once = true,
     .syntax = "NAME",
     .help = "Requests are counted apart under this name, in zones of the status and as weir_zone_*: those of the server, and of the location that has answered."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_HTTP, rows, NULL};

const struct feature feature_status_zone = {.name = "status_zone",
                                            .table = &table,
                                            .location = &location_zones_part,
                                            .site = &site_zones_part,
                                            .build = build};

bool status_zones_open(struct worker *w)
{
    const struct site_zones *all = site_zones_of(w->site);
    assert(!w->zones);
    if (!all->count)
        return true;
    w->zones = calloc((size_t)all->count, sizeof(void *));
    for (int i = 0; w->zones && i < all->count; i++)
        w->zones[i] = zone_figures_place(w->slot->zones, all->names, all->count, i);
    return w->zones != NULL;
}

void status_zones_count(const struct http_exchange *ex)
{
    const struct worker *w = ex->worker;
    const struct location_zones *in = location_zones_of(ex->route.location);
    if (!in->count)
        return;
    struct zone_request r = {.status = (unsigned)ex->res.status,
                             .bytes_in = ex->request_bytes,
                             .bytes_out = ex->sent.head + ex->sent.body,
                             .duration_us = (w->now_ms - ex->start_ms) * 1000,
                             .has_waited = ex->limits.status || ex->has_queued,
                             .waited_us = ex->limits.queue_ms * 1000 + ex->queue_us};
    /* Where another process has written over the names there may be no place for one. */
    for (int i = 0; i < in->count; i++)
        if (w->zones[in->zones[i]])
            zone_figures_count(w->zones[in->zones[i]], &r);
}
