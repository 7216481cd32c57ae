/*
 * conf/table_gzip.c - the directives of compression.
 */
#include "conf/rows.h"

const struct conf_directive conf_gzip_directives[] = {
    // clang-format off
    {.name = "gzip_static", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(gzip.static_files), .default_text = "off", .live = CONF_LIVE,
     .words = WORDS("off", "on", "always"),
     .help = "Whether FILE.gz is sent in place of FILE to clients that take it, or to all."},
    {.name = "gzip", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(gzip.on), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether answers with status 200, 403 and 404 are compressed for clients that take it."},
    {.name = "gzip_types", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = FIELD(gzip.types),
     .syntax = "TYPE ...",
     .help = "What is compressed beside text/html, which always is; * is everything."},
    {.name = "gzip_min_length", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_SIZE, .field = FIELD(gzip.min_length_bytes), .default_text = "20", .live = CONF_LIVE,
     .help = "Shorter answers are not compressed."},
    {.name = "gzip_comp_level", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = FIELD(gzip.comp_level), .range = {1, 9}, .default_text = "1", .live = CONF_LIVE,
     .syntax = "LEVEL",
     .help = "From fast to small."},
    {.name = "gzip_http_version", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(gzip.http_version), .default_text = "1.1", .live = CONF_LIVE,
     .words = WORDS("1.0", "1.1"),
     .help = "The least version of requests whose answers are compressed."},
    {.name = "gzip_vary", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(gzip.vary), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether answers that may be compressed say Vary: Accept-Encoding."},
    {.name = "gzip_proxied", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_CHOICES, .field = FIELD(gzip.proxied), .default_text = "off", .live = CONF_LIVE,
     .words = WORDS("off", "expired", "no-cache", "no-store", "private", "no_last_modified", "no_etag", "auth", "any"),
     .help = "Which answers are compressed for requests that came through a proxy (Via)."},
    {.name = "gzip_buffers", .where = CONF_HTTP_ALL, .args = {2, 2}, .type = CONF_BUFFERS, .field = FIELD(gzip.buffers_bytes), .default_text = "32 4k", .live = CONF_LIVE,
     .help = "Accepted: what has been compressed is sent at once."},
    {.name = "gzip_disable", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = FIELD(gzip.disable),
     .syntax = "REGEX ... | msie6",
     .help = "Requests whose User-Agent one of these matches, in any case of letters, get no gzip; msie6: MSIE 4 to 6, without SV1 in it. Expressions are inherited where a level has none, msie6 in any case."},
    {0},
    // clang-format on
};
