/*
 * conf/report.c - mistakes of a configuration as JSON.
 */
#include "conf/report.h"

#include "base/slice.h"

static bool write_text(struct buf *out, struct slice text)
{
    return buf_append(out, "\"", 1) && buf_append_json(out, text) && buf_append(out, "\"", 1);
}

static bool write_list(struct buf *out, const char *name, const struct conf_errors *list)
{
    bool ok = buf_printf(out, ",\"%s\":[", name);
    for (const struct conf_error *e = list->first; ok && e; e = e->next) {
        ok = buf_printf(out, "%s{\"message\":", e == list->first ? "" : ",") && write_text(out, e->text);
        if (ok && e->file.data)
            ok = buf_printf(out, ",\"file\":") && write_text(out, e->file) &&
                 buf_printf(out, ",\"line\":%d", e->line);
        ok = ok && buf_append(out, "}", 1);
    }
    return ok && buf_append(out, "]", 1);
}

bool conf_report(const struct conf *conf, const char *file, bool is_good, struct buf *out)
{
    return buf_printf(out, "{\"ok\":%s,\"file\":", is_good ? "true" : "false") &&
           write_text(out, slice_of(file)) && write_list(out, "errors", &conf->errors) &&
           write_list(out, "warnings", &conf->warnings) && buf_printf(out, "}\n");
}
