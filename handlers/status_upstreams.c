/*
 * handlers/status_upstreams.c - the status of upstreams: JSON and HTML.
 *
 * Read without locks: figures of one server may be of slightly different moments.
 */
#include "handlers/status.h"

#include "base/buf.h"
#include "base/hist.h"
#include "shm/peer.h"

#define U(x) (unsigned long long)(x)

static bool write_histogram(struct buf *out, const struct hist *h)
{
    struct hist_sum sum = {0};
    hist_collect(h, &sum);
    double mean_ms = sum.total ? (double)sum.sum_us / (double)sum.total / 1000 : 0;
    uint64_t cumulative = 0;
    bool ok = buf_printf(out, "\"response_time\":{\"count\":%llu,\"mean_ms\":%.3f,\"buckets\":[",
                         U(sum.total), mean_ms);
    for (int i = 0; ok && i < HIST_BUCKETS; i++) {
        cumulative += sum.counts[i];
        ok = buf_printf(out, "%s{\"le_ms\":%g,\"count\":%llu}", i ? "," : "", hist_bounds_us[i] / 1e3,
                        U(cumulative));
    }
    return ok && buf_printf(out, "]}");
}

static bool write_server(struct buf *out, const struct shm_peer *p, uint64_t now_ms)
{
    uint64_t classes[6] = {0};
    for (int code = 100; code < SHM_CODES; code++)
        classes[code / 100] += p->codes[code];
    return buf_printf(out, "{\"server\":") &&
           status_write_text(out, p->name, strnlen(p->name, sizeof p->name)) &&
           buf_printf(out,
                      ",\"state\":\"%s\",\"active\":%u,\"idle\":%u,\"requests\":%llu,\"failures\":%llu,"
                      "\"backup\":%s,\"weight\":%d,\"max_conns\":%u,\"fails\":%d,"
                      "\"responses\":{\"1xx\":%llu,\"2xx\":%llu,\"3xx\":%llu,\"4xx\":%llu,\"5xx\":%llu},"
                      "\"health_checks\":{\"checks\":%llu,\"failed\":%llu},",
                      peer_state_names[peer_state(p, now_ms)], p->active, peer_idle(p), U(p->requests),
                      U(p->failures), p->rules.backup ? "true" : "false", p->rules.weight, p->rules.max_conns,
                      p->fails, U(classes[1]), U(classes[2]), U(classes[3]), U(classes[4]), U(classes[5]),
                      U(p->checks), U(p->checks_failed)) &&
           write_histogram(out, &p->response) && buf_append(out, "}", 1);
}

bool status_write_upstreams(struct buf *out, const struct status_source *source)
{
    bool ok = true;
    for (int i = 0; ok && i < source->upstream_count; i++) {
        const struct status_upstream *u = &source->upstreams[i];
        ok = (!i || buf_append(out, ",", 1)) && status_write_text(out, u->name.data, u->name.len) &&
             buf_append(out, ":[", 2);
        for (int k = 0; ok && k < u->peer_count; k++)
            ok = (!k || buf_append(out, ",", 1)) && write_server(out, u->peers[k], source->now_ms);
        ok = ok && buf_append(out, "]", 1);
    }
    return ok;
}

bool status_write_queues(struct buf *out, const struct status_source *source)
{
    bool ok = true;
    for (int i = 0; ok && i < source->upstream_count; i++) {
        const struct status_upstream *u = &source->upstreams[i];
        ok = (!i || buf_append(out, ",", 1)) && status_write_text(out, u->name.data, u->name.len) &&
             buf_printf(out, ":{\"length\":%u,\"queued\":%llu,\"timeouts\":%llu,\"overflows\":%llu}",
                        peer_group_waiting(u->group), U(u->group->queued), U(u->group->queue_timeouts),
                        U(u->group->queue_full));
    }
    return ok;
}

static bool write_html_text(struct buf *out, const char *text, size_t len)
{
    bool ok = true;
    for (size_t i = 0; ok && i < len; i++)
        ok = strchr("<>&\"", text[i]) ? buf_printf(out, "&#%d;", text[i]) : buf_append(out, text + i, 1);
    return ok;
}

bool status_write_upstreams_html(struct buf *out, const struct status_source *source)
{
    bool ok =
        !source->upstream_count ||
        buf_printf(
            out, "<h2>Upstreams</h2><table><tr><th>upstream</th><th>server</th><th>state</th><th>active</th>"
                 "<th>idle</th><th>requests</th><th>failures</th></tr>\n");
    for (int i = 0; ok && i < source->upstream_count; i++) {
        const struct status_upstream *u = &source->upstreams[i];
        for (int k = 0; ok && k < u->peer_count; k++) {
            const struct shm_peer *p = u->peers[k];
            enum peer_state state = peer_state(p, source->now_ms);
            ok = buf_printf(out, "<tr><td>") && write_html_text(out, u->name.data, u->name.len) &&
                 buf_printf(out, "</td><td>") &&
                 write_html_text(out, p->name, strnlen(p->name, sizeof p->name)) &&
                 buf_printf(out, "</td><td%s>%s</td><td>%u</td><td>%u</td><td>%llu</td><td>%llu</td></tr>\n",
                            state == PEER_UP ? "" : " class=\"bad\"", peer_state_names[state], p->active,
                            peer_idle(p), U(p->requests), U(p->failures));
        }
    }
    return ok && (!source->upstream_count || buf_printf(out, "</table>\n"));
}
