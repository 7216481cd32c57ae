/*
 * http/wire/request.c - the head of an HTTP/1 request.
 *
 * In two steps: http_scan_head finds where a head ends while bytes trickle in, http_parse_head reads the whole head
 * at once. So the verdict on a request cannot depend on how its bytes were cut.
 */
#include "http/wire/request.h"

#include "base/arena.h"
#include "base/slice.h"
#include "http/wire/chars.h"
#include "http/wire/uri.h"

#include <assert.h>

const struct http_parse_options http_parse_defaults = {
    .merge_slashes = true, .ignore_invalid_headers = true, .max_headers = 1000};

enum { HEADERS_FIRST = 24 /* room for what most requests have */ };

static bool refuse_request(struct http_error *error, int status, const char *text)
{
    *error = (struct http_error){.status = status, .text = text};
    return false;
}

/* What was refused stands behind the request line. */
static bool in_headers(struct http_error *error)
{
    error->in_headers = true;
    return false;
}

bool http_is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!char_is(s.data[i], CHAR_TOKEN))
            return false;
    return s.len > 0;
}

static enum http_method method_by_name(struct slice name)
{
    static const struct slice names[] = {{"GET", 3},   {"HEAD", 4},    {"POST", 4},
                                         {"PUT", 3},   {"DELETE", 6},  {"OPTIONS", 7},
                                         {"PATCH", 5}, {"CONNECT", 7}, {"TRACE", 5}};
    for (int i = 0; i < HTTP_OTHER; i++)
        if (slice_eq(names[i], name))
            return (enum http_method)i;
    return HTTP_OTHER;
}

/* HTTP-version of RFC 9112 section 2.3: exactly "HTTP/" DIGIT "." DIGIT. */
static bool parse_version(struct slice version, bool http2, int *minor, struct http_error *error)
{
    const char *v = version.data;
    *minor = 1;
    if (http2 && slice_eq(version, SLICE("HTTP/2.0")))
        return true;
    if (version.len != 8 || memcmp(v, "HTTP/", 5) != 0 || v[6] != '.' || v[5] < '1' || v[5] > '9' ||
        v[7] < '0' || v[7] > '9')
        return refuse_request(error, 400, "client sent invalid request");
    if (v[5] != '1')
        return refuse_request(error, 505, "client sent invalid version");
    *minor = v[7] == '0' ? 0 : 1;
    return true;
}

/* request-line = method SP request-target SP HTTP-version (RFC 9112 section 3); one space each, no other blank. */
static bool parse_request_line(struct http_request *req, struct slice line, bool http2,
                               struct http_error *error)
{
    const char *p = line.data, *end = line.data + line.len;
    while (p < end &&
           ((*p >= 'A' && *p <= 'Z') || *p == '_' || *p == '-')) /* as nginx: methods are in capitals */
        p++;
    req->line = line;
    req->protocol = (struct slice){0};
    req->method_name = (struct slice){line.data, (size_t)(p - line.data)};
    if (req->method_name.len == 0 || p == end || *p != ' ') {
        req->method_name = (struct slice){0};
        return refuse_request(error, 400, "client sent invalid method");
    }
    /* The method also of what is refused: an answer to HEAD has no body. */
    req->method = method_by_name(req->method_name);
    const char *target = ++p;
    while (p < end && char_is(*p, CHAR_URI))
        p++;
    req->target = (struct slice){target, (size_t)(p - target)};
    if (req->target.len == 0 || p == end || *p != ' ')
        return refuse_request(error, 400, "client sent invalid request");
    p++;
    req->protocol = (struct slice){p, (size_t)(end - p)};
    return parse_version(req->protocol, http2, &req->minor_version, error);
}

/* A line that ends, or has so far come, at `end`. */
static bool within_limits(const struct http_scan *scan, const struct http_head_limits *limits, size_t end,
                          struct http_error *error)
{
    if (end - scan->line_start > limits->line_bytes && !scan->line_checked)
        return refuse_request(error, 414, "client sent too long URI");
    if (end - scan->line_start > limits->line_bytes)
        refuse_request(error, 494, "client sent too long header line");
    else if (end > limits->head_bytes)
        refuse_request(error, 494, "client sent too large request");
    else
        return true;
    error->in_headers = scan->line_checked;
    return false;
}

/* Where the line before this line feed ends: a CR there belongs to its end, and may be missing (RFC 9112 section 2.2). */
static const char *line_end(const char *start, const char *lf)
{
    return lf > start && lf[-1] == '\r' ? lf - 1 : lf;
}

/* A complete line data[line_start..at), without its end. */
static bool scan_line(struct http_scan *scan, const char *data, size_t at, struct http_error *error)
{
    struct http_request line_only;
    if (scan->line_checked)
        return true;
    assert(scan->line_start == 0); /* the first line, and complete */
    scan->line_checked = true;
    return parse_request_line(&line_only, (struct slice){data, at}, false, error);
}

enum http_scan_result http_scan_head(struct http_scan *scan, const struct http_head_limits *limits,
                                     const char *data, size_t len, size_t *head_len, struct http_error *error)
{
    /* A server should ignore at least one empty line before a request (RFC 9112 section 2.2). */
    if (len >= 2 && data[0] == '\r' && data[1] == '\n') {
        *head_len = 2;
        return HTTP_SCAN_DONE;
    }
    if (len >= 1 && data[0] == '\n') {
        *head_len = 1;
        return HTTP_SCAN_DONE;
    }
    if (len > 0 && !char_is(data[0], CHAR_TOKEN) && data[0] != '\r') {
        refuse_request(error, 400, "client sent invalid method");
        return HTTP_SCAN_ERROR;
    }
    assert(scan->line_start <= scan->seen && scan->seen <= len);
    while (scan->seen < len) {
        const char *lf = memchr(data + scan->seen, '\n', len - scan->seen);
        size_t at = lf ? (size_t)(lf - data) : len;
        if (!within_limits(scan, limits, at, error))
            return HTTP_SCAN_ERROR;
        scan->seen = lf ? at + 1 : len;
        if (!lf)
            break;
        size_t end = (size_t)(line_end(data + scan->line_start, lf) - data);
        if (end == scan->line_start) {
            *head_len = at + 1;
            return HTTP_SCAN_DONE;
        }
        if (!scan_line(scan, data, end, error))
            return HTTP_SCAN_ERROR;
        scan->line_start = at + 1;
    }
    return HTTP_SCAN_MORE;
}

/* Between the brackets: an IPv6 address, or IPvFuture = "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ) (RFC 3986 section 3.2.2). */
static bool is_literal(struct slice s)
{
    size_t at = 0;
    if (s.len && (s.data[0] | 0x20) == 'v') {
        for (at = 1; at < s.len && hex_value(s.data[at]) >= 0;)
            at++;
        if (at == 1 || at + 1 >= s.len || s.data[at] != '.')
            return false;
        for (at++; at < s.len; at++)
            if (!char_is(s.data[at], CHAR_NAME) && !strchr("._~!$&'()*+,;=:", s.data[at]))
                return false;
        return true;
    }
    for (; at < s.len; at++)
        if (hex_value(s.data[at]) < 0 && s.data[at] != ':' && s.data[at] != '.')
            return false;
    return true;
}

/* Host = uri-host [ ":" port ] (RFC 9110 section 7.2). Keeps the name without the port. */
static bool parse_authority(struct http_request *req, struct slice value, struct http_error *error)
{
    size_t n = 0;
    if (value.len > 0 && value.data[0] == '[') {
        const char *close = memchr(value.data, ']', value.len);
        if (!close)
            return refuse_request(error, 400, "client sent invalid host");
        n = (size_t)(close - value.data) + 1;
        if (!is_literal((struct slice){value.data + 1, n - 2}))
            return refuse_request(error, 400, "client sent invalid host");
    } else {
        while (n < value.len && value.data[n] != ':') {
            if (!char_is(value.data[n], CHAR_HOST) ||
                (value.data[n] == '.' && n + 1 < value.len && value.data[n + 1] == '.'))
                return refuse_request(error, 400, "client sent invalid host");
            n++;
        }
        if (n > 0 && value.data[0] == '.' && n == 1)
            return refuse_request(error, 400, "client sent invalid host");
    }
    for (size_t i = n; i < value.len; i++)
        if (i == n ? value.data[i] != ':' : (value.data[i] < '0' || value.data[i] > '9'))
            return refuse_request(error, 400, "client sent invalid host");
    if (n == 0)
        return refuse_request(error, 400, "client sent invalid host");
    req->host = (struct slice){value.data, n};
    req->port = n < value.len ? slice_from(value, n + 1) : (struct slice){0};
    if (n > 1 && value.data[n - 1] == '.')
        req->host.len--;
    return true;
}

/* What the framing headers said, gathered over all of them. */
struct framing_headers {
    bool has_host, has_length, has_encoding, close, keepalive;
    /* By an absolute target: Host is only checked then. */
    bool host_is_said;
    unsigned seen; /* a bit for each of `single` */
    /* A mistake in framing: reported when all fields are read, so that the server of Host reports it; status 0: none. */
    struct http_error late;
};

/* Fields of one value: of two, one reader takes the first and another the last. */
static const struct {
    struct slice name;
    const char *text;
} single[] = {{{"Authorization", 13}, "client sent duplicate \"Authorization\" header"},
              {{"Content-Range", 13}, "client sent duplicate \"Content-Range\" header"},
              {{"Expect", 6}, "client sent duplicate \"Expect\" header"},
              {{"If-Match", 8}, "client sent duplicate \"If-Match\" header"},
              {{"If-Modified-Since", 17}, "client sent duplicate \"If-Modified-Since\" header"},
              {{"If-None-Match", 13}, "client sent duplicate \"If-None-Match\" header"},
              {{"If-Range", 8}, "client sent duplicate \"If-Range\" header"},
              {{"If-Unmodified-Since", 19}, "client sent duplicate \"If-Unmodified-Since\" header"}};

/* Most fields are of another length than all of these. */
enum { SINGLE_LENGTHS = 1 << 6 | 1 << 8 | 1 << 13 | 1 << 17 | 1 << 19 };

static bool check_single(struct slice name, struct framing_headers *f, struct http_error *error)
{
    if (name.len > 19 || !(SINGLE_LENGTHS >> name.len & 1))
        return true;
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
        if (single[i].name.len != name.len || !slice_eq_nocase(single[i].name, name))
            continue;
        if (f->seen & 1U << i)
            return refuse_request(error, 400, single[i].text);
        f->seen |= 1U << i;
    }
    return true;
}

static bool put_off(struct framing_headers *f, int status, const char *text)
{
    if (!f->late.status)
        f->late = (struct http_error){.status = status, .text = text};
    return true;
}

static bool take_request_length(struct http_request *req, struct slice value, struct framing_headers *f,
                                struct http_error *error)
{
    unsigned long long length;
    /* Even an equal one: RFC 9110 section 8.6 allows refusing it. */
    if (f->has_length)
        return refuse_request(error, 400, "client sent duplicate \"Content-Length\" header");
    f->has_length = true;
    if (!slice_to_u64(value, INT64_MAX, &length))
        return put_off(f, 400, "client sent invalid \"Content-Length\" header");
    req->content_length = length;
    req->framing = HTTP_BODY_LENGTH;
    return true;
}

static bool take_encoding(struct http_request *req, struct slice value, struct framing_headers *f,
                          struct http_error *error)
{
    if (f->has_encoding)
        return refuse_request(error, 400, "client sent duplicate \"Transfer-Encoding\" header");
    f->has_encoding = true;
    /* RFC 9112 section 6.1: its framing is to be taken as faulty. */
    if (req->minor_version == 0)
        return put_off(f, 400, "client sent HTTP/1.0 request with \"Transfer-Encoding\" header");
    if (!slice_eq_nocase(value, SLICE("chunked"))) {
        bool ends_chunked =
            value.len > 7 && slice_eq_nocase(slice_from(value, value.len - 7), SLICE("chunked"));
        return put_off(f, ends_chunked ? 501 : 400, "client sent unknown \"Transfer-Encoding\"");
    }
    return true;
}

static void take_connection(struct slice value, struct framing_headers *f)
{
    struct slice option;
    while (slice_next_in_list(&value, &option)) {
        f->close |= slice_eq_nocase(option, SLICE("close"));
        f->keepalive |= slice_eq_nocase(option, SLICE("keep-alive"));
    }
}

static bool take_request_host(struct http_request *req, struct slice value, const struct framing_headers *f,
                              struct http_error *error)
{
    struct slice host = req->host, port = req->port;
    if (!parse_authority(req, value, error))
        return false;
    if (f->host_is_said) {
        req->host = host;
        req->port = port;
    }
    return true;
}

/* Only headers that decide framing and connection are looked at here; the length tells most others apart. */
static bool take_request_header(struct http_request *req, const struct http_header *h,
                                struct framing_headers *f, struct http_error *error)
{
    if (!check_single(h->name, f, error))
        return false;
    switch (h->name.len) {
    case 4:
        if (!slice_eq_nocase(h->name, SLICE("Host")))
            return true;
        if (f->has_host)
            return refuse_request(error, 400, "client sent duplicate host header");
        f->has_host = true;
        return take_request_host(req, h->value, f, error);
    case 6:
        if (slice_eq_nocase(h->name, SLICE("Expect")))
            req->expect_continue =
                req->minor_version == 1 && slice_eq_nocase(h->value, SLICE("100-continue"));
        return true;
    case 10:
        if (slice_eq_nocase(h->name, SLICE("Connection")))
            take_connection(h->value, f);
        return true;
    case 14:
        return !slice_eq_nocase(h->name, SLICE("Content-Length")) ||
               take_request_length(req, h->value, f, error);
    case 17:
        return !slice_eq_nocase(h->name, SLICE("Transfer-Encoding")) ||
               take_encoding(req, h->value, f, error);
    default:
        return true;
    }
}

bool http_parse_field(struct http_header *h, const char *line, const char *end)
{
    const char *p = line;
    while (p < end && char_is(*p, CHAR_TOKEN))
        p++;
    if (p == line || p == end || *p != ':')
        return false;
    h->name = (struct slice){line, (size_t)(p - line)};
    const char *value = ++p;
    while (p < end && char_is(*p, CHAR_FIELD))
        p++;
    h->value = slice_trim((struct slice){value, (size_t)(end - value)});
    return p == end;
}

static bool parse_field(struct http_header *h, const char *p, const char *end, struct http_error *error)
{
    if (*p == ' ' || *p == '\t')
        return refuse_request(error, 400, "client sent a folded header line");
    return http_parse_field(h, p, end) || refuse_request(error, 400, "client sent invalid header line");
}

static bool finish_head(struct http_request *req, const struct framing_headers *f, bool http2,
                        struct http_error *error)
{
    if (f->late.status)
        return refuse_request(error, f->late.status, f->late.text);
    if (req->method == HTTP_CONNECT || req->method == HTTP_TRACE)
        return refuse_request(error, 405,
                              req->method == HTTP_TRACE ? "client sent TRACE method"
                                                        : "client sent CONNECT method");
    if (req->minor_version == 1 && !f->has_host) /* RFC 9112 section 3.2 */
        return refuse_request(error, 400,
                              http2 ? "client sent neither \":authority\" nor \"Host\" header"
                                    : "client sent HTTP/1.1 request without \"Host\" header");
    /* RFC 9112 section 6.3, item 3: possible smuggling. */
    if (f->has_length && f->has_encoding)
        return refuse_request(
            error, 400, "client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time");
    if (f->has_encoding)
        req->framing = HTTP_BODY_CHUNKED;
    req->keepalive = !f->close && (req->minor_version == 1 || f->keepalive);
    return true;
}

/* The four forms of RFC 9112 section 3.2. An absolute target's authority overrides Host (section 3.2.2). */
static bool parse_target(struct http_request *req, struct arena *arena, bool merge, struct http_error *error)
{
    struct slice rest = req->target;
    assert(rest.len > 0);
    if (rest.data[0] == '*' && rest.len == 1 && req->method == HTTP_OPTIONS) {
        req->path = req->uri = rest;
        return true;
    }
    if (req->method == HTTP_CONNECT) {
        req->path = req->uri = SLICE("/"); /* it has none, and is refused in the end */
        return true;
    }
    if (rest.data[0] != '/') {
        size_t scheme = rest.len >= 7 && strncasecmp(rest.data, "http://", 7) == 0    ? 7
                        : rest.len >= 8 && strncasecmp(rest.data, "https://", 8) == 0 ? 8
                                                                                      : 0;
        if (!scheme)
            return refuse_request(error, 400, "client sent invalid request");
        rest = slice_from(rest, scheme);
        size_t n = 0;
        while (n < rest.len && rest.data[n] != '/' && rest.data[n] != '?')
            n++;
        if (n == 0 || !parse_authority(req, (struct slice){rest.data, n}, error))
            return refuse_request(error, 400, "client sent invalid host");
        rest = slice_from(rest, n);
    }
    req->uri = rest.len ? rest : SLICE("/");
    /* An empty path is "/" (RFC 9112 section 3.2.1). */
    if (rest.len && rest.data[0] == '?')
        req->uri = arena_printf(arena, "/%.*s", SLICE_ARGS(rest));
    const char *mark = memchr(rest.data, '?', rest.len);
    struct slice raw_path = {rest.data, mark ? (size_t)(mark - rest.data) : rest.len};
    /* None behind a "?": as if there were no "?". */
    if (mark && raw_path.len + 1 < rest.len)
        req->args = slice_from(rest, raw_path.len + 1);
    if (raw_path.len == 0)
        raw_path = SLICE("/");
    bool normal = http_is_normal_path(raw_path, merge);
    char *scratch = normal ? NULL : arena_alloc(arena, raw_path.len);
    if (!req->uri.data || (!normal && !scratch))
        return refuse_request(error, 500, "out of memory");
    if (http_normalize_path(raw_path, merge, scratch, &req->path))
        return true;
    req->host = req->port = (struct slice){0};
    return refuse_request(error, 400, "client sent invalid request");
}

/* Whether a name has only letters, digits and "-" (and "_" where that is wanted). */
static bool is_ordinary_name(struct slice name, bool underscores)
{
    for (size_t i = 0; i < name.len; i++)
        if (!char_is(name.data[i], CHAR_NAME) && !(underscores && name.data[i] == '_'))
            return false;
    return true;
}

/* Room for one more header; NULL: out of memory. */
static struct http_header *room_for_header(struct http_request *req, struct arena *arena)
{
    if (req->header_count == req->header_room) {
        int room = req->header_room ? 2 * req->header_room : HEADERS_FIRST;
        struct http_header *more = arena_alloc(arena, (size_t)room * sizeof *more);
        if (!more)
            return NULL;
        if (req->header_count)
            memcpy(more, req->headers, (size_t)req->header_count * sizeof *more);
        req->headers = more;
        req->header_room = room;
    }
    assert(req->header_count < req->header_room);
    return &req->headers[req->header_count];
}

/* A line of the head; it counts as a header unless its name is one to be ignored. */
static bool add_header(struct http_request *req, struct arena *arena, const char *line, const char *end,
                       const struct http_parse_options *options, struct http_error *error)
{
    struct http_header *h = room_for_header(req, arena);
    if (!h)
        return refuse_request(error, 500, "out of memory");
    if (!parse_field(h, line, end, error))
        return false;
    if (options->ignore_invalid_headers && !is_ordinary_name(h->name, options->underscores_in_headers)) {
        req->ignored_headers++;
        req->ignored_header = h->name;
    } else {
        req->header_count++;
    }
    if (req->header_count + req->ignored_headers > options->max_headers)
        return refuse_request(error, 400, "client sent too many header lines");
    return true;
}

bool http_parse_head(struct http_request *req, struct arena *arena, const char *head, size_t head_len,
                     const struct http_parse_options *options, struct http_error *error)
{
    struct framing_headers found = {0};
    const char *end = line_end(head, head + head_len - 1); /* the empty line */
    const char *lf = memchr(head, '\n', head_len);
    assert(lf && head[head_len - 1] == '\n'); /* http_scan_head has found its end */
    req->args = req->host = req->port = (struct slice){0};
    req->expect_continue = false;
    req->framing = HTTP_BODY_NONE;
    req->content_length = 0;
    req->headers = NULL;
    req->header_count = req->header_room = req->ignored_headers = 0;
    if (!parse_request_line(req, (struct slice){head, (size_t)(line_end(head, lf) - head)}, options->http2,
                            error))
        return false;
    if (!parse_target(req, arena, options->merge_slashes, error))
        return false;
    found.host_is_said = req->host.len > 0;
    for (const char *p = lf + 1; p < end; p = lf + 1) {
        int before = req->header_count;
        lf = memchr(p, '\n', (size_t)(end - p)); /* the scan made sure of it */
        if (!add_header(req, arena, p, line_end(p, lf), options, error) ||
            (req->header_count > before && !take_request_header(req, &req->headers[before], &found, error)))
            return in_headers(error);
    }
    return finish_head(req, &found, options->http2, error) || in_headers(error);
}

const struct slice *http_find_header(const struct http_request *req, struct slice name)
{
    for (int i = 0; i < req->header_count; i++)
        if (slice_eq_nocase(req->headers[i].name, name))
            return &req->headers[i].value;
    return NULL;
}

struct slice http_find_arg(struct slice args, struct slice name)
{
    while (args.len > 0) {
        const char *amp = memchr(args.data, '&', args.len);
        size_t n = amp ? (size_t)(amp - args.data) : args.len;
        const char *equals = memchr(args.data, '=', n);
        size_t key_len = equals ? (size_t)(equals - args.data) : n;
        if (equals &&
            slice_eq_nocase((struct slice){args.data, key_len}, name)) /* one without "=" is no argument */
            return (struct slice){equals + 1, n - key_len - 1};
        args = slice_from(args, amp ? n + 1 : n);
    }
    return (struct slice){0};
}

bool http_is_field_value(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!char_is(s.data[i], CHAR_FIELD))
            return false;
    return true;
}

bool http_make_field_value(struct arena *arena, struct slice *value)
{
    size_t len = 0;
    if (http_is_field_value(*value))
        return true;
    char *to = memmem(value->data, value->len, "\n\t", 2) ? arena_alloc(arena, value->len) : NULL;
    for (size_t i = 0; to && i < value->len; i++) {
        bool folds = value->data[i] == '\n' && i + 1 < value->len && value->data[i + 1] == '\t';
        to[len++] = folds ? ' ' : value->data[i];
        i += folds;
    }
    if (to)
        *value = (struct slice){to, len};
    return to && http_is_field_value(*value);
}
