/*
 * handlers/status.c - choosing the form: what the client asks for.
 */
#include "handlers/status.h"

#include "base/slice.h"
#include "http/wire/encoding.h"

#include <stdlib.h>

enum form { FORM_HTML, FORM_JSON, FORM_PROMETHEUS, FORM_OPENMETRICS };

static const struct {
    const char *name, *accept, *type;
} forms[] = {
    {"html", "text/html", "text/html; charset=utf-8"},
    {"json", "application/json", "application/json"},
    {"prometheus", "text/plain", "text/plain; version=0.0.4; charset=utf-8"},
    {"openmetrics", "application/openmetrics-text",
     "application/openmetrics-text; version=1.0.0; charset=utf-8"},
};

/* The weight of a media range in thousandths: of the parameters behind it; one that is malformed wants nothing. */
static int weight(struct slice parameters)
{
    while (parameters.len) {
        const char *semicolon = memchr(parameters.data, ';', parameters.len);
        size_t n = semicolon ? (size_t)(semicolon - parameters.data) : parameters.len;
        struct slice one = slice_trim((struct slice){parameters.data, n});
        parameters = slice_from(parameters, n + (semicolon != NULL));
        if (one.len < 2 || (one.data[0] | 0x20) != 'q' || one.data[1] != '=')
            continue;
        int found = http_weight(one);
        return found > 0 ? found : 0;
    }
    return 1000;
}

/* What one line wants most, where it wants it more than those before. */
static void read_accept(struct slice list, enum form *best, int *best_weight)
{
    struct slice range;
    while (slice_next_in_list(&list, &range)) {
        const char *semicolon = memchr(range.data, ';', range.len);
        size_t n = semicolon ? (size_t)(semicolon - range.data) : range.len;
        struct slice type = slice_trim((struct slice){range.data, n});
        int w = semicolon ? weight(slice_from(range, n + 1)) : 1000;
        for (int f = FORM_HTML; f <= FORM_OPENMETRICS; f++) {
            if (w > *best_weight && slice_eq_nocase(type, slice_of(forms[f].accept))) {
                *best = (enum form)f;
                *best_weight = w;
            }
        }
        if (w > *best_weight && slice_eq(type, SLICE("*/*"))) {
            *best = FORM_JSON;
            *best_weight = w;
        }
    }
}

/* JSON for a bare client, such as a script. */
static enum form form_by_accept(const struct http_exchange *ex)
{
    enum form best = FORM_HTML;
    int best_weight = 0;
    for (int i = 0; i < ex->req.header_count; i++)
        if (slice_eq_nocase(ex->req.headers[i].name, SLICE("Accept")))
            read_accept(ex->req.headers[i].value, &best, &best_weight);
    return best_weight ? best : FORM_JSON;
}

static int form_by_argument(struct slice name)
{
    for (int f = FORM_HTML; f <= FORM_OPENMETRICS; f++)
        if (slice_eq(name, slice_of(forms[f].name)))
            return f;
    return -1;
}

static int answer(struct http_exchange *ex, struct buf *text, bool ok, const char *type)
{
    struct slice body = ok ? arena_dup(&ex->arena, buf_slice(text)) : (struct slice){0};
    buf_free(text);
    if (!body.data)
        return 500;
    ex->res.status = 200;
    ex->res.content_type = slice_of(type);
    return http_add_header(&ex->res, &ex->arena, SLICE("Cache-Control"), SLICE("no-store")) &&
                   http_add_memory(&ex->res, &ex->arena, body.data, body.len)
               ? 0
               : 500;
}

int status_answer(struct http_exchange *ex, const struct status_source *source)
{
    struct slice asked = http_find_arg(ex->req.args, SLICE("format"));
    int form = asked.data ? form_by_argument(asked) : (int)form_by_accept(ex);
    if (ex->req.method != HTTP_GET && ex->req.method != HTTP_HEAD)
        return 405;
    struct status_totals *t = form < 0 ? NULL : calloc(1, sizeof *t);
    if (!t)
        return form < 0 ? 400 : 500;
    struct buf text = {0};
    status_collect(source, t);
    bool ok = form == FORM_JSON
                  ? status_write_json(&text, source, t,
                                      slice_eq(http_find_arg(ex->req.args, SLICE("in_flight")), SLICE("1")))
              : form == FORM_HTML ? status_write_html(&text, source, t)
                                  : status_write_prometheus(&text, source, t, form == FORM_OPENMETRICS);
    free(t);
    return answer(ex, &text, ok, forms[form].type);
}

int status_answer_stub(struct http_exchange *ex, const struct status_source *source)
{
    struct status_totals *t = calloc(1, sizeof *t);
    struct buf text = {0};
    if (!t)
        return 500;
    status_collect(source, t);
    bool ok = buf_printf(&text,
                         "Active connections: %llu \nserver accepts handled requests\n %llu %llu %llu \n"
                         "Reading: %llu Writing: %llu Waiting: %llu \n",
                         (unsigned long long)t->connections, (unsigned long long)t->accepted,
                         (unsigned long long)t->handled, (unsigned long long)(t->requests + t->in_flight),
                         (unsigned long long)t->connection_states[SHM_CONNECTION_READING],
                         (unsigned long long)t->connection_states[SHM_CONNECTION_WRITING],
                         (unsigned long long)t->connection_states[SHM_CONNECTION_WAITING]);
    free(t);
    return answer(ex, &text, ok, "text/plain");
}
