/*
 * conf/settings_upstream.h - what every protocol to upstreams has: times, buffers, whom to ask next.
 */
#ifndef WEIR_CONF_SETTINGS_UPSTREAM_H
#define WEIR_CONF_SETTINGS_UPSTREAM_H

#include "conf/values.h"

/* Bits of ..._next_upstream and ..._ignore_headers, in the order of their words in the table. */
enum conf_next_upstream {
    CONF_NEXT_ERROR = 1 << 0,
    CONF_NEXT_TIMEOUT = 1 << 1,
    CONF_NEXT_INVALID_HEADER = 1 << 2,
    CONF_NEXT_HTTP_500 = 1 << 3,
    CONF_NEXT_HTTP_502 = 1 << 4,
    CONF_NEXT_HTTP_503 = 1 << 5,
    CONF_NEXT_HTTP_504 = 1 << 6,
    CONF_NEXT_HTTP_403 = 1 << 7,
    CONF_NEXT_HTTP_404 = 1 << 8,
    CONF_NEXT_HTTP_429 = 1 << 9,
    CONF_NEXT_NON_IDEMPOTENT = 1 << 10,
    CONF_NEXT_OFF = 1 << 11
};

enum conf_ignore_header {
    CONF_IGNORE_REDIRECT = 1 << 0,
    CONF_IGNORE_LIMIT_RATE = 1 << 1,
    CONF_IGNORE_BUFFERING = 1 << 2,
    CONF_IGNORE_CHARSET = 1 << 4
};

struct upstream_settings {
    int64_t connect_timeout_ms, send_timeout_ms, read_timeout_ms;
    int64_t buffer_bytes; /* for the head of an answer */
    bool buffering;
    int64_t buffers_bytes, busy_bytes;
    int64_t max_temp_bytes, temp_write_bytes;
    struct slice temp_path;
    bool request_buffering, pass_request_headers, pass_request_body;
    unsigned next;                       /* enum conf_next_upstream */
    int64_t next_tries, next_timeout_ms; /* 0: no bound */
    bool intercept_errors, socket_keepalive, ignore_client_abort;
    unsigned ignore_headers;            /* enum conf_ignore_header */
    struct conf_lines *hidden, *passed; /* headers of answers */
    const struct conf_node *limit_rate;
    struct conf_lines *bind, *cache_bypass, *no_cache;
};

#endif
