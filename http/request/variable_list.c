/*
 * http/request/variable_list.c - what each variable is, as data.
 */
#include "http/request/variable_list.h"

#include "base/buf.h"
#include "http/request/variables.h"

#include <strings.h>

/* FAR: a name with so many changes is not meant any more. */
enum { NAME_MAX_BYTES = 64, FAR = 3 };

const struct http_variable_help http_variable_helps[] = {
    // clang-format off
    {"arg_", true, "NAME", "The argument NAME of the query string, as it was sent.", false},
    {"args", false, NULL, "The query string.", false},
    {"binary_remote_addr", false, NULL, "The client's address as 4 or 16 bytes: for keys of zones.", false},
    {"body_bytes_sent", false, NULL, "Bytes of the response's body that have gone to the client.", false},
    {"bytes_sent", false, NULL, "Bytes of the whole response that have gone to the client.", false},
    {"connection", false, NULL, "The number of the connection, as *N in the error log has it.", false},
    {"connection_requests", false, NULL, "How many requests the connection has brought so far.", false},
    {"connection_time", false, NULL, "Seconds since the connection was accepted, with milliseconds.", false},
    {"connections_active", false, NULL, "Open connections of all workers, as stub_status has them.", false},
    {"connections_reading", false, NULL, "Of those: whose request is being read.", false},
    {"connections_waiting", false, NULL, "Of those: idle ones.", false},
    {"connections_writing", false, NULL, "Of those: whose response is being made or written.", false},
    {"content_length", false, NULL, "The request's Content-Length.", false},
    {"content_type", false, NULL, "The request's Content-Type.", false},
    {"cookie_", true, "NAME", "The cookie NAME.", false},
    {"date_gmt", false, NULL, "The time in GMT.", false},
    {"date_local", false, NULL, "The time in the server's zone.", false},
    {"document_root", false, NULL, "The root or alias that counts for the request.", false},
    {"document_uri", false, NULL, "The same as $uri.", false},
    {"fastcgi_path_info", false, NULL, "What fastcgi_split_path_info has found behind the script's name.", false},
    {"fastcgi_script_name", false, NULL, "The URI, or its part by fastcgi_split_path_info; with fastcgi_index behind a slash.", false},
    {"gzip_ratio", false, NULL, "How many times smaller gzip has made the response.", false},
    {"handler_time", false, NULL, "Seconds that a handler's thread has been at work for the request; empty where none was.", true},
    {"host", false, NULL, "The host of the request line, else of the Host field, else the server's name; lower case, without its port.", false},
    {"hostname", false, NULL, "The name of this machine.", false},
    {"http2", false, NULL, "The protocol: h2 in TLS, h2c in plain text; empty with HTTP/1.", false},
    {"http2_urgency", false, NULL, "How urgent the client calls the request (the field Priority): 0, most, to 7; 3 where it says no other; empty without the field.", false},
    {"http3", false, NULL, "Empty: there is no HTTP/3.", false},
    {"http_", true, "NAME", "The request's field NAME, lower case with \"_\" for \"-\".", false},
    {"https", false, NULL, "\"on\" with TLS, else empty.", false},
    {"invalid_referer", false, NULL, "\"1\" unless valid_referers has what the Referer is; else empty.", false},
    {"is_args", false, NULL, "\"?\" if there is a query string, else empty.", false},
    {"is_request_port", false, NULL, "\":\" if the request names a port, else empty.", false},
    {"limit_concurrency_queue_time", false, NULL, "Seconds that the request has waited for a permit.", true},
    {"limit_concurrency_reason", false, NULL, "Why a limit of concurrency has refused the request.", true},
    {"limit_concurrency_status", false, NULL, "PASSED, QUEUED, REJECTED, QUEUED_DRY_RUN or REJECTED_DRY_RUN; empty without a limit.", true},
    {"limit_concurrency_zone", false, NULL, "The zone that it was.", true},
    {"limit_conn_status", false, NULL, "PASSED, REJECTED or REJECTED_DRY_RUN, of limit_conn.", false},
    {"limit_rate", false, NULL, "Bytes a second that the response is limited to; may be set.", false},
    {"limit_req_status", false, NULL, "PASSED, DELAYED, REJECTED, DELAYED_DRY_RUN or REJECTED_DRY_RUN, of limit_req.", false},
    {"msec", false, NULL, "Seconds since 1970, with milliseconds.", false},
    {"nginx_version", false, NULL, "The version of this server, for configurations that send it on.", false},
    {"permit_time", false, NULL, "Seconds that the request has waited for a permit; empty without a limit of concurrency.", true},
    {"pid", false, NULL, "The worker's process id.", false},
    {"pipe", false, NULL, "\"p\" if the request came behind another one without waiting, else \".\".", false},
    {"proxy_add_x_forwarded_for", false, NULL, "The request's X-Forwarded-For, with the client's address behind it.", false},
    {"proxy_host", false, NULL, "Name and port of the server in proxy_pass.", false},
    {"proxy_port", false, NULL, "Its port.", false},
    {"proxy_protocol_", true, "NAME", "Of the PROXY protocol's header: addr, port, server_addr, server_port; of its extensions tlv_alpn, tlv_authority, tlv_unique_id, tlv_netns, tlv_0xNN, and tlv_ssl_version, _cn, _cipher, _sig_alg, _key_alg, _verify, _0xNN.", false},
    {"query_string", false, NULL, "The same as $args.", false},
    {"queue_time", false, NULL, "Seconds that the request has waited for a thread; empty where it needed none.", true},
    {"realip_remote_addr", false, NULL, "The connection's address, where real_ip_header has taken another one.", false},
    {"realip_remote_port", false, NULL, "Its port.", false},
    {"realpath_root", false, NULL, "$document_root with symbolic links resolved.", false},
    {"remote_addr", false, NULL, "The client's address.", false},
    {"remote_port", false, NULL, "The client's port.", false},
    {"remote_user", false, NULL, "The name that was given to auth_basic.", false},
    {"request", false, NULL, "The whole request line.", false},
    {"request_body", false, NULL, "The request's body, where it is in memory.", false},
    {"request_body_file", false, NULL, "The file that the request's body is in.", false},
    {"request_completion", false, NULL, "\"OK\" once the response has gone out whole, else empty.", false},
    {"request_filename", false, NULL, "The file for the request's URI.", false},
    {"request_id", false, NULL, "The request's X-Request-ID where that is well-formed, else 32 random hexadecimal digits.", false},
    {"request_length", false, NULL, "Bytes of the request: line, fields and body.", false},
    {"request_method", false, NULL, "The method.", false},
    {"request_port", false, NULL, "The port that the request names.", false},
    {"request_time", false, NULL, "Seconds since the first byte of the request, with milliseconds.", false},
    {"request_uri", false, NULL, "The URI as it was sent, with its query string.", false},
    {"scheme", false, NULL, "\"http\" or \"https\".", false},
    {"secure_link", false, NULL, "What secure_link has found: empty, \"0\" or \"1\", or the link itself.", false},
    {"secure_link_expires", false, NULL, "When the link expires, as given in the request.", false},
    {"sent_http_", true, "NAME", "The response's field NAME.", false},
    {"sent_trailer_", true, "NAME", "The response's trailer NAME.", false},
    {"server_addr", false, NULL, "The address that the connection was accepted on.", false},
    {"server_name", false, NULL, "The name of the server block.", false},
    {"server_port", false, NULL, "The port that the connection was accepted on.", false},
    {"server_protocol", false, NULL, "\"HTTP/1.0\" or \"HTTP/1.1\", as the request has it.", false},
    {"ssl_", true, "NAME", "nginx's others of this kind: empty.", false},
    {"ssl_alpn_protocol", false, NULL, "The protocol of what is inside, agreed on in the handshake (ALPN): h2, http/1.1, or empty.", false},
    {"ssl_cipher", false, NULL, "What the client's connection is encrypted with; without TLS empty, as all of these.", false},
    {"ssl_ciphers", false, NULL, "The ciphers that the client has offered; what has no name is shown as a number.", false},
    {"ssl_client_cert", false, NULL, "The client's certificate in PEM, each line but the first behind a tab.", false},
    {"ssl_client_escaped_cert", false, NULL, "The client's certificate in PEM, encoded as a part of a URI.", false},
    {"ssl_client_fingerprint", false, NULL, "The SHA-1 of the client's certificate.", false},
    {"ssl_client_i_dn", false, NULL, "Who has issued the client's certificate, as RFC 2253 writes it.", false},
    {"ssl_client_i_dn_legacy", false, NULL, "The same as OpenSSL once wrote it.", false},
    {"ssl_client_raw_cert", false, NULL, "The client's certificate in PEM.", false},
    {"ssl_client_s_dn", false, NULL, "Whose the client's certificate is, as RFC 2253 writes it.", false},
    {"ssl_client_s_dn_legacy", false, NULL, "The same as OpenSSL once wrote it.", false},
    {"ssl_client_serial", false, NULL, "The serial number of the client's certificate.", false},
    {"ssl_client_v_end", false, NULL, "When the client's certificate ends to be valid.", false},
    {"ssl_client_v_remain", false, NULL, "In how many days that is.", false},
    {"ssl_client_v_start", false, NULL, "Since when the client's certificate is valid.", false},
    {"ssl_client_verify", false, NULL, "\"SUCCESS\", \"FAILED:\" and why, or \"NONE\": what the client's certificate is worth.", false},
    {"ssl_curve", false, NULL, "The curve by which keys were exchanged.", false},
    {"ssl_curves", false, NULL, "The curves that the client has offered.", false},
    {"ssl_early_data", false, NULL, "\"1\" while a request may be a repetition (ssl_early_data), else empty.", false},
    {"ssl_protocol", false, NULL, "\"TLSv1.2\", \"TLSv1.3\".", false},
    {"ssl_server_name", false, NULL, "The server's name that the client has asked for in its handshake.", false},
    {"ssl_session_id", false, NULL, "The session's id in hexadecimal digits.", false},
    {"ssl_session_reused", false, NULL, "\"r\" where the client has taken a session up, else \".\".", false},
    {"status", false, NULL, "The response's status.", false},
    {"tcpinfo_rcv_space", false, NULL, "What the kernel knows of the client's connection (TCP_INFO).", false},
    {"tcpinfo_rtt", false, NULL, "Likewise: the round trip in microseconds.", false},
    {"tcpinfo_rttvar", false, NULL, "Likewise: its variance.", false},
    {"tcpinfo_snd_cwnd", false, NULL, "Likewise: the congestion window.", false},
    {"time_iso8601", false, NULL, "The time as ISO 8601 has it.", false},
    {"time_local", false, NULL, "The time as access logs have it.", false},
    {"traceparent", false, NULL, "The request's traceparent continued, or a new one (W3C Trace Context).", true},
    {"upstream_addr", false, NULL, "The addresses of the servers that were asked; with \",\" between tries, \" : \" between groups.", false},
    {"upstream_bytes_received", false, NULL, "Bytes that came from them, one number for each.", false},
    {"upstream_bytes_sent", false, NULL, "Bytes that went to them.", false},
    {"upstream_cache_status", false, NULL, "Empty: there is no cache.", false},
    {"upstream_connect_time", false, NULL, "Seconds that connecting took.", false},
    {"upstream_cookie_", true, "NAME", "The cookie NAME that the last one has set.", false},
    {"upstream_header_time", false, NULL, "Seconds until their responses' heads were there.", false},
    {"upstream_http_", true, "NAME", "The field NAME of the last one's response.", false},
    {"upstream_queue_time", false, NULL, "Seconds that the request has waited for a server.", false},
    {"upstream_response_length", false, NULL, "Bytes of their responses' bodies.", false},
    {"upstream_response_time", false, NULL, "Seconds until their responses had ended.", false},
    {"upstream_status", false, NULL, "The statuses of their responses.", false},
    {"upstream_trailer_", true, "NAME", "The trailer NAME of the last one's response.", false},
    {"uri", false, NULL, "The path: decoded, normalised, after rewrites and index.", false},
    {"weir_ran_in", false, NULL, "The slot of the worker whose thread has run the handler; empty where none has.", true},
    {"weir_version", false, NULL, "The version of this server.", true},
    {0},
    // clang-format on
};

/* Levenshtein distance without the case of letters; FAR + 1 for long names. */
static size_t name_distance(struct slice a, struct slice b)
{
    size_t row[NAME_MAX_BYTES];
    if (a.len >= NAME_MAX_BYTES || b.len >= NAME_MAX_BYTES)
        return FAR + 1;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = (a.data[i - 1] | 0x20) == (b.data[j - 1] | 0x20);
            size_t best = diagonal + !same;
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[b.len];
}

static void consider_name(struct slice name, struct slice candidate, size_t *best, struct slice *found)
{
    size_t far = name_distance(name, candidate);
    if (far < *best && far < name.len && far < candidate.len) {
        *best = far;
        *found = candidate;
    }
}

struct slice http_nearest_variable(struct slice name, const struct http_scope *scope)
{
    struct slice found = {0};
    size_t best = FAR + 1;
    for (const struct http_user_variable *v = scope ? scope->variables : NULL; v; v = v->next)
        consider_name(name, v->name, &best, &found);
    for (const struct http_capture_names *n = scope ? scope->captures : NULL; n; n = n->next)
        consider_name(name, n->name, &best, &found);
    for (const struct http_variable_help *h = http_variable_helps; h->name; h++)
        if (!h->prefix)
            consider_name(name, slice_of(h->name), &best, &found);
    return found;
}

bool http_document_variables(struct buf *out)
{
    bool ok = buf_printf(
        out,
        "# Variables\n\nGenerated from http/request/variable_list.c by `make docs`; do not edit.\n\nThese are always there. "
        "`set`, `map`, `geo`, `split_clients`, `auth_request_set` and named groups of regular expressions, `(?<name>...)`, "
        "add others; `$1` to `$9` are groups of the last match. The case of a name does not count. One that does not exist is an "
        "error of the configuration. Those marked * are none of nginx's.\n\n| variable | |\n|---|---|\n");
    for (const struct http_variable_help *h = http_variable_helps; ok && h->name; h++)
        ok = buf_printf(out, "| `$%s%s`%s | %s |\n", h->name, h->prefix ? h->rest : "", h->own ? " *" : "",
                        h->help);
    return ok;
}

static bool is_documented(const struct http_variable *v)
{
    const struct http_variable_help *h = http_variable_helps;
    while (h->name && (strcasecmp(h->name, v->name) != 0 || h->prefix != v->prefix))
        h++;
    return h->name != NULL;
}

const char *http_undocumented_variable(void)
{
    const struct http_variable *const tables[] = {http_request_variables, http_connection_variables,
                                                  http_upstream_variables};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const struct http_variable *v = tables[i]; v->name; v++)
            if (!is_documented(v))
                return v->name;
    return NULL;
}
