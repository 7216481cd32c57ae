/*
 * conf/table_client.c - the directives of clients' connections and requests, as data, and the setters of those that are more
 * than one value.
 */
#include "conf/conf.h"
#include "conf/directive.h"

enum { MIN_RATE = 1024, MIN_RATE_AFTER_MS = 20000, LARGE_BUFFERS_MOST = 1 << 30 /* bytes of all */ };

static void set_keepalive_timeout(struct conf_walk *w, const struct conf_node *n)
{
    int64_t header_ms = 0;
    if (w->settings->keepalive_timeout_ms != CONF_UNSET) {
        conf_error(&w->conf->errors, n, "\"keepalive_timeout\" directive is duplicate; remove one of them");
        return;
    }
    if (!conf_parse_time(n->args[0], &w->settings->keepalive_timeout_ms) ||
        (n->nargs > 1 && !conf_parse_time(n->args[1], &header_ms)))
        conf_error(&w->conf->errors, n, "\"keepalive_timeout\" directive invalid value; it takes %s",
                   conf_type_words(CONF_TIME));
    w->settings->keepalive_header_s = header_ms / 1000;
}

static void set_large_buffers(struct conf_walk *w, const struct conf_node *n)
{
    int64_t count, bytes;
    if (w->settings->large_header_buffers != CONF_UNSET) {
        conf_error(&w->conf->errors, n,
                   "\"large_client_header_buffers\" directive is duplicate; remove one of them");
        return;
    }
    if (!conf_parse_whole(n->args[0], 1, LARGE_BUFFERS_MOST, &count) ||
        !conf_parse_size(n->args[1], &bytes) || bytes < 1 || bytes > LARGE_BUFFERS_MOST / count) {
        conf_error(&w->conf->errors, n,
                   "invalid value in \"large_client_header_buffers\"; write: NUMBER SIZE, within 1g in all");
        return;
    }
    w->settings->large_header_buffers = count;
    w->settings->large_header_buffer_bytes = bytes;
}

static void set_min_rate(struct conf_walk *w, const struct conf_node *n)
{
    struct settings *s = w->settings;
    if (s->client_body_min_rate != CONF_UNSET) {
        conf_error(&w->conf->errors, n,
                   "\"client_body_min_rate\" directive is duplicate; remove one of them");
        return;
    }
    s->client_body_min_rate_after_ms = MIN_RATE_AFTER_MS;
    bool after = n->nargs > 1 && slice_starts(n->args[1], SLICE("after="));
    if (!conf_parse_size(n->args[0], &s->client_body_min_rate) || (n->nargs > 1 && !after) ||
        (after && !conf_parse_time(slice_from(n->args[1], 6), &s->client_body_min_rate_after_ms)))
        conf_error(&w->conf->errors, n,
                   "invalid value in \"client_body_min_rate\"; write: SIZE [after=TIME], as in 1k after=20s");
}

void conf_inherit_client(struct settings *s, const struct settings *parent)
{
    if (s->keepalive_timeout_ms == CONF_UNSET) {
        s->keepalive_timeout_ms = parent ? parent->keepalive_timeout_ms : 75000;
        s->keepalive_header_s = parent ? parent->keepalive_header_s : 0;
    }
    if (s->large_header_buffers == CONF_UNSET) {
        s->large_header_buffers = parent ? parent->large_header_buffers : 4;
        s->large_header_buffer_bytes = parent ? parent->large_header_buffer_bytes : 8192;
    }
    if (s->client_body_min_rate == CONF_UNSET) {
        s->client_body_min_rate = parent ? parent->client_body_min_rate : MIN_RATE;
        s->client_body_min_rate_after_ms = parent ? parent->client_body_min_rate_after_ms : MIN_RATE_AFTER_MS;
    }
}

#define FIELD(field) offsetof(struct settings, field)
#define HTTP_ALL (CONF_HTTP | CONF_SERVER | CONF_LOCATION)
#define HTTP_SERVER (CONF_HTTP | CONF_SERVER)

const struct conf_directive conf_client_directives[] = {
    // clang-format off
    {"keepalive_timeout", HTTP_ALL, 1, 2, CONF_CUSTOM, 0, 0, 0, NULL, 0, set_keepalive_timeout,
     "TIME [HEADER-TIME]", "How long an idle connection is kept; 0 closes after each answer. Default 75s."},
    {"keepalive_requests", HTTP_ALL, 1, 1, CONF_NUMBER, FIELD(keepalive_requests), 0, 0, "1000", 0, NULL,
     "NUMBER", "How many requests one connection may carry."},
    {"client_header_timeout", HTTP_SERVER, 1, 1, CONF_TIME, FIELD(client_header_timeout_ms), 0, 0, "60s", 0, NULL,
     "TIME", "For a request's whole header to arrive."},
    {"client_body_min_rate", HTTP_ALL, 1, 2, CONF_CUSTOM, 0, 0, 0, NULL, 0, set_min_rate, "SIZE [after=TIME]",
     "How many bytes a second a body that goes on to an upstream while it comes (proxy_request_buffering off) must have while its request "
     "holds a permit of limit_concurrency, counted over the time that is spent waiting for the client, once this is longer than TIME; else "
     "408. 0: any. Default 1k after=20s."},
    {"client_body_timeout", HTTP_ALL, 1, 1, CONF_TIME, FIELD(client_body_timeout_ms), 0, 0, "60s", 0, NULL,
     "TIME", "Between two reads of a request's body."},
    {"send_timeout", HTTP_ALL, 1, 1, CONF_TIME, FIELD(send_timeout_ms), 0, 0, "60s", 0, NULL,
     "TIME", "Between two writes of an answer."},
    {"client_max_body_size", HTTP_ALL, 1, 1, CONF_SIZE, FIELD(client_max_body_bytes), 0, 0, "1m", 0, NULL,
     "SIZE", "The largest request body; 413 above it; 0 is no limit."},
    {"client_header_buffer_size", HTTP_SERVER, 1, 1, CONF_SIZE, FIELD(client_header_buffer_bytes), 1, 1 << 24, "1k", 0, NULL,
     "SIZE", "The first buffer for a request's header that does not arrive at once."},
    {"large_client_header_buffers", HTTP_SERVER, 2, 2, CONF_CUSTOM, 0, 0, 0, NULL, 0, set_large_buffers,
     "NUMBER SIZE", "Bounds of a request's header: a line within SIZE or client_header_buffer_size, all within NUMBER times SIZE and client_header_buffer_size together. Default 4 8k."},
    {"client_body_buffer_size", HTTP_ALL, 1, 1, CONF_SIZE, FIELD(client_body_buffer_bytes), 0, 1 << 30, "16k", 0, NULL,
     "SIZE", "A request body larger than this goes to a temporary file."},
    {"client_body_temp_path", HTTP_ALL, 1, 4, CONF_PATH, FIELD(client_body_temp_path), 0, 0, "client_body_temp", -1, NULL,
     "PATH", "The folder of those files; level arguments are accepted and not needed, as the files have no names."},
    {"tcp_nodelay", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(tcp_nodelay), 0, 0, "on", -1, NULL,
     "on | off", "TCP_NODELAY; the server's own setting is the one that counts."},
    {"tcp_nopush", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(tcp_nopush), 0, 0, "off", -1, NULL,
     "on | off", "Accepted; an answer's head always leaves in one packet with the start of its file."},
    {"server_tokens", HTTP_ALL, 1, 1, CONF_CHOICE, FIELD(server_tokens), 0, 0, "on", -1, NULL,
     "off | on | build", "Whether the version is shown in the Server header and on error pages."},
    {"keepalive_time", HTTP_ALL, 1, 1, CONF_TIME, FIELD(keepalive_time_ms), 0, 0, "1h", 0, NULL,
     "TIME", "How long a connection may carry requests; it is closed after the next answer."},
    {"keepalive_min_timeout", HTTP_ALL, 1, 1, CONF_TIME, FIELD(keepalive_min_timeout_ms), 0, 0, "0", 0, NULL,
     "TIME", "For so long an idle connection is not closed to make room for others, nor because the worker ends."},
    {"keepalive_disable", HTTP_ALL, 1, -1, CONF_CHOICES, FIELD(keepalive_disable), 0, 0, "msie6", 0, NULL,
     "none | msie6 | safari", "Browsers whose connections are not kept: after a POST of MSIE 4 to 6, without SV1 in its User-Agent; Safari on macOS."},
    {"max_headers", HTTP_SERVER, 1, 1, CONF_NUMBER, FIELD(max_headers), 1, 100000, "1000", 0, NULL,
     "NUMBER", "The most header lines of a request; 400 above it. The default server's counts."},
    {"ignore_invalid_headers", HTTP_SERVER, 1, 1, CONF_FLAG, FIELD(ignore_invalid_headers), 0, 0, "on", 0, NULL,
     "on | off", "Whether headers are left out whose names have other characters than letters, digits and \"-\". The default server's counts."},
    {"underscores_in_headers", HTTP_SERVER, 1, 1, CONF_FLAG, FIELD(underscores_in_headers), 0, 0, "off", 0, NULL,
     "on | off", "Whether \"_\" may stand in such a name. The default server's counts."},
    {"merge_slashes", HTTP_SERVER, 1, 1, CONF_FLAG, FIELD(merge_slashes), 0, 0, "on", 0, NULL,
     "on | off", "Whether several slashes in a row count as one. The default server's counts."},
    {"client_body_in_file_only", HTTP_ALL, 1, 1, CONF_CHOICE, FIELD(client_body_in_file_only), 0, 0, "off", 0, NULL,
     "off | on | clean", "Whether each request's body goes to a file with a name ($request_body_file), which stays, or goes once the request is over."},
    {"lingering_close", HTTP_ALL, 1, 1, CONF_CHOICE, FIELD(lingering_close), 0, 0, "on", 0, NULL,
     "off | on | always", "Whether a connection that is closed while its client may still be sending is read from for a while, so that the client sees the answer."},
    {"lingering_time", HTTP_ALL, 1, 1, CONF_TIME, FIELD(lingering_time_ms), 0, 0, "30s", 0, NULL,
     "TIME", "How long that goes on at most."},
    {"lingering_timeout", HTTP_ALL, 1, 1, CONF_TIME, FIELD(lingering_timeout_ms), 0, 0, "5s", 0, NULL,
     "TIME", "How long it waits for the next bytes."},
    {"reset_timedout_connection", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(reset_timedout), 0, 0, "off", 0, NULL,
     "on | off", "Whether connections whose time is over, or that end by return 444, are reset, so that the kernel keeps nothing of them."},
    {"absolute_redirect", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(absolute_redirect), 0, 0, "on", 0, NULL,
     "on | off", "Whether redirects of our own have scheme and host."},
    {"port_in_redirect", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(port_in_redirect), 0, 0, "on", 0, NULL,
     "on | off", "Whether they have the port."},
    {"server_name_in_redirect", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(server_name_in_redirect), 0, 0, "off", 0, NULL,
     "on | off", "Whether their host is the first server_name, or what the client asked for."},
    {"chunked_transfer_encoding", HTTP_ALL, 1, 1, CONF_FLAG, FIELD(chunked), 0, 0, "on", 0, NULL,
     "on | off", "Whether answers of unknown length go out in chunks; else the end of the connection ends them."},
    {0},
    // clang-format on
};
