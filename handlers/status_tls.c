/*
 * handlers/status_tls.c - TLS in the status: how handshakes end, and until when certificates are valid.
 */
#include "handlers/status.h"

#include "base/buf.h"

#include <string.h>

const char *const status_handshakes[SHM_HANDSHAKES] = {"full",    "resumed", "failed",  "refused",
                                                       "expired", "shed",    "timeout", "left"};

static bool write_certificate(struct buf *out, const struct certificate_owner *o, int pair, bool is_first)
{
    const char *file = status_certificate_file(o, pair);
    return buf_printf(out, "%s{\"server\":", is_first ? "" : ",") &&
           status_write_text(out, o->server.data, o->server.len) && buf_printf(out, ",\"file\":") &&
           status_write_text(out, file, strlen(file)) &&
           buf_printf(out, ",\"expires\":%lld}", (long long)net_tls_context_expiry(o->context, pair));
}

const char *status_certificate_file(const struct certificate_owner *o, int pair)
{
    return net_tls_shown(o->rules->pairs[pair].certificate);
}

bool status_write_tls(struct buf *out, const struct status_source *source, const struct status_totals *totals)
{
    bool ok = buf_printf(out, "\"handshakes\":{"), is_first = true;
    for (int i = 0; ok && i < SHM_HANDSHAKES; i++)
        ok = buf_printf(out, "%s\"%s\":%llu", i ? "," : "", status_handshakes[i],
                        (unsigned long long)totals->handshakes[i]);
    ok = ok && buf_printf(out, "},\"certificates\":[");
    for (const struct certificate_owner *o = source->certificates; ok && o; o = o->next)
        for (int i = 0; ok && i < o->rules->pair_count; i++, is_first = false)
            ok = write_certificate(out, o, i, is_first);
    return ok && buf_printf(out, "]");
}
