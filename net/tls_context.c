/*
 * net/tls_context.c - a server's side of TLS made ready: certificates with their keys, protocols, ciphers, who may come.
 */
#include "net/tls_internal.h"

#include "base/buf.h"
#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1 << 20 };

struct making {
    const struct net_tls_rules *rules;
    struct net_tls_context *context;
    SSL_CTX *ctx;
    char *error; /* NET_TLS_ERROR_BYTES */
};

/* Returns false. */
static bool fail(struct making *m, const char *what, const char *name)
{
    snprintf(m->error, NET_TLS_ERROR_BYTES, "cannot %s \"%s\": %s", what, name, net_tls_last_error());
    return false;
}

/* --- certificates --- */

static bool use_pair(struct making *m, int pair)
{
    const struct net_tls_rules *r = m->rules;
    struct net_tls_certificate *c = net_tls_certificate_load(r, pair, m->error);
    bool ok = c != NULL;
    if (c && !net_tls_context_use(m->context, pair, c))
        ok = fail(m, "load certificate", net_tls_shown(r->pairs[pair].certificate));
    net_tls_certificate_free(c);
    if (ok || !r->missing)
        return ok;
    r->missing(r->missing_with, m->error);
    m->context->rejects = true;
    return true;
}

/* --- what is negotiated --- */

static bool set_protocols(struct making *m)
{
    static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
    static const uint64_t without[] = {SSL_OP_NO_TLSv1, SSL_OP_NO_TLSv1_1, SSL_OP_NO_TLSv1_2,
                                       SSL_OP_NO_TLSv1_3};
    unsigned wanted = m->rules->protocols;
    int least = 0, most = 0;
    for (int i = 0; i < 4; i++) {
        if (!(wanted & 1u << i)) {
            SSL_CTX_set_options(m->ctx, without[i]);
            continue;
        }
        least = least ? least : versions[i];
        most = versions[i];
    }
    return SSL_CTX_set_min_proto_version(m->ctx, least) == 1 &&
           SSL_CTX_set_max_proto_version(m->ctx, most) == 1;
}

static bool set_dh(struct making *m, const char *file)
{
    BIO *bio = BIO_new_file(file, "r");
    EVP_PKEY *params = bio ? PEM_read_bio_Parameters(bio, NULL) : NULL;
    BIO_free(bio);
    if (params && SSL_CTX_set0_tmp_dh_pkey(m->ctx, params) == 1)
        return true;
    EVP_PKEY_free(params);
    return fail(m, "load DH parameters", file);
}

static bool set_commands(struct making *m)
{
    SSL_CONF_CTX *conf = SSL_CONF_CTX_new();
    bool ok = conf != NULL;
    if (conf) {
        SSL_CONF_CTX_set_flags(conf, SSL_CONF_FLAG_FILE | SSL_CONF_FLAG_CERTIFICATE |
                                         SSL_CONF_FLAG_SHOW_ERRORS |
                                         (m->rules->is_client ? SSL_CONF_FLAG_CLIENT : SSL_CONF_FLAG_SERVER));
        SSL_CONF_CTX_set_ssl_ctx(conf, m->ctx);
    }
    for (int i = 0; ok && i < m->rules->command_count; i++) {
        const struct net_tls_command *c = &m->rules->commands[i];
        int result = SSL_CONF_cmd(conf, c->name, c->value);
        ok = result > 0;
        if (!ok)
            snprintf(m->error, NET_TLS_ERROR_BYTES, "command \"%s\" with the value \"%s\" is refused: %s",
                     c->name, c->value, result == -2 ? "there is no such command" : net_tls_last_error());
    }
    ok = ok && SSL_CONF_CTX_finish(conf) == 1;
    SSL_CONF_CTX_free(conf);
    return ok;
}

static bool set_staples(struct making *m)
{
    const char *file = m->rules->staples.file, *responder = m->rules->staples.responder;
    struct buf answer = {0};
    if (!m->rules->staples.is_on)
        return true;
    m->context->asks_for_staples = !file;
    m->context->verifies_staples = m->rules->staples.verifies;
    m->context->staple_responder = responder ? strdup(responder) : NULL;
    for (int i = 0; i < m->context->pair_count; i++)
        m->context->pairs[i].staple_due_s = !file;
    errno = 0;
    bool ok = !file || (net_tls_read_text(file, &answer) && buf_len(&answer) > 0);
    if (!ok)
        snprintf(m->error, NET_TLS_ERROR_BYTES, "cannot load the OCSP answer \"%s\": %s", file,
                 errno == 0 ? "it is empty" : strerrordesc_np(errno));
    ok = ok && (!file || net_tls_staple_use(m->context, buf_slice(&answer)));
    buf_free(&answer);
    return ok;
}

static bool set_negotiation(struct making *m)
{
    const struct net_tls_rules *r = m->rules;
    if (!set_protocols(m))
        return fail(m, "use the protocols of", "ssl_protocols");
    if (r->ciphers && SSL_CTX_set_cipher_list(m->ctx, r->ciphers) != 1)
        return fail(m, "use the ciphers", r->ciphers);
    if (r->curves && SSL_CTX_set1_groups_list(m->ctx, r->curves) != 1)
        return fail(m, "use the curves", r->curves);
    m->context->curves = r->curves ? strdup(r->curves) : NULL;
    if (r->prefers_own_ciphers)
        SSL_CTX_set_options(m->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    return (!r->dh_file || set_dh(m, r->dh_file)) && set_staples(m) && (!r->command_count || set_commands(m));
}

/* --- who may come --- */

/* The handshake goes on whatever is found: what becomes of the request its server says. */
static int accept_any(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

/* What it leaves among the library's errors would be taken for that of the next call. */
static int verify(X509_STORE_CTX *store, void *with)
{
    (void)with;
    X509_verify_cert(store);
    ERR_clear_error();
    return 1;
}

static bool set_crl(struct making *m, const char *file)
{
    X509_STORE *store = SSL_CTX_get_cert_store(m->ctx);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
    if (!lookup || X509_LOOKUP_load_file(lookup, file, X509_FILETYPE_PEM) != 1)
        return fail(m, "load the revocation list", file);
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return true;
}

static bool set_clients(struct making *m)
{
    const struct net_tls_rules *r = m->rules;
    if (r->client_file && SSL_CTX_load_verify_locations(m->ctx, r->client_file, NULL) != 1)
        return fail(m, "load the authorities of", r->client_file);
    STACK_OF(X509_NAME) *names = r->client_file ? SSL_load_client_CA_file(r->client_file) : NULL;
    if (r->client_file && !names)
        return fail(m, "load the authorities of", r->client_file);
    ERR_clear_error(); /* the end of the file counts as one */
    if (names)
        SSL_CTX_set_client_CA_list(m->ctx, names);
    if (r->trusted_file && SSL_CTX_load_verify_locations(m->ctx, r->trusted_file, NULL) != 1)
        return fail(m, "load the authorities of", r->trusted_file);
    if (r->crl_file && !set_crl(m, r->crl_file))
        return false;
    m->context->client_status.depth = r->client_status.depth;
    m->context->client_status.cache = r->client_status.cache;
    m->context->client_status.where = r->client_status.where;
    if (r->client_status.responder)
        m->context->client_status.responder = strdup(r->client_status.responder);
    /* A client's handshake goes on, and its user asks for the verdict. */
    if (r->is_client)
        SSL_CTX_set_verify(m->ctx, SSL_VERIFY_NONE, NULL);
    else if (r->verify != NET_TLS_VERIFY_OFF)
        SSL_CTX_set_verify(m->ctx, SSL_VERIFY_PEER, accept_any);
    if (!r->is_client)
        SSL_CTX_set_cert_verify_callback(m->ctx, verify, NULL);
    if (r->verify != NET_TLS_VERIFY_OFF) {
        SSL_CTX_set_verify_depth(m->ctx, r->verify_depth);
    }
    return true;
}

/* --- sessions --- */

/* What is in a file, and where it ends. */
static bool digest_file(EVP_MD_CTX *md, const char *file)
{
    struct buf text = {0};
    bool ok = !file || fd_read_file(file, TEXT_MAX, &text) == 0;
    size_t len = buf_len(&text);
    ok = ok && EVP_DigestUpdate(md, &len, sizeof len) == 1 &&
         (len == 0 || EVP_DigestUpdate(md, text.data + text.start, len) == 1);
    buf_free(&text);
    return ok;
}

/*
 * Sessions go with the policy on clients and the server's certificates: no other server takes them up. Nor this one, once its authorities
 * or what they have taken back are others.
 */
static bool set_session_context(struct making *m)
{
    const struct net_tls_rules *r = m->rules;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    char numbers[64] = "";
    snprintf(numbers, sizeof numbers, "%d %d", (int)r->verify, r->verify_depth);
    const char *const files[] = {r->client_file, r->trusted_file, r->crl_file};
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    ok = ok && EVP_DigestUpdate(md, numbers, sizeof numbers) == 1;
    for (size_t i = 0; ok && i < sizeof files / sizeof files[0]; i++)
        ok = digest_file(md, files[i]);
    for (int i = 0; ok && i < r->pair_count; i++)
        ok = EVP_DigestUpdate(md, r->pairs[i].certificate, strlen(r->pairs[i].certificate) + 1) == 1;
    if (ok && r->varying_names)
        ok = EVP_DigestUpdate(md, r->varying_names, strlen(r->varying_names) + 1) == 1;
    ok = ok && EVP_DigestFinal_ex(md, digest, &len) == 1 &&
         SSL_CTX_set_session_id_context(m->ctx, digest, len) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

static bool set_ticket_keys(struct making *m)
{
    const struct net_tls_rules *r = m->rules;
    m->context->ring = r->ring;
    m->context->ticket_keys = calloc((size_t)r->ticket_key_count + 1, sizeof *m->context->ticket_keys);
    for (int i = 0; m->context->ticket_keys && i < r->ticket_key_count; i++) {
        if (!net_tls_read_ticket_key(&m->context->ticket_keys[i], r->ticket_key_files[i])) {
            snprintf(m->error, NET_TLS_ERROR_BYTES,
                     "cannot load the ticket key \"%s\": it must be a file of 48 or 80 bytes",
                     r->ticket_key_files[i]);
            return false;
        }
        m->context->ticket_key_count++;
    }
    return m->context->ticket_keys != NULL;
}

static bool set_sessions(struct making *m)
{
    const struct net_tls_rules *r = m->rules;
    if (r->is_client) {
        if (r->keeps_sessions)
            net_tls_keep_sessions(m->ctx);
        return true;
    }
    if (!r->tickets)
        SSL_CTX_set_options(m->ctx, SSL_OP_NO_TICKET);
    net_tls_watch_sessions(m->context);
    SSL_CTX_set_timeout(m->ctx, (long)r->session_timeout_s);
    /* Repetitions are the application's affair, which is told (RFC 8470): a store of what has come would hold for one process. */
    SSL_CTX_set_options(m->ctx, SSL_OP_NO_ANTI_REPLAY);
    if (r->takes_early_data)
        SSL_CTX_set_max_early_data(m->ctx, NET_TLS_EARLY_MAX);
    if (!set_session_context(m))
        return fail(m, "name the sessions of", "the server");
    return set_ticket_keys(m);
}

/* --- all of it --- */

static void set_modes(SSL_CTX *ctx, bool is_client)
{
    /* Renegotiation lets a client ask for work without end (CVE-2011-1473); compression tells of secrets (CVE-2012-4929). */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_SSLv3 |
                                 SSL_OP_SINGLE_DH_USE | SSL_OP_SINGLE_ECDH_USE |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* Records without data are not read on and on in one call. */
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    if (is_client)
        return;
    net_tls_watch_hello(ctx);
    net_tls_watch_certificate(ctx);
    net_tls_watch_tickets(ctx);
    net_tls_watch_status(ctx);
}

static bool fill(struct making *m)
{
    bool ok = true;
    set_modes(m->ctx, m->rules->is_client);
    for (int i = 0; ok && i < m->rules->pair_count; i++)
        ok = use_pair(m, i);
    return ok && set_negotiation(m) && set_clients(m) && set_sessions(m);
}

struct net_tls_context *net_tls_context_new(const struct net_tls_rules *rules,
                                            char error[NET_TLS_ERROR_BYTES])
{
    struct net_tls_context *c = calloc(1, sizeof *c);
    struct making m = {.rules = rules,
                       .context = c,
                       .ctx = SSL_CTX_new(rules->is_client ? TLS_client_method() : TLS_server_method()),
                       .error = error};
    assert(rules->record_bytes > 0 && rules->record_bytes <= NET_TLS_RECORD_MAX);
    snprintf(error, NET_TLS_ERROR_BYTES, "out of memory for TLS");
    struct net_tls_known *pairs = calloc((size_t)rules->pair_count + 1, sizeof *pairs);
    if (!c) {
        SSL_CTX_free(m.ctx);
        free(pairs);
        return NULL;
    }
    *c = (struct net_tls_context){.ctx = m.ctx,
                                  .pairs = pairs,
                                  .pair_count = pairs ? rules->pair_count : 0,
                                  .record_bytes = rules->record_bytes,
                                  .takes_early_data = rules->takes_early_data,
                                  .inner_protocols = rules->inner_protocols,
                                  .cache = rules->cache,
                                  .varying_count = rules->varying_count,
                                  .owner = rules->owner,
                                  .loaded = rules->loaded,
                                  .where = rules->where,
                                  .rejects = rules->rejects,
                                  .wants_to_reject = rules->rejects};
    c->cost_us = calloc(1, sizeof *c->cost_us);
    c->password_file = rules->password_file ? strdup(rules->password_file) : NULL;
    if (!m.ctx || !pairs || !c->cost_us || !fill(&m)) {
        net_tls_context_free(c);
        return NULL;
    }
    return c;
}

void net_tls_context_free(struct net_tls_context *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->ctx);
    if (context->ticket_keys)
        OPENSSL_cleanse(context->ticket_keys,
                        (size_t)context->ticket_key_count * sizeof *context->ticket_keys);
    free(context->ticket_keys);
    for (int i = 0; i < context->pair_count; i++) {
        X509_free(context->pairs[i].leaf);
        sk_X509_pop_free(context->pairs[i].between, X509_free);
    }
    free(context->pairs);
    free(context->cost_us);
    free(context->curves);
    net_tls_staples_let_go(context->staples);
    free(context->staple_responder);
    free(context->password_file);
    free(context->client_status.responder);
    free(context);
}
