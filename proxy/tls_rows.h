/*
 * proxy/tls_rows.h - the rows of TLS to upstreams, for one protocol to them.
 *
 *   prefix    of the directives' names: "proxy_"
 *   FIELD_OF  a macro that makes the field of a member of its struct proxy_tls_settings
 *   keeping_set  sets the member `keeping`
 */
#ifndef WEIR_PROXY_TLS_ROWS_H
#define WEIR_PROXY_TLS_ROWS_H

#include "conf/rows.h"

enum { UPSTREAM_VERIFY_DEPTH_MAX = 100 };

// clang-format off
// NOLINTBEGIN(bugprone-macro-parentheses): a prefix is a part of a text, and the others are names
#define UPSTREAM_TLS_ROWS(prefix, FIELD_OF, keeping_set) \
    {.name = prefix "ssl_certificate", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = FIELD_OF(certificate), \
     .syntax = "FILE", \
     .help = "A certificate in PEM by which upstreams know this server; may contain variables."}, \
    {.name = prefix "ssl_certificate_key", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = FIELD_OF(key), \
     .syntax = "FILE", \
     .help = "Its private key; may contain variables."}, \
    {.name = prefix "ssl_certificate_cache", .where = CONF_HTTP_ALL, .args = {1, 3}, .type = CONF_CUSTOM, .set = keeping_set, .field = FIELD_OF(keeping), .default_text = "off", .parameters = "inactive=10s valid=60s", \
     .syntax = "off | max=N [inactive=TIME] [valid=TIME]", \
     .help = "As ssl_certificate_cache, for certificates with variables that upstreams are shown."}, \
    {.name = prefix "ssl_password_file", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = FIELD_OF(password_file), \
     .syntax = "FILE", \
     .help = "Phrases for that key, one in each line."}, \
    {.name = prefix "ssl_protocols", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_CHOICES, .field = FIELD_OF(protocols), .default_text = "TLSv1.2 TLSv1.3", \
     .words = WORDS("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"), \
     .help = "Versions of TLS that upstreams may choose from."}, \
    {.name = prefix "ssl_ciphers", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = FIELD_OF(ciphers), .default_text = "DEFAULT", \
     .syntax = "LIST", \
     .help = "Ciphers for TLS 1.2 and below, as OpenSSL writes them."}, \
    {.name = prefix "ssl_name", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = FIELD_OF(name), \
     .syntax = "NAME", \
     .help = "The name that an upstream's certificate has to have, and that it is asked for; may contain variables. Default: the host of " prefix "pass."}, \
    {.name = prefix "ssl_server_name", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD_OF(asks_for_name), .default_text = "off", \
     .help = "Whether upstreams are told the name that they are asked for (SNI, RFC 6066)."}, \
    {.name = prefix "ssl_session_reuse", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD_OF(reuses), .default_text = "on", \
     .help = "Whether a new connection to a server takes the last one's session up."}, \
    {.name = prefix "ssl_verify", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD_OF(verifies), .default_text = "off", \
     .help = "Whether an upstream's certificate has to be one of " prefix "ssl_trusted_certificate's authorities, with the right name."}, \
    {.name = prefix "ssl_verify_depth", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = FIELD_OF(verify_depth), .default_text = "1", .range = {0, UPSTREAM_VERIFY_DEPTH_MAX}, \
     .help = "Most authorities between an upstream's certificate and one that is known."}, \
    {.name = prefix "ssl_trusted_certificate", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = FIELD_OF(trusted_file), \
     .syntax = "FILE", \
     .help = "The authorities, in PEM."}, \
    {.name = prefix "ssl_crl", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEXT, .field = FIELD_OF(crl_file), \
     .syntax = "FILE", \
     .help = "Certificates of upstreams that are revoked, in PEM."}, \
    {.name = prefix "ssl_conf_command", .where = CONF_HTTP_ALL, .args = {2, 2}, .type = CONF_LINES, .field = FIELD_OF(commands), \
     .syntax = "NAME VALUE", \
     .help = "Any other setting of OpenSSL (SSL_CONF_cmd(3))."}
// NOLINTEND(bugprone-macro-parentheses): as above
// clang-format on

#endif
