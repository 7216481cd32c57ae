/*
 * http/exchange.c - the context of an exchange for the error log.
 */
#include "http/exchange.h"

#include <stdio.h>

void http_log(struct http_exchange *ex, enum log_level level, const char *format, ...)
{
    char text[1024];
    va_list args;
    if (!log_wants(level))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const struct slice *host = http_find_header(&ex->req, SLICE("Host"));
    struct slice addr = ex->upstream_addr, uri = ex->upstream_uri;
    const char *colon = slice_starts(addr, SLICE("unix:")) ? ":" : "";
    log_write(level, "*%llu %s, client: %.*s, server: %.*s, request: \"%.*s\"%s%.*s%s%.*s%s%s%.*s%s",
              (unsigned long long)ex->connection_id, text, SLICE_ARGS(ex->peer(ex)->remote_addr),
              SLICE_ARGS(ex->server_name), SLICE_ARGS(ex->req.line), addr.len ? ", upstream: \"http://" : "",
              SLICE_ARGS(addr), addr.len ? colon : "", SLICE_ARGS(uri), addr.len ? "\"" : "",
              host ? ", host: \"" : "", host ? (int)host->len : 0, host ? host->data : "", host ? "\"" : "");
}
