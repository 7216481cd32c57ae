/*
 * http/access/limit_settings.c - limit_concurrency from settings: its lines, their zones found, their texts compiled.
 */
#include "http/access/limit_settings.h"

#include "base/slice.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/site/build.h"
#include "http/site/site.h"

#include <stdlib.h>

/* limit_concurrency NAME [priority=...]; several lines on one level are a list, in order. */
struct limit_line {
    struct slice zone;
    /* High, normal, low, or a text with variables. */
    struct slice priority;
    const struct conf_node *node;
    struct limit_line *next;
    /* That its zone is unknown: once, though many locations inherit it. */
    bool reported;
};

struct part concurrency_settings_part = {.size = sizeof(struct concurrency_settings)};
struct part location_limits_part = {.size = sizeof(struct location_limits)};

static bool valid_priority(struct slice p)
{
    return slice_eq(p, SLICE("high")) || slice_eq(p, SLICE("normal")) || slice_eq(p, SLICE("low")) ||
           (p.len > 1 && p.data[0] == '$');
}

static void set_limit(struct conf_walk *w, const struct conf_node *n)
{
    struct limit_line *l = conf_must(arena_zalloc(&w->conf->arena, sizeof *l));
    *l = (struct limit_line){.zone = n->args[0], .priority = SLICE("normal"), .node = n};
    if (n->nargs > 1) {
        struct slice p = n->args[1];
        l->priority = slice_starts(p, SLICE("priority=")) ? slice_from(p, 9) : (struct slice){0};
        if (!valid_priority(l->priority))
            conf_error(
                &w->conf->errors, n,
                "invalid parameter \"%.*s\" in \"limit_concurrency\" directive; write priority=high, normal, low or "
                "a variable that has one of these values, or $http2_urgency's",
                SLICE_ARGS(p));
    }
    struct limit_line **tail = &concurrency_settings_in(w->settings)->zones;
    for (; *tail; tail = &(*tail)->next)
        if (slice_eq((*tail)->zone, l->zone))
            conf_error(&w->conf->errors, n, "zone \"%.*s\" is duplicate here; remove one of the lines",
                       SLICE_ARGS(l->zone));
    *tail = l;
}

static const struct conf_zone *find_zone(struct site *site, struct limit_line *c)
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

static struct location_limit limit_of(struct site *site, struct limit_line *c)
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

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    struct limit_line *list = concurrency_settings_of(l->settings)->zones;
    struct location_limits *to = location_limits_in(l);
    (void)c;
    int count = 0;
    for (struct limit_line *line = list; line; line = line->next)
        count++;
    if (count > LIMITS_MAX)
        conf_error(&site->conf->errors, list->node, "more than %d \"limit_concurrency\" here; remove some",
                   LIMITS_MAX);
    if (count == 0 || count > LIMITS_MAX)
        return;
    to->items = site_array(site, count, sizeof *to->items);
    for (struct limit_line *line = list; line; line = line->next) {
        to->items[to->count] = limit_of(site, line);
        to->count += to->items[to->count].zone != NULL;
    }
    qsort(to->items, (size_t)to->count, sizeof *to->items, by_zone_name);
}

const int limit_levels[] = {LOG_LEVEL_INFO, LOG_LEVEL_NOTICE, LOG_LEVEL_WARN, LOG_LEVEL_ERROR};

#define PART(member) CONF_PART_FIELD(concurrency_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "limit_concurrency_zone", .where = CONF_HTTP, .args = {2, CONF_ANY}, .live = CONF_LIVE_BEHIND_FIRST, .set = conf_set_limit_zone,
     .parameters = "queue=0 queue_timeout=1s policy=fixed target=5ms interval=100ms window=100ms probe_interval=60s probe_requests=50 buffer=25% jitter=15%",
     .syntax = "NAME limit=N [queue=N] [queue_timeout=TIME] [policy=fixed|codel|gradient] [min=N] [max=N] [target=TIME] [interval=TIME] [window=TIME] [probe_interval=TIME] [probe_requests=N] [buffer=PERCENT] [jitter=PERCENT]",
     .help = "A limit of requests that run at a time, over all workers, with a queue for those that wait. target and interval are for codel, what follows for gradient, as are min, 3 by default, and max, 1000 by default (or the limit, where that is lower, or higher)."},
    {.name = "limit_concurrency", .where = CONF_HTTP_ALL, .args = {1, 2}, .field = PART(zones), .set = set_limit,
     .syntax = "NAME [priority=high|normal|low|$variable]",
     .help = "A request needs a permit of this zone; several lines: one of each. Inherited where a level has none."},
    {.name = "limit_concurrency_status", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = PART(status), .range = {400, 599}, .default_text = "503", .live = CONF_LIVE,
     .syntax = "CODE",
     .help = "The answer to refused requests."},
    {.name = "limit_concurrency_dry_run", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(dry_run), .default_text = "off", .live = CONF_LIVE,
     .help = "Refuses and queues nothing, but logs and counts what it would have."},
    {.name = "limit_concurrency_log_level", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = PART(log_level), .default_text = "error", .live = CONF_LIVE,
     LIMIT_LEVELS,
     .help = "The level of the error log for refusals: one line a second for each zone, with their number."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_LIMITS, rows, NULL};

const struct feature feature_limit_concurrency = {
    .name = "limit_concurrency", .table = &table, .location = &location_limits_part, .build = build};
