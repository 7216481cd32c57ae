/*
 * conf/table_http.c - the directives of servers and locations: what they are, and what answers there.
 */
#include "conf/rows.h"

const struct conf_directive conf_http_directives[] = {
    // clang-format off
    {.name = "server", .where = CONF_HTTP, .block = true, .set = conf_set_server,
     .syntax = "{ ... }",
     .help = "A virtual server."},
    {.name = "listen", .where = CONF_SERVER, .args = {1, CONF_ANY}, .default_text = "*:80", .set = conf_set_listen, .parameters = "backlog=511 ipv6only=on",
     .syntax = "ADDRESS[:PORT] | PORT | unix:PATH [default_server] [backlog=N] [reuseport] [ipv6only=on|off] [proxy_protocol] [deferred] [so_keepalive=on|off|[IDLE]:[INTERVAL]:[COUNT]] [fastopen=N] [rcvbuf=SIZE] [sndbuf=SIZE] [bind]",
     .help = "Where the server is reached. A port of all addresses is bound once: servers of one of its addresses have their own socket only with bind or an option of sockets, and get the connections that came to that address."},
    {.name = "server_name", .where = CONF_SERVER, .args = {1, CONF_ANY}, .set = conf_set_server_name,
     .syntax = "NAME ...",
     .help = "Names: exact, *.example.org, .example.org, www.example.*, or ~REGEX."},
    {.name = "location", .where = CONF_SERVER | CONF_LOCATION, .args = {1, 2}, .block = true, .set = conf_set_location,
     .syntax = "[= | ^~ | ~ | ~*] URI { ... }",
     .help = "Settings for some URIs: exact, final prefix, regex, regex without case; else prefix."},
    {.name = "internal", .where = CONF_LOCATION, .set = conf_set_internal,
     .help = "The location is for internal redirects only; clients get 404."},
    {.name = "handler", .where = CONF_LOCATION, .args = {1, CONF_ANY}, .set = conf_set_content,
     .syntax = "NAME [FILE] [pool=POOL] [KEY=VALUE ...] | process COMMAND ... [processes=MIN..MAX] [max_requests=N] [memory=SIZE] [user=USER[:GROUP]] [dir=PATH] [env=NAME=VALUE] [pool=POOL]",
     .help = "Answers with a handler of a module, on a thread of the pool (handler lua FILE: docs/lua.md); or with processes of an application that the server starts and watches: docs/processes.md."},
    {.name = "status", .where = CONF_LOCATION, .set = conf_set_content,
     .help = "The status: HTML, JSON or Prometheus text, by Accept or ?format=."},
    {.name = "stub_status", .where = CONF_SERVER | CONF_LOCATION, .args = {0, 1}, .set = conf_set_content,
     .help = "nginx's short status text."},
    {0},
    // clang-format on
};
