/*
 * http/h2/head.c - a request's head: from fields as they are decompressed to a request that is served.
 */
#include "http/h2/head.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/client/connection.h"
#include "http/h2/defence.h"
#include "http/request/exchange.h"
#include "http/request/verdict.h"
#include "http/serve/request.h"
#include "http/serve/serve.h"
#include "http/wire/request.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <sys/random.h>

static const struct http_error too_long_uri = {414, "client sent too long URI", false},
                               too_long_field = {494, "client sent too long header line", true},
                               too_large = {494, "client sent too large request", true},
                               no_memory = {500, "memory is out", true};

enum { BYTES_FOR_TOKEN = 256, KEY_DIGITS = 22 };

static void empty(struct buf *b)
{
    b->start = b->end = 0;
}

void h2_head_begin(struct h2_session *s, struct h2_stream *st)
{
    struct h2_head *h = &s->head;
    s->head_of = st;
    h->limits = connection_head_limits(s->c);
    empty(&h->fields);
    empty(&h->cookie);
    empty(&h->method);
    empty(&h->path);
    empty(&h->host);
    h->refuse = NULL;
    h->count = 0;
    h->has_host_field = h->has_priority = h->has_key = h->is_tunnel = h->is_malformed = false;
}

void h2_head_free(struct h2_session *s)
{
    buf_free(&s->head.fields);
    buf_free(&s->head.cookie);
    buf_free(&s->head.method);
    buf_free(&s->head.path);
    buf_free(&s->head.host);
}

static size_t head_bytes(const struct h2_head *h)
{
    return buf_len(&h->fields) + buf_len(&h->cookie) + buf_len(&h->method) + buf_len(&h->path) +
           buf_len(&h->host);
}

static bool put(struct h2_head *h, struct buf *to, struct slice s)
{
    if (s.len == 0 || buf_append_slice(to, s))
        return true;
    h->refuse = &no_memory;
    return false;
}

/* :path and its kin are in the first line: what would end them there is none. */
static bool is_of_a_line(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] <= ' ' || s.data[i] == 0x7f)
            return false;
    return s.len > 0;
}

/* nghttp2 has seen to it that each stands once, before all others, and is one of these or :scheme. */
static void add_pseudo(struct h2_head *h, struct slice name, struct slice value)
{
    bool fits = is_of_a_line(value);
    if (slice_eq(name, SLICE(":method")))
        put(h, &h->method, value);
    else if (slice_eq(name, SLICE(":path")))
        put(h, &h->path, value);
    else if (slice_eq(name, SLICE(":authority")))
        put(h, &h->host, value);
    else if (slice_eq(name, SLICE(":protocol")))
        h->is_tunnel = slice_eq(value, SLICE("websocket"));
    else
        fits = true;
    h->is_malformed |= !fits;
}

/* Beside :authority it has to say the same (RFC 9113 section 8.3.1), and is not kept twice. */
static bool is_known_host(struct h2_head *h, struct slice name, struct slice value)
{
    if (!slice_eq(name, SLICE("host")))
        return false;
    bool is_second = h->has_host_field;
    h->has_host_field = true;
    if (is_second || buf_len(&h->host) == 0)
        return false;
    h->is_malformed |= !slice_eq_nocase(value, buf_slice(&h->host));
    return true;
}

void h2_head_add(struct h2_session *s, struct slice name, struct slice value)
{
    struct h2_head *h = &s->head;
    if (h->refuse || h->is_malformed) {
        /* A byte of a frame can be 4 KiB of a field: what is beyond the limits is paid for. */
        h2_spend(s, 1 + (int)((name.len + value.len) / BYTES_FOR_TOKEN));
        return;
    }
    if (name.len + value.len + 4 > h->limits.line_bytes) {
        h->refuse = slice_eq(name, SLICE(":path")) ? &too_long_uri : &too_long_field;
        return;
    }
    if (head_bytes(h) + name.len + value.len + 4 > h->limits.head_bytes) {
        h->refuse = &too_large;
        return;
    }
    h->count++;
    if (name.data[0] == ':') {
        add_pseudo(h, name, value);
    } else if (slice_eq(name, SLICE("cookie"))) {
        if (buf_len(&h->cookie) == 0 || put(h, &h->cookie, SLICE("; ")))
            put(h, &h->cookie, value);
    } else if (!is_known_host(h, name, value)) {
        h->has_priority |= slice_eq(name, SLICE("priority"));
        h->has_key |= slice_eq(name, SLICE("sec-websocket-key"));
        if (put(h, &h->fields, name) && put(h, &h->fields, SLICE(": ")) && put(h, &h->fields, value))
            put(h, &h->fields, SLICE("\r\n"));
    }
}

/* --- the request --- */

struct writer {
    char *at;
};

static void write_slice(struct writer *w, struct slice s)
{
    if (s.len)
        memcpy(w->at, s.data, s.len);
    w->at += s.len;
}

static void write_field(struct writer *w, struct slice name, const struct buf *value)
{
    if (buf_len(value) == 0)
        return;
    write_slice(w, name);
    write_slice(w, buf_slice(value));
    write_slice(w, SLICE("\r\n"));
}

/* RFC 6455 section 4.1: that is how an upstream is asked. The key is a nonce between it and us. */
static void write_upgrade(struct writer *w, const struct h2_head *h)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char nonce[KEY_DIGITS];
    char key[KEY_DIGITS];
    write_slice(w, SLICE("connection: upgrade\r\nupgrade: websocket\r\n"));
    if (h->has_key || getrandom(nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce)
        return;
    for (int i = 0; i < KEY_DIGITS; i++)
        key[i] = digits[nonce[i] % 64];
    key[KEY_DIGITS - 1] = digits[nonce[0] % 4 * 16]; /* of 16 bytes: two bits are left for it */
    write_slice(w, SLICE("sec-websocket-key: "));
    write_slice(w, (struct slice){key, KEY_DIGITS});
    write_slice(w, SLICE("==\r\n"));
}

/* As HTTP/1 has it. CONNECT has no path, but the authority in its place (RFC 9113 section 8.5). */
static struct slice head_text(struct arena *arena, const struct h2_head *h)
{
    enum { FIXED = 256 /* blanks, names and line ends */ };
    size_t room = head_bytes(h) + buf_len(&h->host) + FIXED;
    char *text = arena_alloc(arena, room);
    struct writer w = {text};
    if (!text)
        return (struct slice){0};
    bool is_get = h->is_tunnel || buf_len(&h->method) == 0;
    write_slice(&w, is_get ? SLICE("GET") : buf_slice(&h->method));
    write_slice(&w, SLICE(" "));
    write_slice(&w, buf_len(&h->path)   ? buf_slice(&h->path)
                    : buf_len(&h->host) ? buf_slice(&h->host)
                                        : SLICE("/"));
    write_slice(&w, SLICE(" HTTP/2.0\r\n"));
    write_field(&w, SLICE("host: "), &h->host);
    write_slice(&w, buf_slice(&h->fields));
    write_field(&w, SLICE("cookie: "), &h->cookie);
    if (h->is_tunnel)
        write_upgrade(&w, h);
    write_slice(&w, SLICE("\r\n"));
    assert((size_t)(w.at - text) <= room);
    return (struct slice){text, (size_t)(w.at - text)};
}

/*
 * RFC 9218 has responses one after the other unless their requests say that they are of use in parts. Who says nothing does not know of
 * it, and a stream of events or a large file must not keep all others waiting.
 */
static void take_turns(struct h2_stream *st)
{
    nghttp2_extpri priority = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    if (nghttp2_session_change_extpri_stream_priority(st->session->ng, st->id, &priority, 0) != 0)
        st->session->is_over = true;
}

bool h2_head_end(struct h2_session *s, struct h2_stream *st, bool has_body)
{
    struct connection *c = s->c;
    struct worker *w = connection_worker(c);
    assert(s->head_of == st && !st->ex);
    s->head_of = NULL;
    st->head_bytes = 2 * head_bytes(&s->head) + s->head.count * sizeof(struct http_header);
    s->heads_bytes += st->head_bytes;
    if (s->head.is_malformed)
        return false;
    struct http_exchange *ex = exchange_new(w);
    if (!ex)
        return false;
    c->requests++;
    connection_identify(c, &ex->client);
    ex->client.lead = &s->lead;
    exchange_begin(ex, w);
    ex->connection = c;
    ex->stream = st;
    ex->head = head_text(&ex->arena, &s->head);
    if (!ex->head.data) {
        exchange_recycle(w, ex);
        return false;
    }
    ex->request_bytes = ex->head.len;
    if (!s->head.has_priority)
        take_turns(st);
    st->ex = ex;
    st->refuse = s->head.refuse;
    st->has_ended = !has_body;
    st->head_was_all = !has_body || s->head.is_tunnel;
    st->is_tunnel = s->head.is_tunnel;
    ex->client.no_upgrade = !st->is_tunnel;
    return true;
}

static struct verdict refuse(struct http_exchange *ex, const struct http_error *error)
{
    request_log_refusal(ex, error->text, error->in_headers);
    return verdict_answer(error->status);
}

/* What is not announced has no length, and its end is the stream's. */
static void expect_body(struct h2_stream *st, bool has_ended)
{
    struct http_exchange *ex = st->ex;
    if (!st->head_was_all && ex->req.framing == HTTP_BODY_NONE)
        ex->req.framing = has_ended ? HTTP_BODY_LENGTH : HTTP_BODY_CHUNKED;
    ex->body.left = ex->req.content_length;
    ex->body.whole = has_ended || (ex->req.framing == HTTP_BODY_LENGTH && ex->req.content_length == 0);
}

void h2_start(struct h2_stream *st)
{
    struct http_exchange *ex = st->ex;
    struct http_error error;
    assert(ex && !st->has_begun);
    st->has_begun = true;
    connection_show(st->session->c, SHM_CONNECTION_WRITING);
    request_begin(ex, ex->client.listen->default_server->top);
    bool ok = exchange_parse(ex, &error);
    if (st->refuse)
        error = *st->refuse;
    if (!ok || st->refuse) {
        /* The line that was too long says nothing, as with HTTP/1. */
        request_serve(ex, refuse(ex, &error));
        return;
    }
    expect_body(st, st->is_tunnel || (st->has_ended && buf_len(&st->in) == 0));
    request_serve(ex, request_start(ex));
}
