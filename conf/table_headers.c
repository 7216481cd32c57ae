/*
 * conf/table_headers.c - the directives of access, added headers and compression, as data.
 */
#include "conf/directive.h"

#define FIELD(field) offsetof(struct settings, field)
#define HTTP_ALL (CONF_HTTP | CONF_SERVER | CONF_LOCATION)

const struct conf_directive conf_header_directives[] = {
    // clang-format off
    {"allow", HTTP_ALL, 1, 1, CONF_LINES, FIELD(access), 0, 0, NULL, -1, NULL,
     "ADDRESS | NETWORK/BITS | unix: | all", "Lets clients in; of allow and deny the first line that is for a client decides. Inherited where a level has none of both."},
    {"deny", HTTP_ALL, 1, 1, CONF_LINES, FIELD(access), 0, 0, NULL, -1, NULL,
     "ADDRESS | NETWORK/BITS | unix: | all", "Keeps clients out: 403."},
    {"limit_except", CONF_LOCATION, 1, -1, CONF_BLOCK, 0, 0, 0, NULL, -1, conf_set_limit_except,
     "METHOD ... { ... }", "Settings, such as deny or auth_basic, for requests with other methods than these; GET includes HEAD."},
    {"auth_basic", HTTP_ALL, 1, 1, CONF_TEMPLATE, FIELD(auth_basic), 0, 0, NULL, -1, NULL,
     "REALM | off", "Asks for a user and a password, which are checked on a thread of the pool default; may contain variables."},
    {"auth_basic_user_file", HTTP_ALL, 1, 1, CONF_TEMPLATE, FIELD(auth_basic_user_file), 0, 0, NULL, -1, NULL,
     "FILE", "Lines USER:HASH: all of crypt(3), $apr1$, {SHA}, {SSHA}, {PLAIN}; may contain variables."},
    {"satisfy", HTTP_ALL, 1, 1, CONF_CHOICE, FIELD(satisfy), 0, 0, "all", 0, NULL,
     "all | any", "Whether allow, deny and auth_basic must all let a client in, or one of them."},
    {"add_header", HTTP_ALL, 2, 3, CONF_LINES, FIELD(add_headers), 0, 0, NULL, -1, NULL,
     "NAME VALUE [always]", "A header of answers with status 200, 201, 204, 206, 301, 302, 303, 304, 307 or 308, or always. Inherited where a level has none."},
    {"expires", HTTP_ALL, 1, 2, CONF_TEMPLATE, FIELD(expires), 0, 0, NULL, -1, NULL,
     "[modified] [-]TIME | epoch | max | off", "Expires and Cache-Control of such answers."},
    {"gzip", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(gzip), 0, 0, "off", 0, NULL,
     "on | off", "Whether answers with status 200, 403 and 404 are compressed for clients that take it."},
    {"gzip_types", HTTP_ALL, 1, -1, CONF_LINES, FIELD(gzip_types), 0, 0, NULL, -1, NULL,
     "TYPE ...", "What is compressed beside text/html, which always is; * is everything."},
    {"gzip_min_length", HTTP_ALL, 1, 1, CONF_SIZE, FIELD(gzip_min_length), 0, 0, "20", 0, NULL,
     "SIZE", "Shorter answers are not compressed."},
    {"gzip_comp_level", HTTP_ALL, 1, 1, CONF_NUMBER, FIELD(gzip_comp_level), 1, 9, "1", 0, NULL,
     "LEVEL", "From fast to small."},
    {"gzip_http_version", HTTP_ALL, 1, 1, CONF_CHOICE, FIELD(gzip_http_version), 0, 0, "1.1", 0, NULL,
     "1.0 | 1.1", "The least version of requests whose answers are compressed."},
    {"gzip_vary", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(gzip_vary), 0, 0, "off", 0, NULL,
     "on | off", "Whether answers that may be compressed say Vary: Accept-Encoding."},
    {"gzip_proxied", HTTP_ALL, 1, -1, CONF_CHOICES, FIELD(gzip_proxied), 0, 0, "off", 0, NULL,
     "off | expired | no-cache | no-store | private | no_last_modified | no_etag | auth | any", "Which answers are compressed for requests that came through a proxy (Via)."},
    {"gzip_buffers", HTTP_ALL, 2, 2, CONF_BUFFERS, FIELD(gzip_buffers), 0, 0, "32 4k", 0, NULL,
     "NUMBER SIZE", "Accepted: what has been compressed is sent at once."},
    {"gzip_disable", HTTP_ALL, 1, -1, CONF_LINES, FIELD(gzip_disable), 0, 0, NULL, -1, NULL,
     "REGEX ... | msie6", "Accepted and not needed: the browsers that it was for are gone."},
    {0},
    // clang-format on
};
