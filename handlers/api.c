/*
 * handlers/api.c - the calls of <weir/handler.h> that read the request and shape the response.
 */
#include "handlers/job.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/request/exchange.h"
#include "http/wire/request.h"
#include "http/wire/response.h"

#include <stdio.h>
#include <sys/mman.h>

const char *job_text(weir_request *r, struct slice s)
{
    struct slice copy = arena_dup(job_arena(r), s);
    if (!copy.data)
        weir_fail(r, "out of memory");
    return copy.data;
}

const char *weir_method(weir_request *r)
{
    return job_text(r, r->ex->req.method_name);
}

const char *weir_path(weir_request *r)
{
    return job_text(r, r->ex->req.path);
}

const char *weir_query(weir_request *r)
{
    return job_text(r, r->ex->req.args);
}

/* --- one by name --- */

const char *weir_variable(weir_request *r, const char *name)
{
    for (int i = 0; r->variables && r->handler->variables[i]; i++)
        if (strcmp(r->handler->variables[i], name) == 0)
            return r->variables[i].data ? job_text(r, r->variables[i]) : NULL;
    return NULL;
}

const char *weir_header(weir_request *r, const char *name)
{
    const struct slice *value = http_find_header(&r->ex->req, slice_of(name));
    return value ? job_text(r, *value) : NULL;
}

static const void *whole_body(weir_request *r, size_t *len)
{
    *len = (size_t)r->ex->body.len;
    if (r->ex->body.kept.fd < 0 || *len == 0)
        return *len ? r->ex->body.kept.memory.data + r->ex->body.kept.memory.start : "";
    if (!r->mapped_body) {
        void *p = mmap(NULL, *len, PROT_READ, MAP_PRIVATE, r->ex->body.kept.fd, 0);
        if (p == MAP_FAILED)
            weir_fail(r, "cannot map the request's body");
        r->mapped_body = p;
        r->mapped_bytes = *len;
    }
    return r->mapped_body;
}

const void *weir_body(weir_request *r, size_t *len)
{
    *len = 0;
    return r->handler->streams_body ? "" : whole_body(r, len);
}

/* One that was there before the job began. */
static size_t read_whole(weir_request *r, void *buffer, size_t bytes)
{
    size_t len;
    const char *body = whole_body(r, &len);
    size_t left = len - r->body_in.read, n = left < bytes ? left : bytes;
    if (n)
        memcpy(buffer, body + r->body_in.read, n);
    r->body_in.read += n;
    return n;
}

ssize_t weir_read(weir_request *r, void *buffer, size_t bytes)
{
    if (!r->handler->streams_body || r->gone)
        return -1;
    return r->body_in.comes ? job_body_read(r, buffer, bytes) : (ssize_t)read_whole(r, buffer, bytes);
}

const char *weir_client(weir_request *r)
{
    return job_text(r, r->ex->client.peer(r->ex)->remote_addr);
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

int64_t weir_deadline_ms(weir_request *r)
{
    return r->deadline_ms ? (int64_t)r->deadline_ms : INT64_MAX;
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
    static const struct slice names[] = {{"Content-Length", 14},
                                         {"Transfer-Encoding", 17},
                                         {"Connection", 10},
                                         {"Keep-Alive", 10},
                                         {"Proxy-Connection", 16},
                                         {"TE", 2},
                                         {"Trailer", 7},
                                         {"Upgrade", 7},
                                         {"Date", 4},
                                         {"Server", 6}};
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
    n = slice_of(job_text(r, n));
    v = slice_of(job_text(r, v));
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
