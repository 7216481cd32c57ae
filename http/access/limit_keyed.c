/*
 * http/access/limit_keyed.c - nginx's limits on the way of a request: limit_req first, which may delay it, then limit_conn.
 *
 * As in nginx they are asked once for each request, whatever error pages and other URIs follow. A connection counts until
 * its request is over.
 */
#include "http/access/limit_keyed.h"

#include "base/clock.h"
#include "base/slice.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/access/limit_settings.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/request/verdict.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/site.h"
#include "shm/keyed.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

enum { THOUSAND = 1000, NUMBER_MAX = 65535 /* of connections */ };

/* limit_conn ZONE NUMBER, limit_req zone=ZONE ...; several lines on one level are a list, in order. */
struct keyed_line {
    struct slice zone;
    int64_t number; /* limit_conn: connections */
    /* limit_req: thousandths of requests; delay INT64_MAX: never. */
    int64_t burst, delay;
    const struct conf_node *node;
    struct keyed_line *next;
    bool reported;
};

struct keyed_limit_settings {
    struct keyed_line *zones;
    int status;
    bool dry_run;
    enum log_level log_level;
};

struct keyed_settings {
    struct keyed_limit_settings conn, req;
};

struct part keyed_settings_part = {.size = sizeof(struct keyed_settings)};
SETTINGS_PART(keyed_settings)

/* A limit of nginx's kind, for each value of a key. */
struct location_keyed {
    const struct conf_keyed_zone *zone;
    const struct keyed_line *line;
    const struct http_template *key;
};

/* Of a location. */
struct keyed_limits {
    struct location_keyed *conn, *req;
    int conn_count, req_count;
};

struct part keyed_limits_part = {.size = sizeof(struct keyed_limits)};
LOCATION_PART(keyed_limits)

/* Of a site. */
struct keyed_keys {
    const struct http_template **all; /* in the order of conf's keyed_zones */
};

struct part keyed_keys_part = {.size = sizeof(struct keyed_keys)};
SITE_PART(keyed_keys)

static enum log_level one_lower(int64_t level)
{
    return (enum log_level)(level < LOG_LEVEL_INFO ? level + 1 : level);
}

/* The key's value; false when this limit does not count the request. */
static bool key_of(const struct location_keyed *l, struct http_exchange *ex, bool complain, struct slice *key)
{
    *key = http_template_expand(l->key, ex);
    if (key->len == 0)
        return false;
    if (key->len <= KEYED_KEY_MAX)
        return true;
    if (complain)
        http_log(ex, LOG_LEVEL_ERROR, "the value of the \"%.*s\" key is more than %d bytes: \"%.*s\"",
                 SLICE_ARGS(l->zone->key), KEYED_KEY_MAX, SLICE_ARGS(*key));
    return false;
}

/* --- requests in time --- */

static void log_excess(struct http_exchange *ex, enum log_level level, const char *what, const char *comma,
                       uint64_t excess, const struct location_keyed *l)
{
    http_log(ex, level, "%s%s, excess: %llu.%03llu%s by zone \"%.*s\"", what,
             keyed_settings_of(ex->route.settings)->req.dry_run ? ", dry run" : "",
             (unsigned long long)(excess / THOUSAND), (unsigned long long)(excess % THOUSAND), comma,
             SLICE_ARGS(l->zone->name));
}

/* One zone's say. The longest delay is kept. */
static enum keyed_result ask_rate(struct http_exchange *ex, const struct location_keyed *l, bool account,
                                  uint64_t *excess, uint64_t *delay_ms)
{
    struct worker *w = ex->worker;
    struct keyed_rate rate = {(uint64_t)l->zone->rate, (uint64_t)l->line->burst};
    struct slice key;
    *excess = 0;
    if (!key_of(l, ex, account, &key))
        return KEYED_OK;
    ex->limits.req_status = "PASSED";
    if (account && keyed_limits_of(ex->route.location)->req_count > 1)
        /* It has passed: others that came in between must not undo that. */
        rate.burst = UINT64_MAX;
    enum keyed_result result =
        keyed_request(w->shm, (unsigned)l->zone->index, key, clock_fast_us(), rate, account, excess);
    uint64_t free = (uint64_t)l->line->delay;
    uint64_t ms = *excess > free ? (*excess - free) * THOUSAND / rate.rate : 0;
    if (result == KEYED_OK && ms > *delay_ms)
        *delay_ms = ms;
    return result;
}

static struct verdict reject_request(struct http_exchange *ex, const struct location_keyed *l,
                                     uint64_t excess)
{
    const struct keyed_settings *s = keyed_settings_of(ex->route.settings);
    log_excess(ex, (enum log_level)s->req.log_level, "limiting requests", "", excess, l);
    ex->limits.req_status = s->req.dry_run ? "REJECTED_DRY_RUN" : "REJECTED";
    return s->req.dry_run ? verdict_of(VERDICT_NEXT) : verdict_answer((int)s->req.status);
}

/* Asks all zones first, and counts the request in them only if none refuses it. */
static struct verdict ask_rates(struct http_exchange *ex, uint64_t *delay_ms)
{
    const struct keyed_limits *l = keyed_limits_of(ex->route.location);
    uint64_t excess = 0, most = 0;
    int slowest = 0;
    for (int account = l->req_count > 1 ? 0 : 1; account < 2; account++) {
        *delay_ms = 0;
        for (int i = 0; i < l->req_count; i++) {
            uint64_t before = *delay_ms;
            if (ask_rate(ex, &l->req[i], account, &excess, delay_ms) != KEYED_OK)
                return reject_request(ex, &l->req[i], excess);
            if (*delay_ms > before) {
                slowest = i;
                most = excess;
            }
        }
    }
    if (*delay_ms) {
        log_excess(ex, one_lower(keyed_settings_of(ex->route.settings)->req.log_level), "delaying request",
                   ",", most, &l->req[slowest]);
        ex->limits.req_status =
            keyed_settings_of(ex->route.settings)->req.dry_run ? "DELAYED_DRY_RUN" : "DELAYED";
    }
    return verdict_of(VERDICT_NEXT);
}

/* The delay is over. */
static void go_on(struct http_exchange *ex)
{
    request_resume(ex, verdict_of(VERDICT_AGAIN));
}

static struct verdict pass_rates(struct http_exchange *ex)
{
    uint64_t delay_ms = 0;
    if (keyed_limits_of(ex->route.location)->req_count == 0 || ex->limits.req_status)
        return verdict_of(VERDICT_NEXT);
    struct verdict v = ask_rates(ex, &delay_ms);
    if (v.kind != VERDICT_NEXT || delay_ms == 0 || keyed_settings_of(ex->route.settings)->req.dry_run)
        return v;
    return request_wait(ex, REQUEST_DELAYED, (int64_t)delay_ms, go_on);
}

/* --- connections at a time --- */

static void give_back(struct http_exchange *ex)
{
    while (ex->limits.conn_permit_count > 0)
        keyed_let_go(&ex->worker->permits, ex->limits.conn_permits[--ex->limits.conn_permit_count]);
}

static struct verdict reject_connection(struct http_exchange *ex, const struct location_keyed *l)
{
    const struct keyed_settings *s = keyed_settings_of(ex->route.settings);
    http_log(ex, (enum log_level)s->conn.log_level, "limiting connections%s by zone \"%.*s\"",
             s->conn.dry_run ? ", dry run," : "", SLICE_ARGS(l->zone->name));
    give_back(ex);
    ex->limits.conn_status = s->conn.dry_run ? "REJECTED_DRY_RUN" : "REJECTED";
    return s->conn.dry_run ? verdict_of(VERDICT_NEXT) : verdict_answer((int)s->conn.status);
}

static struct verdict pass_connections(struct http_exchange *ex)
{
    struct worker *w = ex->worker;
    const struct keyed_limits *l = keyed_limits_of(ex->route.location);
    if (l->conn_count == 0 || ex->limits.conn_status)
        return verdict_of(VERDICT_NEXT);
    for (int i = 0; i < l->conn_count; i++) {
        const struct location_keyed *k = &l->conn[i];
        struct slice key;
        uint32_t permit;
        if (!key_of(k, ex, true, &key))
            continue;
        ex->limits.conn_status = "PASSED";
        if (keyed_hold(&w->permits, (unsigned)k->zone->index, key, (uint32_t)k->line->number, &permit) !=
            KEYED_OK)
            return reject_connection(ex, k);
        ex->limits.conn_permits[ex->limits.conn_permit_count++] = permit;
        if (!ex->limits.conn_cleanup.run) {
            ex->limits.conn_cleanup = (struct http_cleanup){.run = give_back};
            http_add_cleanup(ex, &ex->limits.conn_cleanup);
        }
    }
    return verdict_of(VERDICT_NEXT);
}

struct verdict keyed_pass(struct http_exchange *ex)
{
    struct verdict v = pass_rates(ex);
    return v.kind == VERDICT_NEXT ? pass_connections(ex) : v;
}

/* --- from settings --- */

static void add_limit(struct conf_walk *w, struct keyed_line **tail, struct keyed_line *l)
{
    for (; *tail; tail = &(*tail)->next)
        if (slice_eq((*tail)->zone, l->zone))
            conf_error(&w->conf->errors, l->node,
                       "\"%.*s\" directive is duplicate: zone \"%.*s\" has one here already",
                       SLICE_ARGS(l->node->name), SLICE_ARGS(l->zone));
    *tail = l;
}

static void set_limit_conn(struct conf_walk *w, const struct conf_node *n)
{
    struct keyed_line *l = conf_must(arena_zalloc(&w->conf->arena, sizeof *l));
    *l = (struct keyed_line){.zone = n->args[0], .node = n};
    if (!conf_parse_number(n->args[1], &l->number) || l->number < 1 || l->number > NUMBER_MAX)
        conf_error(&w->conf->errors, n, "invalid number of connections \"%.*s\"; it is from 1 to %d",
                   SLICE_ARGS(n->args[1]), NUMBER_MAX);
    add_limit(w, &keyed_settings_in(w->settings)->conn.zones, l);
}

static bool set_req_parameter(struct keyed_line *l, struct slice arg)
{
    int64_t n;
    if (slice_starts(arg, SLICE("zone="))) {
        l->zone = slice_from(arg, 5);
        return l->zone.len > 0;
    }
    if (slice_eq(arg, SLICE("nodelay"))) {
        l->delay = INT64_MAX;
        return true;
    }
    bool burst = slice_starts(arg, SLICE("burst=")), delay = slice_starts(arg, SLICE("delay="));
    if ((!burst && !delay) || !conf_parse_number(slice_from(arg, 6), &n) || n < 1 || n > INT32_MAX)
        return false;
    *(burst ? &l->burst : &l->delay) = n * THOUSAND;
    return true;
}

static void set_limit_req(struct conf_walk *w, const struct conf_node *n)
{
    struct keyed_line *l = conf_must(arena_zalloc(&w->conf->arena, sizeof *l));
    int mistakes = w->conf->errors.count;
    l->node = n;
    for (int i = 0; i < n->nargs; i++)
        if (!set_req_parameter(l, n->args[i]))
            conf_error(
                &w->conf->errors, n,
                "invalid parameter \"%.*s\" in \"limit_req\" directive; write zone=NAME [burst=N] [nodelay | delay=N]",
                SLICE_ARGS(n->args[i]));
    if (l->zone.len == 0 && w->conf->errors.count == mistakes)
        conf_error(&w->conf->errors, n, "\"limit_req\" must have \"zone\" parameter: zone=NAME");
    add_limit(w, &keyed_settings_in(w->settings)->req.zones, l);
}

static const struct conf_keyed_zone *find_keyed_zone(struct site *site, struct keyed_line *c,
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
static void prepare(struct site *site)
{
    int count = 0;
    for (const struct conf_keyed_zone *z = site->conf->http ? site->conf->http->keyed_zones : NULL; z;
         z = z->next)
        count++;
    if (count == 0)
        return;
    keyed_keys_in(site)->all = site_array(site, count, sizeof(const struct http_template *));
    count = 0;
    for (const struct conf_keyed_zone *z = site->conf->http->keyed_zones; z; z = z->next)
        keyed_keys_in(site)->all[count++] = site_compile(site, z->key, z->node);
}

static const struct http_template *key_of_zone(const struct site *site, const struct conf_keyed_zone *zone)
{
    int at = 0;
    for (const struct conf_keyed_zone *z = site->conf->http->keyed_zones; z != zone; z = z->next)
        at++;
    return keyed_keys_of(site)->all[at];
}

static struct location_keyed *build_keyed(struct site *site, struct keyed_line *list,
                                          enum conf_keyed_kind kind, int *count)
{
    int lines = 0;
    for (struct keyed_line *c = list; c; c = c->next)
        lines++;
    if (lines > LIMITS_MAX)
        conf_error(&site->conf->errors, list->node, "more than %d \"%.*s\" here; remove some", LIMITS_MAX,
                   SLICE_ARGS(list->node->name));
    if (lines == 0 || lines > LIMITS_MAX)
        return NULL;
    struct location_keyed *items = site_array(site, lines, sizeof *items);
    for (struct keyed_line *c = list; c; c = c->next) {
        const struct conf_keyed_zone *z = find_keyed_zone(site, c, kind);
        if (z)
            items[(*count)++] = (struct location_keyed){z, c, key_of_zone(site, z)};
    }
    return items;
}

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct keyed_settings *s = keyed_settings_of(l->settings);
    struct keyed_limits *to = keyed_limits_in(l);
    (void)c;
    to->conn = build_keyed(site, s->conn.zones, CONF_KEYED_CONNECTIONS, &to->conn_count);
    to->req = build_keyed(site, s->req.zones, CONF_KEYED_REQUESTS, &to->req_count);
}

#define PART(member) CONF_PART_FIELD(keyed_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "limit_conn_zone", .where = CONF_HTTP, .args = {2, 2}, .set = conf_set_keyed_zone,
     .syntax = "KEY zone=NAME:SIZE",
     .help = "Memory for counting the connections of each value of the key; one that is empty is not counted."},
    {.name = "limit_conn", .where = CONF_HTTP_ALL, .args = {2, 2}, .field = PART(conn.zones), .set = set_limit_conn,
     .syntax = "ZONE NUMBER",
     .help = "The most connections with a request at work for each value of the zone's key. Inherited where a level has none."},
    {.name = "limit_conn_status", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = PART(conn.status), .range = {400, 599}, .default_text = "503", .live = CONF_LIVE,
     .syntax = "CODE",
     .help = "The answer to requests that limit_conn refuses."},
    {.name = "limit_conn_dry_run", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(conn.dry_run), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether limit_conn refuses nothing and only logs."},
    {.name = "limit_conn_log_level", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = PART(conn.log_level), .default_text = "error", .live = CONF_LIVE,
     LIMIT_LEVELS,
     .help = "The level of the error log for what limit_conn refuses."},
    {.name = "limit_req_zone", .where = CONF_HTTP, .args = {3, 3}, .set = conf_set_keyed_zone,
     .syntax = "KEY zone=NAME:SIZE rate=RATE",
     .help = "Memory for the rate of requests of each value of the key: 10r/s, 30r/m."},
    {.name = "limit_req", .where = CONF_HTTP_ALL, .args = {1, 3}, .field = PART(req.zones), .set = set_limit_req,
     .syntax = "zone=NAME [burst=N] [nodelay | delay=N]",
     .help = "Requests beyond the zone's rate are delayed, and beyond the burst refused. Inherited where a level has none."},
    {.name = "limit_req_status", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = PART(req.status), .range = {400, 599}, .default_text = "503", .live = CONF_LIVE,
     .syntax = "CODE",
     .help = "The answer to requests that limit_req refuses."},
    {.name = "limit_req_dry_run", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(req.dry_run), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether limit_req delays and refuses nothing and only logs."},
    {.name = "limit_req_log_level", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = PART(req.log_level), .default_text = "error", .live = CONF_LIVE,
     LIMIT_LEVELS,
     .help = "The level of the error log for what limit_req refuses; delays are logged one level lower."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_LIMITS, rows, NULL};

const struct feature feature_limit_keyed = {.name = "limit_conn, limit_req",
                                            .table = &table,
                                            .location = &keyed_limits_part,
                                            .site = &keyed_keys_part,
                                            .prepare = prepare,
                                            .build = build};
