/*
 * proxy/script.c - which script of a FastCGI server a request is for, and how its connections are used (nginx, ngx_http_fastcgi_module).
 */
#include "proxy/script.h"

#include "base/arena.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/request/exchange.h"
#include "http/request/regex.h"
#include "http/site/build.h"
#include "http/site/site.h"

enum { SCRIPT = 1, PATH_INFO = 2, CAPTURES = 2 };

struct fastcgi_settings {
    struct slice index;
    const struct conf_node *split; /* fastcgi_split_path_info; NULL: none */
    bool keep_conn;
};

static struct part fastcgi_settings_part = {.size = sizeof(struct fastcgi_settings)};
SETTINGS_PART(fastcgi_settings)

struct fastcgi_location {
    const struct http_regex *split; /* NULL: none */
};

static struct part fastcgi_location_part = {.size = sizeof(struct fastcgi_location)};
LOCATION_PART(fastcgi_location)

bool fastcgi_keeps(const struct settings *s)
{
    return fastcgi_settings_of(s)->keep_conn;
}

/* Of the URI's two parts one. Where the expression does not match all of it names the script. */
static struct slice part_of_uri(struct http_exchange *ex, int part)
{
    const struct http_regex *split =
        ex->route.location ? fastcgi_location_of(ex->route.location)->split : NULL;
    struct http_captures found = {0};
    if (split && http_regex_match(split, ex->req.path, &found))
        return part < found.count && found.groups[part].data ? found.groups[part] : SLICE("");
    /* Who chooses the URI must not choose that it is not looked at. */
    if (split && http_regex_take_failure()) {
        http_log(ex, LOG_LEVEL_ERROR, "fastcgi_split_path_info took too long for \"%.*s\"; it has no script",
                 SLICE_ARGS(ex->req.path));
        return SLICE("");
    }
    return part == SCRIPT ? ex->req.path : SLICE("");
}

static struct slice get_script_name(struct http_exchange *ex, const void *data)
{
    struct slice name = part_of_uri(ex, SCRIPT);
    (void)data;
    if (!name.len || name.data[name.len - 1] != '/' || !ex->route.settings)
        return name;
    return arena_printf(&ex->arena, "%.*s%.*s", SLICE_ARGS(name),
                        SLICE_ARGS(fastcgi_settings_of(ex->route.settings)->index));
}

static struct slice get_path_info(struct http_exchange *ex, const void *data)
{
    (void)data;
    return part_of_uri(ex, PATH_INFO);
}

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct conf_node *split = fastcgi_settings_of(l->settings)->split;
    (void)c;
    if (!split)
        return;
    const struct http_regex *regex = site_compile_regex(site, split->args[0], false, split);
    if (regex && http_regex_count_groups(regex) != CAPTURES)
        conf_error(&site->conf->errors, split,
                   "pattern \"%.*s\" must have 2 captures: the script's name, and what is behind it",
                   SLICE_ARGS(split->args[0]));
    fastcgi_location_in(l)->split = regex;
}

#define PART(member) CONF_PART_FIELD(fastcgi_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "fastcgi_index", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = PART(index),
     .syntax = "NAME",
     .help = "What $fastcgi_script_name has behind a URI that ends with a slash."},
    {.name = "fastcgi_split_path_info", .where = CONF_SERVER | CONF_LOCATION, .args = {1, 1}, .type = CONF_TEMPLATE, .field = PART(split),
     .syntax = "REGEX",
     .help = "Splits a URI in two: the expression's first capture is $fastcgi_script_name, its second one $fastcgi_path_info."},
    {.name = "fastcgi_keep_conn", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(keep_conn), .default_text = "off",
     .help = "Whether FastCGI's servers are asked to leave connections open, for keepalive."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_FASTCGI, rows, NULL};

static const struct feature_variable variables[] = {
    {"fastcgi_script_name", get_script_name}, {"fastcgi_path_info", get_path_info}, {0}};

const struct feature feature_fastcgi_script = {.name = "FastCGI scripts",
                                               .table = &table,
                                               .location = &fastcgi_location_part,
                                               .variables = variables,
                                               .build = build};
