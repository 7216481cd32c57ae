/*
 * http/wire/response_head.h - an upstream's response head, parsed into slices of the caller's bytes.
 *
 * Strict where two readers could understand two things (RFC 9112 section 6.3): such a response is none. Lines may end
 * with a bare LF (section 2.2), as some applications write them.
 * Ownership: slices point into the bytes given.
 * Threads:   plain functions over the caller's memory.
 */
#ifndef WEIR_HTTP_WIRE_RESPONSE_HEAD_H
#define WEIR_HTTP_WIRE_RESPONSE_HEAD_H

#include "http/wire/request.h"

enum { HTTP_RESPONSE_HEADERS_MAX = 128 };

enum http_response_framing {
    HTTP_RESPONSE_EMPTY, /* to HEAD, and 1xx, 204, 304 */
    HTTP_RESPONSE_LENGTH,
    HTTP_RESPONSE_CHUNKED,
    HTTP_RESPONSE_UNTIL_CLOSE
};

struct http_response_head {
    int status; /* 100 to 599 */
    int minor_version;
    struct slice reason;
    /* The connection may be used again once the body has been read. */
    bool keepalive;
    /* "Keep-Alive: timeout=N": for as long as the upstream keeps it while it is idle; -1: the upstream has not said. */
    int64_t idle_s;
    enum http_response_framing framing;
    /* The length as announced, also without a body; with has_length. */
    uint64_t content_length;
    bool has_length;
    struct http_header headers[HTTP_RESPONSE_HEADERS_MAX];
    int header_count;
};

enum http_response_head_result { HTTP_RESPONSE_HEAD_MORE, HTTP_RESPONSE_HEAD_DONE, HTTP_RESPONSE_HEAD_BAD };

/*
 * Reads a head from data[0..len). to_head: the request was HEAD. DONE sets *head_len; BAD sets *why to a sentence for the
 * error log. A head that is not complete is looked at again from its beginning.
 */
enum http_response_head_result http_parse_response_head(struct http_response_head *a, const char *data,
                                                        size_t len, bool to_head, size_t *head_len,
                                                        const char **why);

/*
 * A CGI script's instead (RFC 3875 section 6): no status line, but a Status field; without one a Location makes 302 of it, else it is 200.
 * What it says of its connection and of chunks means nothing.
 */
enum http_response_head_result http_parse_cgi_head(struct http_response_head *a, const char *data, size_t len,
                                                   bool to_head, size_t *head_len, const char **why);

/* The value of the first header of that name; data NULL without one. */
struct slice http_response_head_field(const struct http_response_head *a, struct slice name);

/* Whether a field may stand in a trailer section: none that decides on framing, routing or authentication (RFC 9110 section 6.5.1). */
bool http_may_be_trailer(struct slice name);

#endif
