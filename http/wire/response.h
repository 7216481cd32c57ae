/*
 * http/wire/response.h - an answer as data: status, headers, and a body of pieces in memory or in files.
 *
 * Ownership: header texts and pieces in memory belong to the exchange's arena unless they outlive it anyway.
 * Threads:   whoever owns the exchange.
 */
#ifndef WEIR_HTTP_WIRE_RESPONSE_H
#define WEIR_HTTP_WIRE_RESPONSE_H

#include "base/arena.h"
#include "base/buf.h"
#include "http/wire/request.h"

#include <sys/types.h>
#include <time.h>

/* A part of a body: bytes in memory (fd -1), or a stretch of a file. */
struct http_piece {
    struct http_piece *next;
    const char *data;
    off_t offset; /* in the file */
    uint64_t len; /* bytes left to send */
    int fd;
    /* Directio: what has been sent is dropped from the page cache. */
    bool leaves_cache;
};

/* Fields of a response's own that may have a place among the others: an upstream's, or a line's of the configuration. */
enum http_own_field {
    HTTP_OWN_NONE,
    HTTP_OWN_LOCATION = 1 << 0,
    HTTP_OWN_ETAG = 1 << 1,
    HTTP_OWN_LAST_MODIFIED = 1 << 2
};

struct http_response_header {
    struct http_header header;
    /* An http_own_field: its value counts in place of the header's. */
    unsigned own;
    struct http_response_header *next;
};

enum { HTTP_LENGTH_UNKNOWN = -1, HTTP_REASON_MAX = 128 };

struct http_response {
    int status; /* 0 until somebody answers */
    /* An upstream's own phrase, at most HTTP_REASON_MAX bytes; empty: the standard one. */
    struct slice reason;
    struct slice content_type;
    struct slice location;
    /* Location is absolute, by us: it stands before Connection, as in nginx. */
    bool location_is_made;
    /* http_own_field: which of them have a place among the headers. */
    unsigned placed;
    struct slice etag;
    struct slice last_modified; /* an IMF-fixdate; data NULL: none */
    struct http_response_header *headers, *last_header;
    struct http_response_header *trailers; /* as sent, for variables */
    struct http_piece *body, *last_piece;
    /* HTTP_LENGTH_UNKNOWN: chunked, or until the connection closes. */
    int64_t content_length;
    /* The body is one piece, or empty, of which ranges may be cut. */
    bool accept_ranges;
    /* What the configuration adds is among the headers. */
    bool headers_added;
    bool varies_encoding;              /* Vary: Accept-Encoding */
    bool without_server, without_date; /* the headers hold others */
    /* content_type is not to be guessed from a file's name. */
    bool keeps_type;
    bool close;   /* this answer is the connection's last */
    bool chunked; /* decided when the head is written */
    bool no_body; /* HEAD, 204, 304: the body is not sent */
    /* An error as gRPC has it: the status is for logs and counters, the client gets 200. */
    bool as_grpc;
    unsigned retry_after_s; /* 0: no Retry-After */
};

void http_response_init(struct http_response *res);

/* Appends a header; name and value must live as long as the exchange. False when memory is out. */
bool http_add_header(struct http_response *res, struct arena *arena, struct slice name, struct slice value);

/* Gives a field of the response's own the place behind the headers so far, under that name. False when memory is out. */
bool http_place_own(struct http_response *res, struct arena *arena, enum http_own_field own,
                    struct slice name);

/* Sets the first header of that name and takes the others away; without one it is appended. False when memory is out. */
bool http_set_header(struct http_response *res, struct arena *arena, struct slice name, struct slice value);

/* Takes every header of that name away. */
void http_drop_header(struct http_response *res, struct slice name);

/* Remembers a trailer that has been sent. False when memory is out. */
bool http_add_trailer(struct http_response *res, struct arena *arena, struct slice name, struct slice value);

/* The value of the first header of that name that was added; data NULL without one. */
struct slice http_added_header(const struct http_response *res, struct slice name);

/* Appends a piece of memory or file, and adds it to content_length. False when memory is out. */
bool http_add_memory(struct http_response *res, struct arena *arena, const void *data, size_t len);
bool http_add_file(struct http_response *res, struct arena *arena, int fd, off_t offset, uint64_t len);

/* Forgets body and headers, for an error page in their place. */
void http_response_reset(struct http_response *res);

/* The standard phrase, or "Unknown". */
const char *http_reason(int status);

/* What is the same for all answers of one moment, rendered once and appended as it is. */
struct http_stamp {
    char text[96]; /* "Server: ...\r\nDate: ...\r\n" */
    size_t len;
    time_t second;
};

/* Renders the stamp for this second unless it is up to date. server is "weir" or "weir/VERSION". */
void http_stamp_update(struct http_stamp *stamp, const char *server, time_t now);

struct http_head_options {
    const struct http_stamp *stamp;
    int64_t keepalive_header_s; /* 0: no Keep-Alive header */
    /* The end of the connection ends a body of unknown length. */
    bool without_chunks;
};

/*
 * Appends the head to out and settles framing: chunked for an unknown length to HTTP/1.1, closing for one to
 * HTTP/1.0. res->close is final before the call.
 */
bool http_write_head(struct http_response *res, const struct http_request *req,
                     const struct http_head_options *options, struct buf *out);

/* Whether a body goes out: sets no_body, and takes a type away that would be of nothing. */
void http_settle_body(struct http_response *res, const struct http_request *req);

/* Whether the response says how long its body is (RFC 9110 section 8.6). */
bool http_says_length(const struct http_response *res);

/* What a stamp has of both, for versions whose heads are no lines. */
void http_stamp_values(const struct http_stamp *stamp, struct slice *server, struct slice *date);

/* The body of the built-in error page; empty for codes that have none. Lives for ever. */
struct slice http_error_page(int status, bool with_version);

/* A redirect status that takes a Location. */
bool http_is_redirect(int status);

#endif
