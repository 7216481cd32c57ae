/*
 * http/h1/head.c - how a request of HTTP/1 begins, and what becomes of input that is none.
 */
#include "http/h1/head.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/h1/protocol.h"
#include "http/request/client.h"
#include "http/request/verdict.h"
#include "http/serve/request.h"
#include "http/wire/agent.h"
#include "http/wire/request.h"
#include "net/tls.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

/* A new request. NULL closes the connection: there is no memory to say more. */
static struct http_exchange *begin_request(struct connection *c)
{
    struct worker *w = connection_worker(c);
    assert(connection_is_between(c) && !c->dead && !c->rest && !c->close_after);
    struct http_exchange *ex = exchange_new(w);
    if (!ex) {
        log_error("out of memory for a request; closing its connection");
        connection_close(c);
        return NULL;
    }
    c->requests++;
    connection_identify(c, &ex->client);
    ex->client.pipelined = buf_len(&w->output) > 0;
    exchange_begin(ex, w);
    if (c->in && c->in->since_ms)
        ex->start_ms = c->in->since_ms;
    ex->connection = c;
    c->ex = ex;
    request_begin(ex, c->listener->listen->default_server->top);
    connection_show(c, SHM_CONNECTION_WRITING);
    return ex;
}

static struct verdict refuse_head(struct http_exchange *ex, const struct http_error *error)
{
    request_log_refusal(ex, error->text, error->in_headers);
    ex->req.keepalive = false;
    ex->req.minor_version = 1;
    client_make_last(ex, true);
    return verdict_answer(error->status);
}

/* What has come of a head that is refused before its end: its whole lines may name the host, and its first one the method. */
static void read_whole_lines(struct http_exchange *ex, struct slice lines, struct slice first)
{
    struct http_error unused;
    ex->head = lines.len ? arena_printf(&ex->arena, "%.*s\r\n", SLICE_ARGS(lines))
                         : arena_printf(&ex->arena, "%.*s\r\n\r\n", SLICE_ARGS(first));
    if (ex->head.data)
        exchange_parse(ex, &unused);
}

/* As far as it has come, without its end. */
static struct slice first_line(struct slice head)
{
    const char *eol = memchr(head.data, '\n', head.len);
    struct slice line = {head.data, eol ? (size_t)(eol - head.data) : head.len};
    if (line.len && line.data[line.len - 1] == '\r')
        line.len--;
    return line;
}

/*
 * Of a line that is too long the method alone counts, as in nginx: whether more of it has come is chance, so it names no
 * server, and the access log has no more of it than a line may have.
 */
static struct slice shorten_line(const struct connection *c, struct slice *line)
{
    size_t most = (size_t)c->listener->listen->default_server->top->settings->client.large_header.bytes;
    line->len = line->len < most ? line->len : most;
    const char *space = line->len ? memchr(line->data, ' ', line->len) : NULL;
    return (struct slice){line->data, space ? (size_t)(space - line->data) + 1 : 0};
}

struct verdict h1_refuse(struct connection *c, struct slice head, size_t whole_lines,
                         const struct http_error *error)
{
    assert(whole_lines <= head.len);
    struct http_exchange *ex = begin_request(c);
    if (!ex)
        return verdict_of(VERDICT_GONE);
    struct slice line = first_line(head), first = error->status == 414 ? shorten_line(c, &line) : line;
    read_whole_lines(ex, (struct slice){head.data, whole_lines}, first);
    ex->req.line = arena_dup(&ex->arena, line);
    ex->request_bytes = head.len;
    return refuse_head(ex, error);
}

/* keepalive_disable: browsers that are known to go wrong on a kept connection. */
static bool is_disabled_browser(const struct http_request *req, int64_t disabled)
{
    bool matters =
        disabled & CONF_KEEPALIVE_SAFARI || (disabled & CONF_KEEPALIVE_MSIE6 && req->method == HTTP_POST);
    const struct slice *agent = matters ? http_find_header(req, SLICE("User-Agent")) : NULL;
    if (!agent)
        return false;
    if (disabled & CONF_KEEPALIVE_MSIE6 && req->method == HTTP_POST && http_agent_is_msie6(*agent))
        return true;
    return disabled & CONF_KEEPALIVE_SAFARI && memmem(agent->data, agent->len, "Safari/", 7) &&
           memmem(agent->data, agent->len, "Mac OS X", 8) && !memmem(agent->data, agent->len, "Chrome", 6);
}

bool h1_is_last(const struct http_exchange *ex)
{
    const struct connection *c = ex->connection;
    const struct client_settings *s = &ex->route.settings->client;
    const struct worker *w = ex->worker;
    assert(c->ex == ex && c->requests > 0);
    return !ex->req.keepalive || c->requests >= (uint64_t)s->keepalive_requests ||
           s->keepalive.timeout_ms == 0 || w->draining ||
           w->now_ms - c->since_ms > (uint64_t)s->keepalive_time_ms ||
           is_disabled_browser(&ex->req, s->keepalive_disable);
}

struct verdict h1_start(struct connection *c, struct slice head)
{
    struct http_error error;
    assert(head.len > 0);
    struct http_exchange *ex = begin_request(c);
    if (!ex)
        return verdict_of(VERDICT_GONE);
    ex->head = arena_dup(&ex->arena, head);
    if (!ex->head.data) {
        connection_close(c);
        return verdict_of(VERDICT_GONE);
    }
    ex->request_bytes = head.len;
    if (!exchange_parse(ex, &error))
        return refuse_head(ex, &error);
    ex->body.left = ex->req.content_length;
    ex->body.whole = ex->req.framing == HTTP_BODY_NONE ||
                     (ex->req.framing == HTTP_BODY_LENGTH && ex->req.content_length == 0);
    struct verdict v = request_start(ex);
    ex->res.close |= h1_is_last(ex);
    return v;
}

void h1_leave_unfinished(struct connection *c, struct slice head, size_t whole_lines, int status,
                         const char *why)
{
    assert(whole_lines <= head.len);
    struct http_exchange *ex = begin_request(c);
    if (!ex)
        return;
    struct slice line = first_line(head);
    if (whole_lines)
        read_whole_lines(ex, (struct slice){head.data, whole_lines}, line);
    ex->req.line = arena_dup(&ex->arena, line);
    ex->request_bytes = whole_lines;
    request_log_refusal(ex, why, whole_lines > 0);
    request_end_unanswered(ex, status);
    connection_close(c);
}
