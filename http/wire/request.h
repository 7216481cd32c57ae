/*
 * http/wire/request.h - one HTTP/1 request's head, parsed into slices of the caller's bytes.
 *
 * The parser does no I/O. It is strict: whatever two readers could understand in two ways is an
 * error (RFC 9112 sections 2.2, 5.1, 6.3 and 11.2), and every error closes the connection.
 * Ownership: slices point into the head that was given to http_parse_head; decoded paths and the list of headers lie in
 *            the arena that was.
 * Threads:   plain functions over the caller's memory.
 */
#ifndef WEIR_HTTP_WIRE_REQUEST_H
#define WEIR_HTTP_WIRE_REQUEST_H

#include "base/arena.h"

#include <stdint.h>

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_PATCH,
    HTTP_CONNECT,
    HTTP_TRACE,
    HTTP_OTHER,
};

struct http_header {
    struct slice name;  /* never empty, a token */
    struct slice value; /* no blanks at either end */
};

enum http_framing { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED };

struct http_request {
    struct slice line; /* the whole request line, without CRLF */
    /* The line's version as it stands there; data NULL when it has not been read. */
    struct slice protocol;
    struct slice method_name;
    enum http_method method;
    struct slice target; /* as received */
    /* Path and query as received, without scheme and host of an absolute target. */
    struct slice uri;
    /* Decoded and normalised, starts with "/" (or is "*"). */
    struct slice path;
    struct slice args; /* behind the "?", data NULL without one */
    /* The port that the client asked for; empty without one. */
    struct slice port;
    /* Lower case not applied; without port; empty for HTTP/1.0 without Host. */
    struct slice host;
    int minor_version; /* 0 or 1 */
    bool keepalive;    /* what version and Connection ask for */
    bool expect_continue;
    enum http_framing framing;
    uint64_t content_length; /* with HTTP_BODY_LENGTH */
    struct http_header *headers;
    int header_count, header_room;
    int ignored_headers;         /* left out for their names */
    struct slice ignored_header; /* the name of one of them */
};

/* What an operator chooses of the parser, by nginx's directives of these names. */
struct http_parse_options {
    bool merge_slashes;
    bool underscores_in_headers; /* else such a name is invalid */
    /* Headers whose names have other characters than letters, digits and "-" are dropped; else they count. */
    bool ignore_invalid_headers;
    int max_headers;
    /* It has come by HTTP/2, and been put into this form (RFC 9113 section 8.3.1): its line ends with HTTP/2.0. */
    bool http2;
};

/* nginx's defaults. */
extern const struct http_parse_options http_parse_defaults;

/* Status and sentence of a refusal; the sentence is for the error log. */
struct http_error {
    /* 400, 405, 414, 494, 500, 501, 505; 494 is nginx's for a head that is too large, and shown as 400. */
    int status;
    const char *text;
    bool in_headers; /* else in the request line */
};

/* Bounds of a head; nginx's large_client_header_buffers. */
struct http_head_limits {
    size_t line_bytes; /* of one line */
    size_t head_bytes; /* of all */
};

/* How far a growing head has been looked at; zero it before a request's first byte. */
struct http_scan {
    /* Bytes without a line end of interest before this. */
    size_t seen;
    size_t line_start; /* of the line being read */
    /* The request line was complete and well-formed. */
    bool line_checked;
};

enum http_scan_result { HTTP_SCAN_MORE, HTTP_SCAN_DONE, HTTP_SCAN_ERROR };

/*
 * Looks for the end of a head in data[0..len). DONE sets *head_len to its length with the empty line. Each byte is
 * looked at once over all calls. A request line that cannot become valid is an error as soon as that is known, and so
 * is a head beyond the limits.
 */
enum http_scan_result http_scan_head(struct http_scan *scan, const struct http_head_limits *limits,
                                     const char *data, size_t len, size_t *head_len,
                                     struct http_error *error);

/*
 * Parses a complete head of head_len bytes, its empty line included. What needs memory takes it from the arena; 500 when
 * there is none.
 */
bool http_parse_head(struct http_request *req, struct arena *arena, const char *head, size_t head_len,
                     const struct http_parse_options *options, struct http_error *error);

/* The first header of that name, or NULL. */
const struct slice *http_find_header(const struct http_request *req, struct slice name);

/* The value of an argument of the query string, as written; data NULL when absent. */
struct slice http_find_arg(struct slice args, struct slice name);

/* field-name ":" OWS field-value OWS (RFC 9112 section 5), without its line end. */
bool http_parse_field(struct http_header *h, const char *line, const char *end);

/* Whether a text may be a field's value: no control character but a tab. */
bool http_is_field_value(struct slice s);

/* The same, where lines that go on behind a tab may be put on one, with spaces in their place (RFC 9112 section 5.2). */
bool http_make_field_value(struct arena *arena, struct slice *value);

/* tchar of RFC 9110 section 5.6.2. */
bool http_is_token(struct slice s);

#endif
