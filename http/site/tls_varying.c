/*
 * http/site/tls_varying.c - certificates with variables in their names: what they are for a client, and statements about how they are kept.
 */
#include "http/site/tls_varying.h"

#include "base/arena.h"
#include "base/buf.h"
#include "conf/rows.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "worker/loop/worker_state.h"

enum { CERTIFICATES_MAX = 1000000 };

struct tls_varying_settings {
    struct tls_keeping keeping;
};

struct part tls_varying_settings_part = {.size = sizeof(struct tls_varying_settings)};
SETTINGS_PART(tls_varying_settings)

struct kept_by {
    const struct conf_node *node;
    struct net_tls_loaded *loaded;
    struct kept_by *next;
};

struct tls_varying_site {
    struct kept_by *all;
};

struct part tls_varying_site_part = {.size = sizeof(struct tls_varying_site)};
SITE_PART(tls_varying_site)

struct varying_pair {
    const struct http_template *certificate, *key;
};

struct tls_varying {
    int count;
    const char *names;
    struct varying_pair *pairs;
};

/* --- names --- */

bool tls_has_variable(struct slice name)
{
    return name.len && memchr(name.data, '$', name.len);
}

static bool one_varies(const struct conf_lines *lines)
{
    while (lines && !tls_has_variable(lines->node->args[0]))
        lines = lines->next;
    return lines != NULL;
}

const struct tls_varying *tls_varying_of(struct site *site, const struct conf_lines *certificates,
                                         const struct conf_lines *keys)
{
    if (!one_varies(certificates) && !one_varies(keys))
        return NULL;
    struct tls_varying *v = site_array(site, 1, sizeof *v);
    v->count = site_count_lines(certificates);
    v->pairs = site_array(site, v->count, sizeof *v->pairs);
    v->names = "";
    for (int i = 0; i < v->count; i++, certificates = certificates->next, keys = keys->next) {
        v->names = conf_must((char *)(uintptr_t)arena_printf(&site->arena, "%s\n%.*s", v->names,
                                                             SLICE_ARGS(certificates->node->args[0]))
                                 .data);
        v->pairs[i] =
            (struct varying_pair){site_compile(site, certificates->node->args[0], certificates->node),
                                  site_compile(site, keys->node->args[0], keys->node)};
    }
    return v;
}

bool tls_name_file(struct http_exchange *ex, const struct http_template *name, struct buf *out)
{
    struct slice text = http_template_expand(name, ex);
    bool is_whole = slice_starts(text, SLICE("/")) || slice_starts(text, SLICE("data:"));
    return text.data && (is_whole || buf_append_slice(out, ex->worker->conf->prefix)) &&
           buf_append_slice(out, text);
}

bool tls_name_pair(struct http_exchange *ex, const void *owner, int pair, struct buf *certificate,
                   struct buf *key)
{
    const struct tls_varying *v = owner;
    return tls_name_file(ex, v->pairs[pair].certificate, certificate) &&
           tls_name_file(ex, v->pairs[pair].key, key);
}

/* --- how they are kept --- */

static bool set_parameter(struct net_tls_loaded_rules *r, struct slice arg)
{
    if (slice_starts(arg, SLICE("max=")))
        return conf_parse_whole(slice_from(arg, 4), 1, CERTIFICATES_MAX, &r->max);
    if (slice_starts(arg, SLICE("inactive=")))
        return conf_parse_time(slice_from(arg, 9), &r->inactive_ms);
    return slice_starts(arg, SLICE("valid=")) && conf_parse_time(slice_from(arg, 6), &r->valid_ms);
}

void tls_keeping_set(struct conf_walk *w, const struct conf_node *n, struct tls_keeping *keeping)
{
    struct slice words[CONF_PARAMETERS_MAX];
    bool ok = true;
    *keeping = (struct tls_keeping){0};
    if (n->nargs == 1 && slice_eq(n->args[0], SLICE("off")))
        return;
    for (int i = conf_default_parameters(w->conf, n->name, w->context, words); i-- > 0;)
        set_parameter(&keeping->rules, words[i]);
    for (int i = 0; i < n->nargs; i++)
        ok = ok && set_parameter(&keeping->rules, n->args[i]);
    if (!ok || keeping->rules.max == 0)
        conf_error(&w->conf->errors, n, "invalid \"%.*s\"; write: off, or max=N [inactive=TIME] [valid=TIME]",
                   SLICE_ARGS(n->name));
    else
        keeping->node = n;
}

struct net_tls_loaded *tls_kept_by(struct site *site, const struct tls_keeping *keeping)
{
    struct tls_varying_site *s = tls_varying_site_in(site);
    if (!keeping->node)
        return NULL;
    for (const struct kept_by *k = s->all; k; k = k->next)
        if (k->node == keeping->node)
            return k->loaded;
    struct kept_by *k = site_array(site, 1, sizeof *k);
    *k = (struct kept_by){keeping->node, conf_must(net_tls_loaded_new(&keeping->rules)), s->all};
    s->all = k;
    return k->loaded;
}

void tls_varying_set(struct site *site, const struct settings *s, const struct tls_varying *varying,
                     struct net_tls_rules *rules)
{
    if (!varying)
        return;
    rules->pairs = NULL;
    rules->pair_count = 0;
    rules->varying_count = varying->count;
    rules->owner = varying;
    rules->varying_names = varying->names;
    rules->loaded = tls_kept_by(site, &tls_varying_settings_of(s)->keeping);
}

static void end(struct site *site)
{
    for (const struct kept_by *k = tls_varying_site_of(site)->all; k; k = k->next)
        net_tls_loaded_free(k->loaded);
    tls_varying_site_in(site)->all = NULL;
}

static void set_keeping(struct conf_walk *w, const struct conf_node *n)
{
    tls_keeping_set(w, n, &tls_varying_settings_in(w->settings)->keeping);
}

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "ssl_certificate_cache", .where = CONF_HTTP_SERVER, .args = {1, 3}, .type = CONF_CUSTOM, .set = set_keeping, .field = CONF_PART_FIELD(tls_varying_settings, keeping), .default_text = "off", .parameters = "inactive=10s valid=60s",
     .syntax = "off | max=N [inactive=TIME] [valid=TIME]",
     .help = "How many certificates with variables in their names each worker keeps, one that has not been used for as long as inactive says no longer. Files are looked at again after as long as valid says. Without it they are read for each full handshake."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_TLS, rows, NULL};

const struct feature feature_tls_varying = {
    .name = "tls_varying", .table = &table, .site = &tls_varying_site_part, .end = end};
