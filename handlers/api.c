/*
 * handlers/api.c - the calls of <weir/handler.h> that read the request and shape the answer.
 */
#include "handlers/handler.h"

#include "base/clock.h"
#include "base/log.h"
#include "handlers/job.h"
#include "http/multipart.h"
#include "http/uri.h"

#include <stdio.h>
#include <sys/mman.h>

static const char *text_of(weir_request *r, struct slice s)
{
    struct slice copy = arena_dup(job_arena(r), s);
    if (!copy.data)
        weir_fail(r, "out of memory");
    return copy.data;
}

const char *weir_method(weir_request *r)
{
    return text_of(r, r->ex->req.method_name);
}

const char *weir_path(weir_request *r)
{
    return text_of(r, r->ex->req.path);
}

const char *weir_query(weir_request *r)
{
    return text_of(r, r->ex->req.args);
}

/* --- walking --- */

static struct slice decoded(weir_request *r, struct slice raw)
{
    struct slice text = http_decode(job_arena(r), raw, true);
    if (!text.data)
        weir_fail(r, "out of memory");
    return text;
}

static int set_field(weir_request *r, struct weir_field *f, struct slice name, struct slice value)
{
    f->name = text_of(r, name);
    f->value = text_of(r, value);
    f->name_bytes = name.len;
    f->value_bytes = value.len;
    return 1;
}

/* The piece of a list that begins at *at; *at moves behind it. False at its end. */
static bool next_piece(struct slice list, char separator, size_t *at, struct slice *piece)
{
    if (*at >= list.len)
        return false;
    struct slice rest = slice_from(list, *at);
    const char *end = memchr(rest.data, separator, rest.len);
    *piece = (struct slice){rest.data, end ? (size_t)(end - rest.data) : rest.len};
    *at += piece->len + 1;
    return true;
}

/* Cut at the first "="; without one the value is empty. */
static void cut(struct slice piece, struct slice *name, struct slice *value)
{
    const char *equals = memchr(piece.data, '=', piece.len);
    *name = (struct slice){piece.data, equals ? (size_t)(equals - piece.data) : piece.len};
    *value = equals ? slice_from(piece, name->len + 1) : SLICE("");
}

static int next_pair(weir_request *r, struct slice list, struct weir_field *f)
{
    struct slice piece, name, value;
    while (next_piece(list, '&', &f->next, &piece)) {
        if (piece.len == 0)
            continue;
        cut(piece, &name, &value);
        return set_field(r, f, decoded(r, name), decoded(r, value));
    }
    return 0;
}

int weir_next_header(weir_request *r, struct weir_field *f)
{
    if (f->next >= (size_t)r->ex->req.header_count)
        return 0;
    const struct http_header *h = &r->ex->req.headers[f->next++];
    return set_field(r, f, h->name, h->value);
}

int weir_next_arg(weir_request *r, struct weir_field *f)
{
    return next_pair(r, r->ex->req.args, f);
}

static struct slice body_type(weir_request *r)
{
    const struct slice *type = http_find_header(&r->ex->req, SLICE("Content-Type"));
    return type ? *type : SLICE("");
}

static struct slice body_of(weir_request *r)
{
    size_t len;
    const char *body = weir_body(r, &len);
    return (struct slice){body, len};
}

static const char *part_text(weir_request *r, struct slice text)
{
    struct slice plain = http_part_text(job_arena(r), text);
    return text_of(r, plain.data ? plain : text);
}

static int next_part(weir_request *r, size_t *at, struct http_part *part)
{
    struct slice boundary;
    if (!http_multipart_boundary(body_type(r), &boundary))
        return -1;
    enum http_part_result result = http_next_part(body_of(r), boundary, at, part);
    return result == HTTP_PART_FOUND ? 1 : result == HTTP_PART_NONE ? 0 : -1;
}

int weir_next_part(weir_request *r, struct weir_part *p)
{
    struct http_part part;
    int result = next_part(r, &p->next, &part);
    if (result <= 0)
        return result;
    p->name = part_text(r, part.name);
    p->filename = part.filename.data ? part_text(r, part.filename) : NULL;
    p->type = text_of(r, part.type);
    p->data = part.content.data;
    p->bytes = part.content.len;
    return 1;
}

int weir_next_form(weir_request *r, struct weir_field *f)
{
    struct slice type = body_type(r);
    const char *semicolon = memchr(type.data, ';', type.len);
    struct slice essence = {type.data, semicolon ? (size_t)(semicolon - type.data) : type.len};
    struct http_part part;
    int result;
    if (slice_eq_nocase(slice_trim(essence), SLICE("application/x-www-form-urlencoded")))
        return next_pair(r, body_of(r), f);
    do {
        result = next_part(r, &f->next, &part);
    } while (result > 0 && part.filename.data);
    return result > 0 ? set_field(r, f, slice_of(part_text(r, part.name)), part.content) : result;
}

/* Several lines are one list (RFC 9113 section 8.2.3). */
static struct slice cookies_of(weir_request *r)
{
    struct slice all = {0};
    for (int i = 0; i < r->ex->req.header_count && !r->cookies.data; i++) {
        const struct http_header *h = &r->ex->req.headers[i];
        if (!slice_eq_nocase(h->name, SLICE("Cookie")))
            continue;
        all = all.data ? arena_printf(job_arena(r), "%.*s;%.*s", SLICE_ARGS(all), SLICE_ARGS(h->value))
                       : h->value;
        if (!all.data)
            weir_fail(r, "out of memory");
    }
    if (!r->cookies.data)
        r->cookies = all.data ? all : SLICE("");
    return r->cookies;
}

int weir_next_cookie(weir_request *r, struct weir_field *f)
{
    struct slice piece, name, value, all = cookies_of(r);
    while (next_piece(all, ';', &f->next, &piece)) {
        cut(slice_trim(piece), &name, &value);
        if (memchr(piece.data, '=', piece.len)) /* else it has no name */
            return set_field(r, f, slice_trim(name), slice_trim(value));
    }
    return 0;
}

static const char *first(weir_request *r, const char *name,
                         int (*next)(weir_request *r, struct weir_field *f))
{
    struct weir_field f = {0};
    while (next(r, &f) > 0)
        if (slice_eq((struct slice){f.name, f.name_bytes}, slice_of(name)))
            return f.value;
    return NULL;
}

const char *weir_arg(weir_request *r, const char *name)
{
    return first(r, name, weir_next_arg);
}

const char *weir_form(weir_request *r, const char *name)
{
    return first(r, name, weir_next_form);
}

const char *weir_cookie(weir_request *r, const char *name)
{
    return first(r, name, weir_next_cookie);
}

const char *weir_variable(weir_request *r, const char *name)
{
    for (int i = 0; r->variables && r->handler->variables[i]; i++)
        if (strcmp(r->handler->variables[i], name) == 0)
            return r->variables[i].data ? text_of(r, r->variables[i]) : NULL;
    return NULL;
}

/* --- one by name --- */

const char *weir_header(weir_request *r, const char *name)
{
    const struct slice *value = http_find_header(&r->ex->req, slice_of(name));
    return value ? text_of(r, *value) : NULL;
}

const void *weir_body(weir_request *r, size_t *len)
{
    *len = (size_t)r->ex->body_len;
    if (r->ex->body_fd < 0 || *len == 0)
        return *len ? r->ex->body.data + r->ex->body.start : "";
    if (!r->mapped_body) {
        void *p = mmap(NULL, *len, PROT_READ, MAP_PRIVATE, r->ex->body_fd, 0);
        if (p == MAP_FAILED)
            weir_fail(r, "cannot map the request's body");
        r->mapped_body = p;
        r->mapped_bytes = *len;
    }
    return r->mapped_body;
}

const char *weir_client(weir_request *r)
{
    return text_of(r, r->ex->peer(r->ex)->remote_addr);
}

void *weir_settings(weir_request *r)
{
    return r->settings;
}

int64_t weir_time_left_ms(weir_request *r)
{
    if (r->deadline_ms == 0)
        return INT64_MAX;
    uint64_t now = clock_mono_ms();
    return now >= r->deadline_ms ? 0 : (int64_t)(r->deadline_ms - now);
}

int weir_client_gone(weir_request *r)
{
    return r->gone;
}

void *weir_alloc(weir_request *r, size_t bytes)
{
    void *p = arena_alloc(job_arena(r), bytes);
    if (!p)
        weir_fail(r, "out of memory");
    return p;
}

int weir_set_status(weir_request *r, int status)
{
    if (status < 200 || status > 599 || r->streaming)
        return -1;
    r->ex->res.status = status;
    return 0;
}

static bool is_the_servers(struct slice name)
{
    static const struct slice names[] = {
        {"Content-Length", 14}, {"Transfer-Encoding", 17}, {"Connection", 10}, {"Date", 4}, {"Server", 6}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_eq_nocase(name, names[i]))
            return true;
    return false;
}

int weir_set_header(weir_request *r, const char *name, const char *value)
{
    struct slice n = slice_of(name), v = slice_of(value);
    if (!http_is_token(n) || is_the_servers(n) || r->streaming)
        return -1;
    for (size_t i = 0; i < v.len; i++)
        if (((unsigned char)v.data[i] < 0x20 && v.data[i] != '\t') || v.data[i] == 0x7f)
            return -1;
    n = slice_of(text_of(r, n));
    v = slice_of(text_of(r, v));
    if (slice_eq_nocase(n, SLICE("Content-Type")))
        r->ex->res.content_type = v;
    else if (!http_add_header(&r->ex->res, job_arena(r), n, v))
        weir_fail(r, "out of memory");
    return 0;
}

int weir_puts(weir_request *r, const char *text)
{
    return weir_write(r, text, strlen(text));
}

int weir_printf(weir_request *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bool ok = r->gone || buf_vprintf(&r->body, format, args);
    va_end(args);
    if (!ok)
        weir_fail(r, "out of memory for the answer");
    return weir_write(r, "", 0);
}

void weir_log(weir_request *r, enum weir_log_level level, const char *format, ...)
{
    char text[1024];
    va_list args;
    if (!log_wants((enum log_level)level))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    http_log(r->ex, (enum log_level)level, "handler \"%s\": %s", r->handler->name, text);
}

void job_log(struct weir_request *job, enum log_level level, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    http_log(job->ex, level, "%s", text);
}

void weir_fail(weir_request *r, const char *reason)
{
    (void)r; /* part of the call so that only a handler's own thread can make it */
    pool_task_fail(reason);
}
