/*
 * conf/table_variables.c - the directives of rewrite, and of variables that are defined by a configuration.
 */
#include "conf/rows.h"

const struct conf_directive conf_variable_directives[] = {
    // clang-format off
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
    {.name = "map", .where = CONF_HTTP, .args = {2, 2}, .type = CONF_LINES, .field = FIELD(variables.maps), .block = true,
     .syntax = "SOURCE $NAME { KEY VALUE; ... }",
     .help = "A variable whose value depends on another text. Keys: texts, ~REGEX, ~*REGEX, default, hostnames (then also *.HOST and HOST.*)."},
    {.name = "geo", .where = CONF_HTTP, .args = {1, 2}, .type = CONF_LINES, .field = FIELD(variables.geos), .block = true,
     .syntax = "[ADDRESS] $NAME { NETWORK VALUE; default VALUE; delete NETWORK; proxy NETWORK; proxy_recursive; ranges; ... }",
     .help = "A variable by the client's address, or the one that the text ADDRESS gives: the longest prefix that fits decides. Behind a proxy of these it is X-Forwarded-For that tells. After ranges, lines are for FIRST-LAST."},
    {.name = "split_clients", .where = CONF_HTTP, .args = {2, 2}, .type = CONF_LINES, .field = FIELD(variables.splits), .block = true,
     .syntax = "TEXT $NAME { PERCENT% VALUE; ... * VALUE; }",
     .help = "A variable that has each value for a share of the texts, always the same for the same text."},
    {.name = "rewrite_log", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(rewrite.log), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether rewrite logs what it does, at level notice."},
    {.name = "uninitialized_variable_warn", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(rewrite.warns_uninitialized), .default_text = "on", .live = CONF_LIVE,
     .help = "Whether a warning is logged where a variable of set is used before it has a value."},
    {0},
    // clang-format on
};
