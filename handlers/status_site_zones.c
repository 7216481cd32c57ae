/*
 * handlers/status_site_zones.c - the status of the zones of status_zone, as JSON and as metrics.
 *
 * Read without locks: figures of one zone may be of slightly different moments.
 */
#include "handlers/status_metrics.h"

#include "base/buf.h"
#include "shm/shm.h"

#include <stdio.h>
#include <stdlib.h>

enum { LABELS_BYTES = 512 };

#define U(x) (unsigned long long)(x)

/* Of all workers. */
struct zone_sum {
    uint64_t requests, classes[ZONE_CLASSES], bytes_in, bytes_out;
    struct hist_sum duration, queue_wait;
};

static void add_to(struct zone_sum *sum, const struct zone_figures *z)
{
    sum->requests += counter_get(&z->requests);
    for (int class = 0; class < ZONE_CLASSES; class ++)
        sum->classes[class] += counter_get(&z->classes[class]);
    sum->bytes_in += counter_get(&z->bytes_in);
    sum->bytes_out += counter_get(&z->bytes_out);
    hist_collect(&z->duration, &sum->duration);
    hist_collect(&z->queue_wait, &sum->queue_wait);
}

/* One for each zone, to be freed; NULL: out of memory. A slot has them nearly in their order, whatever it had before. */
static struct zone_sum *add_up(const struct status_source *source)
{
    const struct shm *shm = source->shm;
    const struct site_zones *all = source->zones;
    struct zone_sum *sums = calloc((size_t)all->count + 1, sizeof *sums);
    for (int i = 0; sums && i < shm_slots_used(shm); i++) {
        int hint = 0;
        for (int k = 0; k < all->count; k++) {
            const struct zone_figures *z = zone_figures_find(shm->slots[i].zones, &all->names[k], hint);
            if (!z)
                continue;
            add_to(&sums[k], z);
            hint = (int)(z - shm->slots[i].zones) + 1;
        }
    }
    return sums;
}

/* Of a zone of several servers, which is one in JSON. */
static void add_sum(struct zone_sum *to, const struct zone_sum *from)
{
    to->requests += from->requests;
    for (int class = 0; class < ZONE_CLASSES; class ++)
        to->classes[class] += from->classes[class];
    to->bytes_in += from->bytes_in;
    to->bytes_out += from->bytes_out;
    hist_sum_add(&to->duration, &from->duration);
    hist_sum_add(&to->queue_wait, &from->queue_wait);
}

static bool is_shared_with_earlier(const struct site_zones *all, int zone)
{
    for (int i = 0; i < zone; i++)
        if (strcmp(all->names[i].zone, all->names[zone].zone) == 0)
            return true;
    return false;
}

static bool write_times(struct buf *out, const struct hist_sum *h)
{
    return buf_printf(out, "\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f", hist_quantile_us(h, 0.5) / 1000,
                      hist_quantile_us(h, 0.9) / 1000, hist_quantile_us(h, 0.99) / 1000);
}

/* A zone of several servers is one here. */
static bool write_zone(struct buf *out, const struct status_source *source, const struct zone_sum *sums,
                       int zone)
{
    const struct site_zones *all = source->zones;
    const char *name = all->names[zone].zone, *separator = "";
    struct zone_sum sum = {0};
    bool ok = status_write_text(out, name, strlen(name)) && buf_printf(out, ":{\"servers\":[");
    for (int i = zone; ok && i < all->count; i++) {
        if (strcmp(all->names[i].zone, name) != 0)
            continue;
        add_sum(&sum, &sums[i]);
        ok = buf_printf(out, "%s", separator) &&
             status_write_text(out, all->names[i].server, strlen(all->names[i].server));
        separator = ",";
    }
    ok = ok && buf_printf(out,
                          "],\"requests\":%llu,\"1xx\":%llu,\"2xx\":%llu,\"3xx\":%llu,\"4xx\":%llu,"
                          "\"5xx\":%llu,\"bytes_in\":%llu,\"bytes_out\":%llu,",
                          U(sum.requests), U(sum.classes[1]), U(sum.classes[2]), U(sum.classes[3]),
                          U(sum.classes[4]), U(sum.classes[5]), U(sum.bytes_in), U(sum.bytes_out));
    return ok && write_times(out, &sum.duration) && buf_printf(out, ",\"queue_wait\":{") &&
           write_times(out, &sum.queue_wait) && buf_printf(out, "}}");
}

bool status_write_site_zones(struct buf *out, const struct status_source *source)
{
    const char *separator = "";
    struct zone_sum *sums = add_up(source);
    bool ok = sums != NULL;
    for (int i = 0; ok && i < source->zones->count; i++) {
        if (is_shared_with_earlier(source->zones, i))
            continue;
        ok = buf_printf(out, "%s", separator) && write_zone(out, source, sums, i);
        separator = ",";
    }
    free(sums);
    return ok;
}

/* --- metrics --- */

static void labels_of(const struct zone_name *name, char labels[LABELS_BYTES])
{
    static const char *const names[2] = {"server", "zone"};
    metric_two_labels(labels, LABELS_BYTES, names,
                      (const struct slice[2]){slice_of(name->server), slice_of(name->zone)});
}

static void write_requests(struct metric_writer *w, const char *labels, const struct zone_sum *sum)
{
    char all[LABELS_BYTES + 32];
    for (int class = 1; class < ZONE_CLASSES; class ++) {
        snprintf(all, sizeof all, "{%s,code=\"%dxx\"}", labels, class);
        metric_number(w, "weir_zone_requests_total", all, sum->classes[class]);
    }
}

static void write_bytes(struct metric_writer *w, const char *labels, const struct zone_sum *sum)
{
    char all[LABELS_BYTES + 32];
    snprintf(all, sizeof all, "{%s,direction=\"in\"}", labels);
    metric_number(w, "weir_zone_bytes_total", all, sum->bytes_in);
    snprintf(all, sizeof all, "{%s,direction=\"out\"}", labels);
    metric_number(w, "weir_zone_bytes_total", all, sum->bytes_out);
}

static void write_duration(struct metric_writer *w, const char *labels, const struct zone_sum *sum)
{
    char all[LABELS_BYTES + 32];
    snprintf(all, sizeof all, "%s,", labels);
    metric_histogram(w, "weir_zone_request_duration_seconds", all, &sum->duration);
}

static void write_queue_wait(struct metric_writer *w, const char *labels, const struct zone_sum *sum)
{
    char all[LABELS_BYTES + 32];
    snprintf(all, sizeof all, "%s,", labels);
    metric_histogram(w, "weir_zone_queue_wait_seconds", all, &sum->queue_wait);
}

void status_write_site_zone_metrics(struct metric_writer *w, const struct status_source *source)
{
    static const struct {
        const char *name, *type, *help;
        void (*write)(struct metric_writer *w, const char *labels, const struct zone_sum *sum);
    } families[] = {
        {"weir_zone_requests_total", "counter", "Requests of a status_zone, by class of their status.",
         write_requests},
        {"weir_zone_bytes_total", "counter", "Bytes of requests and of responses, heads included.",
         write_bytes},
        {"weir_zone_request_duration_seconds", "histogram",
         "From a request's first byte to its answer's last.", write_duration},
        {"weir_zone_queue_wait_seconds", "histogram",
         "Waiting for a permit and for a thread, of requests that need one.", write_queue_wait},
    };
    const struct site_zones *all = source->zones;
    struct zone_sum *sums = add_up(source);
    w->ok &= sums != NULL;
    for (size_t f = 0; w->ok && all->count && f < sizeof families / sizeof families[0]; f++) {
        metric_family(w, families[f].name, families[f].type, families[f].help);
        for (int i = 0; i < all->count; i++) {
            char labels[LABELS_BYTES];
            labels_of(&all->names[i], labels);
            families[f].write(w, labels, &sums[i]);
        }
    }
    free(sums);
}
