/*
 * http/exchange.c - the context of an exchange for the error log.
 */
#include "http/exchange.h"

#include <stdio.h>

static int find_sinks(const struct http_exchange *ex, enum log_level level, struct log_sink *sinks,
                      bool *wanted)
{
    int count = 0;
    *wanted = false;
    for (const struct error_file *f = ex->error_files; f && count < LOG_SINKS_MAX; f = f->next) {
        sinks[count++] = (struct log_sink){f->file->fd, (enum log_level) * f->level};
        *wanted |= (int)level <= *f->level;
    }
    return count;
}

void http_log(struct http_exchange *ex, enum log_level level, const char *format, ...)
{
    char text[1024], line[LOG_LINE_BYTES];
    va_list args;
    struct log_sink sinks[LOG_SINKS_MAX];
    bool wanted;
    int count = find_sinks(ex, level, sinks, &wanted);
    if (count ? !wanted : !log_wants(level))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const struct slice *host = http_find_header(&ex->req, SLICE("Host"));
    struct slice addr = ex->upstream_addr, uri = ex->upstream_uri;
    const char *colon = slice_starts(addr, SLICE("unix:")) ? ":" : "";
    snprintf(line, sizeof line,
             "*%llu %s, client: %.*s, server: %.*s, request: \"%.*s\"%s%.*s%s%.*s%s%s%.*s%s",
             (unsigned long long)ex->connection_id, text, SLICE_ARGS(ex->peer(ex)->remote_addr),
             SLICE_ARGS(ex->server_name), SLICE_ARGS(ex->req.line), addr.len ? ", upstream: \"http://" : "",
             SLICE_ARGS(addr), addr.len ? colon : "", SLICE_ARGS(uri), addr.len ? "\"" : "",
             host ? ", host: \"" : "", host ? (int)host->len : 0, host ? host->data : "", host ? "\"" : "");
    if (count)
        log_write_to(sinks, count, level, "%s", line);
    else
        log_write(level, "%s", line);
}
