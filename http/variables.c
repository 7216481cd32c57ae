/*
 * http/variables.c - what each variable means; names and meanings are nginx's ("Alphabetical index of variables").
 */
#include "http/variables.h"

#include "base/clock.h"
#include "base/version.h"
#include "http/uri.h"

#include <unistd.h>

#define GETTER(name) static struct slice name(struct http_exchange *ex, struct slice rest)
#define UNUSED(x) (void)(x)

static struct slice number(struct http_exchange *ex, uint64_t n)
{
    return arena_printf(&ex->arena, "%llu", (unsigned long long)n);
}

static struct slice seconds(struct http_exchange *ex, uint64_t ms)
{
    return arena_printf(&ex->arena, "%llu.%03u", (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
}

static struct slice header(struct http_exchange *ex, struct slice name)
{
    const struct slice *value = http_find_header(&ex->req, name);
    return value ? *value : (struct slice){0};
}

bool http_names_header(struct slice name, struct slice rest)
{
    if (name.len != rest.len)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i] == '-' ? '_' : name.data[i];
        if ((c | 0x20) != (rest.data[i] | 0x20))
            return false;
    }
    return true;
}

GETTER(get_args)
{
    UNUSED(rest);
    return ex->req.args;
}

GETTER(get_arg)
{
    return http_find_arg(ex->req.args, rest);
}

GETTER(get_is_args)
{
    UNUSED(rest);
    return ex->req.args.len ? SLICE("?") : SLICE("");
}

GETTER(get_body_bytes_sent)
{
    UNUSED(rest);
    return number(ex, ex->body_bytes_sent);
}

GETTER(get_bytes_sent)
{
    UNUSED(rest);
    return number(ex, ex->head_bytes_sent + ex->body_bytes_sent);
}

GETTER(get_connection)
{
    UNUSED(rest);
    return number(ex, ex->connection_id);
}

GETTER(get_connection_requests)
{
    UNUSED(rest);
    return number(ex, ex->connection_requests);
}

GETTER(get_content_length)
{
    UNUSED(rest);
    return header(ex, SLICE("Content-Length"));
}

GETTER(get_content_type)
{
    UNUSED(rest);
    return header(ex, SLICE("Content-Type"));
}

GETTER(get_cookie)
{
    struct slice all = header(ex, SLICE("Cookie"));
    while (all.len > 0) {
        const char *semicolon = memchr(all.data, ';', all.len);
        size_t n = semicolon ? (size_t)(semicolon - all.data) : all.len;
        struct slice pair = slice_trim((struct slice){all.data, n});
        if (pair.len > rest.len && pair.data[rest.len] == '=' && slice_starts(pair, rest))
            return slice_from(pair, rest.len + 1);
        all = slice_from(all, semicolon ? n + 1 : n);
    }
    return all;
}

static struct slice as_wanted(struct http_exchange *ex, struct slice capture)
{
    return ex->escape_captures && capture.len ? http_encode_args(&ex->arena, capture) : capture;
}

/* $1 to $9: of the location's expression, or, where it has none, of the server name's. */
GETTER(get_capture)
{
    const struct http_captures *c =
        ex->location_captures.count ? &ex->location_captures : &ex->server_captures;
    int group = rest.data[0] - '0';
    return group < c->count ? as_wanted(ex, c->groups[group]) : (struct slice){0};
}

void http_keep_named(struct http_exchange *ex, const struct http_captures *c)
{
    struct slice name;
    int group;
    for (int i = 0; c->count && http_regex_name(c->regex, i, &name, &group); i++) {
        struct http_named *n = ex->named;
        while (n && !slice_eq(n->name, name))
            n = n->next;
        if (!n && (n = arena_zalloc(&ex->arena, sizeof *n))) {
            n->name = name;
            n->next = ex->named;
            ex->named = n;
        }
        if (n)
            n->value = group < c->count ? c->groups[group] : (struct slice){0};
    }
}

GETTER(get_named_capture)
{
    const struct http_captures *both[] = {&ex->location_captures, &ex->server_captures};
    for (int i = 0; i < 2; i++) {
        int group = both[i]->count ? http_regex_group(both[i]->regex, rest) : -1;
        if (group >= 0 && group < both[i]->count)
            return as_wanted(ex, both[i]->groups[group]);
    }
    const struct http_named *n = ex->named; /* of a match before the last */
    while (n && !slice_eq(n->name, rest))
        n = n->next;
    return n ? as_wanted(ex, n->value) : (struct slice){0};
}

const struct http_variable http_named_capture = {"", true, get_named_capture};

GETTER(get_uri)
{
    UNUSED(rest);
    return ex->req.path;
}

GETTER(get_request_uri)
{
    UNUSED(rest);
    return ex->req.uri;
}

GETTER(get_host)
{
    UNUSED(rest);
    if (!ex->req.host.len)
        return ex->server_name;
    return arena_dup_lower(&ex->arena, ex->req.host);
}

GETTER(get_hostname)
{
    static char name[256];
    UNUSED(rest);
    UNUSED(ex);
    if (!name[0] && gethostname(name, sizeof name - 1) < 0)
        return (struct slice){0};
    return slice_of(name);
}

GETTER(get_http)
{
    for (int i = 0; i < ex->req.header_count; i++)
        if (http_names_header(ex->req.headers[i].name, rest))
            return ex->req.headers[i].value;
    return (struct slice){0};
}

GETTER(get_sent_http)
{
    if (http_names_header(SLICE("content-type"), rest))
        return ex->res.content_type;
    if (http_names_header(SLICE("location"), rest))
        return ex->res.location;
    if (http_names_header(SLICE("etag"), rest))
        return ex->res.etag;
    if (http_names_header(SLICE("content-length"), rest) && ex->res.content_length >= 0)
        return number(ex, (uint64_t)ex->res.content_length);
    for (struct http_response_header *h = ex->res.headers; h; h = h->next)
        if (http_names_header(h->header.name, rest))
            return h->header.value;
    return (struct slice){0};
}

static struct slice text_or_none(const char *text)
{
    return text ? slice_of(text) : (struct slice){0};
}

GETTER(get_limit_status)
{
    UNUSED(rest);
    return text_or_none(ex->limit_status);
}

GETTER(get_limit_conn_status)
{
    UNUSED(rest);
    return text_or_none(ex->limit_conn_status);
}

GETTER(get_limit_req_status)
{
    UNUSED(rest);
    return text_or_none(ex->limit_req_status);
}

GETTER(get_limit_reason)
{
    UNUSED(rest);
    return text_or_none(ex->limit_reason);
}

GETTER(get_limit_zone)
{
    UNUSED(rest);
    return ex->limit_zone;
}

GETTER(get_limit_queue_time)
{
    UNUSED(rest);
    return ex->limit_status ? seconds(ex, ex->limit_queue_ms) : (struct slice){0};
}

GETTER(get_msec)
{
    UNUSED(rest);
    return seconds(ex, clock_wall_ms());
}

GETTER(get_pid)
{
    UNUSED(rest);
    return number(ex, (uint64_t)getpid());
}

GETTER(get_pipe)
{
    UNUSED(rest);
    return ex->pipelined ? SLICE("p") : SLICE(".");
}

GETTER(get_remote_addr)
{
    UNUSED(rest);
    return ex->peer(ex)->remote_addr;
}

/* All lines of X-Forwarded-For, and the client behind them. */
GETTER(get_forwarded_for)
{
    UNUSED(rest);
    struct slice all = {0}, client = ex->peer(ex)->remote_addr;
    for (int i = 0; i < ex->req.header_count; i++) {
        const struct http_header *h = &ex->req.headers[i];
        if (slice_eq_nocase(h->name, SLICE("X-Forwarded-For")))
            all = all.len ? arena_printf(&ex->arena, "%.*s, %.*s", SLICE_ARGS(all), SLICE_ARGS(h->value))
                          : h->value;
    }
    return all.len ? arena_printf(&ex->arena, "%.*s, %.*s", SLICE_ARGS(all), SLICE_ARGS(client)) : client;
}

GETTER(get_proxy_port)
{
    UNUSED(rest);
    const char *colon = ex->proxy_host.len ? memrchr(ex->proxy_host.data, ':', ex->proxy_host.len) : NULL;
    size_t at = colon ? (size_t)(colon - ex->proxy_host.data) + 1 : ex->proxy_host.len;
    struct slice port = slice_from(ex->proxy_host, at);
    bool has_port = port.len && port.data[port.len - 1] != ']'; /* or an IPv6 address ends here */
    return has_port ? port : ex->proxy_host.len ? SLICE("80") : port;
}

GETTER(get_proxy_host)
{
    UNUSED(rest);
    return ex->proxy_host;
}

GETTER(get_remote_port)
{
    UNUSED(rest);
    return ex->peer(ex)->remote_port;
}

GETTER(get_binary_remote_addr)
{
    UNUSED(rest);
    const struct http_peer *peer = ex->peer(ex);
    return (struct slice){(const char *)peer->remote_binary, (size_t)peer->remote_binary_len};
}

GETTER(get_server_addr)
{
    UNUSED(rest);
    return ex->peer(ex)->server_addr;
}

GETTER(get_server_port)
{
    UNUSED(rest);
    return ex->peer(ex)->server_port;
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(digits, c) : NULL;
    return p ? (int)(p - digits) : -1;
}

/* The user of "Authorization: Basic ...", unchecked: for logs. */
GETTER(get_remote_user)
{
    UNUSED(rest);
    struct slice auth = header(ex, SLICE("Authorization"));
    char *out =
        auth.len > 6 && strncasecmp(auth.data, "Basic ", 6) == 0 ? arena_alloc(&ex->arena, auth.len) : NULL;
    size_t n = 0;
    unsigned bits = 0, have = 0;
    for (size_t i = 6; out && i < auth.len && base64_digit(auth.data[i]) >= 0; i++) {
        bits = bits << 6 | (unsigned)base64_digit(auth.data[i]);
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        out[n++] = (char)(bits >> have);
        if (out[n - 1] == ':')
            return (struct slice){out, n - 1};
    }
    return (struct slice){0};
}

GETTER(get_request)
{
    UNUSED(rest);
    return ex->req.line;
}

GETTER(get_request_length)
{
    UNUSED(rest);
    return number(ex, ex->request_bytes);
}

GETTER(get_request_method)
{
    UNUSED(rest);
    return ex->req.method_name;
}

GETTER(get_request_time)
{
    UNUSED(rest);
    return seconds(ex, *ex->now_ms - ex->start_ms);
}

GETTER(get_scheme)
{
    UNUSED(rest);
    UNUSED(ex);
    return SLICE("http");
}

GETTER(get_server_name)
{
    UNUSED(rest);
    return ex->server_name;
}

GETTER(get_server_protocol)
{
    UNUSED(rest);
    return ex->req.minor_version ? SLICE("HTTP/1.1") : SLICE("HTTP/1.0");
}

GETTER(get_status)
{
    UNUSED(rest);
    return arena_printf(&ex->arena, "%03d", ex->res.status);
}

GETTER(get_time_local)
{
    char text[CLOCK_TEXT_BYTES];
    UNUSED(rest);
    size_t n = clock_log_date((time_t)(clock_wall_ms() / 1000), text);
    return arena_dup(&ex->arena, (struct slice){text, n});
}

GETTER(get_time_iso8601)
{
    char text[CLOCK_TEXT_BYTES];
    UNUSED(rest);
    size_t n = clock_iso8601((time_t)(clock_wall_ms() / 1000), text);
    return arena_dup(&ex->arena, (struct slice){text, n});
}

GETTER(get_version)
{
    UNUSED(rest);
    UNUSED(ex);
    return SLICE(WEIR_VERSION);
}

static const struct http_variable variables[] = {
    {"args", false, get_args},
    {"proxy_add_x_forwarded_for", false, get_forwarded_for},
    {"proxy_host", false, get_proxy_host},
    {"proxy_port", false, get_proxy_port},
    {"query_string", false, get_args},
    {"arg_", true, get_arg},
    {"is_args", false, get_is_args},
    {"binary_remote_addr", false, get_binary_remote_addr},
    {"body_bytes_sent", false, get_body_bytes_sent},
    {"bytes_sent", false, get_bytes_sent},
    {"connection", false, get_connection},
    {"connection_requests", false, get_connection_requests},
    {"content_length", false, get_content_length},
    {"content_type", false, get_content_type},
    {"cookie_", true, get_cookie},
    {"document_uri", false, get_uri},
    {"host", false, get_host},
    {"hostname", false, get_hostname},
    {"http_", true, get_http},
    {"limit_concurrency_queue_time", false, get_limit_queue_time},
    {"limit_concurrency_reason", false, get_limit_reason},
    {"limit_concurrency_status", false, get_limit_status},
    {"limit_concurrency_zone", false, get_limit_zone},
    {"limit_conn_status", false, get_limit_conn_status},
    {"limit_req_status", false, get_limit_req_status},
    {"msec", false, get_msec},
    {"pid", false, get_pid},
    {"pipe", false, get_pipe},
    {"remote_addr", false, get_remote_addr},
    {"remote_port", false, get_remote_port},
    {"remote_user", false, get_remote_user},
    {"request", false, get_request},
    {"request_length", false, get_request_length},
    {"request_method", false, get_request_method},
    {"request_time", false, get_request_time},
    {"request_uri", false, get_request_uri},
    {"scheme", false, get_scheme},
    {"sent_http_", true, get_sent_http},
    {"server_addr", false, get_server_addr},
    {"server_name", false, get_server_name},
    {"server_port", false, get_server_port},
    {"server_protocol", false, get_server_protocol},
    {"status", false, get_status},
    {"time_iso8601", false, get_time_iso8601},
    {"time_local", false, get_time_local},
    {"uri", false, get_uri},
    {"weir_version", false, get_version},
    {0},
};

/* Looks through one table; a longer prefix does not win over an earlier one, as no prefix begins another. */
static const struct http_variable *find_in(const struct http_variable *table, struct slice name,
                                           struct slice *rest)
{
    const struct http_variable *by_prefix = NULL;
    for (const struct http_variable *v = table; v->name; v++) {
        struct slice known = slice_of(v->name);
        if (!v->prefix && slice_eq(known, name)) {
            *rest = (struct slice){0};
            return v;
        }
        if (v->prefix && name.len > known.len && slice_starts(name, known)) {
            by_prefix = v;
            *rest = slice_from(name, known.len);
        }
    }
    return by_prefix;
}

const struct http_variable *http_find_variable(struct slice name, struct slice *rest)
{
    static const struct http_variable capture = {"1", true, get_capture};
    if (name.len == 1 && name.data[0] >= '1' && name.data[0] <= '9') {
        *rest = name;
        return &capture;
    }
    const struct http_variable *v = find_in(variables, name, rest);
    return v ? v : find_in(http_upstream_variables, name, rest);
}
