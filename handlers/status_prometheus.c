/*
 * handlers/status_prometheus.c - the status as Prometheus text 0.0.4, or OpenMetrics 1.0.
 *
 * The two differ in where "_total" stands in the HELP and TYPE lines and in the final "# EOF". Names are part of the
 * product's interface: add, never rename.
 */
#include "handlers/status.h"

#include "base/buf.h"
#include "base/hist.h"
#include "base/slice.h"
#include "base/version.h"
#include "handlers/status_metrics.h"
#include "shm/peer.h"
#include "worker/loop/worker_state.h"

#include <stdio.h>

#define U(x) (unsigned long long)(x)

static void write_generation_metrics(struct metric_writer *w, const struct status_totals *t)
{
    uint64_t oldest_ms = 0;
    for (int i = 0; i < t->old_count; i++)
        oldest_ms = t->old[i].age_ms > oldest_ms ? t->old[i].age_ms : oldest_ms;
    metric_single(w, "weir_config_old_generations", "gauge",
                  "Earlier configurations whose workers still finish.", (uint64_t)t->old_count);
    metric_family(w, "weir_config_oldest_generation_age_seconds", "gauge",
                  "How long the workers of the oldest of them have been finishing; 0 without any.");
    w->ok = w->ok &&
            buf_printf(w->out, "weir_config_oldest_generation_age_seconds %.3f\n", (double)oldest_ms / 1000);
}

static void write_server_metrics(struct metric_writer *w, const struct status_source *source)
{
    const struct shm *shm = source->shm;
    metric_family(w, "weir_build_info", "gauge", "Version of the server; the value is always 1.");
    metric_number(w, "weir_build_info", "{version=\"" WEIR_VERSION "\"}", 1);
    metric_family(w, "weir_start_time_seconds", "gauge",
                  "When the master started, in seconds since the epoch.");
    w->ok = w->ok && buf_printf(w->out, "weir_start_time_seconds %.3f\n", (double)shm->start_wall_ms / 1000);
    metric_single(w, "weir_config_generation", "gauge", "Number of the configuration in force, from 1.",
                  shm->head->generation);
    metric_single(w, "weir_config_last_reload_successful", "gauge",
                  "1 if the last reload took effect, 0 if it was refused.",
                  (uint64_t)shm->head->reload.last_ok);
}

static void write_worker_metrics(struct metric_writer *w, const struct shm *shm,
                                 const struct status_totals *t)
{
    char labels[64];
    metric_family(w, "weir_workers", "gauge", "Worker processes by state.");
    for (int s = SHM_STARTING; s < SHM_STATES; s++) {
        snprintf(labels, sizeof labels, "{state=\"%s\"}", status_worker_states[s]);
        metric_number(w, "weir_workers", labels, t->workers[s]);
    }
    metric_family(w, "weir_worker_restarts_total", "counter",
                  "Workers that died and were replaced, by reason.");
    metric_number(w, "weir_worker_restarts_total", "{reason=\"exit\"}", shm->head->restarts_by_exit);
    metric_number(w, "weir_worker_restarts_total", "{reason=\"signal\"}", shm->head->restarts_by_signal);
    metric_family(w, "weir_worker_cpu_seconds_total", "counter",
                  "CPU time of the workers of a slot, user and system.");
    for (int i = 0; i < SHM_SLOTS; i++) {
        const struct shm_slot *s = &shm->slots[i];
        if (s->generation != 0)
            w->ok = w->ok && buf_printf(w->out, "weir_worker_cpu_seconds_total{worker=\"%d\"} %.6f\n", i,
                                        (double)(s->cpu_us + s->cpu_us_before) / 1e6);
    }
}

static void write_http(struct metric_writer *w, const struct status_totals *t)
{
    static const char *const states[] = {"reading", "writing", "waiting"};
    char labels[64];
    metric_single(w, "weir_connections_accepted_total", "counter", "Connections accepted.", t->accepted);
    metric_family(w, "weir_connections", "gauge", "Open connections by state.");
    for (int i = 0; i < SHM_CONNECTION_STATES; i++) {
        snprintf(labels, sizeof labels, "{state=\"%s\"}", states[i]);
        metric_number(w, "weir_connections", labels, t->connection_states[i]);
    }
    metric_family(w, "weir_http_requests_total", "counter", "Requests answered, by status code.");
    for (int code = 100; code < SHM_CODES; code++) {
        if (t->codes[code] == 0)
            continue;
        snprintf(labels, sizeof labels, "{code=\"%d\"}", code);
        metric_number(w, "weir_http_requests_total", labels, t->codes[code]);
    }
    metric_single(w, "weir_http_requests_in_flight", "gauge", "Requests being read, run or answered.",
                  t->in_flight);
    metric_family(w, "weir_http_request_duration_seconds", "histogram",
                  "From a request's first byte to its answer's last.");
    metric_histogram(w, "weir_http_request_duration_seconds", "", &t->duration);
}

/* One gauge or counter of all pools. */
static void pool_family(struct metric_writer *w, const struct status_totals *t, const char *name,
                        const char *type, const char *help, size_t offset)
{
    char labels[64];
    metric_family(w, name, type, help);
    for (int i = 0; i < t->pool_count; i++) {
        snprintf(labels, sizeof labels, "{pool=\"%s\"}", t->pools[i].name);
        metric_number(w, name, labels, *(const uint64_t *)((const char *)&t->pools[i] + offset));
    }
}

static void write_pool_states(struct metric_writer *w, const struct status_totals *t)
{
    char labels[96];
    metric_family(w, "weir_pool_threads", "gauge", "Threads of a pool by state, over all workers.");
    for (int i = 0; i < t->pool_count; i++) {
        const struct status_pool *p = &t->pools[i];
        const struct {
            const char *state;
            uint64_t value;
        } states[] = {{"running", p->running}, {"idle", p->idle}, {"stuck", p->stuck}};
        for (int s = 0; s < 3; s++) {
            snprintf(labels, sizeof labels, "{pool=\"%s\",state=\"%s\"}", p->name, states[s].state);
            metric_number(w, "weir_pool_threads", labels, states[s].value);
        }
    }
}

static void write_pool_tasks(struct metric_writer *w, const struct status_totals *t)
{
    char labels[96];
    metric_family(w, "weir_pool_tasks_total", "counter", "Tasks of a pool by how they ended.");
    for (int i = 0; i < t->pool_count; i++) {
        const struct status_pool *p = &t->pools[i];
        const struct {
            const char *result;
            uint64_t value;
        } results[] = {{"completed", p->completed},
                       {"failed", p->failed},
                       {"cancelled", p->cancelled},
                       {"expired", p->expired},
                       {"dropped", p->dropped},
                       {"rejected_queue_full", p->rejected[POOL_REJECT_QUEUE_FULL]},
                       {"rejected_closed", p->rejected[POOL_REJECT_CLOSED]},
                       {"rejected_codel", p->rejected[POOL_REJECT_CODEL]}};
        for (size_t r = 0; r < sizeof results / sizeof results[0]; r++) {
            snprintf(labels, sizeof labels, "{pool=\"%s\",result=\"%s\"}", p->name, results[r].result);
            metric_number(w, "weir_pool_tasks_total", labels, results[r].value);
        }
    }
}

static void write_pool_metrics(struct metric_writer *w, const struct status_totals *t)
{
    char labels[64];
    write_pool_states(w, t);
    pool_family(w, t, "weir_pool_threads_max", "gauge",
                "Most threads that a pool may have, over all workers.", offsetof(struct status_pool, max));
    pool_family(w, t, "weir_pool_processes", "gauge",
                "Processes of applications that a pool's threads use, over all workers.",
                offsetof(struct status_pool, processes));
    pool_family(w, t, "weir_pool_queue_length", "gauge", "Tasks that wait for a thread.",
                offsetof(struct status_pool, queued));
    pool_family(w, t, "weir_pool_queue_limit", "gauge", "Most tasks that may wait.",
                offsetof(struct status_pool, queue_limit));
    metric_family(w, "weir_pool_queue_wait_seconds", "histogram",
                  "Time of tasks between submission and start.");
    for (int i = 0; i < t->pool_count; i++) {
        snprintf(labels, sizeof labels, "pool=\"%s\",", t->pools[i].name);
        metric_histogram(w, "weir_pool_queue_wait_seconds", labels, &t->pools[i].queue_wait);
    }
    metric_family(w, "weir_pool_task_duration_seconds", "histogram", "Running time of tasks.");
    for (int i = 0; i < t->pool_count; i++) {
        snprintf(labels, sizeof labels, "pool=\"%s\",", t->pools[i].name);
        metric_histogram(w, "weir_pool_task_duration_seconds", labels, &t->pools[i].run_time);
    }
    write_pool_tasks(w, t);
    pool_family(w, t, "weir_pool_lent_total", "counter",
                "Tasks of a worker that went to another worker's pool.", offsetof(struct status_pool, lent));
    pool_family(w, t, "weir_pool_borrowed_total", "counter", "Tasks of other workers that came to a pool.",
                offsetof(struct status_pool, borrowed));
}

static void zone_family(struct metric_writer *w, const struct status_source *source, const char *name,
                        const char *help, size_t offset)
{
    char labels[64];
    metric_family(w, name, "gauge", help);
    for (const struct conf_zone *c = source->site_zones; c; c = c->next) {
        const struct permit_zone *z = status_zone(source, c);
        snprintf(labels, sizeof labels, "{zone=\"%.*s\"}", SLICE_ARGS(c->name));
        if (z)
            metric_number(w, name, labels,
                          *(const _Atomic uint32_t *)(const void *)((const char *)z + offset));
    }
}

static void write_zone_metrics(struct metric_writer *w, const struct status_source *source)
{
    char labels[96];
    zone_family(w, source, "weir_concurrency_limit", "Most requests that may run at a time.",
                offsetof(struct permit_zone, limit));
    zone_family(w, source, "weir_concurrency_in_flight", "Requests that hold a permit.",
                offsetof(struct permit_zone, held));
    zone_family(w, source, "weir_concurrency_queued", "Requests that wait for a permit.",
                offsetof(struct permit_zone, queued));
    metric_family(w, "weir_concurrency_admitted_total", "counter", "Requests that got a permit.");
    for (const struct conf_zone *c = source->site_zones; c; c = c->next) {
        const struct permit_zone *z = status_zone(source, c);
        snprintf(labels, sizeof labels, "{zone=\"%.*s\"}", SLICE_ARGS(c->name));
        if (z)
            metric_number(w, "weir_concurrency_admitted_total", labels, z->admitted);
    }
    metric_family(w, "weir_concurrency_rejected_total", "counter", "Requests that were refused, by reason.");
    for (const struct conf_zone *c = source->site_zones; c; c = c->next) {
        const struct permit_zone *z = status_zone(source, c);
        for (int i = 0; z && i < PERMIT_REASONS; i++) {
            snprintf(labels, sizeof labels, "{zone=\"%.*s\",reason=\"%s\"}", SLICE_ARGS(c->name),
                     permit_reason_names[i]);
            metric_number(w, "weir_concurrency_rejected_total", labels, z->rejected[i]);
        }
    }
    metric_family(w, "weir_concurrency_reclaimed_total", "counter",
                  "Permits taken back from workers that died.");
    for (const struct conf_zone *c = source->site_zones; c; c = c->next) {
        const struct permit_zone *z = status_zone(source, c);
        snprintf(labels, sizeof labels, "{zone=\"%.*s\"}", SLICE_ARGS(c->name));
        if (z)
            metric_number(w, "weir_concurrency_reclaimed_total", labels, z->reclaimed);
    }
}

static void peer_labels(char *out, size_t size, struct slice upstream, const char *server)
{
    static const char *const names[2] = {"upstream", "server"};
    metric_two_labels(out, size, names, (const struct slice[2]){upstream, slice_of(server)});
}

enum { PEER_LABELS_BYTES = 512, CERTIFICATE_LABELS_BYTES = 4096 + 512 };

/* A copy that ends: what stands in shared memory need not. */
static const char *peer_name(const struct shm_peer *p, char name[PEER_NAME_BYTES])
{
    size_t len = strnlen(p->name, PEER_NAME_BYTES - 1);
    memcpy(name, p->name, len);
    name[len] = '\0';
    return name;
}

typedef void write_peer(struct metric_writer *w, const char *labels, const struct shm_peer *p,
                        uint64_t now_ms);

static void for_each_peer(struct metric_writer *w, const struct status_source *source, write_peer *write)
{
    char labels[PEER_LABELS_BYTES], name[PEER_NAME_BYTES];
    for (int i = 0; i < source->upstream_count; i++) {
        const struct status_upstream *u = &source->upstreams[i];
        for (int k = 0; k < u->peer_count; k++) {
            peer_labels(labels, sizeof labels, u->name, peer_name(u->peers[k], name));
            write(w, labels, u->peers[k], source->now_ms);
        }
    }
}

static void peer_value(struct metric_writer *w, const char *name, const char *labels, const char *more,
                       uint64_t value)
{
    w->ok = w->ok && buf_printf(w->out, "%s{%s%s} %llu\n", name, labels, more, U(value));
}

static void write_peer_requests(struct metric_writer *w, const char *labels, const struct shm_peer *p,
                                uint64_t now_ms)
{
    char more[32];
    (void)now_ms;
    for (int code = 100; code < SHM_CODES; code++) {
        snprintf(more, sizeof more, ",code=\"%d\"", code);
        if (p->codes[code])
            peer_value(w, "weir_upstream_requests_total", labels, more, p->codes[code]);
    }
}

static void write_peer_failures(struct metric_writer *w, const char *labels, const struct shm_peer *p,
                                uint64_t now_ms)
{
    (void)now_ms;
    peer_value(w, "weir_upstream_failures_total", labels, "", p->failures);
}

static void write_peer_connections(struct metric_writer *w, const char *labels, const struct shm_peer *p,
                                   uint64_t now_ms)
{
    (void)now_ms;
    peer_value(w, "weir_upstream_connections", labels, ",state=\"active\"", p->active);
    peer_value(w, "weir_upstream_connections", labels, ",state=\"idle\"", peer_idle(p));
}

static void write_peer_up(struct metric_writer *w, const char *labels, const struct shm_peer *p,
                          uint64_t now_ms)
{
    peer_value(w, "weir_upstream_server_up", labels, "", peer_state(p, now_ms) == PEER_UP);
}

static void write_peer_response(struct metric_writer *w, const char *labels, const struct shm_peer *p,
                                uint64_t now_ms)
{
    char with_comma[PEER_LABELS_BYTES + 1];
    struct hist_sum sum = {0};
    (void)now_ms;
    hist_collect(&p->response, &sum);
    snprintf(with_comma, sizeof with_comma, "%s,", labels);
    metric_histogram(w, "weir_upstream_response_seconds", with_comma, &sum);
}

static void write_upstreams(struct metric_writer *w, const struct status_source *source)
{
    char labels[PEER_LABELS_BYTES];
    metric_family(w, "weir_upstream_requests_total", "counter",
                  "Answers of servers of upstreams, by status code.");
    for_each_peer(w, source, write_peer_requests);
    metric_family(w, "weir_upstream_failures_total", "counter", "Requests that a server failed to answer.");
    for_each_peer(w, source, write_peer_failures);
    metric_family(w, "weir_upstream_connections", "gauge", "Connections to servers of upstreams, by state.");
    for_each_peer(w, source, write_peer_connections);
    metric_family(w, "weir_upstream_server_up", "gauge", "1 if a server gets requests.");
    for_each_peer(w, source, write_peer_up);
    if (source->upstream_count)
        metric_family(w, "weir_upstream_response_seconds", "histogram",
                      "From connecting to a server to the end of its answer.");
    for_each_peer(w, source, write_peer_response);
    metric_family(w, "weir_upstream_queue_length", "gauge", "Requests that wait for a server.");
    for (int i = 0; i < source->upstream_count; i++) {
        const struct status_upstream *u = &source->upstreams[i];
        peer_labels(labels, sizeof labels, u->name, "");
        char *server = strstr(labels, ",server=");
        if (server)
            *server = '\0';
        peer_value(w, "weir_upstream_queue_length", labels, "", peer_group_waiting(u->group));
    }
}

static void write_expiry(struct metric_writer *w, const struct certificate_owner *o, int pair)
{
    static const char *const names[2] = {"server", "file"};
    char labels[CERTIFICATE_LABELS_BYTES];
    metric_two_labels(labels, sizeof labels, names,
                      (const struct slice[2]){o->server, slice_of(status_certificate_file(o, pair))});
    w->ok = w->ok && buf_printf(w->out, "weir_tls_certificate_expiry_timestamp_seconds{%s} %lld\n", labels,
                                (long long)net_tls_context_expiry(o->context, pair));
}

/* Servers of one name may share a file: a series is written once. */
static bool is_shown_already(const struct certificate_owner *first, const struct certificate_owner *o,
                             int pair)
{
    const char *file = status_certificate_file(o, pair);
    for (const struct certificate_owner *e = first; e; e = e->next)
        for (int i = 0; i < e->rules->pair_count; i++) {
            if (e == o && i == pair)
                return false;
            if (slice_eq(e->server, o->server) && strcmp(status_certificate_file(e, i), file) == 0)
                return true;
        }
    return false;
}

static void write_tls(struct metric_writer *w, const struct status_source *source,
                      const struct status_totals *t)
{
    char labels[64];
    metric_family(w, "weir_tls_handshakes_total", "counter", "Handshakes by how they ended.");
    for (int i = 0; i < SHM_HANDSHAKES; i++) {
        snprintf(labels, sizeof labels, "{result=\"%s\"}", status_handshakes[i]);
        metric_number(w, "weir_tls_handshakes_total", labels, t->handshakes[i]);
    }
    metric_family(w, "weir_tls_handshake_seconds", "histogram",
                  "From a connection to the end of its handshake.");
    metric_histogram(w, "weir_tls_handshake_seconds", "", &t->handshake_duration);
    metric_family(w, "weir_tls_handshake_queue_wait_seconds", "histogram",
                  "How long full handshakes have waited for a thread.");
    metric_histogram(w, "weir_tls_handshake_queue_wait_seconds", "", &t->handshake_wait);
    metric_single(w, "weir_tls_certificate_load_failures_total", "counter",
                  "Changed certificates that could not be used.",
                  counter_get(&source->shm->head->certificate_load_failures));
    metric_family(w, "weir_tls_certificate_expiry_timestamp_seconds", "gauge",
                  "When a certificate ends to be valid, in seconds since the epoch.");
    for (const struct certificate_owner *o = source->certificates; o; o = o->next)
        for (int i = 0; i < o->rules->pair_count; i++)
            if (!is_shown_already(source->certificates, o, i))
                write_expiry(w, o, i);
}

static void write_http2(struct metric_writer *w, const struct status_totals *t)
{
    char labels[64];
    metric_single(w, "weir_http2_connections", "gauge", "Clients' connections that speak HTTP/2.",
                  t->http2_connections);
    metric_single(w, "weir_http2_streams", "gauge", "Streams on them.", t->http2_streams);
    metric_family(w, "weir_http2_connections_closed_total", "counter",
                  "Connections of HTTP/2 by why they have ended.");
    for (int i = 0; i < SHM_HTTP2_CLOSES; i++) {
        snprintf(labels, sizeof labels, "{reason=\"%s\"}", status_http2_closes[i]);
        metric_number(w, "weir_http2_connections_closed_total", labels, t->http2_closed[i]);
    }
}

bool status_write_prometheus(struct buf *out, const struct status_source *source,
                             const struct status_totals *t, bool openmetrics)
{
    struct metric_writer w = {out, openmetrics, true};
    write_server_metrics(&w, source);
    write_generation_metrics(&w, t);
    write_worker_metrics(&w, source->shm, t);
    write_http(&w, t);
    write_pool_metrics(&w, t);
    write_zone_metrics(&w, source);
    write_upstreams(&w, source);
    write_tls(&w, source, t);
    write_http2(&w, t);
    status_write_site_zone_metrics(&w, source);
    metric_single(&w, "weir_log_lines_lost_total", "counter", "Lines of logs that could not be written.",
                  t->log_lines_lost);
    metric_family(&w, "weir_memory_bytes", "gauge", "Memory of all workers, by kind.");
    metric_number(&w, "weir_memory_bytes", "{kind=\"allocated\"}", t->memory_allocated_bytes);
    metric_number(&w, "weir_memory_bytes", "{kind=\"resident\"}", t->memory_resident_bytes);
    return w.ok && (!openmetrics || buf_printf(out, "# EOF\n"));
}
