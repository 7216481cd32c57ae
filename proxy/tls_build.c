/*
 * proxy/tls_build.c - what is wanted of upstreams that are spoken to in TLS, from the settings of proxy_ssl_... and grpc_ssl_...
 */
#include "proxy/tls.h"

#include "conf/tree.h"
#include "http/request/template.h"
#include "http/site/build.h"
#include "http/site/certificates.h"
#include "http/site/feature.h"
#include "http/site/tls_varying.h"
#include "http/site/tls_words.h"
#include "proxy/tls_rows.h"

#include <string.h>

struct rules {
    struct slice certificate, key, password_file, ciphers, trusted_file, crl_file;
    const struct conf_node *name;
    struct conf_lines *commands;
    struct tls_keeping keeping;
    int64_t verify_depth;
    int protocols; /* enum net_tls_protocol, or-ed */
    bool asks_for_name, verifies, reuses;
};

struct proxy_tls_settings {
    struct rules proxy, grpc;
};

struct part proxy_tls_settings_part = {.size = sizeof(struct proxy_tls_settings)};
SETTINGS_PART(proxy_tls_settings)

struct proxy_tls_location {
    struct upstream_tls tls;
    bool is_used;
};

struct part proxy_tls_location_part = {.size = sizeof(struct proxy_tls_location)};
LOCATION_PART(proxy_tls_location)

/* Contexts are large, and most locations have the same settings. */
struct made_context {
    struct rules rules;
    struct net_tls_context *context;
    struct made_context *next;
};

struct proxy_tls_site {
    struct made_context *made;
};

struct part proxy_tls_site_part = {.size = sizeof(struct proxy_tls_site)};
SITE_PART(proxy_tls_site)

const struct upstream_tls *upstream_tls_of(const struct location *l)
{
    const struct proxy_tls_location *p = proxy_tls_location_of(l);
    return p->is_used && p->tls.context ? &p->tls : NULL;
}

static bool certificate_varies(const struct rules *s)
{
    return tls_has_variable(s->certificate) || (s->certificate.len && tls_has_variable(s->key));
}

static struct net_tls_context *make_context(struct site *site, const struct rules *s,
                                            const struct conf_node *node)
{
    char error[NET_TLS_ERROR_BYTES];
    bool varies = certificate_varies(s);
    struct net_tls_pair pair = {varies ? NULL : tls_text_or_file(site, s->certificate),
                                varies ? NULL : tls_text_or_file(site, s->key)};
    struct net_tls_rules rules = {.is_client = true,
                                  .pairs = &pair,
                                  .pair_count = pair.certificate ? 1 : 0,
                                  .password_file = tls_file(site, s->password_file),
                                  .protocols = (unsigned)s->protocols,
                                  .ciphers = s->ciphers.data,
                                  .commands = tls_commands(site, s->commands),
                                  .command_count = site_count_lines(s->commands),
                                  .verify = s->verifies ? NET_TLS_VERIFY_ON : NET_TLS_VERIFY_OFF,
                                  .verify_depth = (int)s->verify_depth,
                                  .trusted_file = tls_file(site, s->trusted_file),
                                  .crl_file = tls_file(site, s->crl_file),
                                  .record_bytes = NET_TLS_RECORD_MAX,
                                  .keeps_sessions = s->reuses,
                                  .where = -1};
    const char *const files[] = {pair.certificate, pair.key, rules.password_file, rules.trusted_file,
                                 rules.crl_file};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        certificates_note_file(site, files[i]);
    struct net_tls_context *context = net_tls_context_new(&rules, error);
    if (!context)
        conf_error(&site->conf->errors, node, "%s", error);
    return context;
}

static void check(struct site *site, const struct rules *s, const struct conf_proxy *proxy)
{
    const char *prefix = conf_pass_prefix(proxy->kind);
    if (s->verifies && !s->trusted_file.len)
        conf_error(&site->conf->errors, proxy->node,
                   "no %s_ssl_trusted_certificate for %s_ssl_verify; name the authorities, as "
                   "/etc/ssl/certs/ca-certificates.crt",
                   prefix, prefix);
    if (s->certificate.len && !s->key.len)
        conf_error(&site->conf->errors, proxy->node,
                   "no \"%s_ssl_certificate_key\" is defined for certificate \"%.*s\"", prefix,
                   (int)strlen(net_tls_shown(s->certificate.data)), net_tls_shown(s->certificate.data));
    if (!s->verifies && proxy->tls)
        conf_error(&site->conf->warnings, proxy->node,
                   "the upstream's certificate is not looked at: anybody on the way can be it; write "
                   "\"%s_ssl_verify on\" and \"%s_ssl_trusted_certificate\"",
                   prefix, prefix);
}

static struct net_tls_context *context_for(struct site *site, const struct rules *s,
                                           const struct conf_node *node)
{
    struct proxy_tls_site *all = proxy_tls_site_in(site);
    for (const struct made_context *m = all->made; m; m = m->next)
        /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): what differs in padding alone is made twice, no more. */
        if (memcmp(&m->rules, s, sizeof *s) == 0)
            return m->context;
    struct made_context *m = site_array(site, 1, sizeof *m);
    memcpy(&m->rules, s, sizeof *s);
    m->context = make_context(site, s, node);
    m->next = all->made;
    all->made = m;
    return m->context;
}

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct proxy_tls_settings *all = proxy_tls_settings_of(l->settings);
    const struct rules *s = c->proxy && c->proxy->kind == CONF_PASS_GRPC ? &all->grpc : &all->proxy;
    struct proxy_tls_location *p = proxy_tls_location_in(l);
    if (!c->proxy || c->proxy->kind == CONF_PASS_FASTCGI || (!c->proxy->tls && !c->proxy->text.data))
        return;
    check(site, s, c->proxy);
    if (site->conf->errors.count)
        return;
    p->is_used = true;
    const struct http_template *name = s->name ? site_compile(site, s->name->args[0], s->name) : NULL;
    bool is_fixed = name && http_template_is_constant(name);
    p->tls = (struct upstream_tls){.context = context_for(site, s, c->proxy->node),
                                   .name = name,
                                   .fixed_name = is_fixed ? s->name->args[0] : SLICE(""),
                                   .asks_for_name = s->asks_for_name,
                                   .verifies = s->verifies,
                                   .reuses = s->reuses};
    if (!certificate_varies(s))
        return;
    p->tls.certificate = site_compile(site, s->certificate, c->proxy->node);
    p->tls.key = site_compile(site, s->key, c->proxy->node);
    p->tls.password_file = tls_file(site, s->password_file);
    p->tls.loaded = tls_kept_by(site, &s->keeping);
}

static void end(struct site *site)
{
    for (struct made_context *m = proxy_tls_site_in(site)->made; m; m = m->next)
        net_tls_context_free(m->context);
}

static void set_keeping(struct conf_walk *w, const struct conf_node *n)
{
    struct proxy_tls_settings *all = proxy_tls_settings_in(w->settings);
    tls_keeping_set(w, n, slice_starts(n->name, SLICE("grpc_")) ? &all->grpc.keeping : &all->proxy.keeping);
}

#define PROXYS(member) CONF_PART_FIELD(proxy_tls_settings, proxy.member)
#define GRPCS(member) CONF_PART_FIELD(proxy_tls_settings, grpc.member)

static const struct conf_directive rows[] = {
    UPSTREAM_TLS_ROWS("proxy_", PROXYS, set_keeping),
    UPSTREAM_TLS_ROWS("grpc_", GRPCS, set_keeping),
    {0},
};

static const struct conf_table table = {CONF_SECTION_PROXY_TLS, rows, NULL};

const struct feature feature_proxy_tls = {.name = "proxy_tls",
                                          .table = &table,
                                          .location = &proxy_tls_location_part,
                                          .site = &proxy_tls_site_part,
                                          .build = build,
                                          .end = end};
