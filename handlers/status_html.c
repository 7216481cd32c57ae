/*
 * handlers/status_html.c - the status as a plain page, for a look in a browser; it reloads itself.
 */
#include "handlers/status.h"

#include "base/buf.h"
#include "base/version.h"
#include "shm/shm.h"

#define U(x) (unsigned long long)(x)

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"2\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\"><title>weir status</title>\n"
    "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#123}"
    "h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}table{border-collapse:collapse;width:100%%}"
    "th,td{text-align:right;padding:.25rem .6rem;border-bottom:1px solid #dde4ea;font-variant-numeric:tabular-nums}"
    "th:first-child,td:first-child{text-align:left}th{color:#567;font-weight:600}.bad{color:#b00}</style></head><body>\n";

static bool write_worker_table(struct buf *out, const struct shm *shm)
{
    bool ok = buf_printf(
        out, "<h2>Workers</h2><table><tr><th>slot</th><th>pid</th><th>state</th><th>connections</th>"
             "<th>in flight</th><th>requests</th><th>restarts</th></tr>\n");
    for (int i = 0; ok && i < shm_slots_used(shm); i++) {
        const struct shm_slot *s = &shm->slots[i];
        if (s->state != SHM_SLOT_FREE)
            ok = buf_printf(
                out,
                "<tr><td>%d</td><td>%d</td><td>%s</td><td>%llu</td><td>%llu</td><td>%llu</td><td>%llu</td>"
                "</tr>\n",
                i, s->pid, status_worker_state(s->state), U(s->connections), U(s->in_flight), U(s->requests),
                U(s->restarts));
    }
    return ok && buf_printf(out, "</table>\n");
}

static bool write_pool_table(struct buf *out, const struct status_totals *t)
{
    bool ok = buf_printf(
        out, "<h2>Thread pools</h2><table><tr><th>pool</th><th>running</th><th>idle</th><th>stuck</th>"
             "<th>most</th><th>queued</th><th>limit</th><th>completed</th><th>failed</th>"
             "<th>refused</th><th>run elsewhere</th></tr>\n");
    for (int i = 0; ok && i < t->pool_count; i++) {
        const struct status_pool *p = &t->pools[i];
        uint64_t refused = p->expired + p->rejected[POOL_REJECT_QUEUE_FULL] + p->rejected[POOL_REJECT_CODEL];
        ok = buf_printf(
            out,
            "<tr><td>%s</td><td>%llu</td><td>%llu</td><td%s>%llu</td><td>%llu</td><td>%llu</td><td>%llu</td>"
            "<td>%llu</td><td>%llu</td><td>%llu</td><td>%llu</td></tr>\n",
            p->name, U(p->running), U(p->idle), p->stuck ? " class=\"bad\"" : "", U(p->stuck), U(p->max),
            U(p->queued), U(p->queue_limit), U(p->completed), U(p->failed), U(refused), U(p->lent));
    }
    return ok && buf_printf(out, "</table>\n");
}

static bool write_zone_table(struct buf *out, const struct status_source *source)
{
    bool ok =
        !source->site_zones ||
        buf_printf(out,
                   "<h2>Limits of concurrency</h2><table><tr><th>zone</th><th>limit</th><th>in flight</th>"
                   "<th>queued</th><th>admitted</th><th>refused</th><th>reclaimed</th></tr>\n");
    for (const struct conf_zone *c = source->site_zones; ok && c; c = c->next) {
        const struct permit_zone *z = status_zone(source, c);
        uint64_t refused = 0;
        for (int i = 0; z && i < PERMIT_REASONS; i++)
            refused += z->rejected[i];
        if (z)
            ok = buf_printf(
                out,
                "<tr><td>%s</td><td>%u</td><td>%u</td><td>%u</td><td>%llu</td><td%s>%llu</td><td>%llu</td></tr>\n",
                c->name.data, z->limit, z->held, z->queued, U(z->admitted), refused ? " class=\"bad\"" : "",
                U(refused), U(z->reclaimed));
    }
    return ok && (!source->site_zones || buf_printf(out, "</table>\n"));
}

bool status_write_html(struct buf *out, const struct status_source *source, const struct status_totals *t)
{
    const struct shm *shm = source->shm;
    bool ok = buf_printf(out, head);
    ok =
        ok &&
        buf_printf(
            out,
            "<h1>weir %s</h1><p>Up %.0f s, configuration %llu%s</p>\n<h2>Requests</h2><table><tr>"
            "<th>total</th><th>in flight</th><th>2xx</th><th>3xx</th><th>4xx</th><th>5xx</th></tr>\n"
            "<tr><td>%llu</td><td>%llu</td><td>%llu</td><td>%llu</td><td>%llu</td><td>%llu</td></tr></table>",
            WEIR_VERSION, (double)(source->now_ms - shm->start_mono_ms) / 1000, U(shm->head->generation),
            shm->head->reload.last_ok ? "" : ", <span class=\"bad\">the last reload was refused</span>",
            U(t->requests), U(t->in_flight), U(t->classes[2]), U(t->classes[3]), U(t->classes[4]),
            U(t->classes[5]));
    ok = ok &&
         buf_printf(
             out,
             "<h2>Connections</h2><table><tr><th>active</th><th>reading</th><th>writing</th><th>waiting</th>"
             "<th>accepted</th></tr>\n<tr><td>%llu</td><td>%llu</td><td>%llu</td><td>%llu</td><td>%llu</td>"
             "</tr></table>",
             U(t->connections), U(t->connection_states[SHM_CONNECTION_READING]),
             U(t->connection_states[SHM_CONNECTION_WRITING]), U(t->connection_states[SHM_CONNECTION_WAITING]),
             U(t->accepted));
    for (int i = 0; ok && i < t->old_count; i++)
        ok = buf_printf(
            out,
            "<p>%llu workers of configuration %llu still finish, for %.0f s now: %llu connections.</p>\n",
            U(t->old[i].workers), U(t->old[i].generation), (double)t->old[i].age_ms / 1000,
            U(t->old[i].connections));
    ok = ok && write_worker_table(out, shm) && write_pool_table(out, t) && write_zone_table(out, source) &&
         status_write_upstreams_html(out, source);
    return ok && buf_printf(
                     out,
                     "<p>Memory of the workers: %.1f MiB allocated, %.1f MiB resident. "
                     "<a href=\"?format=json\">JSON</a> <a href=\"?format=prometheus\">Prometheus</a></p>"
                     "</body></html>\n",
                     (double)t->memory_allocated_bytes / 1048576, (double)t->memory_resident_bytes / 1048576);
}
