/*
 * proxy/protocol.h - a protocol to upstreams as a table: writing a request, reading a response's head and its body.
 *
 * A protocol knows neither sockets nor clients: it makes bytes of a request, and a head and a body of bytes. Who sends and
 * reads them, which server that is, and what becomes of its connection is not its concern.
 * Ownership: what a request says is the exchange's arena's; a body's trailers are freed by whoever has the body.
 * Threads:   the loop's.
 */
#ifndef WEIR_PROXY_PROTOCOL_H
#define WEIR_PROXY_PROTOCOL_H

#include "base/buf.h"
#include "base/slice.h"
#include "http/wire/chunked.h"
#include "http/wire/fastcgi.h"
#include "http/wire/response_head.h"

struct http_exchange;
struct location_proxy;
struct proxy_settings;

/* What a request to an upstream is made of, besides the client's. */
struct upstream_target {
    const struct location_proxy *to;
    const struct proxy_settings *how;
    struct slice host; /* $proxy_host */
    /* What replaces the location's part; data NULL: nothing. */
    struct slice uri;
    bool streams; /* the body is sent on while it comes */
    /* Of a gRPC call that has a deadline: the time that its server has; 0: it has none. */
    int64_t left_ms;
};

/* What a request that has been written says. */
struct upstream_request {
    struct slice uri;  /* as its first line has it */
    bool head_only;    /* HEAD: the response has no body */
    bool chunked;      /* its body goes in chunks */
    bool asks_upgrade; /* for another protocol */
    bool is_last;      /* the connection is not to be used again */
};

/* Where a response's body stands. */
struct upstream_body {
    uint64_t seen;       /* bytes, decoded */
    uint64_t left;       /* of one with a length */
    struct buf trailers; /* lines behind it, as HTTP/1 has them */
    struct http_chunked chunked;
    enum http_response_framing framing;
    bool is_whole;
    /* With is_whole: the connection is as good as new. */
    bool may_keep;
};

struct upstream_protocol {
    const char *name;

    /* A kept connection has a process of the application to itself, which serves no other meanwhile. */
    bool binds_process;

    /* Appends the head to out, and the body where that is in memory; with unframe one in a file goes by write_body. 0, or a status for the client, with *written as it may be. */
    int (*write_request)(struct http_exchange *ex, const struct upstream_target *target, struct buf *out,
                         struct upstream_request *written);

    /* Appends the next part of a body that is sent on while it comes. is_last: and its end. False: out of memory. */
    bool (*write_body)(const struct upstream_request *written, struct slice part, bool is_last,
                       struct buf *out);

    /*
     * Takes what has come out of its records, in place: the first *left bytes are what the following is about. NULL: it is that already.
     * False: these are no records, with a sentence in *why.
     */
    bool (*unframe)(struct fastcgi_reader *frames, char *data, size_t len, size_t *left, const char **why);

    /* With unframe, after each decode: makes the body whole where the records have ended, and may spoil the connection. */
    void (*on_end)(const struct upstream_request *written, const struct fastcgi_reader *frames,
                   struct upstream_body *body);

    /*
     * Looks for a head in data[0..len), which is not empty, from its beginning each time. DONE sets *head_len; BAD sets *why to a
     * sentence for the error log.
     */
    enum http_response_head_result (*read_head)(const struct upstream_request *written,
                                                struct http_response_head *head, const char *data, size_t len,
                                                size_t *head_len, const char **why);

    /* The head has been read: the body is behind it, and may be whole at once. */
    void (*begin_body)(struct upstream_body *body, const struct http_response_head *head);

    /*
     * Decodes what has come, in place: its first *body_len bytes are body then. What comes behind the end is no body, and spoils the
     * connection. False: it is no body, with a sentence in *why.
     */
    bool (*decode)(struct upstream_body *body, char *data, size_t len, size_t *body_len, const char **why);

    /* The connection has been closed in the midst of the body: makes it whole where that is how it ends. */
    void (*on_close)(struct upstream_body *body);
};

extern const struct upstream_protocol upstream_http1, upstream_fastcgi;

#endif
