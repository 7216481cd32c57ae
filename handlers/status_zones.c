/*
 * handlers/status_zones.c - the status of limits of concurrency as JSON: figures, and who holds permits now.
 *
 * Read without locks: figures of one zone may be of slightly different moments.
 */
#include "handlers/status.h"

#include "base/buf.h"
#include "shm/permit.h"
#include "shm/shm.h"

#include <arpa/inet.h>

#define U(x) (unsigned long long)(x)

bool status_write_text(struct buf *out, const char *text, size_t len)
{
    bool ok = buf_append(out, "\"", 1);
    for (size_t i = 0; ok && i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            ok = buf_printf(out, "\\u%04x", c);
        else
            ok = buf_append(out, text + i, 1);
    }
    return ok && buf_append(out, "\"", 1);
}

/* A copy of what another process may be changing: true when it still was the same permit at the end. */
static bool copy_permit(const struct permit *p, unsigned zone, struct permit_about *about, uint64_t *since_us)
{
    uint32_t tag = atomic_load_explicit(&p->tag, memory_order_acquire);
    if (!permit_tag_is_held(tag) || permit_tag_zone(tag) != zone)
        return false;
    *about = p->about;
    *since_us = p->since_us;
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&p->tag, memory_order_relaxed) == tag &&
           (about->client_len == 0 || about->client_len == 4 || about->client_len == 16) &&
           about->method_len <= sizeof about->method && about->uri_len <= sizeof about->uri;
}

static bool write_request(struct buf *out, int slot, const char *zone, const struct permit_about *about,
                          uint64_t age_ms)
{
    char client[INET6_ADDRSTRLEN] = "unix:";
    if (about->client_len)
        inet_ntop(about->client_len == 4 ? AF_INET : AF_INET6, about->client, client, sizeof client);
    return buf_printf(out,
                      "{\"slot\":%d,\"runs_in\":%d,\"age_ms\":%llu,\"zone\":\"%s\",\"client\":\"%s\","
                      "\"method\":",
                      slot, about->runs_in, U(age_ms), zone, client) &&
           status_write_text(out, about->method, about->method_len) && buf_printf(out, ",\"uri\":") &&
           status_write_text(out, about->uri, about->uri_len) && buf_append(out, "}", 1);
}

static bool write_in_flight(struct buf *out, const struct status_source *source, const struct conf_zone *c)
{
    const struct permit_region *r = permit_region(source->shm);
    const char *separator = "";
    bool ok = buf_printf(out, ",\"requests\":[");
    for (int place = 0; (place = permit_next_place(source->shm, place)) >= 0; place++) {
        const struct permit_part *part = &r->parts[place];
        uint32_t used = permit_part_used(part);
        for (uint32_t i = 0; ok && i < used; i++) {
            struct permit_about about;
            uint64_t since_us;
            if (!copy_permit(&part->permits[i], (unsigned)c->index, &about, &since_us))
                continue;
            uint64_t since_ms = since_us / 1000;
            ok = buf_printf(out, "%s", separator) &&
                 write_request(out, place % SHM_SLOTS, c->name.data, &about,
                               source->now_ms > since_ms ? source->now_ms - since_ms : 0);
            separator = ",";
        }
    }
    return ok && buf_append(out, "]", 1);
}

static bool write_zone(struct buf *out, const struct permit_zone *z, const struct conf_zone *c)
{
    static const char *const policies[] = {"fixed", "codel", "gradient"};
    const char *separator = "";
    bool ok = buf_printf(
        out,
        "\"%s\":{\"policy\":\"%s\",\"limit\":%u,\"in_flight\":%u,\"queued\":%u,\"queue_limit\":%u,"
        "\"admitted\":%llu,\"reclaimed\":%llu,\"dry_run\":{\"queued\":%llu,\"rejected\":%llu},"
        "\"rejected\":{",
        c->name.data, policies[(unsigned)z->rules.policy % 3], z->limit, z->held, z->queued, z->queue_limit,
        U(z->admitted), U(z->reclaimed), U(z->dry_run_queued), U(z->dry_run_rejected));
    for (int i = 0; ok && i < PERMIT_REASONS; i++, separator = ",")
        ok = buf_printf(out, "%s\"%s\":%llu", separator, permit_reason_names[i], U(z->rejected[i]));
    return ok && buf_append(out, "}", 1);
}

bool status_write_zones(struct buf *out, const struct status_source *source, bool in_flight)
{
    const char *separator = "";
    bool ok = true;
    for (const struct conf_zone *c = source->site_zones; ok && c; c = c->next) {
        const struct permit_zone *z = status_zone(source, c);
        if (!z)
            continue;
        ok = buf_printf(out, "%s", separator) && write_zone(out, z, c) &&
             (!in_flight || write_in_flight(out, source, c)) && buf_append(out, "}", 1);
        separator = ",";
    }
    return ok;
}
