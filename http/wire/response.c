/*
 * http/wire/response.c - writing answers' heads, and the built-in error pages.
 */
#include "http/wire/response.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/slice.h"
#include "base/version.h"

#include <assert.h>
#include <stdio.h>

static const struct {
    int status;
    const char *reason;
    /* The title of the page, where nginx has another one there. */
    const char *title;
    const char *detail; /* a line more of it: of a kind of 400 */
} reasons[] = {
    {101, "Switching Protocols", NULL, NULL},
    {103, "Early Hints", NULL, NULL},
    {200, "OK", NULL, NULL},
    {201, "Created", NULL, NULL},
    {202, "Accepted", NULL, NULL},
    {204, "No Content", NULL, NULL},
    {206, "Partial Content", NULL, NULL},
    {301, "Moved Permanently", NULL, NULL},
    {302, "Moved Temporarily", "Found", NULL},
    {303, "See Other", NULL, NULL},
    {304, "Not Modified", NULL, NULL},
    {307, "Temporary Redirect", NULL, NULL},
    {308, "Permanent Redirect", NULL, NULL},
    {400, "Bad Request", NULL, NULL},
    {401, "Unauthorized", "Authorization Required", NULL},
    {402, "Payment Required", NULL, NULL},
    {403, "Forbidden", NULL, NULL},
    {404, "Not Found", NULL, NULL},
    {405, "Not Allowed", NULL, NULL},
    {406, "Not Acceptable", NULL, NULL},
    {408, "Request Time-out", NULL, NULL},
    {409, "Conflict", NULL, NULL},
    {410, "Gone", NULL, NULL},
    {411, "Length Required", NULL, NULL},
    {412, "Precondition Failed", NULL, NULL},
    {413, "Request Entity Too Large", NULL, NULL},
    {414, "Request-URI Too Large", NULL, NULL},
    {415, "Unsupported Media Type", NULL, NULL},
    {416, "Requested Range Not Satisfiable", NULL, NULL},
    {417, "Expectation Failed", NULL, NULL},
    {418, "I'm a teapot", NULL, NULL},
    {421, "Misdirected Request", NULL, NULL},
    {422, "Unprocessable Content", NULL, NULL},
    {429, "Too Many Requests", NULL, NULL},
    {431, "Request Header Fields Too Large", NULL, NULL},
    {451, "Unavailable For Legal Reasons", NULL, NULL},
    {494, "Bad Request", "Request Header Or Cookie Too Large", "Request Header Or Cookie Too Large"},
    {495, "Bad Request", "The SSL certificate error", "The SSL certificate error"},
    {496, "Bad Request", "No required SSL certificate was sent", "No required SSL certificate was sent"},
    {497, "Bad Request", "The plain HTTP request was sent to HTTPS port",
     "The plain HTTP request was sent to HTTPS port"},
    {500, "Internal Server Error", NULL, NULL},
    {501, "Not Implemented", NULL, NULL},
    {502, "Bad Gateway", NULL, NULL},
    {503, "Service Temporarily Unavailable", NULL, NULL},
    {504, "Gateway Time-out", NULL, NULL},
    {505, "HTTP Version Not Supported", NULL, NULL},
    {507, "Insufficient Storage", NULL, NULL},
};

enum { REASONS = sizeof reasons / sizeof reasons[0] };

const char *http_reason(int status)
{
    for (int i = 0; i < REASONS; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "";
}

bool http_is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

void http_response_init(struct http_response *res)
{
    *res = (struct http_response){0};
}

void http_response_reset(struct http_response *res)
{
    bool close = res->close;
    unsigned retry_after_s = res->retry_after_s;
    http_response_init(res);
    res->close = close;
    res->retry_after_s = retry_after_s;
}

bool http_add_header(struct http_response *res, struct arena *arena, struct slice name, struct slice value)
{
    struct http_response_header *h = arena_alloc(arena, sizeof *h);
    if (!h)
        return false;
    *h = (struct http_response_header){.header = {name, value}};
    assert(!res->headers == !res->last_header && (!res->last_header || !res->last_header->next));
    if (res->last_header)
        res->last_header->next = h;
    else
        res->headers = h;
    res->last_header = h;
    return true;
}

/* Behind `before`, or from the first one. */
static void drop_behind(struct http_response *res, struct http_response_header *before, struct slice name)
{
    struct http_response_header **link = before ? &before->next : &res->headers;
    res->last_header = before;
    while (*link) {
        if (slice_eq_nocase((*link)->header.name, name)) {
            res->placed &= ~(*link)->own;
            *link = (*link)->next;
            continue;
        }
        res->last_header = *link;
        link = &(*link)->next;
    }
}

void http_drop_header(struct http_response *res, struct slice name)
{
    drop_behind(res, NULL, name);
}

bool http_set_header(struct http_response *res, struct arena *arena, struct slice name, struct slice value)
{
    struct http_response_header *h = res->headers;
    while (h && !slice_eq_nocase(h->header.name, name))
        h = h->next;
    if (!h)
        return http_add_header(res, arena, name, value);
    h->header.value = value;
    drop_behind(res, h, name);
    return true;
}

bool http_place_own(struct http_response *res, struct arena *arena, enum http_own_field own,
                    struct slice name)
{
    http_drop_header(res, name); /* of several the last one counts */
    if (!http_add_header(res, arena, name, (struct slice){0}))
        return false;
    res->last_header->own = own;
    res->placed |= own;
    return true;
}

struct slice http_added_header(const struct http_response *res, struct slice name)
{
    for (const struct http_response_header *h = res->headers; h; h = h->next)
        if (slice_eq_nocase(h->header.name, name))
            return h->header.value;
    return (struct slice){0};
}

bool http_add_trailer(struct http_response *res, struct arena *arena, struct slice name, struct slice value)
{
    struct http_response_header *h = arena_alloc(arena, sizeof *h);
    struct http_response_header **tail = &res->trailers;
    while (*tail)
        tail = &(*tail)->next;
    if (h)
        *h = (struct http_response_header){.header = {name, value}};
    *tail = h;
    return h != NULL;
}

static bool add_piece(struct http_response *res, struct arena *arena, struct http_piece piece)
{
    struct http_piece *p = arena_alloc(arena, sizeof *p);
    if (!p)
        return false;
    assert(piece.len > 0 && !piece.next && !res->body == !res->last_piece);
    *p = piece;
    if (res->last_piece)
        res->last_piece->next = p;
    else
        res->body = p;
    res->last_piece = p;
    if (res->content_length != HTTP_LENGTH_UNKNOWN)
        res->content_length += (int64_t)piece.len;
    return true;
}

bool http_add_memory(struct http_response *res, struct arena *arena, const void *data, size_t len)
{
    return len == 0 || add_piece(res, arena, (struct http_piece){.data = data, .len = len, .fd = -1});
}

bool http_add_file(struct http_response *res, struct arena *arena, int fd, off_t offset, uint64_t len)
{
    return len == 0 || add_piece(res, arena, (struct http_piece){.offset = offset, .len = len, .fd = fd});
}

void http_stamp_update(struct http_stamp *stamp, const char *server, time_t now)
{
    char date[CLOCK_HTTP_DATE_BYTES + 1];
    if (stamp->second == now && stamp->len)
        return;
    clock_http_date(now, date);
    stamp->len =
        (size_t)snprintf(stamp->text, sizeof stamp->text, "Server: %s\r\nDate: %s\r\n", server, date);
    assert(stamp->len < sizeof stamp->text);
    stamp->second = now;
}

void http_stamp_values(const struct http_stamp *stamp, struct slice *server, struct slice *date)
{
    const char *first = stamp->text + sizeof "Server: " - 1,
               *end = memchr(first, '\r', stamp->len - (sizeof "Server: " - 1));
    assert(end && stamp->len > 2);
    *server = (struct slice){first, (size_t)(end - first)};
    const char *second = end + 2 + sizeof "Date: " - 1;
    *date = (struct slice){second, (size_t)(stamp->text + stamp->len - 2 - second)};
}

/* A head is built in a stack block: one bounds check for its fixed part instead of one for each line. */
struct cursor {
    char *at;
};

static void put_bytes(struct cursor *c, const char *data, size_t n)
{
    memcpy(c->at, data, n);
    c->at += n;
}

#define PUT(c, literal) put_bytes((c), (literal), sizeof(literal) - 1)

static void put_number(struct cursor *c, uint64_t n)
{
    char digits[20];
    int i = 20;
    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    put_bytes(c, digits + i, (size_t)(20 - i));
}

static void put_status_line(struct cursor *c, const struct http_response *res)
{
    if (res->status == 200 && !res->reason.len) {
        PUT(c, "HTTP/1.1 200 OK\r\n");
        return;
    }
    struct slice reason = res->reason.len ? res->reason : slice_of(http_reason(res->status));
    PUT(c, "HTTP/1.1 ");
    put_number(c, (uint64_t)res->status);
    PUT(c, " ");
    put_bytes(c, reason.data, reason.len);
    PUT(c, "\r\n");
}

/* RFC 9112 section 6.3: 1xx, 204 and 304 have no body and say no length (304's would be the 200's). */
static bool bodyless(int status)
{
    return status < 200 || status == 204 || status == 304;
}

void http_settle_body(struct http_response *res, const struct http_request *req)
{
    if (res->status == 204)
        res->content_type = (struct slice){0}; /* of nothing, whoever answered */
    res->no_body = (bodyless(res->status) && res->status != 101) || req->method == HTTP_HEAD;
}

bool http_says_length(const struct http_response *res)
{
    return !bodyless(res->status) && res->content_length >= 0;
}

/*
 * Sets what becomes of the body: its length is said, or it goes in chunks, or until the connection's end. Where no body comes there is
 * nothing to frame: an answer to HEAD whose length is not known says neither length nor coding, as in nginx.
 */
static void decide_framing(struct http_response *res, const struct http_request *req, bool without_chunks)
{
    http_settle_body(res, req);
    assert(res->content_length >= 0 || res->content_length == HTTP_LENGTH_UNKNOWN);
    if (res->no_body || res->status == 101 || res->content_length >= 0)
        return;
    if (req->minor_version >= 1 && !without_chunks)
        res->chunked = true;
    else
        res->close = true;
}

static void put_field(struct cursor *c, const char *name, struct slice value)
{
    put_bytes(c, name, strlen(name));
    put_bytes(c, value.data, value.len);
    PUT(c, "\r\n");
}

static void put_length(struct cursor *c, const struct http_response *res)
{
    if (!http_says_length(res))
        return;
    PUT(c, "Content-Length: ");
    put_number(c, (uint64_t)res->content_length);
    PUT(c, "\r\n");
}

static void put_connection(struct cursor *c, const struct http_response *res, int64_t keepalive_header_s)
{
    if (res->chunked)
        PUT(c, "Transfer-Encoding: chunked\r\n");
    if (res->status == 101)
        PUT(c, "Connection: upgrade\r\n");
    else if (res->close)
        PUT(c, "Connection: close\r\n");
    else
        PUT(c, "Connection: keep-alive\r\n");
    if (keepalive_header_s > 0 && !res->close) {
        PUT(c, "Keep-Alive: timeout=");
        put_number(c, (uint64_t)keepalive_header_s);
        PUT(c, "\r\n");
    }
}

static bool append_field(struct buf *out, struct slice name, struct slice value)
{
    if (!buf_reserve(out, name.len + value.len + 4))
        return false;
    struct cursor c = {out->data + out->end};
    put_bytes(&c, name.data, name.len);
    PUT(&c, ": ");
    if (value.len)
        put_bytes(&c, value.data, value.len);
    PUT(&c, "\r\n");
    out->end += name.len + value.len + 4;
    assert(c.at == out->data + out->end);
    return true;
}

static struct slice own_value(const struct http_response *res, unsigned own)
{
    return own == HTTP_OWN_LOCATION ? res->location : own == HTTP_OWN_ETAG ? res->etag : res->last_modified;
}

static bool append_header(const struct http_response *res, const struct http_response_header *h,
                          struct buf *out)
{
    struct slice value = h->own ? own_value(res, h->own) : h->header.value;
    return (h->own && !value.data) || append_field(out, h->header.name, value);
}

/* Those of its own that have no place in the list begin it. */
static bool append_list(const struct http_response *res, struct buf *out)
{
    bool ok = !res->location.data || res->location_is_made || res->placed & HTTP_OWN_LOCATION ||
              append_field(out, SLICE("Location"), res->location);
    ok = ok && (!res->etag.len || res->placed & HTTP_OWN_ETAG || append_field(out, SLICE("ETag"), res->etag));
    for (struct http_response_header *h = res->headers; ok && h; h = h->next)
        ok = append_header(res, h, out);
    ok = ok && (!res->accept_ranges || append_field(out, SLICE("Accept-Ranges"), SLICE("bytes")));
    return ok && buf_append(out, "\r\n", 2);
}

/* "Server: ...\r\nDate: ...\r\n", without what an upstream's own takes the place of. */
static void put_stamp(struct cursor *c, const struct http_stamp *stamp, const struct http_response *res)
{
    if (!res->without_server && !res->without_date) {
        put_bytes(c, stamp->text, stamp->len);
        return;
    }
    assert(memchr(stamp->text, '\n', stamp->len));
    size_t server_len = (size_t)((const char *)memchr(stamp->text, '\n', stamp->len) - stamp->text) + 1;
    if (!res->without_server)
        put_bytes(c, stamp->text, server_len);
    if (!res->without_date)
        put_bytes(c, stamp->text + server_len, stamp->len - server_len);
}

/* In nginx's order: what has a place of its own, then the list. */
bool http_write_head(struct http_response *res, const struct http_request *req,
                     const struct http_head_options *options, struct buf *out)
{
    enum { FIXED_PART_MAX = 512 };
    if (!buf_reserve(out, FIXED_PART_MAX + res->reason.len + res->content_type.len + res->last_modified.len +
                              res->location.len))
        return false;
    struct cursor c = {out->data + out->end};
    decide_framing(res, req, options->without_chunks);
    put_status_line(&c, res);
    put_stamp(&c, options->stamp, res);
    if (res->content_type.len)
        put_field(&c, "Content-Type: ", res->content_type);
    put_length(&c, res);
    if (res->last_modified.len && !(res->placed & HTTP_OWN_LAST_MODIFIED))
        put_field(&c, "Last-Modified: ", res->last_modified);
    if (res->location.data && res->location_is_made && !(res->placed & HTTP_OWN_LOCATION))
        put_field(&c, "Location: ", res->location);
    put_connection(&c, res, options->keepalive_header_s);
    if (res->varies_encoding)
        PUT(&c, "Vary: Accept-Encoding\r\n");
    if (res->retry_after_s) {
        PUT(&c, "Retry-After: ");
        put_number(&c, res->retry_after_s);
        PUT(&c, "\r\n");
    }
    assert(c.at <= out->data + out->cap);
    out->end += (size_t)(c.at - (out->data + out->end));
    return append_list(res, out);
}

/* Pages are rendered on first use, and both kinds kept: with the version, and without. */
struct slice http_error_page(int status, bool with_version)
{
    static char pages[2][REASONS][320];
    static size_t lengths[2][REASONS];
    if (status < 300 || status == 304)
        return (struct slice){0};
    for (int i = 0; i < REASONS; i++) {
        if (reasons[i].status != status)
            continue;
        const char *title = reasons[i].title ? reasons[i].title : reasons[i].reason,
                   *detail = reasons[i].detail;
        int shown = detail ? 400 : status;
        if (lengths[with_version][i] == 0)
            lengths[with_version][i] = (size_t)snprintf(
                pages[with_version][i], sizeof pages[0][0],
                "<html>\r\n<head><title>%d %s</title></head>\r\n<body>\r\n<center><h1>%d %s</h1></center>\r\n"
                "%s%s%s<hr><center>%s</center>\r\n</body>\r\n</html>\r\n",
                shown, title, shown, detail ? reasons[i].reason : title, detail ? "<center>" : "",
                detail ? detail : "", detail ? "</center>\r\n" : "",
                with_version ? WEIR_NAME "/" WEIR_VERSION : WEIR_NAME);
        assert(lengths[with_version][i] < sizeof pages[0][0]);
        return (struct slice){pages[with_version][i], lengths[with_version][i]};
    }
    return (struct slice){0};
}
