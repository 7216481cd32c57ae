/*
 * http/access/access.c - allow and deny: the first rule that is for the client's address decides (nginx, ngx_http_access_module).
 */
#include "http/access/access.h"

#include "base/slice.h"
#include "conf/tree.h"
#include "http/site/build.h"
#include "http/site/site.h"
#include "net/address.h"

enum access_verdict access_look(struct http_exchange *ex)
{
    const struct access_rules *rules = ex->route.location->access;
    for (int i = 0; rules && i < rules->count; i++) {
        const struct access_rule *r = &rules->items[i];
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
    if (!l->except)
        return l;
    for (int i = 0; i < l->except_node->nargs; i++)
        if (slice_eq_nocase(l->except_node->args[i], method) ||
            slice_eq_nocase(l->except_node->args[i], ex->req.method_name))
            return l;
    return l->except;
}

struct access_rules *site_build_access(struct site *site, const struct conf_lines *lines)
{
    int count = site_count_lines(lines);
    if (count == 0)
        return NULL;
    struct access_rules *rules = site_array(site, 1, sizeof *rules);
    rules->items = site_array(site, count, sizeof *rules->items);
    for (const struct conf_lines *l = lines; l; l = l->next) {
        struct access_rule *r = &rules->items[rules->count++];
        struct slice who = l->node->args[0];
        r->deny = slice_eq(l->node->name, SLICE("deny"));
        r->all = slice_eq(who, SLICE("all"));
        r->is_unix = slice_eq(who, SLICE("unix:"));
        if (!r->all && !r->is_unix && !net_mask_parse(who, &r->mask))
            conf_error(&site->conf->errors, l->node,
                       "invalid parameter \"%.*s\" of \"%.*s\"; write ADDRESS, ADDRESS/BITS, "
                       "unix: or all",
                       SLICE_ARGS(who), SLICE_ARGS(l->node->name));
    }
    return rules;
}
