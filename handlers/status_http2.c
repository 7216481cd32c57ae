/*
 * handlers/status_http2.c - HTTP/2 in the status: connections, streams, and why connections have ended.
 */
#include "handlers/status.h"

#include "base/buf.h"

const char *const status_http2_closes[SHM_HTTP2_CLOSES] = {"client",  "idle",     "aged",  "draining",
                                                           "timeout", "protocol", "flood", "memory"};

bool status_write_http2(struct buf *out, const struct status_totals *totals)
{
    bool ok =
        buf_printf(out, "\"connections\":%llu,\"streams\":%llu,\"closed\":{",
                   (unsigned long long)totals->http2_connections, (unsigned long long)totals->http2_streams);
    for (int i = 0; ok && i < SHM_HTTP2_CLOSES; i++)
        ok = buf_printf(out, "%s\"%s\":%llu", i ? "," : "", status_http2_closes[i],
                        (unsigned long long)totals->http2_closed[i]);
    return ok && buf_printf(out, "}");
}
