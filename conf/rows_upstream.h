/*
 * conf/rows_upstream.h - the rows of what protocols to upstreams have, for one protocol: every one, and those that buffer.
 *
 *   prefix     of the directives' names: "proxy_"
 *   holder     a struct, and
 *   part       its struct upstream_settings, which the rows fill
 *   kept_back  headers of answers that are not passed on, for people: "Date, Server"
 */
#ifndef WEIR_CONF_ROWS_UPSTREAM_H
#define WEIR_CONF_ROWS_UPSTREAM_H

#include "conf/rows.h"

// clang-format off
// NOLINTBEGIN(bugprone-macro-parentheses): a prefix is a part of a text, a part of a struct stands behind a dot
#define UPSTREAM_ROWS_OF_ALL(prefix, holder, part, kept_back) \
    {.name = prefix "connect_timeout", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = CONF_FIELD(holder, part.connect_timeout_ms), .default_text = "60s", .live = CONF_LIVE, \
     .help = "For a connection to an upstream to be made."}, \
    {.name = prefix "send_timeout", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = CONF_FIELD(holder, part.send_timeout_ms), .default_text = "60s", .live = CONF_LIVE, \
     .help = "Between two writes to an upstream."}, \
    {.name = prefix "read_timeout", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = CONF_FIELD(holder, part.read_timeout_ms), .default_text = "60s", .live = CONF_LIVE, \
     .help = "Between two reads from an upstream."}, \
    {.name = prefix "buffer_size", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_SIZE, .field = CONF_FIELD(holder, part.buffer_bytes), .range = {0, 1 << 24}, .default_text = "8k", .live = CONF_LIVE, \
     .help = "The most that the head of an upstream's answer may take."}, \
    {.name = prefix "next_upstream", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_CHOICES, .field = CONF_FIELD(holder, part.next), .default_text = "error timeout", .live = CONF_LIVE, \
     .words = WORDS("error", "timeout", "invalid_header", "http_500", "http_502", "http_503", "http_504", "http_403", "http_404", "http_429", "non_idempotent", "off", "updating"), \
     .help = "When the next server is asked. POST, PATCH and LOCK are not sent twice without non_idempotent; updating is accepted."}, \
    {.name = prefix "next_upstream_tries", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_NUMBER, .field = CONF_FIELD(holder, part.next_tries), .default_text = "0", .live = CONF_LIVE, \
     .help = "The most servers that are asked for a request; 0: all."}, \
    {.name = prefix "next_upstream_timeout", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = CONF_FIELD(holder, part.next_timeout_ms), .default_text = "0", .live = CONF_LIVE, \
     .help = "How long other servers may be tried; 0: no bound."}, \
    {.name = prefix "intercept_errors", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = CONF_FIELD(holder, part.intercept_errors), .default_text = "off", .live = CONF_LIVE, \
     .help = "Whether error_page applies to upstreams' answers from 300 on."}, \
    {.name = prefix "ignore_headers", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_CHOICES, .field = CONF_FIELD(holder, part.ignore_headers), .live = CONF_LIVE, \
     .words = WORDS("X-Accel-Redirect", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Expires", "X-Accel-Charset", "Expires", "Cache-Control", "Set-Cookie", "Vary"), \
     .help = "Headers of upstreams' answers that are not obeyed; those that only a cache would obey are accepted."}, \
    {.name = prefix "hide_header", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_LINES, .field = CONF_FIELD(holder, part.hidden), \
     .syntax = "NAME", \
     .help = "A header of upstreams' answers that is not passed on; " kept_back " and X-Accel-Redirect, -Limit-Rate, -Buffering, -Expires and -Charset never are unless " prefix "pass_header names them. Inherited where a level has none."}, \
    {.name = prefix "pass_header", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_LINES, .field = CONF_FIELD(holder, part.passed), \
     .syntax = "NAME", \
     .help = "A header of upstreams' answers that is passed on though it is hidden, by default or by " prefix "hide_header. Inherited where a level has none."}, \
    {.name = prefix "bind", .where = CONF_HTTP_ALL, .args = {1, 2}, .type = CONF_LINES, .field = CONF_FIELD(holder, part.bind), \
     .syntax = "ADDRESS [transparent] | off", \
     .help = "The local address of connections to upstreams; may contain variables."}, \
    {.name = prefix "socket_keepalive", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = CONF_FIELD(holder, part.socket_keepalive), .default_text = "off", .live = CONF_LIVE, \
     .help = "SO_KEEPALIVE on connections to upstreams."}

/* Of those whose bodies wait here for whoever takes them. */
#define UPSTREAM_ROWS_OF_BUFFERING(prefix, holder, part) \
    {.name = prefix "buffering", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = CONF_FIELD(holder, part.buffering), .default_text = "on", .live = CONF_LIVE, \
     .help = "Whether an upstream is read faster than the client takes the answer: into " prefix "buffers, then into a temporary file. What has come is sent at once either way."}, \
    {.name = prefix "buffers", .where = CONF_HTTP_ALL, .args = {2, 2}, .type = CONF_BUFFERS, .field = CONF_FIELD(holder, part.buffers_bytes), .range = {1, 1 << 30}, .default_text = "8 8k", .live = CONF_LIVE, \
     .help = "The memory for an answer that the client has not taken yet: NUMBER times SIZE, and 16k at least."}, \
    {.name = prefix "busy_buffers_size", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_SIZE, .field = CONF_FIELD(holder, part.busy_bytes), .default_text = "16k", .live = CONF_LIVE, \
     .help = "Accepted: " prefix "buffers is the bound."}, \
    {.name = prefix "max_temp_file_size", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_SIZE, .field = CONF_FIELD(holder, part.max_temp_bytes), .default_text = "1024m", .live = CONF_LIVE, \
     .help = "The most of an answer that waits in a temporary file; 0: none does."}, \
    {.name = prefix "temp_file_write_size", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_SIZE, .field = CONF_FIELD(holder, part.temp_write_bytes), .default_text = "16k", .live = CONF_LIVE, \
     .help = "Accepted: what has come is written at once."}, \
    {.name = prefix "temp_path", .where = CONF_HTTP_ALL, .args = {1, 4}, .type = CONF_PATH, .field = CONF_FIELD(holder, part.temp_path), .default_text = prefix "temp", \
     .help = "The folder of those files; level arguments are accepted and not needed, as the files have no names."}, \
    {.name = prefix "request_buffering", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = CONF_FIELD(holder, part.request_buffering), .default_text = "on", .live = CONF_LIVE, \
     .help = "Whether a request's body is read whole before the upstream is asked. With off no other server is tried once a part of it is sent."}, \
    {.name = prefix "pass_request_headers", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = CONF_FIELD(holder, part.pass_request_headers), .default_text = "on", .live = CONF_LIVE, \
     .help = "Whether the client's headers go to the upstream."}, \
    {.name = prefix "pass_request_body", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = CONF_FIELD(holder, part.pass_request_body), .default_text = "on", .live = CONF_LIVE, \
     .help = "Whether the client's body goes to the upstream."}, \
    {.name = prefix "limit_rate", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = CONF_FIELD(holder, part.limit_rate), \
     .syntax = "SIZE", \
     .help = "Bytes a second that are read of one answer; 0: no bound, as by default; may be a variable."}, \
    {.name = prefix "ignore_client_abort", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = CONF_FIELD(holder, part.ignore_client_abort), .default_text = "off", .live = CONF_LIVE, \
     .help = "Whether a request goes on at its upstream when the client has gone."}, \
    {.name = prefix "cache_bypass", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = CONF_FIELD(holder, part.cache_bypass), \
     .syntax = "TEXT ...", \
     .help = "Accepted: there is no cache of answers that could be passed by. Variables in it have to exist."}, \
    {.name = prefix "no_cache", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = CONF_FIELD(holder, part.no_cache), \
     .syntax = "TEXT ...", \
     .help = "Accepted: there is no cache of answers: nothing is kept in any case. Variables in it have to exist."}

#define UPSTREAM_ROWS(prefix, holder, part, kept_back) \
    UPSTREAM_ROWS_OF_ALL(prefix, holder, part, kept_back), UPSTREAM_ROWS_OF_BUFFERING(prefix, holder, part)
// NOLINTEND(bugprone-macro-parentheses): as above
// clang-format on

#endif
