/*
 * http/wire/response_head.c - parsing upstreams' response heads.
 */
#include "http/wire/response_head.h"

#include "base/slice.h"
#include "http/wire/chars.h"
#include "http/wire/request.h"

#include <assert.h>

static bool refuse_head(const char **why, const char *text)
{
    *why = text;
    return false;
}

/* "HTTP/1.x NNN reason"; the reason may be missing, with its blank (RFC 9112 section 4 wants the blank). */
static bool parse_status_line(struct http_response_head *a, struct slice line, const char **why)
{
    static const char wrong[] = "upstream sent no valid HTTP/1.x header";
    if (line.len < 12 || memcmp(line.data, "HTTP/1.", 7) != 0 || line.data[7] < '0' || line.data[7] > '9' ||
        line.data[8] != ' ' || (line.len > 12 && line.data[12] != ' '))
        return refuse_head(why, wrong);
    a->minor_version = line.data[7] - '0';
    a->status = 0;
    for (int i = 9; i < 12; i++) {
        if (line.data[i] < '0' || line.data[i] > '9')
            return refuse_head(why, wrong);
        a->status = a->status * 10 + line.data[i] - '0';
    }
    a->reason = line.len > 13 ? slice_from(line, 13) : SLICE("");
    for (size_t i = 0; i < a->reason.len; i++)
        if (!char_is(a->reason.data[i], CHAR_FIELD))
            return refuse_head(why, wrong);
    return (a->status >= 100 && a->status <= 599) || refuse_head(why, wrong);
}

static bool take_length(struct http_response_head *a, struct slice value, const char **why)
{
    unsigned long long length;
    if (!slice_to_u64(value, INT64_MAX, &length) || (a->has_length && a->content_length != length))
        return refuse_head(why, "upstream sent invalid \"Content-Length\" header");
    a->has_length = true;
    a->content_length = length;
    return true;
}

/* What decides the framing, gathered over all headers. */
struct found {
    bool chunked, close, keepalive;
};

/* Of several the shortest. */
static void take_idle_time(struct http_response_head *a, struct slice list)
{
    struct slice option;
    unsigned long long seconds;
    while (slice_next_in_list(&list, &option)) {
        if (option.len <= 8 || strncasecmp(option.data, "timeout=", 8) != 0 ||
            !slice_to_u64(slice_from(option, 8), INT32_MAX, &seconds))
            continue;
        if (a->idle_s < 0 || (int64_t)seconds < a->idle_s)
            a->idle_s = (int64_t)seconds;
    }
}

static bool take_field(struct http_response_head *a, const struct http_header *h, struct found *found,
                       const char **why)
{
    if (slice_eq_nocase(h->name, SLICE("Content-Length")))
        return take_length(a, h->value, why);
    if (slice_eq_nocase(h->name, SLICE("Transfer-Encoding"))) {
        if (found->chunked || !slice_eq_nocase(h->value, SLICE("chunked")))
            return refuse_head(why, "upstream sent unknown \"Transfer-Encoding\"");
        found->chunked = true;
    }
    if (slice_eq_nocase(h->name, SLICE("Keep-Alive")))
        take_idle_time(a, h->value);
    if (slice_eq_nocase(h->name, SLICE("Connection"))) {
        struct slice list = h->value, option;
        while (slice_next_in_list(&list, &option)) {
            found->close |= slice_eq_nocase(option, SLICE("close"));
            found->keepalive |= slice_eq_nocase(option, SLICE("keep-alive"));
        }
    }
    return true;
}

static bool settle_framing(struct http_response_head *a, const struct found *found, bool to_head,
                           const char **why)
{
    if (found->chunked && (a->has_length || a->minor_version == 0))
        return refuse_head(
            why, a->has_length
                     ? "upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time"
                     : "upstream sent \"Transfer-Encoding\" with HTTP/1.0");
    a->keepalive = !found->close && (a->minor_version > 0 || found->keepalive);
    if (to_head || a->status < 200 || a->status == 204 || a->status == 304)
        a->framing = HTTP_RESPONSE_EMPTY;
    else if (found->chunked)
        a->framing = HTTP_RESPONSE_CHUNKED;
    else if (a->has_length)
        a->framing = HTTP_RESPONSE_LENGTH;
    else
        a->framing = HTTP_RESPONSE_UNTIL_CLOSE;
    assert(a->framing != HTTP_RESPONSE_CHUNKED || !a->has_length);
    a->keepalive &= a->framing != HTTP_RESPONSE_UNTIL_CLOSE;
    return true;
}

static bool parse_lines(struct http_response_head *a, const char *data, const char *end, bool to_head,
                        const char **why)
{
    struct found found = {0};
    const char *p = data;
    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        assert(lf); /* find_end has seen the last one */
        const char *eol = lf > p && lf[-1] == '\r' ? lf - 1 : lf;
        if (p == data) {
            if (!parse_status_line(a, (struct slice){p, (size_t)(eol - p)}, why))
                return false;
        } else {
            if (a->header_count == HTTP_RESPONSE_HEADERS_MAX)
                return refuse_head(why, "upstream sent too many header lines");
            struct http_header *h = &a->headers[a->header_count++];
            if (!http_parse_field(h, p, eol))
                return refuse_head(why, "upstream sent invalid header");
            /* An interim response ends here, whatever it says of a body. */
            if (a->status >= 200 && !take_field(a, h, &found, why))
                return false;
        }
        p = lf + 1;
    }
    return settle_framing(a, &found, to_head, why);
}

/* Behind the last header line, where the empty line begins; NULL: not there yet. */
static const char *find_end(const char *data, size_t len, size_t *head_len)
{
    const char *p = data, *end = data + len, *lf;
    while ((lf = memchr(p, '\n', (size_t)(end - p)))) {
        const char *next = lf + 1;
        size_t left = (size_t)(end - next);
        size_t empty = left >= 1 && next[0] == '\n'                      ? 1
                       : left >= 2 && next[0] == '\r' && next[1] == '\n' ? 2
                                                                         : 0;
        if (empty) {
            *head_len = (size_t)(next - data) + empty;
            return next;
        }
        p = next;
    }
    return NULL;
}

enum http_response_head_result http_parse_response_head(struct http_response_head *a, const char *data,
                                                        size_t len, bool to_head, size_t *head_len,
                                                        const char **why)
{
    a->header_count = 0;
    a->has_length = false;
    a->content_length = 0;
    a->idle_s = -1;
    size_t start = len < 7 ? len : 7;
    if (memcmp(data, "HTTP/1.", start) != 0) { /* known before the head is complete */
        *why = "upstream sent no valid HTTP/1.x header";
        return HTTP_RESPONSE_HEAD_BAD;
    }
    const char *end = find_end(data, len, head_len);
    if (!end)
        return HTTP_RESPONSE_HEAD_MORE;
    assert(*head_len <= len);
    return parse_lines(a, data, end, to_head, why) ? HTTP_RESPONSE_HEAD_DONE : HTTP_RESPONSE_HEAD_BAD;
}

/* --- of CGI --- */

/* "NNN reason" (RFC 3875 section 6.3.3) */
static bool take_cgi_status(struct http_response_head *a, struct slice value, const char **why)
{
    static const char wrong[] = "upstream sent invalid status in its \"Status\" header";
    bool is_number = value.len >= 3 && (value.len == 3 || value.data[3] < '0' || value.data[3] > '9');
    if (!is_number)
        return refuse_head(why, wrong);
    a->status = 0;
    for (int i = 0; i < 3; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return refuse_head(why, wrong);
        a->status = a->status * 10 + value.data[i] - '0';
    }
    a->reason = value.len > 4 ? slice_from(value, 4) : SLICE("");
    return (a->status >= 200 && a->status <= 599) || refuse_head(why, wrong);
}

static bool take_cgi_field(struct http_response_head *a, const struct http_header *h, const char **why)
{
    if (slice_eq_nocase(h->name, SLICE("Status")))
        return a->status || take_cgi_status(a, h->value, why);
    return !slice_eq_nocase(h->name, SLICE("Content-Length")) || take_length(a, h->value, why);
}

/* Some scripts write a status line; nginx passes over it. */
static const char *behind_status_line(const char *p, const char *end)
{
    return end - p > 7 && memcmp(p, "HTTP/1.", 7) == 0 ? (const char *)memchr(p, '\n', (size_t)(end - p)) + 1
                                                       : p;
}

static bool parse_cgi_lines(struct http_response_head *a, const char *p, const char *end, const char **why)
{
    p = behind_status_line(p, end);
    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        assert(lf); /* find_end has seen the last one */
        if (a->header_count == HTTP_RESPONSE_HEADERS_MAX)
            return refuse_head(why, "upstream sent too many header lines");
        struct http_header *h = &a->headers[a->header_count++];
        if (!http_parse_field(h, p, lf > p && lf[-1] == '\r' ? lf - 1 : lf))
            return refuse_head(why, "upstream sent invalid header");
        if (!take_cgi_field(a, h, why))
            return false;
        p = lf + 1;
    }
    return true;
}

enum http_response_head_result http_parse_cgi_head(struct http_response_head *a, const char *data, size_t len,
                                                   bool to_head, size_t *head_len, const char **why)
{
    a->status = a->header_count = 0;
    a->reason = (struct slice){0};
    a->minor_version = 1;
    a->content_length = 0;
    a->has_length = false;
    a->keepalive = true;
    a->idle_s = -1;
    bool is_empty = data[0] == '\n' || (len > 1 && data[0] == '\r' && data[1] == '\n');
    *head_len = data[0] == '\n' ? 1 : 2;
    const char *end = is_empty ? data : find_end(data, len, head_len);
    if (!end)
        return HTTP_RESPONSE_HEAD_MORE;
    if (!parse_cgi_lines(a, data, end, why))
        return HTTP_RESPONSE_HEAD_BAD;
    if (!a->status)
        a->status = http_response_head_field(a, SLICE("Location")).data ? 302 : 200;
    a->framing = to_head || a->status == 204 || a->status == 304 ? HTTP_RESPONSE_EMPTY
                 : a->has_length                                 ? HTTP_RESPONSE_LENGTH
                                                                 : HTTP_RESPONSE_UNTIL_CLOSE;
    return HTTP_RESPONSE_HEAD_DONE;
}

struct slice http_response_head_field(const struct http_response_head *a, struct slice name)
{
    for (int i = 0; i < a->header_count; i++)
        if (slice_eq_nocase(a->headers[i].name, name))
            return a->headers[i].value;
    return (struct slice){0};
}

bool http_may_be_trailer(struct slice name)
{
    static const char *const never[] = {
        "Content-Length", "Transfer-Encoding", "Host",         "Connection", "Trailer",    "Content-Type",
        "Content-Range",  "Content-Encoding",  "Set-Cookie",   "Location",   "Keep-Alive", "Upgrade",
        "Cache-Control",  "WWW-Authenticate",  "Authorization"};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (slice_eq_nocase(name, slice_of(never[i])))
            return false;
    return true;
}
