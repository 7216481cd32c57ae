/*
 * conf/table_client.c - the directives of clients' connections and requests, as data, and the setters of those that are more
 * than one value.
 */
#include "conf/conf.h"
#include "conf/rows.h"

enum { LARGE_BUFFERS_MOST = 1 << 30 /* bytes of all */ };

static void set_keepalive_timeout(struct conf_walk *w, const struct conf_node *n)
{
    int64_t header_ms = 0;
    if (!conf_parse_time(n->args[0], &w->settings->client.keepalive.timeout_ms) ||
        (n->nargs > 1 && !conf_parse_time(n->args[1], &header_ms)))
        conf_error(&w->conf->errors, n, "\"keepalive_timeout\" directive invalid value; it takes %s",
                   conf_type_words(CONF_TIME));
    w->settings->client.keepalive.header_s = header_ms / 1000;
}

static void set_large_buffers(struct conf_walk *w, const struct conf_node *n)
{
    int64_t count, bytes;
    if (!conf_parse_whole(n->args[0], 1, LARGE_BUFFERS_MOST, &count) ||
        !conf_parse_size(n->args[1], &bytes) || bytes < 1 || bytes > LARGE_BUFFERS_MOST / count) {
        conf_error(&w->conf->errors, n,
                   "invalid value in \"large_client_header_buffers\"; write: NUMBER SIZE, within 1g in all");
        return;
    }
    w->settings->client.large_header.count = count;
    w->settings->client.large_header.bytes = bytes;
}

static bool set_rate_parameter(struct conf_min_rate *r, struct slice arg)
{
    return slice_starts(arg, SLICE("after=")) && conf_parse_time(slice_from(arg, 6), &r->after_ms);
}

static void set_min_rate(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_min_rate *r = &w->settings->client.body_min_rate;
    struct slice words[CONF_PARAMETERS_MAX];
    for (int i = conf_default_parameters(w->conf, n->name, w->context, words); i-- > 0;)
        set_rate_parameter(r, words[i]);
    if (!conf_parse_size(n->args[0], &r->bytes_per_s) || (n->nargs > 1 && !set_rate_parameter(r, n->args[1])))
        conf_error(&w->conf->errors, n,
                   "invalid value in \"client_body_min_rate\"; write: SIZE [after=TIME], as in 1k after=20s");
}

const struct conf_directive conf_client_directives[] = {
    // clang-format off
    {.name = "keepalive_timeout", .where = CONF_HTTP_ALL, .args = {1, 2}, .once = true, .field = FIELD(client.keepalive), .default_text = "75s", .live = CONF_LIVE, .set = set_keepalive_timeout,
     .syntax = "TIME [HEADER-TIME]",
     .help = "How long an idle connection is kept; 0 closes after each answer."},
    {.name = "keepalive_requests", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = FIELD(client.keepalive_requests), .default_text = "1000", .live = CONF_LIVE,
     .help = "How many requests one connection may carry."},
    {.name = "client_header_timeout", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_TIME, .field = FIELD(client.header_timeout_ms), .default_text = "60s", .live = CONF_LIVE,
     .help = "For a request's whole header to arrive."},
    {.name = "client_body_min_rate", .where = CONF_HTTP_ALL, .args = {1, 2}, .once = true, .field = FIELD(client.body_min_rate), .default_text = "1k", .live = CONF_LIVE, .set = set_min_rate, .parameters = "after=20s",
     .syntax = "SIZE [after=TIME]",
     .help = "How many bytes a second a body that goes on to an upstream while it comes (proxy_request_buffering off) must have while its request "
     "holds a permit of limit_concurrency, counted over the time that is spent waiting for the client, once this is longer than TIME; else "
     "408. 0: any."},
    {.name = "client_body_timeout", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = FIELD(client.body_timeout_ms), .default_text = "60s", .live = CONF_LIVE,
     .help = "Between two reads of a request's body."},
    {.name = "send_timeout", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = FIELD(client.send_timeout_ms), .default_text = "60s", .live = CONF_LIVE,
     .help = "Between two writes of an answer."},
    {.name = "client_max_body_size", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_SIZE, .field = FIELD(client.max_body_bytes), .default_text = "1m", .live = CONF_LIVE,
     .help = "The largest request body; 413 above it; 0 is no limit."},
    {.name = "client_header_buffer_size", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_SIZE, .field = FIELD(client.header_buffer_bytes), .range = {1, 1 << 24}, .default_text = "1k", .live = CONF_LIVE,
     .help = "The first buffer for a request's header that does not arrive at once."},
    {.name = "large_client_header_buffers", .where = CONF_HTTP_SERVER, .args = {2, 2}, .once = true, .field = FIELD(client.large_header), .default_text = "4 8k", .live = CONF_LIVE, .set = set_large_buffers,
     .syntax = "NUMBER SIZE",
     .help = "Bounds of a request's header: a line within SIZE or client_header_buffer_size, all within NUMBER times SIZE and client_header_buffer_size together."},
    {.name = "client_body_buffer_size", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_SIZE, .field = FIELD(client.body_buffer_bytes), .range = {0, 1 << 30}, .default_text = "16k", .live = CONF_LIVE,
     .help = "A request body larger than this goes to a temporary file."},
    {.name = "client_body_temp_path", .where = CONF_HTTP_ALL, .args = {1, 4}, .type = CONF_PATH, .field = FIELD(client.body_temp_path), .default_text = "client_body_temp",
     .help = "The folder of those files; level arguments are accepted and not needed, as the files have no names."},
    {.name = "tcp_nodelay", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(client.tcp_nodelay), .default_text = "on",
     .help = "TCP_NODELAY; the server's own setting is the one that counts."},
    {.name = "tcp_nopush", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(client.tcp_nopush), .default_text = "off",
     .help = "Accepted; an answer's head always leaves in one packet with the start of its file."},
    {.name = "keepalive_time", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = FIELD(client.keepalive_time_ms), .default_text = "1h", .live = CONF_LIVE,
     .help = "How long a connection may carry requests; it is closed after the next answer."},
    {.name = "keepalive_min_timeout", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = FIELD(client.keepalive_min_timeout_ms), .default_text = "0", .live = CONF_LIVE,
     .help = "For so long an idle connection is not closed to make room for others, nor because the worker ends."},
    {.name = "keepalive_disable", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_CHOICES, .field = FIELD(client.keepalive_disable), .default_text = "msie6", .live = CONF_LIVE,
     .words = WORDS("none", "msie6", "safari"),
     .help = "Browsers whose connections are not kept: after a POST of MSIE 4 to 6, without SV1 in its User-Agent; Safari on macOS."},
    {.name = "max_headers", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_NUMBER, .field = FIELD(client.max_headers), .range = {1, 100000}, .default_text = "1000", .live = CONF_LIVE,
     .help = "The most header lines of a request; 400 above it. The default server's counts."},
    {.name = "ignore_invalid_headers", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(client.ignore_invalid_headers), .default_text = "on", .live = CONF_LIVE,
     .help = "Whether headers are left out whose names have other characters than letters, digits and \"-\". The default server's counts."},
    {.name = "underscores_in_headers", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(client.underscores_in_headers), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether \"_\" may stand in such a name. The default server's counts."},
    {.name = "merge_slashes", .where = CONF_HTTP_SERVER, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(client.merge_slashes), .default_text = "on", .live = CONF_LIVE,
     .help = "Whether several slashes in a row count as one. The default server's counts."},
    {.name = "client_body_in_file_only", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(client.body_in_file_only), .default_text = "off", .live = CONF_LIVE,
     .words = WORDS("off", "on", "clean"),
     .help = "Whether each request's body goes to a file with a name ($request_body_file), which stays, or goes once the request is over."},
    {.name = "lingering_close", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = FIELD(client.lingering_close), .default_text = "on", .live = CONF_LIVE,
     .words = WORDS("off", "on", "always"),
     .help = "Whether a connection that is closed while its client may still be sending is read from for a while, so that the client sees the answer."},
    {.name = "lingering_time", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = FIELD(client.lingering_time_ms), .default_text = "30s", .live = CONF_LIVE,
     .help = "How long that goes on at most."},
    {.name = "lingering_timeout", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = FIELD(client.lingering_timeout_ms), .default_text = "5s", .live = CONF_LIVE,
     .help = "How long it waits for the next bytes."},
    {.name = "reset_timedout_connection", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = FIELD(client.reset_timedout), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether connections whose time is over, or that end by return 444, are reset, so that the kernel keeps nothing of them."},
    {0},
    // clang-format on
};
