/*
 * conf/table_proxy.c - the directives of the reverse proxy.
 */
#include "conf/rows_upstream.h"

const struct conf_directive conf_proxy_directives[] = {
    // clang-format off
    {.name = "proxy_pass", .where = CONF_LOCATION, .args = {1, 1}, .set = conf_set_proxy_pass,
     .syntax = "http[s]://HOST[:PORT][/URI] | http[s]://unix:PATH[:/URI]",
     .help = "Passes requests on to an upstream or a server, with https in TLS; a URI replaces the location's part of the path. With variables the text is the whole target."},
    {.name = "proxy_http_version", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(passes[CONF_PASS_PROXY].http_version), .default_text = "1.1", .live = CONF_LIVE,
     .words = WORDS("1.0", "1.1", "2"),
     .help = "The protocol spoken with upstreams; connections are kept with 1.1. With 2 many requests share a connection; in TLS its server has to agree to "
     "that, in plain text it has to know."},
    {.name = "proxy_method", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = FIELD(passes[CONF_PASS_PROXY].method),
     .syntax = "METHOD",
     .help = "The method of requests to upstreams in place of the client's; may contain variables."},
    {.name = "proxy_set_body", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = FIELD(passes[CONF_PASS_PROXY].body),
     .help = "The body of requests to upstreams in place of the client's; may contain variables."},
    {.name = "proxy_set_header", .where = CONF_HTTP_ALL, .args = {2, 2}, .type = CONF_LINES, .field = FIELD(passes[CONF_PASS_PROXY].headers),
     .syntax = "NAME VALUE",
     .help = "A header of requests to upstreams; an empty value leaves it out. Default: Host $proxy_host. Inherited where a level has none."},
    {.name = "proxy_pass_trailers", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(passes[CONF_PASS_PROXY].pass_trailers), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether trailers of chunked answers are passed on to clients that say \"TE: trailers\"."},
    {.name = "proxy_redirect", .where = CONF_HTTP_ALL, .args = {1, 2}, .type = CONF_LINES, .field = FIELD(passes[CONF_PASS_PROXY].redirects),
     .syntax = "default | off | FROM TO | ~REGEX TO | ~*REGEX TO",
     .help = "Changes Location and Refresh of upstreams' answers. Default: what proxy_pass names becomes what the location names. Inherited where a level has none."},
    {.name = "proxy_cookie_domain", .where = CONF_HTTP_ALL, .args = {1, 2}, .type = CONF_LINES, .field = FIELD(passes[CONF_PASS_PROXY].cookie_domains),
     .syntax = "off | DOMAIN REPLACEMENT",
     .help = "Changes the Domain of cookies that upstreams set; DOMAIN may be a ~REGEX. Inherited where a level has none."},
    {.name = "proxy_cookie_path", .where = CONF_HTTP_ALL, .args = {1, 2}, .type = CONF_LINES, .field = FIELD(passes[CONF_PASS_PROXY].cookie_paths),
     .syntax = "off | PATH REPLACEMENT",
     .help = "Changes the Path of cookies that upstreams set; PATH may be a ~REGEX. Inherited where a level has none."},
    {.name = "proxy_cookie_flags", .where = CONF_HTTP_ALL, .args = {1, 7}, .type = CONF_LINES, .field = FIELD(passes[CONF_PASS_PROXY].cookie_flags),
     .syntax = "off | COOKIE FLAG ...",
     .help = "Sets or takes away flags of cookies: secure, httponly, samesite=strict|lax|none, nosecure, nohttponly, nosamesite; COOKIE may be a ~REGEX. Inherited where a level has none."},
    {.name = "proxy_protocol", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(passes[CONF_PASS_PROXY].protocol), .default_text = "off", .live = CONF_LIVE,
     .words = WORDS("off", "on", "v2"),
     .help = "Whether connections to upstreams begin with the PROXY protocol's header, which names the client: version 1 or 2. Such connections are not kept."},
    {.name = "proxy_request_ids", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(passes[CONF_PASS_PROXY].request_ids), .default_text = "on", .live = CONF_LIVE,
     .help = "Whether requests without X-Request-ID or traceparent get them on their way to an upstream."},
    UPSTREAM_ROWS("proxy_", struct settings, passes[CONF_PASS_PROXY].upstream, "Date, Server, X-Pad"),
    {.name = "resolver", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = FIELD(resolver.servers),
     .syntax = "ADDRESS[:PORT] ... [valid=TIME] [ipv4=on|off] [ipv6=on|off]",
     .help = "Name servers for names of upstreams; without it the system's. valid= takes the place of the answers' own time to live."},
    {.name = "resolver_timeout", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = FIELD(resolver.timeout_ms), .default_text = "30s",
     .help = "For a name to be resolved."},
    {0},
    // clang-format on
};
