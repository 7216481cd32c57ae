/*
 * handlers/status_json.c - the status as JSON. The keys are part of the product's interface: add, never rename.
 */
#include "handlers/status.h"

#include "base/buf.h"
#include "base/version.h"
#include "shm/shm.h"

#define U(x) (unsigned long long)(x)

static bool write_worker_list(struct buf *out, const struct shm *shm)
{
    const char *separator = "";
    bool ok = buf_printf(out, "\"workers\":[");
    for (int i = 0; ok && i < shm_slots_used(shm); i++) {
        const struct shm_slot *s = &shm->slots[i];
        if (s->state == SHM_SLOT_FREE)
            continue;
        ok = buf_printf(out,
                        "%s{\"slot\":%d,\"pid\":%d,\"state\":\"%s\",\"generation\":%llu,\"connections\":%llu,"
                        "\"requests\":%llu,\"in_flight\":%llu,\"restarts\":%llu}",
                        separator, i, s->pid, status_worker_state(s->state), U(s->generation),
                        U(s->connections), U(s->requests), U(s->in_flight), U(s->restarts));
        separator = ",";
    }
    return ok && buf_printf(out, "],");
}

/* Of reloads whose old workers still finish. */
static bool write_generation_list(struct buf *out, const struct status_totals *t)
{
    bool ok = buf_printf(out, "\"old_generations\":[");
    for (int i = 0; ok && i < t->old_count; i++)
        ok = buf_printf(out,
                        "%s{\"generation\":%llu,\"workers\":%llu,\"connections\":%llu,\"age_seconds\":%.3f}",
                        i ? "," : "", U(t->old[i].generation), U(t->old[i].workers), U(t->old[i].connections),
                        (double)t->old[i].age_ms / 1000);
    return ok && buf_printf(out, "],");
}

static bool write_pids(struct buf *out, const struct status_pool *p)
{
    bool ok = buf_printf(out, ",\"processes\":[");
    for (uint64_t i = 0; ok && i < p->processes && i < STATUS_PIDS; i++)
        ok = buf_printf(out, "%s%d", i ? "," : "", (int)p->pids[i]);
    return ok && buf_printf(out, "]}");
}

static bool write_pool(struct buf *out, const struct status_pool *p, const char *separator)
{
    bool ok = buf_printf(
        out,
        "%s\"%s\":{\"threads\":{\"min\":%llu,\"max\":%llu,\"running\":%llu,\"idle\":%llu,\"stuck\":%llu},"
        "\"queue\":{\"length\":%llu,\"limit\":%llu},"
        "\"tasks\":{\"submitted\":%llu,\"completed\":%llu,\"failed\":%llu,\"cancelled\":%llu,"
        "\"expired\":%llu,\"dropped\":%llu,\"lent\":%llu,\"borrowed\":%llu,"
        "\"rejected\":{\"queue_full\":%llu,\"closed\":%llu,\"codel\":%llu}},"
        "\"spawned\":%llu,\"retired\":%llu,\"spawn_failures\":%llu",
        separator, p->name, U(p->min), U(p->max), U(p->running), U(p->idle), U(p->stuck), U(p->queued),
        U(p->queue_limit), U(p->submitted), U(p->completed), U(p->failed), U(p->cancelled), U(p->expired),
        U(p->dropped), U(p->lent), U(p->borrowed), U(p->rejected[POOL_REJECT_QUEUE_FULL]),
        U(p->rejected[POOL_REJECT_CLOSED]), U(p->rejected[POOL_REJECT_CODEL]), U(p->spawned), U(p->retired),
        U(p->spawn_failures));
    return ok && write_pids(out, p);
}

static const char *kind_of(const struct shm_reload *reload)
{
    return reload->last_kind == SHM_RELOAD_IN_PLACE  ? "\"in-place\""
           : reload->last_kind == SHM_RELOAD_RESPAWN ? "\"respawn\""
                                                     : "null";
}

bool status_write_json(struct buf *out, const struct status_source *source, const struct status_totals *t,
                       bool in_flight)
{
    const struct shm *shm = source->shm;
    bool ok =
        buf_printf(out,
                   "{\"version\":\"%s\",\"uptime_seconds\":%.3f,\"generation\":%llu,"
                   "\"reload\":{\"last_ok\":%s,\"last_kind\":%s,\"count\":%llu,\"failed\":%llu},",
                   WEIR_VERSION, (double)(source->now_ms - shm->start_mono_ms) / 1000,
                   U(shm->head->generation), shm->head->reload.last_ok ? "true" : "false",
                   kind_of(&shm->head->reload), U(shm->head->reload.count), U(shm->head->reload.failed));
    ok = ok && write_worker_list(out, shm) && write_generation_list(out, t);
    ok = ok &&
         buf_printf(out,
                    "\"connections\":{\"accepted\":%llu,\"handled\":%llu,\"active\":%llu,\"reading\":%llu,"
                    "\"writing\":%llu,\"waiting\":%llu},",
                    U(t->accepted), U(t->handled), U(t->connections),
                    U(t->connection_states[SHM_CONNECTION_READING]),
                    U(t->connection_states[SHM_CONNECTION_WRITING]),
                    U(t->connection_states[SHM_CONNECTION_WAITING]));
    ok = ok &&
         buf_printf(out,
                    "\"requests\":{\"total\":%llu,\"in_flight\":%llu,\"1xx\":%llu,\"2xx\":%llu,\"3xx\":%llu,"
                    "\"4xx\":%llu,\"5xx\":%llu},\"pools\":{",
                    U(t->requests), U(t->in_flight), U(t->classes[1]), U(t->classes[2]), U(t->classes[3]),
                    U(t->classes[4]), U(t->classes[5]));
    for (int i = 0; ok && i < t->pool_count; i++)
        ok = write_pool(out, &t->pools[i], i ? "," : "");
    ok = ok && buf_printf(out, "},\"concurrency\":{") && status_write_zones(out, source, in_flight);
    ok = ok && buf_printf(out, "},\"upstreams\":{") && status_write_upstreams(out, source) &&
         buf_printf(out, "},\"upstream_queues\":{") && status_write_queues(out, source);
    ok = ok && buf_printf(out, "},\"tls\":{") && status_write_tls(out, source, t) &&
         buf_printf(out, "},\"http2\":{") && status_write_http2(out, t) && buf_printf(out, "},\"zones\":{") &&
         status_write_site_zones(out, source);
    return ok && buf_printf(out,
                            "},"
                            "\"memory\":{\"allocated_bytes\":%llu,\"resident_bytes\":%llu}}\n",
                            U(t->memory_allocated_bytes), U(t->memory_resident_bytes));
}
