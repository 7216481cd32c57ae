/*
 * conf/table_fastcgi.c - the directives of FastCGI to upstreams: those of the proxy, and parameters for headers.
 */
#include "conf/rows_upstream.h"

const struct conf_directive conf_fastcgi_directives[] = {
    // clang-format off
    {.name = "fastcgi_pass", .where = CONF_LOCATION, .args = {1, 1}, .set = conf_set_fastcgi_pass,
     .syntax = "HOST:PORT | UPSTREAM | unix:PATH",
     .help = "Passes requests on to an upstream or a server of FastCGI, as php-fpm is one. With variables the text is the whole target."},
    {.name = "fastcgi_param", .where = CONF_HTTP_ALL, .args = {2, 3}, .type = CONF_LINES, .field = FIELD(passes[CONF_PASS_FASTCGI].headers),
     .syntax = "NAME VALUE [if_not_empty]",
     .help = "A parameter of requests to FastCGI's servers; with if_not_empty one without a value is left out. Inherited where a level has none."},
    UPSTREAM_ROWS("fastcgi_", struct settings, passes[CONF_PASS_FASTCGI].upstream, "Status"),
    {0},
    // clang-format on
};
