/*
 * http/site/tls_variables.c - what a request may know of its connection's TLS, and of the client's certificate: $ssl_protocol and its kin.
 */
#include "http/site/tls_variables.h"

#include "base/arena.h"
#include "base/buf.h"
#include "http/request/exchange.h"
#include "net/tls_status.h"

#include <ctype.h>
#include <string.h>

#define TLS_TEXT(name)                                                              \
    static struct slice get_##name(struct http_exchange *ex, const void *data)      \
    {                                                                               \
        (void)data;                                                                 \
        return ex->client.tls ? net_tls_##name(ex->client.tls) : (struct slice){0}; \
    }
TLS_TEXT(protocol_name)
TLS_TEXT(cipher_name)
TLS_TEXT(curve_name)

static struct slice get_server_name(struct http_exchange *ex, const void *data)
{
    (void)data;
    struct slice name = ex->client.tls ? net_tls_server_name(ex->client.tls) : (struct slice){0};
    return name.len ? name : (struct slice){0};
}

static struct slice get_session_id(struct http_exchange *ex, const void *data)
{
    (void)data;
    char text[64];
    struct slice id =
        ex->client.tls ? net_tls_session_id(ex->client.tls, text, sizeof text) : (struct slice){0};
    return id.len ? arena_dup(&ex->arena, id) : (struct slice){0};
}

static struct slice get_session_reused(struct http_exchange *ex, const void *data)
{
    (void)data;
    if (!ex->client.tls)
        return (struct slice){0};
    return net_tls_is_resumed(ex->client.tls) ? SLICE("r") : SLICE(".");
}

static struct slice get_client_verify(struct http_exchange *ex, const void *data)
{
    (void)data;
    if (!ex->client.tls)
        return (struct slice){0};
    long found = net_tls_client_verdict(ex->client.tls);
    const char *doubt = found == 0 ? net_tls_client_doubt(ex->client.tls) : NULL;
    if (found > 0 || doubt)
        return arena_printf(&ex->arena, "FAILED:%s", doubt ? doubt : net_tls_verdict_text(found));
    return found == 0 ? SLICE("SUCCESS") : SLICE("NONE");
}

/* empty: there is none. */
static struct slice of_client(struct http_exchange *ex, enum net_tls_client_text what)
{
    struct buf text = {0};
    struct slice copy = {0};
    if (ex->client.tls && net_tls_write_client(ex->client.tls, what, &text))
        copy = arena_dup(&ex->arena, buf_slice(&text));
    buf_free(&text);
    return copy;
}

#define CLIENT_TEXT(name, what)                                                \
    static struct slice get_##name(struct http_exchange *ex, const void *data) \
    {                                                                          \
        (void)data;                                                            \
        return of_client(ex, what);                                            \
    }
CLIENT_TEXT(client_raw_cert, NET_TLS_CLIENT_PEM)
CLIENT_TEXT(client_s_dn, NET_TLS_CLIENT_SUBJECT)
CLIENT_TEXT(client_i_dn, NET_TLS_CLIENT_ISSUER)
CLIENT_TEXT(client_s_dn_legacy, NET_TLS_CLIENT_SUBJECT_LEGACY)
CLIENT_TEXT(client_i_dn_legacy, NET_TLS_CLIENT_ISSUER_LEGACY)
CLIENT_TEXT(client_serial, NET_TLS_CLIENT_SERIAL)
CLIENT_TEXT(client_fingerprint, NET_TLS_CLIENT_FINGERPRINT)
CLIENT_TEXT(client_v_start, NET_TLS_CLIENT_VALID_FROM)
CLIENT_TEXT(client_v_end, NET_TLS_CLIENT_VALID_TO)
CLIENT_TEXT(client_v_remain, NET_TLS_CLIENT_DAYS_LEFT)
CLIENT_TEXT(ciphers, NET_TLS_CLIENT_CIPHERS)
CLIENT_TEXT(curves, NET_TLS_CLIENT_CURVES)
TLS_TEXT(inner_protocol)

/* "1" while a request may be a repetition. */
static struct slice get_early_data(struct http_exchange *ex, const void *data)
{
    (void)data;
    return ex->client.tls && net_tls_is_early(ex->client.tls) ? SLICE("1") : (struct slice){0};
}

/* The certificate in PEM as a header of many lines would have it: each goes on behind a tab, and the last has no end. */
static struct slice get_client_cert(struct http_exchange *ex, const void *data)
{
    struct slice pem = of_client(ex, NET_TLS_CLIENT_PEM);
    struct buf text = {0};
    struct slice copy = {0};
    (void)data;
    bool ok = pem.len > 0;
    for (size_t i = 0; ok && i + 1 < pem.len; i++)
        ok = buf_append(&text, pem.data + i, 1) && (pem.data[i] != '\n' || buf_append(&text, "\t", 1));
    if (ok)
        copy = arena_dup(&ex->arena, buf_slice(&text));
    buf_free(&text);
    return copy;
}

/* And as a part of a URI has it: all but letters, digits and "-._~" is written as % and two digits. */
static struct slice get_client_escaped_cert(struct http_exchange *ex, const void *data)
{
    struct slice pem = of_client(ex, NET_TLS_CLIENT_PEM);
    struct buf text = {0};
    struct slice copy = {0};
    (void)data;
    bool ok = pem.len > 0;
    for (size_t i = 0; ok && i < pem.len; i++) {
        unsigned char c = (unsigned char)pem.data[i];
        ok = isalnum(c) || strchr("-._~", c) ? buf_append(&text, &c, 1) : buf_printf(&text, "%%%02X", c);
    }
    if (ok)
        copy = arena_dup(&ex->arena, buf_slice(&text));
    buf_free(&text);
    return copy;
}

const struct feature_variable tls_variables[] = {{"ssl_protocol", get_protocol_name},
                                                 {"ssl_cipher", get_cipher_name},
                                                 {"ssl_curve", get_curve_name},
                                                 {"ssl_server_name", get_server_name},
                                                 {"ssl_session_id", get_session_id},
                                                 {"ssl_session_reused", get_session_reused},
                                                 {"ssl_client_verify", get_client_verify},
                                                 {"ssl_client_cert", get_client_cert},
                                                 {"ssl_client_raw_cert", get_client_raw_cert},
                                                 {"ssl_client_escaped_cert", get_client_escaped_cert},
                                                 {"ssl_client_s_dn", get_client_s_dn},
                                                 {"ssl_client_i_dn", get_client_i_dn},
                                                 {"ssl_client_s_dn_legacy", get_client_s_dn_legacy},
                                                 {"ssl_client_i_dn_legacy", get_client_i_dn_legacy},
                                                 {"ssl_client_serial", get_client_serial},
                                                 {"ssl_client_fingerprint", get_client_fingerprint},
                                                 {"ssl_client_v_start", get_client_v_start},
                                                 {"ssl_client_v_end", get_client_v_end},
                                                 {"ssl_client_v_remain", get_client_v_remain},
                                                 {"ssl_ciphers", get_ciphers},
                                                 {"ssl_early_data", get_early_data},
                                                 {"ssl_curves", get_curves},
                                                 {"ssl_alpn_protocol", get_inner_protocol},
                                                 {0}};
