/*
 * handlers/parcel.c - requests and responses as bytes between workers. What is read is checked: the one who wrote it may be out of
 * its mind.
 */
#include "handlers/parcel.h"

#include "base/arena.h"
#include "base/buf.h"
#include "handlers/auth_basic.h"
#include "http/site/site.h"

#include <assert.h>
#include <string.h>

/* Of a text that is not there, which is not the same as an empty one. */
#define NO_TEXT UINT32_MAX

/* In front; the texts follow in the order of for_each_text, then variables, headers, and the body. */
struct parcel_head {
    struct parcel_id id;
    uint32_t location, pool;
    uint64_t deadline_ms, submitted_us, connection_id, client_since_ms, client_requests, content_length,
        body_len;
    uint32_t header_count, variable_count, body_inline;
    int32_t remote_len, method, framing;
    uint32_t permits[HTTP_PERMITS_MAX];
    unsigned char remote[18];
    uint8_t permit_count, asks, body_in_file;
};

enum { TEXTS = 11, HEADERS_MAX = 65536, VARIABLES_MAX = 4096 };

static void list_texts(struct slice *texts[TEXTS], struct http_request *req, struct slice *server_name,
                       struct slice *request_id)
{
    struct slice *const all[TEXTS] = {&req->line, &req->protocol, &req->method_name, &req->target,
                                      &req->uri,  &req->path,     &req->args,        &req->port,
                                      &req->host, server_name,    request_id};
    memcpy(texts, all, sizeof all);
}

/* --- packing --- */

static bool put_text(struct buf *out, struct slice s)
{
    uint32_t len = s.data ? (uint32_t)s.len : NO_TEXT;
    return buf_append(out, &len, sizeof len) && (!s.data || buf_append(out, s.data, s.len));
}

static bool put_question(struct buf *out, const struct auth_question *q)
{
    return put_text(out, slice_of(q->file)) && put_text(out, slice_of(q->user)) &&
           put_text(out, slice_of(q->password));
}

static struct parcel_head head_of(const struct weir_request *job, const struct parcel_id *id,
                                  bool body_beside)
{
    const struct http_exchange *ex = job->ex;
    struct parcel_head h = {
        .id = *id,
        .location = (uint32_t)ex->route.location->number,
        .pool = (uint32_t)job->task.pool,
        .deadline_ms = job->deadline_ms,
        .submitted_us = job->task.task.submitted_us,
        .connection_id = ex->client.connection_id,
        .client_since_ms = ex->client.since_ms,
        .client_requests = ex->client.requests,
        .content_length = ex->req.content_length,
        .body_len = ex->body.len,
        .header_count = (uint32_t)ex->req.header_count,
        .variable_count = (uint32_t)job_count_variables(job->handler),
        .body_inline = body_beside ? 0 : (uint32_t)ex->body.len,
        .remote_len = ex->client.remote_len,
        .method = (int32_t)ex->req.method,
        .framing = (int32_t)ex->req.framing,
        .permit_count = (uint8_t)ex->limits.held_count,
        .asks = job->handler == &auth_basic_handler,
        .body_in_file = body_beside,
    };
    memcpy(h.remote, ex->client.remote, sizeof h.remote);
    memcpy(h.permits, ex->limits.held, sizeof h.permits);
    return h;
}

bool parcel_pack(struct buf *out, const struct weir_request *job, const struct parcel_id *id,
                 bool body_beside)
{
    struct http_exchange *ex = job->ex;
    struct parcel_head h = head_of(job, id, body_beside);
    struct slice *texts[TEXTS];
    /* A check of a password has no use for it. */
    if (h.asks) {
        h.body_in_file = 0;
        h.body_inline = 0;
        h.body_len = 0;
    }
    list_texts(texts, &ex->req, &ex->route.server_name, &ex->request_id);
    bool ok = buf_append(out, &h, sizeof h);
    for (int i = 0; ok && i < TEXTS; i++)
        ok = put_text(out, *texts[i]);
    ok = ok && (!h.asks || put_question(out, job->settings));
    for (uint32_t i = 0; ok && i < h.variable_count; i++)
        ok = put_text(out, job->variables[i]);
    for (uint32_t i = 0; ok && i < h.header_count; i++)
        ok = put_text(out, ex->req.headers[i].name) && put_text(out, ex->req.headers[i].value);
    return ok &&
           (!h.body_inline || buf_append(out, buf_slice(&ex->body.kept.memory).data, (size_t)h.body_inline));
}

bool parcel_pack_head(struct buf *out, const struct http_response *res)
{
    uint32_t numbers[2] = {(uint32_t)res->status, 0};
    for (const struct http_response_header *h = res->headers; h; h = h->next)
        numbers[1]++;
    bool ok = buf_append(out, numbers, sizeof numbers) && put_text(out, res->content_type);
    for (const struct http_response_header *h = res->headers; ok && h; h = h->next)
        ok = put_text(out, h->header.name) && put_text(out, h->header.value);
    return ok;
}

/* --- unpacking --- */

bool parcel_take(struct slice *bytes, void *to, size_t len)
{
    if (bytes->len < len)
        return false;
    memcpy(to, bytes->data, len);
    *bytes = (struct slice){bytes->data + len, bytes->len - len};
    return true;
}

static bool take_text(struct slice *from, struct slice *text)
{
    uint32_t len;
    if (!parcel_take(from, &len, sizeof len))
        return false;
    *text = (struct slice){0};
    if (len == NO_TEXT)
        return true;
    if (from->len < len)
        return false;
    *text = (struct slice){from->data, len};
    *from = (struct slice){from->data + len, from->len - len};
    return true;
}

/* With a zero behind it. */
static bool take_string(struct slice *from, struct arena *arena, const char **string)
{
    struct slice text;
    if (!take_text(from, &text) || !text.data)
        return false;
    *string = arena_dup(arena, text).data;
    return *string != NULL;
}

static bool take_question(struct slice *from, struct arena *arena, struct parcel *p)
{
    return take_string(from, arena, &p->file) && take_string(from, arena, &p->user) &&
           take_string(from, arena, &p->password);
}

static bool take_variables(struct slice *from, struct arena *arena, struct parcel *p)
{
    if (p->variable_count == 0)
        return true;
    p->variables = p->variable_count <= VARIABLES_MAX
                       ? arena_zalloc(arena, p->variable_count * sizeof *p->variables)
                       : NULL;
    bool ok = p->variables != NULL;
    for (uint32_t i = 0; ok && i < p->variable_count; i++)
        ok = take_text(from, &p->variables[i]);
    return ok;
}

static bool take_headers(struct slice *from, struct arena *arena, struct http_request *req, uint32_t count)
{
    if (count > HEADERS_MAX)
        return false;
    req->headers = count ? arena_zalloc(arena, count * sizeof *req->headers) : NULL;
    req->header_count = req->header_room = (int)count;
    bool ok = !count || req->headers;
    for (uint32_t i = 0; ok && i < count; i++)
        ok = take_text(from, &req->headers[i].name) && take_text(from, &req->headers[i].value);
    return ok;
}

/* Numbers that others index by or switch on. */
static bool is_sane(const struct parcel_head *h)
{
    return (h->remote_len == 0 || h->remote_len == 4 || h->remote_len == 16) && h->method >= HTTP_GET &&
           h->method <= HTTP_OTHER && h->framing >= HTTP_BODY_NONE && h->framing <= HTTP_BODY_CHUNKED &&
           h->permit_count <= HTTP_PERMITS_MAX && (h->body_in_file || h->body_inline == h->body_len);
}

static void take_numbers(struct parcel *p, const struct parcel_head *h)
{
    *p = (struct parcel){.id = h->id,
                         .location = h->location,
                         .pool = h->pool,
                         .deadline_ms = h->deadline_ms,
                         .submitted_us = h->submitted_us,
                         .body_len = h->body_len,
                         .body_in_file = h->body_in_file,
                         .asks = h->asks,
                         .permit_count = h->permit_count,
                         .variable_count = h->variable_count};
    p->client.connection_id = h->connection_id;
    p->client.since_ms = h->client_since_ms;
    p->client.requests = h->client_requests;
    p->client.remote_len = h->remote_len;
    memcpy(p->client.remote, h->remote, sizeof p->client.remote);
    memcpy(p->permits, h->permits, sizeof p->permits);
    p->req.method = (enum http_method)h->method;
    p->req.framing = (enum http_framing)h->framing;
    p->req.content_length = h->content_length;
}

bool parcel_unpack(struct parcel *p, struct arena *arena, struct slice bytes)
{
    struct parcel_head h;
    struct slice *texts[TEXTS], left = arena_dup(arena, bytes);
    if (!left.data || !parcel_take(&left, &h, sizeof h) || !is_sane(&h))
        return false;
    take_numbers(p, &h);
    list_texts(texts, &p->req, &p->server_name, &p->request_id);
    bool ok = true;
    for (int i = 0; ok && i < TEXTS; i++)
        ok = take_text(&left, texts[i]);
    ok = ok && (!p->asks || take_question(&left, arena, p)) && take_variables(&left, arena, p) &&
         take_headers(&left, arena, &p->req, h.header_count);
    p->body = left;
    return ok && left.len == h.body_inline;
}

bool parcel_unpack_head(struct slice *bytes, struct http_response *res, struct arena *arena)
{
    uint32_t numbers[2];
    struct slice type, name, value;
    if (!parcel_take(bytes, numbers, sizeof numbers) || numbers[1] > HEADERS_MAX || !take_text(bytes, &type))
        return false;
    /* What weir_set_status and weir_set_header let through. */
    if ((numbers[0] != 0 && numbers[0] < 200) || numbers[0] > 599 ||
        (type.data && !http_is_field_value(type)))
        return false;
    res->status = (int)numbers[0];
    if (type.data && !(res->content_type = arena_dup(arena, type)).data)
        return false;
    for (uint32_t i = 0; i < numbers[1]; i++) {
        if (!take_text(bytes, &name) || !take_text(bytes, &value) || !http_is_token(name) ||
            !http_is_field_value(value))
            return false;
        name = arena_dup(arena, name);
        value = arena_dup(arena, value);
        if (!name.data || !value.data || !http_add_header(res, arena, name, value))
            return false;
    }
    return true;
}
