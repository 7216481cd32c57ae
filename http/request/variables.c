/*
 * http/request/variables.c - what each variable means; names and meanings are nginx's ("Alphabetical index of variables").
 */
#include "http/request/variables.h"

#include "base/arena.h"
#include "base/slice.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/regex.h"
#include "http/wire/request.h"
#include "http/wire/uri.h"

#include <assert.h>

#define GETTER(name) static struct slice name(struct http_exchange *ex, struct slice rest)
#define UNUSED(x) (void)(x)

static struct slice request_header(struct http_exchange *ex, struct slice name)
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

struct slice http_join(struct http_exchange *ex, struct slice all, struct slice value)
{
    return all.data ? arena_printf(&ex->arena, "%.*s, %.*s", SLICE_ARGS(all), SLICE_ARGS(value)) : value;
}

GETTER(get_args)
{
    UNUSED(rest);
    return ex->req.args;
}

GETTER(get_arg)
{
    return rest.len ? http_find_arg(ex->req.args, rest) : (struct slice){0};
}

GETTER(get_is_args)
{
    UNUSED(rest);
    return ex->req.args.len ? SLICE("?") : SLICE("");
}

GETTER(get_content_length)
{
    UNUSED(rest);
    /* Of one in chunks, once it is here. */
    if (ex->req.framing == HTTP_BODY_CHUNKED && ex->body.whole)
        return http_number_text(ex, ex->body.len);
    struct slice said = request_header(ex, SLICE("Content-Length"));
    /* The body has been dropped, by an error page for instance. */
    return said.len && ex->req.framing == HTTP_BODY_NONE ? SLICE("0") : said;
}

GETTER(get_content_type)
{
    UNUSED(rest);
    return request_header(ex, SLICE("Content-Type"));
}

/* Several lines of one name count as one (RFC 9110 section 5.3); those of cookies are put together by semicolons. */
GETTER(get_http)
{
    struct slice all = {0};
    const char *between = slice_eq_nocase(rest, SLICE("cookie")) ? "; " : ", ";
    for (int i = 0; i < ex->req.header_count; i++) {
        const struct http_header *h = &ex->req.headers[i];
        if (http_names_header(h->name, rest))
            all = all.data
                      ? arena_printf(&ex->arena, "%.*s%s%.*s", SLICE_ARGS(all), between, SLICE_ARGS(h->value))
                      : h->value;
    }
    return all;
}

/* As nginx reads them: the case of names does not count, a comma ends a cookie before the one that is looked for. */
GETTER(get_cookie)
{
    struct slice all = slice_trim(get_http(ex, SLICE("cookie")));
    while (all.len > 0) { /* the name may be empty: "=v" */
        const char *semicolon = memchr(all.data, ';', all.len);
        struct slice pair = {all.data, semicolon ? (size_t)(semicolon - all.data) : all.len};
        if (pair.len > rest.len && strncasecmp(pair.data, rest.data, rest.len) == 0) {
            struct slice value = slice_trim_start(slice_from(pair, rest.len));
            if (value.len && value.data[0] == '=')
                return slice_trim_start(slice_from(value, 1)); /* a blank before the ";" belongs to it */
        }
        const char *comma = memchr(pair.data, ',', pair.len);
        all = slice_trim(slice_from(all, (comma ? (size_t)(comma - all.data) : pair.len) + 1));
    }
    return (struct slice){0};
}

static struct slice as_wanted(struct http_exchange *ex, struct slice capture)
{
    return ex->escape_captures && capture.len ? http_encode_args(&ex->arena, capture) : capture;
}

/* $1 to $9: of the location's expression, or, where it has none, of the server name's. */
GETTER(get_capture)
{
    const struct http_captures *c =
        ex->route.location_captures.count ? &ex->route.location_captures : &ex->route.server_captures;
    int group = rest.data[0] - '0';
    assert(rest.len == 1 && group >= 1 && group <= 9);
    assert(c->count >= 0 && c->count <= HTTP_GROUPS_MAX);
    return group < c->count ? as_wanted(ex, c->groups[group]) : (struct slice){0};
}

static struct http_named *find_named(const struct http_exchange *ex, struct slice name)
{
    struct http_named *n = ex->named;
    assert(name.len > 0);
    while (n && !slice_eq_nocase(n->name, name))
        n = n->next;
    return n;
}

const struct http_named *http_find_named(const struct http_exchange *ex, struct slice name)
{
    return find_named(ex, name);
}

void http_set_named(struct http_exchange *ex, struct slice name, struct slice value)
{
    struct http_named *n = find_named(ex, name);
    if (!n && (n = arena_zalloc(&ex->arena, sizeof *n))) {
        n->name = name;
        n->next = ex->named;
        ex->named = n;
    }
    if (n)
        n->value = value;
}

void http_keep_named(struct http_exchange *ex, const struct http_captures *c)
{
    struct slice name;
    int group;
    for (int i = 0; c->count && http_regex_name(c->regex, i, &name, &group); i++) {
        assert(group > 0);
        bool took_part = group < c->count && c->groups[group].data;
        http_set_named(ex, name, took_part ? c->groups[group] : SLICE(""));
    }
}

GETTER(get_named_capture)
{
    const struct http_named *n = find_named(ex, rest);
    return n ? n->value : (struct slice){0};
}

const struct http_variable http_named_capture = {"", true, get_named_capture};

GETTER(get_uri)
{
    UNUSED(rest);
    return ex->req.path.data ? ex->req.path : SLICE("");
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
        return ex->route.server_name;
    return arena_dup_lower(&ex->arena, ex->req.host);
}

/* All lines of one name. */
static struct slice find_sent(struct http_exchange *ex, const struct http_response_header *h,
                              struct slice rest)
{
    struct slice all = {0};
    for (; h; h = h->next)
        if (!h->own && http_names_header(h->header.name, rest))
            all = http_join(ex, all, h->header.value);
    return all;
}

static struct slice sent_length(struct http_exchange *ex)
{
    int status = ex->res.status;
    bool is_said = ex->res.content_length >= 0 && status >= 200 && status != 204 && status != 304;
    return is_said ? http_number_text(ex, (uint64_t)ex->res.content_length) : (struct slice){0};
}

GETTER(get_sent_http)
{
    const struct http_response *res = &ex->res;
    const struct {
        struct slice name, value;
    } own[] = {{SLICE("content_type"), res->content_type.len ? res->content_type : (struct slice){0}},
               {SLICE("location"), res->location},
               {SLICE("etag"), res->etag},
               {SLICE("last_modified"), res->last_modified},
               {SLICE("accept_ranges"), res->accept_ranges ? SLICE("bytes") : (struct slice){0}}};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (slice_eq_nocase(own[i].name, rest) && own[i].value.data)
            return own[i].value;
    struct slice protocols =
        ex->client.protocol ? ex->client.protocol->sent_field(ex, rest) : (struct slice){0};
    if (protocols.data)
        return protocols;
    struct slice added = find_sent(ex, res->headers, rest);
    return !added.data && slice_eq_nocase(rest, SLICE("content_length")) ? sent_length(ex) : added;
}

GETTER(get_sent_trailer)
{
    return find_sent(ex, ex->res.trailers, rest);
}

static struct slice text_or_none(const char *text)
{
    return text ? slice_of(text) : (struct slice){0};
}

GETTER(get_limit_status)
{
    UNUSED(rest);
    return text_or_none(ex->limits.status);
}

GETTER(get_limit_conn_status)
{
    UNUSED(rest);
    return text_or_none(ex->limits.conn_status);
}

GETTER(get_limit_req_status)
{
    UNUSED(rest);
    return text_or_none(ex->limits.req_status);
}

GETTER(get_limit_reason)
{
    UNUSED(rest);
    return text_or_none(ex->limits.reason);
}

GETTER(get_limit_zone)
{
    UNUSED(rest);
    return ex->limits.zone;
}

/* All lines of X-Forwarded-For, and the client behind them. */
GETTER(get_forwarded_for)
{
    UNUSED(rest);
    struct slice all = {0}, client = ex->client.peer(ex)->remote_addr;
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
    const char *colon =
        ex->upstream.host.len ? memrchr(ex->upstream.host.data, ':', ex->upstream.host.len) : NULL;
    size_t at = colon ? (size_t)(colon - ex->upstream.host.data) + 1 : ex->upstream.host.len;
    struct slice port = slice_from(ex->upstream.host, at);
    bool has_port = port.len && port.data[port.len - 1] != ']'; /* or an IPv6 address ends here */
    return has_port                                         ? port
           : ex->upstream.host.len && !ex->upstream.is_unix ? (ex->upstream.tls ? SLICE("443") : SLICE("80"))
                                                            : (struct slice){port.data, 0};
}

GETTER(get_proxy_host)
{
    UNUSED(rest);
    return ex->upstream.host;
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
    struct slice auth = request_header(ex, SLICE("Authorization"));
    if (auth.len <= 6 || strncasecmp(auth.data, "Basic ", 6) != 0)
        return (struct slice){0};
    auth = slice_trim(slice_from(auth, 6));
    while (auth.len && auth.data[auth.len - 1] == '=')
        auth.len--;
    char *out = auth.len % 4 == 1 ? NULL : arena_alloc(&ex->arena, auth.len + 1);
    size_t n = 0;
    unsigned bits = 0, have = 0;
    for (size_t i = 0; out && i < auth.len; i++) {
        if (base64_digit(auth.data[i]) < 0)
            return (struct slice){0};
        bits = bits << 6 | (unsigned)base64_digit(auth.data[i]);
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        assert(n < auth.len);
        out[n++] = (char)(bits >> have);
    }
    const char *colon = n ? memchr(out, ':', n) : NULL;
    return colon && colon > out ? (struct slice){out, (size_t)(colon - out)} : (struct slice){0};
}

GETTER(get_request)
{
    UNUSED(rest);
    return ex->req.line;
}

GETTER(get_request_port)
{
    UNUSED(rest);
    return ex->req.port;
}

GETTER(get_is_request_port)
{
    UNUSED(rest);
    return ex->req.port.len ? SLICE(":") : SLICE("");
}

GETTER(get_request_body_file)
{
    UNUSED(rest);
    return ex->body.file;
}

GETTER(get_request_method)
{
    UNUSED(rest);
    return ex->route.first_method.len ? ex->route.first_method : ex->req.method_name;
}

/* Asked for by a configuration of this process, or of the one that has forked it. */
static bool body_file_is_asked_for;

bool http_body_files_have_names(void)
{
    return body_file_is_asked_for;
}

const struct http_variable http_request_variables[] = {
    {"args", false, get_args},
    {"proxy_add_x_forwarded_for", false, get_forwarded_for},
    {"proxy_host", false, get_proxy_host},
    {"proxy_port", false, get_proxy_port},
    {"query_string", false, get_args},
    {"arg_", true, get_arg},
    {"is_args", false, get_is_args},
    {"content_length", false, get_content_length},
    {"content_type", false, get_content_type},
    {"cookie_", true, get_cookie},
    {"document_uri", false, get_uri},
    {"host", false, get_host},
    {"http_", true, get_http},
    {"limit_concurrency_reason", false, get_limit_reason},
    {"limit_concurrency_status", false, get_limit_status},
    {"limit_concurrency_zone", false, get_limit_zone},
    {"limit_conn_status", false, get_limit_conn_status},
    {"limit_req_status", false, get_limit_req_status},
    {"remote_user", false, get_remote_user},
    {"request", false, get_request},
    {"is_request_port", false, get_is_request_port},
    {"request_body_file", false, get_request_body_file},
    {"request_method", false, get_request_method},
    {"request_port", false, get_request_port},
    {"request_uri", false, get_request_uri},
    {"sent_http_", true, get_sent_http},
    {"sent_trailer_", true, get_sent_trailer},
    {"uri", false, get_uri},
    {0},
};

/*
 * Looks through one table, in any case of letters, as nginx does; a longer prefix does not win over an earlier one, as no
 * prefix begins another.
 */
static const struct http_variable *find_in(const struct http_variable *table, struct slice name,
                                           struct slice *rest)
{
    const struct http_variable *by_prefix = NULL;
    for (const struct http_variable *v = table; v->name; v++) {
        struct slice known = slice_of(v->name);
        if (!v->prefix && slice_eq_nocase(known, name)) {
            *rest = (struct slice){0};
            return v;
        }
        if (v->prefix && name.len >= known.len && strncasecmp(name.data, known.data, known.len) == 0) {
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
    const struct http_variable *v = find_in(http_request_variables, name, rest);
    body_file_is_asked_for |= v && v->get == get_request_body_file;
    if (!v)
        v = find_in(http_connection_variables, name, rest);
    if (v)
        return v;
    v = find_in(http_upstream_variables, name, rest);
    return v && http_goes_with(v, *rest) ? v : NULL;
}
