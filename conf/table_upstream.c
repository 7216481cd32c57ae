/*
 * conf/table_upstream.c - the directives of groups of servers.
 */
#include "conf/rows.h"

#define UPSTREAM_FIELD(member) CONF_FIELD(struct conf_upstream, member)

const struct conf_directive conf_upstream_directives[] = {
    // clang-format off
    {.name = "upstream", .where = CONF_HTTP, .args = {1, 1}, .block = true, .set = conf_set_upstream,
     .syntax = "NAME { ... }",
     .help = "A group of servers for proxy_pass; smooth weighted round robin unless it says otherwise."},
    {.name = "server", .where = CONF_UPSTREAM, .args = {1, CONF_ANY}, .set = conf_set_upstream_server,
     .parameters = "weight=1 max_fails=1 fail_timeout=10s max_conns=0 slow_start=0",
     .syntax = "ADDRESS[:PORT] | unix:PATH [weight=N] [max_fails=N] [fail_timeout=TIME] [max_conns=N] [slow_start=TIME] [route=TEXT] [backup] [down] [drain] [resolve]",
     .help = "A server of the group. All addresses of a name are servers; names are resolved again as their time to live ends."},
    {.name = "zone", .where = CONF_UPSTREAM, .args = {1, 2}, .type = CONF_LINES, .field = UPSTREAM_FIELD(zone),
     .syntax = "NAME [SIZE]",
     .help = "Accepted: the state of servers is shared by all workers anyway."},
    {.name = "least_conn", .where = CONF_UPSTREAM, .set = conf_set_balance,
     .help = "The server with the fewest connections for its weight."},
    {.name = "least_time", .where = CONF_UPSTREAM, .args = {1, 2}, .set = conf_set_balance,
     .syntax = "header | last_byte [inflight]",
     .help = "The server whose answers take the least time on average, to their head or to their end, for its weight and the requests it has."},
    {.name = "ip_hash", .where = CONF_UPSTREAM, .set = conf_set_balance,
     .help = "By the client's address (of IPv4 its first three bytes), so that a client stays with its server."},
    {.name = "hash", .where = CONF_UPSTREAM, .args = {1, 2}, .set = conf_set_balance,
     .syntax = "KEY [consistent]",
     .help = "By the value of KEY, a text with variables. consistent: few keys move when a server comes or goes."},
    {.name = "random", .where = CONF_UPSTREAM, .args = {0, 2}, .set = conf_set_balance,
     .syntax = "[two [least_conn]]",
     .help = "A server by chance, with respect to weights; two: of two such the one with fewer connections."},
    {.name = "keepalive", .where = CONF_UPSTREAM, .args = {1, 1}, .type = CONF_NUMBER, .field = UPSTREAM_FIELD(keepalive), .range = {0, 100000}, .default_text = "32",
     .help = "Idle connections that each worker keeps. More than that wait for 100 ms, as the requests that follow a burst of answers come in one."},
    {.name = "keepalive_requests", .where = CONF_UPSTREAM, .args = {1, 1}, .type = CONF_NUMBER, .field = UPSTREAM_FIELD(keepalive_requests), .range = {1, INT32_MAX}, .default_text = "1000",
     .help = "How many requests one connection carries."},
    {.name = "keepalive_time", .where = CONF_UPSTREAM, .args = {1, 1}, .type = CONF_TIME, .field = UPSTREAM_FIELD(keepalive_time_ms), .default_text = "1h",
     .help = "How long a connection is used before it is closed after a request."},
    {.name = "keepalive_timeout", .where = CONF_UPSTREAM, .args = {1, 1}, .type = CONF_TIME, .field = UPSTREAM_FIELD(keepalive_timeout_ms), .default_text = "60s",
     .help = "How long a connection is kept idle."},
    {.name = "queue", .where = CONF_UPSTREAM, .args = {1, 2}, .set = conf_set_queue, .parameters = "timeout=60s",
     .syntax = "NUMBER [timeout=TIME]",
     .help = "Requests, for each worker, that wait for a server while all have max_conns connections; 502 after the timeout."},
    {.name = "health_check", .where = CONF_UPSTREAM, .args = {0, CONF_ANY}, .once = true, .field = UPSTREAM_FIELD(health), .set = conf_set_health_check, .parameters = "interval=5s timeout=5s passes=1 fails=1 uri=/ status=200-399",
     .syntax = "[interval=TIME] [timeout=TIME] [passes=N] [fails=N] [uri=URI] [status=CODE[-CODE][,...]] [port=N] [mandatory]",
     .help = "Asks every server by itself whether it is well."},
    {0},
    // clang-format on
};
