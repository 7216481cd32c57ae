/*
 * conf/table_limits.c - the directives of limits: of concurrency, of connections and rates by key.
 */
#include "conf/rows.h"

static const int limit_levels[] = {LOG_LEVEL_INFO, LOG_LEVEL_NOTICE, LOG_LEVEL_WARN, LOG_LEVEL_ERROR};

#define LIMIT_LEVELS .words = WORDS("info", "notice", "warn", "error"), .values = limit_levels

const struct conf_directive conf_limit_directives[] = {
    // clang-format off
    {.name = "limit_concurrency_zone", .where = CONF_HTTP, .args = {2, CONF_ANY}, .live = CONF_LIVE_BEHIND_FIRST, .set = conf_set_limit_zone,
     .parameters = "queue=0 queue_timeout=1s policy=fixed target=5ms interval=100ms window=100ms probe_interval=60s probe_requests=50 buffer=25% jitter=15%",
     .syntax = "NAME limit=N [queue=N] [queue_timeout=TIME] [policy=fixed|codel|gradient] [min=N] [max=N] [target=TIME] [interval=TIME] [window=TIME] [probe_interval=TIME] [probe_requests=N] [buffer=PERCENT] [jitter=PERCENT]",
     .help = "A limit of requests that run at a time, over all workers, with a queue for those that wait. target and interval are for codel, what follows for gradient, as are min, 3 by default, and max, 1000 by default (or the limit, where that is lower, or higher)."},
    {.name = "limit_concurrency", .where = CONF_HTTP_ALL, .args = {1, 2}, .field = FIELD(limit_concurrency.zones), .set = conf_set_limit,
     .syntax = "NAME [priority=high|normal|low|$variable]",
     .help = "A request needs a permit of this zone; several lines: one of each. Inherited where a level has none."},
    {.name = "limit_concurrency_status", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = FIELD(limit_concurrency.status), .range = {400, 599}, .default_text = "503", .live = CONF_LIVE,
     .syntax = "CODE",
     .help = "The answer to refused requests."},
    {.name = "limit_concurrency_dry_run", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(limit_concurrency.dry_run), .default_text = "off", .live = CONF_LIVE,
     .help = "Refuses and queues nothing, but logs and counts what it would have."},
    {.name = "limit_concurrency_log_level", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(limit_concurrency.log_level), .default_text = "error", .live = CONF_LIVE,
     LIMIT_LEVELS,
     .help = "The level of the error log for refusals: one line a second for each zone, with their number."},
    {.name = "limit_conn_zone", .where = CONF_HTTP, .args = {2, 2}, .set = conf_set_keyed_zone,
     .syntax = "KEY zone=NAME:SIZE",
     .help = "Memory for counting the connections of each value of the key; one that is empty is not counted."},
    {.name = "limit_conn", .where = CONF_HTTP_ALL, .args = {2, 2}, .field = FIELD(limit_conn.zones), .set = conf_set_limit_conn,
     .syntax = "ZONE NUMBER",
     .help = "The most connections with a request at work for each value of the zone's key. Inherited where a level has none."},
    {.name = "limit_conn_status", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = FIELD(limit_conn.status), .range = {400, 599}, .default_text = "503", .live = CONF_LIVE,
     .syntax = "CODE",
     .help = "The answer to requests that limit_conn refuses."},
    {.name = "limit_conn_dry_run", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(limit_conn.dry_run), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether limit_conn refuses nothing and only logs."},
    {.name = "limit_conn_log_level", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(limit_conn.log_level), .default_text = "error", .live = CONF_LIVE,
     LIMIT_LEVELS,
     .help = "The level of the error log for what limit_conn refuses."},
    {.name = "limit_req_zone", .where = CONF_HTTP, .args = {3, 3}, .set = conf_set_keyed_zone,
     .syntax = "KEY zone=NAME:SIZE rate=RATE",
     .help = "Memory for the rate of requests of each value of the key: 10r/s, 30r/m."},
    {.name = "limit_req", .where = CONF_HTTP_ALL, .args = {1, 3}, .field = FIELD(limit_req.zones), .set = conf_set_limit_req,
     .syntax = "zone=NAME [burst=N] [nodelay | delay=N]",
     .help = "Requests beyond the zone's rate are delayed, and beyond the burst refused. Inherited where a level has none."},
    {.name = "limit_req_status", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = FIELD(limit_req.status), .range = {400, 599}, .default_text = "503", .live = CONF_LIVE,
     .syntax = "CODE",
     .help = "The answer to requests that limit_req refuses."},
    {.name = "limit_req_dry_run", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(limit_req.dry_run), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether limit_req delays and refuses nothing and only logs."},
    {.name = "limit_req_log_level", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(limit_req.log_level), .default_text = "error", .live = CONF_LIVE,
     LIMIT_LEVELS,
     .help = "The level of the error log for what limit_req refuses; delays are logged one level lower."},
    {0},
    // clang-format on
};
