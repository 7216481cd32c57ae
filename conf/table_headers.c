/*
 * conf/table_headers.c - the directives of headers and trailers that are added to answers.
 */
#include "conf/rows.h"

const struct conf_directive conf_header_directives[] = {
    // clang-format off
    {.name = "add_header", .where = CONF_HTTP_ALL, .args = {2, 3}, .type = CONF_LINES, .field = FIELD(headers.added),
     .syntax = "NAME VALUE [always]",
     .help = "A header of answers with status 200, 201, 204, 206, 301, 302, 303, 304, 307 or 308, or always. Inherited where a level has none."},
    {.name = "add_header_inherit", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(headers.added_inherit), .default_text = "on",
     .words = WORDS("on", "off", "merge"),
     .help = "Whether a level without add_header has those of the level above, has none, or whether they come behind its own in any case."},
    {.name = "add_trailer_inherit", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(headers.trailers_inherit), .default_text = "on",
     .words = WORDS("on", "off", "merge"),
     .help = "The same of add_trailer."},
    {.name = "early_hints", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = FIELD(headers.early_hints),
     .syntax = "TEXT ...",
     .help = "Interim answers 103 of upstreams go on to the client only where one of the texts is neither empty nor 0; without it they always do. Inherited where a level has none."},
    {.name = "expires", .where = CONF_HTTP_ALL, .args = {1, 2}, .type = CONF_TEMPLATE, .field = FIELD(headers.expires),
     .syntax = "[modified] [-|+]TIME | epoch | max | off",
     .help = "Expires and Cache-Control of such answers; may contain variables."},
    {.name = "add_trailer", .where = CONF_HTTP_ALL, .args = {2, 3}, .type = CONF_LINES, .field = FIELD(headers.trailers),
     .syntax = "NAME VALUE [always]",
     .help = "A trailer of such answers, which then go out in chunks. Inherited where a level has none."},
    {0},
    // clang-format on
};
