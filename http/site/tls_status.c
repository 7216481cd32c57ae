/*
 * http/site/tls_status.c - what authorities are asked about certificates: the server's own (ssl_stapling) and those of clients (ssl_ocsp).
 */
#include "http/site/tls_status.h"

#include "conf/rows.h"
#include "http/site/feature.h"
#include "http/site/tls_cache.h"
#include "http/site/tls_words.h"
#include "net/tls_status.h"

struct tls_status_settings {
    struct slice staple_file, staple_responder, responder;
    const struct conf_node *cache;
    enum net_tls_status_depth depth;
    bool stapling, verifies_staples;
};

struct part tls_status_settings_part = {.size = sizeof(struct tls_status_settings)};
SETTINGS_PART(tls_status_settings)

static const char *text_of(struct slice text)
{
    return text.len ? text.data : NULL;
}

void tls_status_set(struct site *site, const struct conf_location *server, int default_pool,
                    struct net_tls_rules *rules)
{
    const struct tls_status_settings *s = tls_status_settings_of(&server->settings);
    rules->staples.is_on = s->stapling;
    rules->staples.verifies = s->verifies_staples;
    rules->staples.responder = text_of(s->staple_responder);
    rules->staples.file = tls_file(site, s->staple_file);
    rules->client_status.depth = s->depth;
    rules->client_status.where = rules->where >= 0 ? rules->where : default_pool;
    rules->client_status.responder = text_of(s->responder);
    if (rules->client_status.depth == NET_TLS_STATUS_OFF)
        return;
    if (rules->verify == NET_TLS_VERIFY_OPTIONAL_NO_CA)
        conf_error(&site->conf->errors, server->node,
                   "\"ssl_ocsp\" is incompatible with \"ssl_verify_client optional_no_ca\"");
    /* The library tells early data of a handshake from that behind it; authorities are not asked before. */
    rules->takes_early_data = false;
    if (s->cache)
        rules->client_status.cache = tls_status_cache(site, s->cache);
}

void tls_status_check(struct site *site, const struct conf_lines *certificates,
                      struct net_tls_context *context)
{
    char why[NET_TLS_ERROR_BYTES];
    int pair = 0;
    for (const struct conf_lines *c = certificates; c; c = c->next, pair++)
        if (!net_tls_staple_check(context, pair, why))
            conf_error(&site->conf->warnings, c->node,
                       "\"ssl_stapling\" of certificate \"%s\" is ignored: %s",
                       net_tls_shown(c->node->args[0].data), why);
}

static void set_cache(struct conf_walk *w, const struct conf_node *n)
{
    tls_status_cache_check(w, n);
    tls_status_settings_in(w->settings)->cache = n;
}

#define PART(member) CONF_PART_FIELD(tls_status_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "ssl_stapling", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_FLAG, .field = PART(stapling), .default_text = "off",
     .help = "Whether clients that ask get what the certificate's authority says of it (OCSP stapling): it is asked by a thread of ssl_handshake_pool before anybody wants it, and again in time. Its own certificate stands behind the server's, or in ssl_trusted_certificate."},
    {.name = "ssl_stapling_verify", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_FLAG, .field = PART(verifies_staples), .default_text = "off",
     .help = "Whether such an answer has to be signed by an authority of ssl_trusted_certificate."},
    {.name = "ssl_stapling_responder", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TEXT, .field = PART(staple_responder),
     .syntax = "http://HOST[:PORT]/PATH",
     .help = "Whom to ask; by default who is named in the certificate."},
    {.name = "ssl_stapling_file", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TEXT, .field = PART(staple_file),
     .syntax = "FILE",
     .help = "With ssl_stapling: the authority's answer, in DER; nobody is asked then."},
    {.name = "ssl_ocsp", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_CHOICE, .field = PART(depth), .default_text = "off",
     .words = WORDS("off", "on", "leaf"),
     .help = "Whether authorities are asked about clients' certificates, each up to one that is known or the client's alone, by a thread of ssl_handshake_pool before the handshake counts as over. A certificate that is revoked or unknown, or about which nobody answers, is a wrong one: 495. With ssl_verify_client on or optional; such a server takes no early data."},
    {.name = "ssl_ocsp_responder", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TEXT, .field = PART(responder),
     .syntax = "http://HOST[:PORT]/PATH",
     .help = "Whom to ask about clients' certificates; by default who is named in them."},
    {.name = "ssl_ocsp_cache", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_CUSTOM, .set = set_cache, .field = PART(cache), .default_text = "off",
     .syntax = "off | shared:NAME:SIZE",
     .help = "Where answers about clients' certificates are kept for all workers, each as long as it says that it holds."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_TLS, rows, NULL};

const struct feature feature_tls_status = {.name = "tls_status", .table = &table};
