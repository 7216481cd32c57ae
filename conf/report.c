/*
 * conf/report.c - mistakes of a configuration as JSON.
 */
#include "conf/report.h"

#include "base/slice.h"

/* Bytes that are no UTF-8 become "?". */
static bool write_text(struct buf *out, struct slice text)
{
    bool ok = buf_append(out, "\"", 1);
    for (size_t at = 0; ok && at < text.len;) {
        size_t len = slice_utf8(slice_from(text, at));
        unsigned char c = (unsigned char)text.data[at];
        if (len == 0)
            ok = buf_append(out, "?", 1);
        else if (c < 0x20 || c == '"' || c == '\\')
            ok = buf_printf(out, "\\u%04x", c);
        else
            ok = buf_append(out, text.data + at, len);
        at += len ? len : 1;
    }
    return ok && buf_append(out, "\"", 1);
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
