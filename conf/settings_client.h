/*
 * conf/settings_client.h - settings of clients' connections and of what they send.
 */
#ifndef WEIR_CONF_SETTINGS_CLIENT_H
#define WEIR_CONF_SETTINGS_CLIENT_H

#include "conf/values.h"

enum conf_body_file { CONF_BODY_FILE_OFF, CONF_BODY_FILE_ON, CONF_BODY_FILE_CLEAN };

enum conf_lingering { CONF_LINGERING_OFF, CONF_LINGERING_ON, CONF_LINGERING_ALWAYS };

/* Bits of keepalive_disable. */
enum conf_keepalive_disable {
    CONF_KEEPALIVE_NONE = 1 << 0,
    CONF_KEEPALIVE_MSIE6 = 1 << 1,
    CONF_KEEPALIVE_SAFARI = 1 << 2
};

/* keepalive_timeout */
struct conf_keepalive {
    int64_t timeout_ms;
    int64_t header_s; /* 0: no Keep-Alive header */
};

/* client_body_min_rate */
struct conf_min_rate {
    int64_t bytes_per_s; /* 0: any */
    int64_t after_ms;    /* from when on */
};

/* large_client_header_buffers */
struct conf_header_buffers {
    int64_t count, bytes; /* bytes of each */
};

struct client_settings {
    struct conf_keepalive keepalive;
    int64_t keepalive_requests;
    int64_t keepalive_time_ms, keepalive_min_timeout_ms;
    unsigned keepalive_disable; /* enum conf_keepalive_disable */
    int64_t header_timeout_ms, body_timeout_ms, send_timeout_ms;
    int64_t header_buffer_bytes;
    struct conf_header_buffers large_header;
    int max_headers;
    bool ignore_invalid_headers, underscores_in_headers, merge_slashes;
    int64_t max_body_bytes; /* 0: no limit */
    int64_t body_buffer_bytes;
    enum conf_body_file body_in_file_only;
    struct slice body_temp_path;
    struct conf_min_rate body_min_rate;
    enum conf_lingering lingering_close;
    int64_t lingering_time_ms, lingering_timeout_ms;
    bool reset_timedout, tcp_nodelay, tcp_nopush;
};

/* The default server's, or that of the name that a handshake has asked for; http2_chunk_size the location's. */
struct http2_settings {
    bool on;
    int64_t max_streams; /* at a time; 0: auto */
    int64_t preread_bytes, chunk_bytes;
};

#endif
