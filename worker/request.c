/*
 * worker/request.c - how a request begins, is refused, is answered, and comes to its line of the log; worker/serve.c runs what
 * is between.
 */
#include "worker/filter.h"
#include "worker/source.h"

#include "base/log.h"
#include "conf/directive.h"
#include "http/agent.h"

enum { CLOSE_WITHOUT_ANSWER = 444, CLIENT_CLOSED_REQUEST = 499 };

static const struct settings *settings(const struct http_exchange *ex)
{
    return ex->route.location->settings;
}

/* An exchange for a new request. NULL closes the connection: there is no memory to say more. */
static struct http_exchange *begin(struct connection *c)
{
    struct worker *w = connection_worker(c);
    struct http_exchange *ex = exchange_new(w);
    if (!ex) {
        log_error("out of memory for a request; closing its connection");
        connection_close(c);
        return NULL;
    }
    c->requests++;
    exchange_begin(c, ex);
    c->ex = ex;
    ex->route.location = c->listener->listen->default_server->top;
    ex->client.pipelined = buf_len(&w->output) > 0;
    ex->body.whole = true;
    counter_set(&w->slot->in_flight, ++w->in_flight);
    connection_show(c, SHM_CONNECTION_WRITING);
    return ex;
}

static struct verdict refuse(struct http_exchange *ex, const struct http_error *error)
{
    const struct vserver *server = request_find_server(ex); /* as far as Host has been read */
    request_use_location(ex, server->top);
    realip_apply(ex,
                 server->top); /* the PROXY protocol has named the client; of headers what was read counts */
    http_log(ex, LOG_LEVEL_INFO, "%s while reading client request %s", error->text,
             error->in_headers ? "headers" : "line");
    ex->req.keepalive = false;
    ex->req.minor_version = 1;
    ex->res.close = ex->connection->linger_after = true;
    return verdict_answer(error->status);
}

/* What has come of a head that is refused before its end: its whole lines may name the host, and its first one the method. */
static void read_whole_lines(struct connection *c, struct slice lines, struct slice first)
{
    struct http_exchange *ex = c->ex;
    struct http_error unused;
    ex->head = lines.len ? arena_printf(&ex->arena, "%.*s\r\n", SLICE_ARGS(lines))
                         : arena_printf(&ex->arena, "%.*s\r\n\r\n", SLICE_ARGS(first));
    if (ex->head.data)
        exchange_parse(c, ex, &unused);
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
static struct slice shorten(const struct connection *c, struct slice *line)
{
    size_t most = (size_t)c->listener->listen->default_server->top->settings->client.large_header.bytes;
    line->len = line->len < most ? line->len : most;
    const char *space = line->len ? memchr(line->data, ' ', line->len) : NULL;
    return (struct slice){line->data, space ? (size_t)(space - line->data) + 1 : 0};
}

struct verdict request_refuse(struct connection *c, struct slice head, size_t whole_lines,
                              const struct http_error *error)
{
    struct http_exchange *ex = begin(c);
    if (!ex)
        return verdict_of(VERDICT_GONE);
    struct slice line = first_line(head), first = error->status == 414 ? shorten(c, &line) : line;
    read_whole_lines(c, (struct slice){head.data, whole_lines}, first);
    ex->req.line = arena_dup(&ex->arena, line);
    ex->request_bytes = head.len;
    return refuse(c->ex, error);
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

bool request_is_last(const struct http_exchange *ex)
{
    const struct connection *c = ex->connection;
    const struct settings *s = settings(ex);
    const struct worker *w = connection_worker(c);
    return !c->ex->req.keepalive || c->requests >= (uint64_t)s->client.keepalive_requests ||
           s->client.keepalive.timeout_ms == 0 || w->draining ||
           w->now_ms - c->since_ms > (uint64_t)s->client.keepalive_time_ms ||
           is_disabled_browser(&c->ex->req, s->client.keepalive_disable);
}

struct verdict request_start(struct connection *c, struct slice head)
{
    struct http_error error;
    struct http_exchange *ex = begin(c);
    if (!ex)
        return verdict_of(VERDICT_GONE);
    ex->head = arena_dup(&ex->arena, head);
    if (!ex->head.data) {
        connection_close(c);
        return verdict_of(VERDICT_GONE);
    }
    ex->request_bytes = head.len;
    if (!exchange_parse(c, ex, &error))
        return refuse(c->ex, &error);
    request_route(c->ex);
    if (ex->req.ignored_headers)
        http_log(ex, LOG_LEVEL_INFO,
                 "client sent invalid header line: \"%.*s\" while reading client request headers",
                 SLICE_ARGS(ex->req.ignored_header));
    ex->res.close = request_is_last(ex);
    ex->body.left = ex->req.content_length;
    ex->body.whole = ex->req.framing == HTTP_BODY_NONE ||
                     (ex->req.framing == HTTP_BODY_LENGTH && ex->req.content_length == 0);
    return body_pass(c->ex);
}

/* nginx's own codes for kinds of 400: error_page and return know them, clients do not. */
static int shown_status(int status)
{
    return status >= 494 && status <= 497 ? 400 : status;
}

/* The built-in page takes the place of whatever body there was. Headers that belong to the status stay. */
static bool make_error_page(struct http_exchange *ex, int status)
{
    struct http_response *res = &ex->res;
    struct slice page = http_error_page(status, settings(ex)->answers.server_tokens);
    res->status = shown_status(status);
    res->reason = (struct slice){0};
    res->body = res->last_piece = NULL;
    res->content_length = 0;
    res->last_modified = res->etag = (struct slice){0};
    res->accept_ranges = false;
    res->content_type = page.len ? SLICE("text/html") : (struct slice){0};
    if (res->status == 400 || status == 413 || status == 414 || status == 501)
        res->close = true;
    return http_add_memory(res, &ex->arena, page.data, page.len);
}

static bool write_head(struct http_exchange *ex)
{
    struct worker *w = ex->worker;
    struct buf *out = send_buffer(ex);
    size_t before = buf_len(out);
    struct http_head_options options = {&w->stamps[settings(ex)->answers.server_tokens != 0],
                                        settings(ex)->client.keepalive.header_s,
                                        settings(ex)->answers.chunked == 0};
    if (!http_write_head(&ex->res, &ex->req, &options, out))
        return false;
    ex->sent.head = buf_len(out) - before;
    return true;
}

/* Of the answer's body, unless its upstream has said. */
static void set_rate(struct http_exchange *ex)
{
    int64_t rate = 0, after = 0;
    if (ex->route.location->rate_after &&
        conf_parse_size(http_template_expand(ex->route.location->rate_after, ex), &after))
        ex->pace.after = (uint64_t)after;
    if (ex->pace.is_set || !ex->route.location->rate)
        return;
    if (conf_parse_size(http_template_expand(ex->route.location->rate, ex), &rate))
        ex->pace.rate = (uint64_t)rate;
}

/* Out of memory for an answer. */
static struct verdict give_up(struct http_exchange *ex)
{
    connection_close(ex->connection);
    return verdict_of(VERDICT_GONE);
}

struct verdict request_send(struct http_exchange *ex, int error)
{
    if (error)
        ex->route.forced_status =
            0; /* the page itself failed, or is a redirect: its own status counts, as in nginx */
    if (error && !make_error_page(ex, error))
        return give_up(ex);
    if (ex->route.forced_status) {
        ex->res.status = ex->route.forced_status;
        ex->res.reason = (struct slice){0};
    }
    if (ex->res.location.data && !http_is_field_value(ex->res.location)) {
        http_log(ex, LOG_LEVEL_ERROR, "the redirect has a control character; request refused");
        ex->res.location = (struct slice){0};
        if (!make_error_page(ex, 400))
            return give_up(ex);
    }
    bool challenges = ex->res.status == 401 || ex->route.in_error_page; /* whatever code its page has */
    if (challenges && ex->access.www_authenticate.len &&
        !http_add_header(&ex->res, &ex->arena, SLICE("WWW-Authenticate"), ex->access.www_authenticate))
        return give_up(ex);
    if (!headers_add(ex))
        return give_up(ex);
    filter_decide(ex);
    int failed = ranges_cut(ex);
    if (failed) {
        filter_free(ex); /* they were for the body that it had */
        return verdict_answer(failed);
    }
    ex->res.close |= ex->worker->draining;
    body_drop(ex);
    set_rate(ex);
    ex->state = REQUEST_SEND;
    if (ex->connection->out) /* of earlier answers: the client has to take it within its time */
        connection_set_timer(ex->connection, settings(ex)->client.send_timeout_ms);
    if (headers_want_trailers(ex))
        ex->res.content_length = HTTP_LENGTH_UNKNOWN;
    if (!write_head(ex))
        return give_up(ex);
    if (!ex->source)
        ex->source = &source_pieces;
    send_with_head(ex);
    return verdict_of(VERDICT_GONE);
}

static bool is_true(struct slice text)
{
    return text.len > 0 && !slice_eq(text, SLICE("0"));
}

void request_log(struct http_exchange *ex)
{
    static struct buf line;
    for (const struct access_log *log = ex->route.location->access_logs; log; log = log->next) {
        line.start = line.end = 0;
        if (log->condition && !is_true(http_template_expand(log->condition, ex)))
            continue;
        if (!http_template_log(log->format, log->escape, ex, &line) || !buf_append(&line, "\n", 1))
            continue;
        if (log->file)
            logfile_append(log->file, buf_slice(&line));
        else
            open_logs_append(ex, log, buf_slice(&line));
    }
}

/* Counts and logs the request, and gives back what it holds. */
static void conclude(struct http_exchange *ex)
{
    struct worker *w = ex->worker;
    unsigned status = (unsigned)ex->res.status;
    counter_set(&w->slot->in_flight, --w->in_flight);
    counter_add(&w->slot->requests, 1);
    if (status < SHM_CODES)
        counter_add(&w->slot->codes[status], 1);
    hist_add(&w->slot->duration, (w->now_ms - ex->start_ms) * 1000);
    if (ex->route.location->access_logs)
        request_log(ex);
    w->busy_since_purge++;
    exchange_release(w, ex);
}

void request_leave_unfinished(struct connection *c, struct slice head, size_t whole_lines, int status,
                              const char *why)
{
    struct http_exchange *ex = begin(c);
    if (!ex)
        return;
    struct slice line = first_line(head);
    if (whole_lines)
        read_whole_lines(c, (struct slice){head.data, whole_lines}, line);
    ex->req.line = arena_dup(&ex->arena, line);
    ex->request_bytes = whole_lines;
    const struct vserver *server = request_find_server(c->ex);
    request_use_location(c->ex, server->top);
    realip_apply(c->ex, server->top);
    http_log(ex, LOG_LEVEL_INFO, "%s while reading client request %s", why, whole_lines ? "headers" : "line");
    ex->res.status = status;
    conclude(ex);
    ex->state = REQUEST_GONE;
    connection_close(c);
}

void request_done(struct http_exchange *ex)
{
    struct connection *c = ex->connection;
    ex->sent.whole = true;
    c->close_after |= ex->res.close;
    c->settings = settings(ex);
    c->ex = NULL;
    conclude(ex);
    exchange_recycle(ex->worker, ex);
}

void request_gone(struct http_exchange *ex)
{
    bool cut = ex->route.return_code == CLOSE_WITHOUT_ANSWER;
    bool unfinished = !ex->body.whole && (ex->state == REQUEST_BODY || ex->state == REQUEST_PROXY);
    if (ex->state == REQUEST_GONE) /* it has been told of already */
        return;
    if (ex->aside)
        auth_request_restore(ex);
    if (ex->res.status == 0 || ex->sent.head == 0)
        ex->res.status = cut ? CLOSE_WITHOUT_ANSWER : unfinished ? 400 : CLIENT_CLOSED_REQUEST;
    conclude(ex);
    ex->state = REQUEST_GONE;
}
