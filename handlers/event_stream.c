/*
 * handlers/event_stream.c - weir_event: a response that is a stream of events (WHATWG HTML section 9.2).
 */
#include "handlers/job.h"

#include "base/slice.h"

#include <string.h>

static bool is_one_line(const char *text)
{
    return !text || text[strcspn(text, "\r\n")] == '\0';
}

static void write_field(weir_request *r, const char *name, const char *value, size_t bytes)
{
    weir_puts(r, name);
    weir_puts(r, ": ");
    weir_write(r, value, bytes);
    weir_puts(r, "\n");
}

/* Each line of it is a field. */
static void write_data(weir_request *r, const char *data)
{
    for (;;) {
        size_t line = strcspn(data, "\r\n");
        write_field(r, "data", data, line);
        data += line;
        if (!*data)
            return;
        data += data[0] == '\r' && data[1] == '\n' ? 2 : 1;
    }
}

static bool has_header(const weir_request *r, struct slice name)
{
    for (const struct http_response_header *h = r->ex->res.headers; h; h = h->next)
        if (slice_eq_nocase(h->header.name, name))
            return true;
    return false;
}

static void set_headers(weir_request *r)
{
    weir_set_header(r, "Content-Type", "text/event-stream");
    if (!has_header(r, SLICE("Cache-Control")))
        weir_set_header(r, "Cache-Control", "no-cache");
}

int weir_event(weir_request *r, const char *event, const char *id, const char *data)
{
    if (!is_one_line(event) || !is_one_line(id) || (!data && (event || id)))
        return -1;
    if (!r->streaming)
        set_headers(r);
    if (event)
        write_field(r, "event", event, strlen(event));
    if (id)
        write_field(r, "id", id, strlen(id));
    if (data)
        write_data(r, data);
    else
        weir_puts(r, ":\n");
    weir_puts(r, "\n");
    return weir_flush(r);
}
