/*
 * http/wire/answer.h - an upstream's response head, parsed into slices of the caller's bytes.
 *
 * Strict where two readers could understand two things (RFC 9112 section 6.3): such an answer is no answer. Lines may end
 * with a bare LF (section 2.2), as some applications write them.
 * Ownership: slices point into the bytes given.
 * Threads:   plain functions over the caller's memory.
 */
#ifndef WEIR_HTTP_WIRE_ANSWER_H
#define WEIR_HTTP_WIRE_ANSWER_H

#include "http/wire/request.h"

enum { HTTP_ANSWER_HEADERS_MAX = 128 };

enum http_answer_framing {
    HTTP_ANSWER_EMPTY, /* to HEAD, and 1xx, 204, 304 */
    HTTP_ANSWER_LENGTH,
    HTTP_ANSWER_CHUNKED,
    HTTP_ANSWER_UNTIL_CLOSE
};

struct http_answer {
    int status; /* 100 to 599 */
    int minor_version;
    struct slice reason;
    /* The connection may be used again once the body has been read. */
    bool keepalive;
    /* "Keep-Alive: timeout=N": for as long as the upstream keeps it while it is idle; -1: the upstream has not said. */
    int64_t idle_s;
    enum http_answer_framing framing;
    /* The length as announced, also without a body; with has_length. */
    uint64_t content_length;
    bool has_length;
    struct http_header headers[HTTP_ANSWER_HEADERS_MAX];
    int header_count;
};

enum http_answer_result { HTTP_ANSWER_MORE, HTTP_ANSWER_DONE, HTTP_ANSWER_BAD };

/*
 * Reads a head from data[0..len). to_head: the request was HEAD. DONE sets *head_len; BAD sets *why to a sentence for the
 * error log. A head that is not complete is looked at again from its beginning.
 */
enum http_answer_result http_parse_answer(struct http_answer *a, const char *data, size_t len, bool to_head,
                                          size_t *head_len, const char **why);

/* The value of the first header of that name; data NULL without one. */
struct slice http_answer_header(const struct http_answer *a, struct slice name);

/* Whether a field may stand in a trailer section: none that decides on framing, routing or authentication (RFC 9110 section 6.5.1). */
bool http_may_be_trailer(struct slice name);

#endif
