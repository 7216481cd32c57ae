/*
 * proxy/tls.c - upstreams that are spoken to in TLS: what is wanted of them, and sessions that are taken up.
 *
 * A session is taken up only by the rules and for the name that it was made with: who takes it up does not look at the certificate anew.
 */
#include "proxy/tls.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/request/template.h"
#include "http/site/build.h"
#include "http/site/certificates.h"
#include "http/site/feature.h"
#include "http/site/tls_varying.h"
#include "http/site/tls_words.h"
#include "proxy/upstream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERIFY_DEPTH_MAX = 100 };

struct proxy_tls_settings {
    struct slice certificate, key, password_file, ciphers, trusted_file, crl_file;
    const struct conf_node *name;
    struct conf_lines *commands;
    struct tls_keeping keeping;
    int64_t verify_depth;
    int protocols; /* enum net_tls_protocol, or-ed */
    bool asks_for_name, verifies, reuses;
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
    struct proxy_tls_settings settings;
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

/* --- sessions --- */

struct upstream_session {
    const struct net_tls_context *context;
    struct net_tls_session *session;
    size_t as_len;
    char as[];
};

void upstream_session_free(struct upstream_session *session)
{
    if (!session)
        return;
    net_tls_session_free(session->session);
    free(session);
}

static void keep_session(void *with, struct net_tls_session *session)
{
    struct upstream_connection *uc = with;
    struct upstream_session *s = malloc(sizeof *s + uc->tls_as.len);
    if (!s) {
        net_tls_session_free(session);
        return;
    }
    s->context = uc->tls_context;
    s->session = session;
    s->as_len = uc->tls_as.len;
    memcpy(s->as, uc->tls_as.data, uc->tls_as.len);
    /* With TLS 1.2 it comes before the server is known to be the right one. */
    struct upstream_session **place = uc->is_trusted ? &uc->peer->session : &uc->session;
    upstream_session_free(*place);
    *place = s;
}

void upstream_settle_session(struct upstream_connection *uc, bool is_trusted)
{
    struct upstream_session *s = uc->session;
    uc->session = NULL;
    uc->is_trusted = is_trusted;
    if (!is_trusted) {
        upstream_session_free(s);
        s = NULL;
    }
    /* One by which a server came in that is none is not taken up again, either. */
    if (s || !is_trusted) {
        upstream_session_free(uc->peer->session);
        uc->peer->session = s;
    }
}

static struct net_tls_session *session_for(const struct upstream_connection *uc)
{
    const struct upstream_session *s = uc->peer->session;
    bool fits = s && s->context == uc->tls_context && slice_eq((struct slice){s->as, s->as_len}, uc->tls_as);
    return fits ? s->session : NULL;
}

/* --- connections --- */

static const char *name_file(struct http_exchange *ex, const struct http_template *name)
{
    struct buf text = {0};
    bool ok = tls_name_file(ex, name, &text);
    struct slice copy = ok ? arena_dup(&ex->arena, buf_slice(&text)) : (struct slice){0};
    buf_free(&text);
    return copy.data;
}

bool upstream_tls_identify(struct http_exchange *ex, const struct upstream_tls *tls, struct slice name,
                           struct upstream_as *as)
{
    *as = (struct upstream_as){.name = name, .whole = name};
    if (!tls->certificate)
        return true;
    as->certificate = name_file(ex, tls->certificate);
    as->key = name_file(ex, tls->key);
    if (!as->certificate || !as->key)
        return false;
    as->whole = arena_printf(&ex->arena, "%.*s\n%s\n%s", SLICE_ARGS(name), as->certificate, as->key);
    return as->whole.data != NULL;
}

/* NULL: it cannot be read, which has been logged. */
static struct net_tls_certificate *load(struct http_exchange *ex, const struct upstream_tls *tls,
                                        const struct upstream_as *as)
{
    char error[NET_TLS_ERROR_BYTES] = "out of memory";
    struct net_tls_load load = {.certificate = strdup(as->certificate), .key = strdup(as->key)};
    struct net_tls_certificate *found = NULL;
    bool named = load.certificate && load.key;
    if (named && (!tls->loaded || !net_tls_loaded_find(tls->loaded, &load)) &&
        net_tls_load(&load, tls->password_file, error) && tls->loaded)
        net_tls_loaded_keep(tls->loaded, &load);
    if (load.loaded)
        found = net_tls_certificate_hold(load.loaded);
    else
        http_log(ex, LOG_LEVEL_ERROR, "%s while connecting to upstream", error);
    net_tls_load_free(&load);
    return found;
}

/* As in nginx nothing is said of HTTP/1. */
static struct slice inner_protocols(const struct http_exchange *ex)
{
    return ex->route.settings->proxy.http_version == PROXY_HTTP_2 ? SLICE("\x02h2") : (struct slice){0};
}

bool upstream_begin_tls(struct http_exchange *ex, struct upstream_connection *uc,
                        const struct upstream_tls *tls, const struct upstream_as *as)
{
    free((char *)(uintptr_t)uc->tls_as.data);
    assert(as->name.len < UPSTREAM_TLS_NAME_MAX && !(as->name.len && memchr(as->name.data, 0, as->name.len)));
    uc->tls_as = (struct slice){strndup(as->whole.data, as->whole.len), as->whole.len};
    if (!uc->tls_as.data)
        return false;
    uc->tls_context = tls->context;
    struct net_tls_certificate *own = as->certificate ? load(ex, tls, as) : NULL;
    if (as->certificate && !own)
        return false;
    struct net_tls_target target = {.asked_name = tls->asks_for_name ? as->name : SLICE(""),
                                    .certificate = own,
                                    .inner_protocols = inner_protocols(ex),
                                    .session = tls->reuses ? session_for(uc) : NULL,
                                    .keep = tls->reuses ? keep_session : NULL,
                                    .with = uc};
    bool ok = net_tls_connect(&uc->stream, uc->worker->loop, tls->context, &target);
    net_tls_certificate_free(own);
    return ok;
}

const char *upstream_doubt(const struct net_stream *s, const struct upstream_tls *tls, struct slice name)
{
    static char text[512];
    if (!tls->verifies)
        return "";
    long verdict = net_tls_server_verdict(s);
    if (verdict)
        snprintf(text, sizeof text,
                 "upstream SSL certificate verify error: (%ld:%s) while SSL handshaking to upstream", verdict,
                 net_tls_verdict_text(verdict));
    else if (!net_tls_server_is(s, name))
        snprintf(text, sizeof text,
                 "upstream SSL certificate does not match \"%.*s\" while SSL handshaking to upstream",
                 SLICE_ARGS(name));
    else
        return "";
    return text;
}

struct slice upstream_name_of(struct slice host)
{
    if (host.len && host.data[0] == '[') {
        const char *end = memchr(host.data, ']', host.len);
        return end ? (struct slice){host.data + 1, (size_t)(end - host.data - 1)} : host;
    }
    const char *colon = host.len ? memchr(host.data, ':', host.len) : NULL;
    return colon ? (struct slice){host.data, (size_t)(colon - host.data)} : host;
}

/* --- from settings --- */

static bool certificate_varies(const struct proxy_tls_settings *s)
{
    return tls_has_variable(s->certificate) || (s->certificate.len && tls_has_variable(s->key));
}

static struct net_tls_context *make_context(struct site *site, const struct proxy_tls_settings *s,
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

static void check(struct site *site, const struct proxy_tls_settings *s, const struct conf_proxy *proxy)
{
    if (s->verifies && !s->trusted_file.len)
        conf_error(&site->conf->errors, proxy->node,
                   "no proxy_ssl_trusted_certificate for proxy_ssl_verify; name the authorities, as "
                   "/etc/ssl/certs/ca-certificates.crt");
    if (s->certificate.len && !s->key.len)
        conf_error(&site->conf->errors, proxy->node,
                   "no \"proxy_ssl_certificate_key\" is defined for certificate \"%.*s\"",
                   (int)strlen(net_tls_shown(s->certificate.data)), net_tls_shown(s->certificate.data));
    if (!s->verifies && proxy->tls)
        conf_error(&site->conf->warnings, proxy->node,
                   "the upstream's certificate is not looked at: anybody on the way can be it; write "
                   "\"proxy_ssl_verify on\" and \"proxy_ssl_trusted_certificate\"");
}

static struct net_tls_context *context_for(struct site *site, const struct proxy_tls_settings *s,
                                           const struct conf_node *node)
{
    struct proxy_tls_site *all = proxy_tls_site_in(site);
    for (const struct made_context *m = all->made; m; m = m->next)
        /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): what differs in padding alone is made twice, no more. */
        if (memcmp(&m->settings, s, sizeof *s) == 0)
            return m->context;
    struct made_context *m = site_array(site, 1, sizeof *m);
    memcpy(&m->settings, s, sizeof *s);
    m->context = make_context(site, s, node);
    m->next = all->made;
    all->made = m;
    return m->context;
}

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct proxy_tls_settings *s = proxy_tls_settings_of(l->settings);
    struct proxy_tls_location *p = proxy_tls_location_in(l);
    if (!c->proxy || (!c->proxy->tls && !c->proxy->text.data))
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
    tls_keeping_set(w, n, &proxy_tls_settings_in(w->settings)->keeping);
}

#define PART(member) CONF_PART_FIELD(proxy_tls_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "proxy_ssl_certificate", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = PART(certificate),
     .syntax = "FILE",
     .help = "A certificate in PEM by which upstreams know this server; may contain variables."},
    {.name = "proxy_ssl_certificate_key", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = PART(key),
     .syntax = "FILE",
     .help = "Its private key; may contain variables."},
    {.name = "proxy_ssl_certificate_cache", .where = CONF_HTTP_ALL, .args = {1, 3}, .type = CONF_CUSTOM, .set = set_keeping, .field = PART(keeping), .default_text = "off", .parameters = "inactive=10s valid=60s",
     .syntax = "off | max=N [inactive=TIME] [valid=TIME]",
     .help = "As ssl_certificate_cache, for certificates with variables that upstreams are shown."},
    {.name = "proxy_ssl_password_file", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = PART(password_file),
     .syntax = "FILE",
     .help = "Phrases for that key, one in each line."},
    {.name = "proxy_ssl_protocols", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_CHOICES, .field = PART(protocols), .default_text = "TLSv1.2 TLSv1.3",
     .words = WORDS("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
     .help = "Versions of TLS that upstreams may choose from."},
    {.name = "proxy_ssl_ciphers", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = PART(ciphers), .default_text = "DEFAULT",
     .syntax = "LIST",
     .help = "Ciphers for TLS 1.2 and below, as OpenSSL writes them."},
    {.name = "proxy_ssl_name", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = PART(name),
     .syntax = "NAME",
     .help = "The name that an upstream's certificate has to have, and that it is asked for; may contain variables. Default: the host of proxy_pass."},
    {.name = "proxy_ssl_server_name", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(asks_for_name), .default_text = "off",
     .help = "Whether upstreams are told the name that they are asked for (SNI, RFC 6066)."},
    {.name = "proxy_ssl_session_reuse", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(reuses), .default_text = "on",
     .help = "Whether a new connection to a server takes the last one's session up."},
    {.name = "proxy_ssl_verify", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(verifies), .default_text = "off",
     .help = "Whether an upstream's certificate has to be one of proxy_ssl_trusted_certificate's authorities, with the right name."},
    {.name = "proxy_ssl_verify_depth", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = PART(verify_depth), .default_text = "1", .range = {0, VERIFY_DEPTH_MAX},
     .help = "Most authorities between an upstream's certificate and one that is known."},
    {.name = "proxy_ssl_trusted_certificate", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = PART(trusted_file),
     .syntax = "FILE",
     .help = "The authorities, in PEM."},
    {.name = "proxy_ssl_crl", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = PART(crl_file),
     .syntax = "FILE",
     .help = "Certificates of upstreams that are revoked, in PEM."},
    {.name = "proxy_ssl_conf_command", .where = CONF_HTTP_ALL, .args = {2, 2}, .type = CONF_LINES, .field = PART(commands),
     .syntax = "NAME VALUE",
     .help = "Any other setting of OpenSSL (SSL_CONF_cmd(3))."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_PROXY_TLS, rows, NULL};

const struct feature feature_proxy_tls = {.name = "proxy_tls",
                                          .table = &table,
                                          .location = &proxy_tls_location_part,
                                          .site = &proxy_tls_site_part,
                                          .build = build,
                                          .end = end};
