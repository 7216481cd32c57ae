/*
 * http/request/error_log.c - the context of an exchange for the error log.
 */
#include "http/request/exchange.h"

#include "base/log.h"
#include "base/logfile.h"
#include "base/slice.h"
#include "http/wire/request.h"

#include <assert.h>
#include <stdio.h>

static int find_sinks(const struct http_exchange *ex, enum log_level level, struct log_sink *sinks,
                      bool *wanted)
{
    int count = 0;
    *wanted = false;
    assert(ex->client.peer);
    for (const struct error_file *f = ex->route.error_files; f && count < LOG_SINKS_MAX; f = f->next) {
        int from = __atomic_load_n(f->level, __ATOMIC_RELAXED);
        sinks[count++] = logfile_sink(f->file, from, __atomic_load_n(f->json, __ATOMIC_RELAXED));
        *wanted |= (int)level <= from;
    }
    return count;
}

void http_log(struct http_exchange *ex, enum log_level level, const char *format, ...)
{
    char text[1024], upstream[1024];
    va_list args;
    struct log_sink sinks[LOG_SINKS_MAX];
    bool wanted;
    int count = find_sinks(ex, level, sinks, &wanted);
    if (count ? !wanted : !log_wants(level))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const struct slice *host = http_find_header(&ex->req, SLICE("Host")),
                       *referrer = http_find_header(&ex->req, SLICE("Referer"));
    struct slice addr = ex->upstream.addr;
    struct log_context about = {.connection = ex->client.connection_id,
                                .client = ex->client.peer(ex)->remote_addr,
                                .server = ex->route.server_name,
                                .request = ex->req.line.len ? ex->req.line : (struct slice){0},
                                .subrequest = ex->aside ? ex->req.path : (struct slice){0},
                                .host = host ? *host : (struct slice){0},
                                .referrer = referrer ? *referrer : (struct slice){0}};
    if (addr.len) {
        static const char *const schemes[] = {"http", "grpc", "fastcgi"};
        snprintf(upstream, sizeof upstream, "%s%s://%.*s%s%.*s", schemes[ex->upstream.kind],
                 ex->upstream.tls ? "s" : "", SLICE_ARGS(addr), slice_starts(addr, SLICE("unix:")) ? ":" : "",
                 SLICE_ARGS(ex->upstream.uri));
        about.upstream = slice_of(upstream);
    }
    log_write_about(sinks, count, level, &about, text);
}
