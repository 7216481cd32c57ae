/*
 * conf/table_bodies.c - the directives of what changes the bodies of answers: sub_filter, charset.
 */
#include "conf/rows.h"

const struct conf_directive conf_body_directives[] = {
    // clang-format off
    {.name = "sub_filter", .where = CONF_HTTP_ALL, .args = {2, 2}, .type = CONF_LINES, .field = FIELD(sub.filters),
     .syntax = "TEXT REPLACEMENT",
     .help = "Replaces a text in answers, found in any case of its letters; both may contain variables. Inherited where a level has none."},
    {.name = "sub_filter_once", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(sub.once), .default_text = "on", .live = CONF_LIVE,
     .help = "Whether each text is replaced once, or wherever it is found."},
    {.name = "sub_filter_types", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = FIELD(sub.types),
     .syntax = "TYPE ...",
     .help = "What texts are replaced in beside text/html; * is everything."},
    {.name = "sub_filter_last_modified", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(sub.last_modified), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether such answers keep Last-Modified and a weak ETag, or have neither."},
    {.name = "charset", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = FIELD(charset.name),
     .syntax = "NAME | off",
     .help = "The charset that Content-Type names where it names none; may contain variables."},
    {.name = "charset_types", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = FIELD(charset.types),
     .default_text = "text/xml text/plain text/vnd.wap.wml application/javascript application/rss+xml",
     .syntax = "TYPE ...",
     .help = "Which answers that is for beside text/html."},
    {.name = "charset_map", .where = CONF_HTTP, .args = {2, 2}, .type = CONF_LINES, .field = FIELD(charset.maps), .block = true,
     .syntax = "CHARSET CHARSET { HH HEX; ... }",
     .help = "A table between two charsets, used in both directions in place of iconv(3): bytes of the first, and what they are in the second, bytes or characters of utf-8. What it has not is \"?\" or, from utf-8, a number as in HTML."},
    {.name = "source_charset", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = FIELD(charset.source),
     .syntax = "NAME | off",
     .help = "What answers are written in; they are converted to charset by charset_map, or by iconv(3)."},
    {.name = "override_charset", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(charset.override), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether answers of upstreams that name another charset are converted too."},
    {0},
    // clang-format on
};
