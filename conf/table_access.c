/*
 * conf/table_access.c - the directives of who may come in, and of what is believed about who it is.
 */
#include "conf/rows.h"

const struct conf_directive conf_access_directives[] = {
    // clang-format off
    {.name = "allow", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_LINES, .field = FIELD(access.rules),
     .syntax = "ADDRESS | NETWORK/BITS | unix: | all",
     .help = "Lets clients in; of allow and deny the first line that is for a client decides. Inherited where a level has none of both."},
    {.name = "deny", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_LINES, .field = FIELD(access.rules),
     .syntax = "ADDRESS | NETWORK/BITS | unix: | all",
     .help = "Keeps clients out: 403."},
    {.name = "limit_except", .where = CONF_LOCATION, .args = {1, CONF_ANY}, .block = true, .set = conf_set_limit_except,
     .syntax = "METHOD ... { ... }",
     .help = "Settings, such as deny or auth_basic, for requests with other methods than these; GET includes HEAD."},
    {.name = "auth_basic", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = FIELD(auth_basic.realm),
     .syntax = "REALM | off",
     .help = "Asks for a user and a password, which are checked on a thread of the pool default; may contain variables."},
    {.name = "auth_basic_user_file", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = FIELD(auth_basic.user_file),
     .syntax = "FILE",
     .help = "Lines USER:HASH: all of crypt(3), $apr1$, {SHA}, {SSHA}, {PLAIN}; may contain variables."},
    {.name = "satisfy", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(access.satisfy), .default_text = "all", .live = CONF_LIVE,
     .words = WORDS("all", "any"),
     .help = "Whether allow and deny, auth_basic and auth_request must all let a client in, or one of them."},
    {.name = "auth_request", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = FIELD(auth_request.uri),
     .syntax = "URI | off",
     .help = "Asks this URI by a GET whether a request may pass: with 2xx it may, with 401 or 403 it gets that."},
    {.name = "auth_request_set", .where = CONF_HTTP_ALL, .args = {2, 2}, .type = CONF_LINES, .field = FIELD(auth_request.sets),
     .syntax = "$NAME VALUE",
     .help = "Sets a variable from that answer. Inherited where a level has none."},
    {.name = "auth_delay", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = FIELD(access.delay_ms), .default_text = "0", .live = CONF_LIVE,
     .help = "How long a 401 of these is held back, so that passwords are not guessed quickly."},
    {.name = "valid_referers", .where = CONF_SERVER | CONF_LOCATION, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = FIELD(referer.valid),
     .syntax = "none | blocked | server_names | NAME[/PREFIX] | ~REGEX ...",
     .help = "For which Referer $invalid_referer is empty, else 1: for none, for one without http:// or https://, for the server's own names, for these names with wildcards, for what an expression finds behind the scheme. Inherited where a level has none."},
    {.name = "set_real_ip_from", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_LINES, .field = FIELD(realip.from),
     .syntax = "ADDRESS | NETWORK/BITS | unix:",
     .help = "Whose word about the client's address is believed. Inherited where a level has none."},
    {.name = "real_ip_header", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = FIELD(realip.header), .default_text = "X-Real-IP",
     .syntax = "NAME | proxy_protocol",
     .help = "Where the client's address is written."},
    {.name = "real_ip_recursive", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(realip.recursive), .default_text = "off", .live = CONF_LIVE,
     .help = "Of several addresses, whether the last one that is not believed is taken instead of the last one."},
    {0},
    // clang-format on
};
