/*
 * handlers/status_metrics.c - one metric as text.
 */
#include "handlers/status_metrics.h"

#include "base/buf.h"

#include <stdio.h>

#define U(x) (unsigned long long)(x)

void metric_family(struct metric_writer *w, const char *name, const char *type, const char *help)
{
    size_t len = strlen(name);
    bool strip = w->openmetrics && strcmp(type, "counter") == 0 && len > 6;
    /* OpenMetrics names the family without "_total". */
    int shown = (int)(strip ? len - 6 : len);
    w->ok =
        w->ok && buf_printf(w->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", shown, name, help, shown, name, type);
}

void metric_number(struct metric_writer *w, const char *name, const char *labels, uint64_t value)
{
    w->ok = w->ok && buf_printf(w->out, "%s%s %llu\n", name, labels, U(value));
}

void metric_single(struct metric_writer *w, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    metric_family(w, name, type, help);
    metric_number(w, name, "", value);
}

void metric_histogram(struct metric_writer *w, const char *name, const char *labels, const struct hist_sum *h)
{
    uint64_t cumulative = 0;
    size_t len = strlen(labels);
    for (int i = 0; i < HIST_BUCKETS; i++) {
        cumulative += h->counts[i];
        w->ok = w->ok && buf_printf(w->out, "%s_bucket{%sle=\"%g\"} %llu\n", name, labels,
                                    hist_bounds_us[i] / 1e6, U(cumulative));
    }
    const char *open = len ? "{" : "", *close = len ? "}" : "";
    int bare = len ? (int)len - 1 : 0; /* without the comma */
    w->ok = w->ok &&
            buf_printf(w->out, "%s_bucket{%sle=\"+Inf\"} %llu\n%s_sum%s%.*s%s %.6f\n%s_count%s%.*s%s %llu\n",
                       name, labels, U(h->total), name, open, bare, labels, close, (double)h->sum_us / 1e6,
                       name, open, bare, labels, close, U(h->total));
}

void metric_two_labels(char *out, size_t size, const char *const names[2], const struct slice texts[2])
{
    size_t n = 0;
    for (int t = 0; t < 2; t++) {
        n += (size_t)snprintf(out + n, size - n, "%s%s=\"", t ? "\"," : "", names[t]);
        for (size_t i = 0; i < texts[t].len && n + 16 < size; i++) {
            if (strchr("\\\"\n", texts[t].data[i]))
                out[n++] = '\\';
            out[n++] = texts[t].data[i] == '\n' ? 'n' : texts[t].data[i];
        }
    }
    snprintf(out + n, size - n, "\"");
}
