/*
 * conf/settings_logs.h - logs: of errors and of requests, and what goes there.
 */
#ifndef WEIR_CONF_SETTINGS_LOGS_H
#define WEIR_CONF_SETTINGS_LOGS_H

#include "conf/values.h"

struct conf_error_log {
    /* "stderr", "syslog:...", "memory:BYTES", or a file. */
    struct slice path;
    int level; /* enum log_level */
    bool json;
    const struct conf_node *node;
    struct conf_error_log *next;
};

enum conf_escape { CONF_ESCAPE_DEFAULT, CONF_ESCAPE_JSON, CONF_ESCAPE_NONE };

struct conf_log_format {
    struct slice name;
    struct slice text;
    enum conf_escape escape;
    const struct conf_node *node;
    struct conf_log_format *next;
};

/* One access_log statement; a list with path.data == NULL is "off". */
struct conf_access_log {
    struct slice path;
    struct slice format_name;
    /* A text with variables; data NULL: every request. */
    struct slice condition;
    int64_t buffer_bytes, flush_ms;
    int64_t gzip; /* level; 0: none */
    const struct conf_node *node;
    struct conf_access_log *next;
};

/* open_log_file_cache */
struct conf_open_logs {
    int64_t max; /* 0: none is kept open */
    int64_t inactive_ms, valid_ms;
    /* Accepted: a file is kept from its first line on. */
    int64_t min_uses;
};

struct log_settings {
    /* Of this level and below; NULL: those of the main level. */
    struct conf_error_log *errors;
    const struct conf_access_log *access;
    struct conf_open_logs open;
    bool not_found, subrequest;
};

#endif
