/*
 * http/access/access.c - allow and deny: the first rule that is for the client's address decides (nginx, ngx_http_access_module).
 */
#include "http/access/access.h"

#include "base/slice.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/site.h"
#include "net/address.h"

struct access_rule {
    bool deny, all, is_unix;
    struct net_mask mask;
};

struct access_settings {
    struct conf_lines *rules; /* allow, deny */
};

struct part access_settings_part = {.size = sizeof(struct access_settings)};
SETTINGS_PART(access_settings)

/* Of a location. */
struct access_location {
    struct access_rule *rules;
    int rule_count;
    struct location *except;             /* limit_except; NULL: none */
    const struct conf_node *except_node; /* its methods */
};

struct part access_location_part = {.size = sizeof(struct access_location)};
LOCATION_PART(access_location)

bool access_has_rules(const struct location *l)
{
    return access_location_of(l)->rule_count > 0;
}

enum access_verdict access_look(struct http_exchange *ex)
{
    const struct access_location *of = access_location_of(ex->route.location);
    for (int i = 0; i < of->rule_count; i++) {
        const struct access_rule *r = &of->rules[i];
        bool is_for = r->all || (r->is_unix && ex->client.remote_len == 0) ||
                      (!r->is_unix && ex->client.remote_len &&
                       net_mask_has(&r->mask, ex->client.remote, ex->client.remote_len));
        if (is_for)
            return r->deny ? ACCESS_DENIED : ACCESS_ALLOWED;
    }
    return ACCESS_UNKNOWN;
}

/* limit_except: another method than those that it names has settings of its own. */
const struct location *access_limited(const struct http_exchange *ex, const struct location *l)
{
    struct slice method = ex->req.method == HTTP_HEAD ? SLICE("GET") : ex->req.method_name;
    const struct access_location *of = access_location_of(l);
    if (!of->except)
        return l;
    for (int i = 0; i < of->except_node->nargs; i++)
        if (slice_eq_nocase(of->except_node->args[i], method) ||
            slice_eq_nocase(of->except_node->args[i], ex->req.method_name))
            return l;
    return of->except;
}

/* --- from settings --- */

static void build_rule(struct site *site, struct access_rule *r, const struct conf_node *n)
{
    struct slice who = n->args[0];
    r->deny = slice_eq(n->name, SLICE("deny"));
    r->all = slice_eq(who, SLICE("all"));
    r->is_unix = slice_eq(who, SLICE("unix:"));
    if (!r->all && !r->is_unix && !net_mask_parse(who, &r->mask))
        conf_error(&site->conf->errors, n,
                   "invalid parameter \"%.*s\" of \"%.*s\"; write ADDRESS, ADDRESS/BITS, "
                   "unix: or all",
                   SLICE_ARGS(who), SLICE_ARGS(n->name));
}

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct conf_lines *lines = access_settings_of(l->settings)->rules;
    struct access_location *to = access_location_in(l);
    to->rules = lines ? site_array(site, site_count_lines(lines), sizeof *to->rules) : NULL;
    for (; lines; lines = lines->next)
        build_rule(site, &to->rules[to->rule_count++], lines->node);
    if (!c->except)
        return;
    to->except = site_build_location(site, c->except);
    to->except_node = c->except->node;
}

#define PART(member) CONF_PART_FIELD(access_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "allow", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_LINES, .field = PART(rules),
     .syntax = "ADDRESS | NETWORK/BITS | unix: | all",
     .help = "Lets clients in; of allow and deny the first line that is for a client decides. Inherited where a level has none of both."},
    {.name = "deny", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_LINES, .field = PART(rules),
     .syntax = "ADDRESS | NETWORK/BITS | unix: | all",
     .help = "Keeps clients out: 403."},
    {.name = "limit_except", .where = CONF_LOCATION, .args = {1, CONF_ANY}, .block = true, .set = conf_set_limit_except,
     .syntax = "METHOD ... { ... }",
     .help = "Settings, such as deny or auth_basic, for requests with other methods than these; GET includes HEAD."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_ACCESS, rows, NULL};

const struct feature feature_access = {
    .name = "access", .table = &table, .location = &access_location_part, .build = build};
