/*
 * conf/settings_answers.h - settings of answers of every kind: redirects, error pages, rates.
 */
#ifndef WEIR_CONF_SETTINGS_ANSWERS_H
#define WEIR_CONF_SETTINGS_ANSWERS_H

#include "conf/values.h"

struct conf_error_page {
    const int *codes;
    int code_count;
    /* -1: keep, 0: the answer's own ("="), else the code ("=200"). */
    int new_code;
    struct slice uri;
    const struct conf_node *node;
    struct conf_error_page *next;
};

enum conf_server_tokens { CONF_TOKENS_OFF, CONF_TOKENS_ON, CONF_TOKENS_BUILD };

struct answer_settings {
    const struct conf_error_page *error_pages; /* the last statement first */
    bool recursive_error_pages;
    bool absolute_redirect, port_in_redirect, server_name_in_redirect;
    bool chunked;
    enum conf_server_tokens server_tokens;
    const struct conf_node *limit_rate, *limit_rate_after;
    struct conf_lines *early_hints;
    int64_t handler_timeout_ms;
};

#endif
