/*
 * handlers/status.h - the status: what all workers' slots say, as JSON, Prometheus text, HTML, or nginx's stub.
 *
 * Threads: the loop's. Any worker answers for all.
 */
#ifndef WEIR_HANDLERS_STATUS_H
#define WEIR_HANDLERS_STATUS_H

#include "conf/settings.h"
#include "http/request/exchange.h"
#include "http/site/certificates.h"
#include "http/site/status_zone.h"
#include "pool/figures.h"
#include "shm/peer.h"
#include "shm/permit.h"
#include "shm/shm.h"

/* An upstream of the configuration, with its servers as all workers see them. */
struct status_upstream {
    struct slice name;
    const struct shm_group *group;
    const struct shm_peer *const *peers;
    int peer_count;
};

struct status_source {
    const struct shm *shm;
    const struct conf_pool *site_pools; /* shown even before a worker has used them */
    const struct conf_zone *site_zones;
    const struct status_upstream *upstreams;
    int upstream_count;
    const struct certificate_owner *certificates; /* NULL: no server speaks TLS */
    const struct site_zones *zones;
    uint64_t now_ms;
};

/* Answers in the form that ?format= (json, prometheus, openmetrics, html) or Accept asks for. 0 or an error status. */
int status_answer(struct http_exchange *ex, const struct status_source *source);

/* Answers with nginx's stub_status text. 0 or an error status. */
int status_answer_stub(struct http_exchange *ex, const struct status_source *source);

/* --- what the writers share --- */

enum { STATUS_PIDS = 256 };

struct status_pool {
    char name[SHM_POOL_NAME_BYTES];
    uint64_t min, max, running, idle, stuck, queued, queue_limit;
    uint64_t submitted, completed, failed, cancelled, expired, dropped, lent, borrowed;
    uint64_t rejected[POOL_REJECTIONS];
    uint64_t spawned, retired, spawn_failures;
    /* Of applications; where there are more, only the number is right. */
    int32_t pids[STATUS_PIDS];
    uint64_t processes;
    struct hist_sum queue_wait, run_time;
};

/* An earlier configuration, some workers of which still finish. */
struct status_generation {
    uint64_t generation, workers, connections;
    uint64_t age_ms; /* since the first of them was told to end */
};

enum { STATUS_GENERATIONS = 64 };

/* All slots added up. Free ones keep counting what their workers did. */
struct status_totals {
    uint64_t connections, accepted, handled;
    uint64_t connection_states[SHM_CONNECTION_STATES];
    uint64_t requests, in_flight;
    uint64_t codes[SHM_CODES];
    uint64_t classes[6]; /* [1] is 1xx */
    struct hist_sum duration;
    uint64_t handshakes[SHM_HANDSHAKES];
    struct hist_sum handshake_duration, handshake_wait;
    uint64_t http2_connections, http2_streams;
    uint64_t http2_closed[SHM_HTTP2_CLOSES];
    uint64_t memory_allocated_bytes, memory_resident_bytes;
    uint64_t log_lines_lost;
    uint64_t workers[SHM_STATES];
    struct status_pool pools[SHM_POOLS];
    int pool_count;
    /* Where there are more, their workers are added to the last. */
    struct status_generation old[STATUS_GENERATIONS];
    int old_count;
};

/* Adds what all slots say to zeroed totals. */
void status_collect(const struct status_source *source, struct status_totals *totals);

/* The name of a state that stands in shared memory; "unknown" for what is none. */
const char *status_worker_state(int state);

/* A zone of the site, or NULL where shared memory has none of it. */
static inline const struct permit_zone *status_zone(const struct status_source *source,
                                                    const struct conf_zone *z)
{
    return z->index >= 0 ? &permit_region(source->shm)->zones[z->index] : NULL;
}

/* The members of "concurrency"; in_flight adds the list of requests that hold permits. */
bool status_write_zones(struct buf *out, const struct status_source *source, bool in_flight);

/* The members of "zones". */
bool status_write_site_zones(struct buf *out, const struct status_source *source);

/* The members of "upstreams", and of "upstream_queues". */
bool status_write_upstreams(struct buf *out, const struct status_source *source);
bool status_write_queues(struct buf *out, const struct status_source *source);
bool status_write_upstreams_html(struct buf *out, const struct status_source *source);

/* A text as a JSON string: what is not plain ASCII is written as \u00XX. */
bool status_write_text(struct buf *out, const char *text, size_t len);

/* The members of "tls". */
bool status_write_tls(struct buf *out, const struct status_source *source,
                      const struct status_totals *totals);

/* The file of a certificate; "data:" where it stands in the configuration itself. */
const char *status_certificate_file(const struct certificate_owner *o, int pair);

/* The name of an enum shm_handshake. */
extern const char *const status_handshakes[SHM_HANDSHAKES];

/* The name of an enum shm_http2_close. */
extern const char *const status_http2_closes[SHM_HTTP2_CLOSES];

/* The members of "http2". */
bool status_write_http2(struct buf *out, const struct status_totals *totals);

extern const char *const status_worker_states[SHM_STATES];

bool status_write_json(struct buf *out, const struct status_source *source,
                       const struct status_totals *totals, bool in_flight);
bool status_write_prometheus(struct buf *out, const struct status_source *source,
                             const struct status_totals *totals, bool openmetrics);
bool status_write_html(struct buf *out, const struct status_source *source,
                       const struct status_totals *totals);

#endif
