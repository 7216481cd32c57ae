/*
 * handlers/status_metrics.h - how one metric is written as Prometheus text 0.0.4, or OpenMetrics 1.0.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_STATUS_METRICS_H
#define WEIR_HANDLERS_STATUS_METRICS_H

#include "base/hist.h"
#include "base/slice.h"
#include "handlers/status.h"

struct metric_writer {
    struct buf *out;
    bool openmetrics;
    bool ok; /* false: out of memory */
};

/* HELP and TYPE; OpenMetrics names the family of a counter without "_total". */
void metric_family(struct metric_writer *w, const char *name, const char *type, const char *help);

/* labels is "" or `{pool="x"}`. */
void metric_number(struct metric_writer *w, const char *name, const char *labels, uint64_t value);

/* A family of one number without labels. */
void metric_single(struct metric_writer *w, const char *name, const char *type, const char *help,
                   uint64_t value);

/* labels is "" or `pool="x",` */
void metric_histogram(struct metric_writer *w, const char *name, const char *labels,
                      const struct hist_sum *h);

/* FIRST="...",SECOND="..." with what label values must escape. */
void metric_two_labels(char *out, size_t size, const char *const names[2], const struct slice texts[2]);

/* Of the zones of status_zone: handlers/status_site_zones.c. */
void status_write_site_zone_metrics(struct metric_writer *w, const struct status_source *source);

#endif
