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
    {0},
    // clang-format on
};
