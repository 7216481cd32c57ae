/*
 * http/site/tls.c - servers that speak TLS: their directives, their contexts, the choice by the name that a client asks for, and what
 * a request may know of it.
 */
#include "http/site/tls.h"

#include "base/arena.h"
#include "base/list.h"
#include "base/log.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/variables.h"
#include "http/site/build.h"
#include "http/site/certificates.h"
#include "http/site/feature.h"
#include "http/site/tls_cache.h"
#include "http/site/tls_status.h"
#include "http/site/tls_variables.h"
#include "http/site/tls_varying.h"
#include "http/site/tls_words.h"
#include "net/tls_status.h"
#include "shm/ticket_keys.h"

#include <assert.h>

enum {
    MISDIRECTED = 421,
    CERTIFICATE_ERROR = 495,
    NO_CERTIFICATE = 496,
    PLAIN_TEXT = 497,
    VERIFY_DEPTH_MAX = 100
};

/* Mozilla's intermediate level (Server Side TLS 5.7), for TLS 1.2; those of 1.3 are the library's. */
#define INTERMEDIATE                                                                           \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"   \
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305"

struct tls_settings {
    struct conf_lines *certificates, *keys, *commands, *ticket_keys;
    struct slice password_file, ciphers, curves, dh_file, client_file, trusted_file, crl_file, handshake_pool;
    int64_t record_bytes, session_timeout_ms, verify_depth, handshake_timeout_ms;
    int protocols; /* enum net_tls_protocol, or-ed */
    enum net_tls_verify verify;
    enum { CERTIFICATE_MISSING_FAIL, CERTIFICATE_MISSING_WARN } missing;
    bool prefers_own_ciphers, tickets, rejects, early_data;
};

struct part tls_settings_part = {.size = sizeof(struct tls_settings)};
SETTINGS_PART(tls_settings)

/* Of a server's top location. */
struct tls_location {
    struct net_tls_context *context; /* NULL: the address's first one */
    enum net_tls_verify verify;
};

struct part tls_location_part = {.size = sizeof(struct tls_location)};
LOCATION_PART(tls_location)

/* --- serving --- */

static const struct net_tls_context *context_of(const struct vserver *v)
{
    return tls_location_of(v->top)->context;
}

const struct net_tls_context *tls_context(const struct site_listen *listen)
{
    assert(listen->tls && context_of(listen->default_server));
    return context_of(listen->default_server);
}

int64_t tls_handshake_timeout_ms(const struct site_listen *listen)
{
    return tls_settings_of(listen->default_server->top->settings)->handshake_timeout_ms;
}

const struct net_tls_context *tls_context_for(const struct site_listen *listen, struct slice name)
{
    struct http_captures unused = {0};
    const struct vserver *v = name.len ? site_find_server(listen, name, &unused) : listen->default_server;
    return context_of(v);
}

/* As in nginx it is the connection's last one, whatever page there is for it: another certificate can only be shown on another connection. */
static struct verdict refuse(struct http_exchange *ex, int status)
{
    client_make_last(ex, false);
    return verdict_answer(status);
}

struct verdict tls_pass(struct http_exchange *ex)
{
    if (ex->client.plain_in_place_of_tls) {
        http_log(ex, LOG_LEVEL_INFO,
                 "client sent plain HTTP request to HTTPS port while reading client request headers");
        return refuse(ex, PLAIN_TEXT);
    }
    enum net_tls_verify verify =
        ex->client.tls ? tls_location_of(ex->route.server->top)->verify : NET_TLS_VERIFY_OFF;
    if (verify == NET_TLS_VERIFY_OFF)
        return verdict_of(VERDICT_NEXT);
    /* Who may come has been asked of another server: its authorities are not this one's. */
    const struct net_tls_context *own = context_of(ex->route.server);
    if (!own)
        own = tls_context(ex->client.listen);
    if (own != net_tls_context_of(ex->client.tls)) {
        http_log(ex, LOG_LEVEL_INFO,
                 "client attempted to request the server name different from the one that was negotiated");
        return verdict_answer(MISDIRECTED);
    }
    long found = net_tls_client_verdict(ex->client.tls);
    if (found > 0 && !(verify == NET_TLS_VERIFY_OPTIONAL_NO_CA && net_tls_is_of_unknown_authority(found))) {
        http_log(ex, LOG_LEVEL_INFO,
                 "client SSL certificate verify error: (%ld:%s) while reading client request headers", found,
                 net_tls_verdict_text(found));
        return refuse(ex, CERTIFICATE_ERROR);
    }
    const char *doubt = found == 0 ? net_tls_client_doubt(ex->client.tls) : NULL;
    if (doubt) {
        http_log(ex, LOG_LEVEL_INFO,
                 "client SSL certificate verify error: %s while reading client request headers", doubt);
        return refuse(ex, CERTIFICATE_ERROR);
    }
    if (found < 0 && verify == NET_TLS_VERIFY_ON) {
        http_log(ex, LOG_LEVEL_INFO,
                 "client sent no required SSL certificate while reading client request headers");
        return refuse(ex, NO_CERTIFICATE);
    }
    return verdict_of(VERDICT_NEXT);
}

/* --- from settings --- */

/* Each certificate has its key in the same place of the other list. NULL: it has not, and that is said. */
static const struct net_tls_pair *pairs_of(struct site *site, const struct tls_settings *s)
{
    struct net_tls_pair *pairs = site_array(site, site_count_lines(s->certificates), sizeof *pairs);
    const struct conf_lines *key = s->keys;
    int i = 0;
    for (const struct conf_lines *c = s->certificates; c; c = c->next, key = key->next) {
        if (!key) {
            conf_error(&site->conf->errors, c->node,
                       "no \"ssl_certificate_key\" is defined for certificate \"%.*s\"",
                       SLICE_ARGS(c->node->args[0]));
            return NULL;
        }
        pairs[i++] = (struct net_tls_pair){tls_text_or_file(site, c->node->args[0]),
                                           tls_text_or_file(site, key->node->args[0])};
    }
    return pairs;
}

static const char *const *ticket_key_files(struct site *site, const struct tls_settings *s)
{
    const char **files = site_array(site, site_count_lines(s->ticket_keys), sizeof *files);
    int i = 0;
    for (const struct conf_lines *k = s->ticket_keys; k; k = k->next)
        files[i++] = conf_full_path(site->conf, k->node->args[0]).data;
    return files;
}

/* The pool's number; -1: handshakes stay in the loop. */
static int find_pool(struct site *site, struct slice name, const struct conf_location *c)
{
    int number = 0;
    if (slice_eq(name, SLICE("off")))
        return -1;
    for (const struct conf_pool *p = site->conf->pools; p; p = p->next, number++)
        if (slice_eq(p->name, name))
            return number;
    conf_error(&site->conf->errors, c->node,
               "unknown thread pool \"%.*s\" in \"ssl_handshake_pool\"; define it with thread_pool",
               SLICE_ARGS(name));
    return -1;
}

static void warn_of_open_keys(struct site *site, const struct tls_settings *s)
{
    for (const struct conf_lines *key = s->keys; key; key = key->next)
        if (net_tls_key_is_open(conf_full_path(site->conf, key->node->args[0]).data))
            conf_error(&site->conf->warnings, key->node,
                       "the private key \"%.*s\" can be read by everybody; \"chmod o-r\" it",
                       SLICE_ARGS(key->node->args[0]));
}

/* The statement that an error is most likely about. */
static const struct conf_node *blamed(const struct tls_settings *s, const struct conf_location *c)
{
    return s->certificates ? s->certificates->node : c->node;
}

/* Whom to tell of a certificate that is not there. */
struct missing {
    struct site *site;
    const struct conf_node *node;
};

static void warn_of_missing(void *with, const char *error)
{
    const struct missing *m = with;
    conf_error(&m->site->conf->warnings, m->node,
               "%s; clients of this server are refused until it is there (ssl_certificate_missing)", error);
}

static struct slice name_of_server(const struct conf_location *c)
{
    const struct conf_server *server = container_of(c, struct conf_server, top);
    return server->names.count ? server->names.items[0] : SLICE("");
}

static bool has_tls_listen(const struct conf_location *c)
{
    const struct conf_listen *l = container_of(c, struct conf_server, top)->listens;
    while (l && !l->ssl)
        l = l->next;
    return l != NULL;
}

/* HTTP/2 by the server's own word, or an address's. */
static struct slice inner_protocols(const struct conf_location *c)
{
    bool on = c->settings.http2.on;
    for (const struct conf_listen *l = container_of(c, struct conf_server, top)->listens; l; l = l->next)
        on |= l->http2;
    return on ? SLICE("\x02h2\x08http/1.1\x08http/1.0") : SLICE("\x08http/1.1\x08http/1.0");
}

_Static_assert((int)TICKET_KEY_BYTES == (int)NET_TLS_TICKET_KEY_BYTES, "both know the same keys");

static struct net_tls_context *make_context(struct site *site, const struct tls_settings *s,
                                            const struct conf_location *c)
{
    static const struct net_tls_key_ring ring = {ticket_keys_current, ticket_keys_find};
    char error[NET_TLS_ERROR_BYTES];
    const struct net_tls_pair *pairs = pairs_of(site, s);
    if (!pairs)
        return NULL;
    const struct tls_varying *varying = tls_varying_of(site, s->certificates, s->keys);
    struct net_tls_rules *rules = site_array(site, 1, sizeof *rules);
    *rules = (struct net_tls_rules){.pairs = pairs,
                                    .pair_count = site_count_lines(s->certificates),
                                    .password_file = tls_file(site, s->password_file),
                                    .protocols = (unsigned)s->protocols,
                                    .inner_protocols = inner_protocols(c),
                                    .ciphers = s->ciphers.data,
                                    .curves = slice_eq(s->curves, SLICE("auto")) ? NULL : s->curves.data,
                                    .dh_file = tls_file(site, s->dh_file),
                                    .commands = tls_commands(site, s->commands),
                                    .command_count = site_count_lines(s->commands),
                                    .verify = s->verify,
                                    .verify_depth = (int)s->verify_depth,
                                    .client_file = tls_file(site, s->client_file),
                                    .trusted_file = tls_file(site, s->trusted_file),
                                    .crl_file = tls_file(site, s->crl_file),
                                    .ticket_key_files = ticket_key_files(site, s),
                                    .ticket_key_count = site_count_lines(s->ticket_keys),
                                    .ring = &ring,
                                    .record_bytes = (size_t)s->record_bytes,
                                    .session_timeout_s = s->session_timeout_ms / 1000,
                                    .prefers_own_ciphers = s->prefers_own_ciphers,
                                    .tickets = s->tickets,
                                    .takes_early_data = s->early_data,
                                    .cache = tls_cache_of(site, &c->settings),
                                    .where = find_pool(site, s->handshake_pool, c),
                                    .rejects = s->rejects};
    tls_status_set(site, c, find_pool(site, SLICE("default"), c), rules);
    tls_varying_set(site, &c->settings, varying, rules);
    const char *const others[] = {rules->password_file, rules->dh_file,  rules->client_file,
                                  rules->trusted_file,  rules->crl_file, rules->staples.file};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        certificates_note_file(site, others[i]);
    for (int i = 0; i < rules->ticket_key_count; i++)
        certificates_note_file(site, rules->ticket_key_files[i]);
    struct missing missing = {site, blamed(s, c)};
    if (s->missing == CERTIFICATE_MISSING_WARN) {
        rules->missing = warn_of_missing;
        rules->missing_with = &missing;
    }
    struct certificate_owner *owner = conf_must(certificates_note(site, name_of_server(c), rules));
    struct net_tls_context *context = net_tls_context_new(rules, error);
    rules->missing_with = NULL;
    if (context)
        certificates_begin(site, owner, context);
    else
        conf_error(&site->conf->errors, blamed(s, c), "%s", error);
    warn_of_open_keys(site, s);
    if (context && !varying)
        tls_status_check(site, s->certificates, context);
    return context;
}

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct tls_settings *s = tls_settings_of(l->settings);
    if (c->parent)
        return;
    tls_location_in(l)->verify = s->verify;
    if (!s->certificates && !s->rejects) {
        /* As in nginx: it has no context to ask by. */
        if (s->verify != NET_TLS_VERIFY_OFF && has_tls_listen(c))
            conf_error(
                &site->conf->warnings, c->node,
                "\"ssl_verify_client\" of a server without \"ssl_certificate\" goes by the authorities of "
                "the address's default server");
        return;
    }
    if ((s->verify == NET_TLS_VERIFY_ON || s->verify == NET_TLS_VERIFY_OPTIONAL) && !s->client_file.len &&
        !s->trusted_file.len)
        conf_error(
            &site->conf->errors, blamed(s, c),
            "no ssl_client_certificate for ssl_verify_client; name the authorities whose clients may come");
    tls_location_in(l)->context = make_context(site, s, c);
}

static void drop(struct location *l)
{
    net_tls_context_free(tls_location_in(l)->context);
    tls_location_in(l)->context = NULL;
}

uint64_t tls_longest_session_ms(const struct site *site)
{
    int64_t longest_ms = 0;
    for (const struct vserver *v = site->servers; v; v = v->next) {
        const struct tls_settings *s = tls_settings_of(v->top->settings);
        if (context_of(v) && s->session_timeout_ms > longest_ms)
            longest_ms = s->session_timeout_ms;
    }
    return (uint64_t)longest_ms;
}

void tls_check_listens(struct site *site)
{
    for (const struct site_listen *l = site->listens; l; l = l->next) {
        const struct vserver *v = l->default_server;
        const struct tls_settings *s = tls_settings_of(v->top->settings);
        if (l->tls && !s->certificates && !s->rejects)
            conf_error(&site->conf->errors, l->node,
                       "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive");
    }
}

#define PART(member) CONF_PART_FIELD(tls_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "ssl_certificate", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_LINES, .field = PART(certificates),
     .syntax = "FILE | data:TEXT",
     .help = "The server's certificate in PEM, with those in between behind it; several of different kinds (RSA, ECDSA) may be given, each with its key. When the file changes it is taken over without a reload. A name with variables ($ssl_server_name) says for each client which files are read, by the worker."},
    {.name = "ssl_certificate_key", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_LINES, .field = PART(keys),
     .syntax = "FILE | data:TEXT",
     .help = "Its private key in PEM, in the order of the certificates. The master reads it: workers need not be able to."},
    {.name = "ssl_certificate_missing", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_CHOICE, .field = PART(missing), .default_text = "fail",
     .words = WORDS("fail", "warn"),
     .help = "What becomes of a server whose certificate cannot be read: the server does not start, or this one's clients alone are refused until it is there."},
    {.name = "ssl_password_file", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TEXT, .field = PART(password_file),
     .syntax = "FILE",
     .help = "Phrases for private keys, one in each line, which are tried in turn."},
    {.name = "ssl_protocols", .where = CONF_HTTP_SERVER, .args = {1, CONF_ANY}, .type = CONF_CHOICES, .field = PART(protocols), .default_text = "TLSv1.2 TLSv1.3",
     .words = WORDS("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
     .help = "Versions of the protocol that clients may choose from."},
    {.name = "ssl_ciphers", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TEXT, .field = PART(ciphers), .default_text = INTERMEDIATE,
     .syntax = "LIST",
     .help = "Ciphers for TLS 1.2 and below, as OpenSSL writes them. The default is Mozilla's intermediate level."},
    {.name = "ssl_prefer_server_ciphers", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_FLAG, .field = PART(prefers_own_ciphers), .default_text = "off",
     .help = "Whether the order of ssl_ciphers counts more than the client's."},
    {.name = "ssl_ecdh_curve", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TEXT, .field = PART(curves), .default_text = "auto",
     .syntax = "CURVE[:CURVE ...] | auto",
     .help = "Curves for the exchange of keys."},
    {.name = "ssl_dhparam", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TEXT, .field = PART(dh_file),
     .syntax = "FILE",
     .help = "Parameters for DHE ciphers, which are not used without them."},
    {.name = "ssl_conf_command", .where = CONF_HTTP_SERVER, .args = {2, 2}, .type = CONF_LINES, .field = PART(commands),
     .syntax = "NAME VALUE",
     .help = "Any other setting of OpenSSL (SSL_CONF_cmd(3)): Ciphersuites TLS_AES_256_GCM_SHA384."},
    {.name = "ssl_buffer_size", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_SIZE, .field = PART(record_bytes), .default_text = "16k", .range = {1, NET_TLS_RECORD_MAX},
     .help = "The largest record: a client can use none before it is whole."},
    {.name = "ssl_session_tickets", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_FLAG, .field = PART(tickets), .default_text = "on",
     .help = "Whether clients are given tickets by which they take a session up (RFC 5077, RFC 8446)."},
    {.name = "ssl_session_ticket_key", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_LINES, .field = PART(ticket_keys),
     .syntax = "FILE",
     .help = "A key for tickets that several machines share, 48 or 80 bytes as of openssl rand; the first one seals, the others open. Without any, keys of the server's own are used, and changed."},
    {.name = "ssl_session_timeout", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TIME, .field = PART(session_timeout_ms), .default_text = "5m",
     .help = "How long a session can be taken up again."},
    {.name = "ssl_handshake_pool", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TEXT, .field = PART(handshake_pool), .default_text = "default",
     .syntax = "NAME | off",
     .help = "The thread pool for the costly part of handshakes that take up no session; off: they hold the worker's loop up, as in nginx."},
    {.name = "ssl_reject_handshake", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_FLAG, .field = PART(rejects), .default_text = "off",
     .help = "Whether clients that ask for this server are refused; in the default server: for a name that no server has."},
    {.name = "ssl_early_data", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_FLAG, .field = PART(early_data), .default_text = "off",
     .help = "Whether requests are taken that a client sends with its first words (TLS 1.3). They may be repetitions: pass $ssl_early_data on, as Early-Data (RFC 8470)."},
    {.name = "ssl_handshake_timeout", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TIME, .field = PART(handshake_timeout_ms), .default_text = "0",
     .help = "For a handshake, of the address's default server; 0: client_header_timeout is that of the handshake and the request's head together."},
    {.name = "ssl_verify_client", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_CHOICE, .field = PART(verify), .default_text = "off",
     .words = WORDS("off", "on", "optional", "optional_no_ca"),
     .help = "Whether clients have to show a certificate: without one 496, with a wrong one 495."},
    {.name = "ssl_verify_depth", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_NUMBER, .field = PART(verify_depth), .default_text = "1", .range = {0, VERIFY_DEPTH_MAX},
     .help = "Most authorities between a client's certificate and one that is known."},
    {.name = "ssl_client_certificate", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TEXT, .field = PART(client_file),
     .syntax = "FILE",
     .help = "Authorities whose clients may come, in PEM; clients are told their names."},
    {.name = "ssl_trusted_certificate", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TEXT, .field = PART(trusted_file),
     .syntax = "FILE",
     .help = "More authorities, of which clients are told nothing."},
    {.name = "ssl_crl", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TEXT, .field = PART(crl_file),
     .syntax = "FILE",
     .help = "Certificates of clients that are revoked, in PEM."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_TLS, rows, NULL};

const struct feature feature_tls = {.name = "tls",
                                    .table = &table,
                                    .location = &tls_location_part,
                                    .site = &site_certificates_part,
                                    .variables = tls_variables,
                                    .build = build,
                                    .drop = drop};
