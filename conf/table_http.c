/*
 * conf/table_http.c - the directives of http, server and location, as data, and the setters of inherited lists.
 */
#include "base/log.h"
#include "conf/conf.h"
#include "conf/directive.h"

static void set_error_page(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_error_page *page = conf_must(arena_zalloc(&w->conf->arena, sizeof *page));
    int *codes = conf_must(arena_alloc(&w->conf->arena, (size_t)n->nargs * sizeof *codes)), count = 0;
    *page = (struct conf_error_page){.new_code = -1, .uri = n->args[n->nargs - 1], .node = n};
    for (int i = 0; i < n->nargs - 1; i++) {
        int64_t code;
        struct slice arg = n->args[i];
        if (i == n->nargs - 2 && i > 0 && arg.len > 0 && arg.data[0] == '=') {
            bool ok =
                arg.len == 1 || (conf_parse_number(slice_from(arg, 1), &code) && code >= 100 && code <= 999);
            page->new_code = arg.len == 1 ? 0 : ok ? (int)code : -1;
            if (!ok)
                conf_error(&w->conf->errors, n, "invalid value \"%.*s\" in \"error_page\"; write =CODE",
                           SLICE_ARGS(arg));
        } else if (!conf_parse_number(arg, &code) || code < 300 || code > 599) {
            conf_error(&w->conf->errors, n, "value \"%.*s\" in \"error_page\" must be from 300 to 599",
                       SLICE_ARGS(arg));
        } else {
            codes[count++] = (int)code;
        }
    }
    page->codes = codes;
    page->code_count = count;
    page->next = (struct conf_error_page *)(uintptr_t)w->settings->answers.error_pages;
    w->settings->answers.error_pages = page;
}

static const int limit_levels[] = {LOG_LEVEL_INFO, LOG_LEVEL_NOTICE, LOG_LEVEL_WARN, LOG_LEVEL_ERROR};

#define LIMIT_LEVELS .words = WORDS("info", "notice", "warn", "error"), .values = limit_levels

#define FIELD(member) CONF_FIELD(struct settings, member)

const struct conf_directive conf_http_directives[] = {
    // clang-format off
    {.name = "server", .where = CONF_HTTP, .block = true, .set = conf_set_server,
     .syntax = "{ ... }",
     .help = "A virtual server."},
    {.name = "listen", .where = CONF_SERVER, .args = {1, CONF_ANY}, .default_text = "*:80", .set = conf_set_listen,
     .syntax = "ADDRESS[:PORT] | PORT | unix:PATH [default_server] [backlog=N] [reuseport] [ipv6only=on|off] [proxy_protocol] [deferred] [so_keepalive=on|off|[IDLE]:[INTERVAL]:[COUNT]] [fastopen=N] [rcvbuf=SIZE] [sndbuf=SIZE] [bind]",
     .help = "Where the server is reached. A port of all addresses is bound once: servers of one of its addresses have their own socket only with bind or an option of sockets, and get the connections that came to that address."},
    {.name = "server_name", .where = CONF_SERVER, .args = {1, CONF_ANY}, .set = conf_set_server_name,
     .syntax = "NAME ...",
     .help = "Names: exact, *.example.org, .example.org, www.example.*, or ~REGEX."},
    {.name = "location", .where = CONF_SERVER | CONF_LOCATION, .args = {1, 2}, .block = true, .set = conf_set_location,
     .syntax = "[= | ^~ | ~ | ~*] URI { ... }",
     .help = "Settings for some URIs: exact, final prefix, regex, regex without case; else prefix."},
    {.name = "return", .where = CONF_SERVER | CONF_LOCATION, .args = {1, 2}, .set = conf_set_return,
     .syntax = "CODE [TEXT | URL] | URL",
     .help = "Answers at once; text and URL may contain variables. 444 closes without an answer."},
    {.name = "rewrite", .where = CONF_SERVER | CONF_LOCATION, .args = {2, 3}, .set = conf_set_rewrite,
     .syntax = "REGEX REPLACEMENT [last | break | redirect | permanent]",
     .help = "Changes the path of a request that matches, or redirects the client; arguments go behind unless the replacement ends with \"?\"."},
    {.name = "set", .where = CONF_SERVER | CONF_LOCATION, .args = {2, 2}, .set = conf_set_rewrite,
     .syntax = "$NAME VALUE",
     .help = "Sets a variable."},
    {.name = "break", .where = CONF_SERVER | CONF_LOCATION, .set = conf_set_rewrite,
     .help = "Ends the steps of rewrite, set, if and return."},
    {.name = "if", .where = CONF_SERVER | CONF_LOCATION, .args = {1, CONF_ANY}, .block = true, .set = conf_set_if,
     .syntax = "(CONDITION) { ... }",
     .help = "Steps and settings for requests that meet a condition: $variable, = and !=, ~ ~* !~ !~*, -f -d -e -x and their negations."},
    {.name = "geo", .where = CONF_HTTP, .args = {1, 2}, .type = CONF_LINES, .field = FIELD(variables.geos), .block = true,
     .syntax = "[ADDRESS] $NAME { NETWORK VALUE; default VALUE; delete NETWORK; proxy NETWORK; proxy_recursive; ranges; ... }",
     .help = "A variable by the client's address, or the one that the text ADDRESS gives: the longest prefix that fits decides. Behind a proxy of these it is X-Forwarded-For that tells. After ranges, lines are for FIRST-LAST."},
    {.name = "split_clients", .where = CONF_HTTP, .args = {2, 2}, .type = CONF_LINES, .field = FIELD(variables.splits), .block = true,
     .syntax = "TEXT $NAME { PERCENT% VALUE; ... * VALUE; }",
     .help = "A variable that has each value for a share of the texts, always the same for the same text."},
    {.name = "try_files", .where = CONF_SERVER | CONF_LOCATION, .args = {2, CONF_ANY}, .set = conf_set_try_files,
     .syntax = "FILE ... URI | =CODE | @NAME",
     .help = "The first file (or, with a slash at its end, folder) that exists answers; else the last argument: another URI, a named location or a status."},
    {.name = "internal", .where = CONF_LOCATION, .set = conf_set_internal,
     .help = "The location is for internal redirects only; clients get 404."},
    {.name = "map", .where = CONF_HTTP, .args = {2, 2}, .type = CONF_LINES, .field = FIELD(variables.maps), .block = true,
     .syntax = "SOURCE $NAME { KEY VALUE; ... }",
     .help = "A variable whose value depends on another text. Keys: texts, ~REGEX, ~*REGEX, default, hostnames (then also *.HOST and HOST.*)."},
    {.name = "error_page", .where = CONF_HTTP_ALL, .args = {2, CONF_ANY}, .field = FIELD(answers.error_pages), .set = set_error_page,
     .syntax = "CODE ... [=[CODE]] URI",
     .help = "What to show for these codes."},
    {.name = "recursive_error_pages", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(answers.recursive_error_pages), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether an error of an error page has a page again."},
    {.name = "handler", .where = CONF_LOCATION, .args = {1, CONF_ANY}, .set = conf_set_content,
     .syntax = "NAME [pool=POOL] [KEY=VALUE ...]",
     .help = "Answers with a handler of a module, on a thread of the pool."},
    {.name = "handler_timeout", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = FIELD(answers.handler_timeout_ms), .default_text = "60s", .live = CONF_LIVE,
     .help = "504 when a handler, waiting included, takes longer; its thread counts as stuck until it returns. 0: no bound."},
    {.name = "limit_concurrency_zone", .where = CONF_HTTP, .args = {2, CONF_ANY}, .live = CONF_LIVE_BEHIND_FIRST, .set = conf_set_limit_zone,
     .syntax = "NAME limit=N [queue=N] [queue_timeout=TIME] [policy=fixed|codel|gradient] [min=N] [max=N] [target=TIME] [interval=TIME] [window=TIME] [probe_interval=TIME] [probe_requests=N] [buffer=PERCENT] [jitter=PERCENT]",
     .help = "A limit of requests that run at a time, over all workers, with a queue for those that wait. Default queue=0 queue_timeout=1s policy=fixed; codel: target=5ms interval=100ms; gradient: min=3 max=1000 (or the limit, where that is lower, or higher) window=100ms probe_interval=60s probe_requests=50 buffer=25% jitter=15%."},
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
    {.name = "status", .where = CONF_LOCATION, .set = conf_set_content,
     .help = "The status: HTML, JSON or Prometheus text, by Accept or ?format=."},
    {.name = "stub_status", .where = CONF_SERVER | CONF_LOCATION, .args = {0, 1}, .set = conf_set_content,
     .help = "nginx's short status text."},
    {0},
    // clang-format on
};
