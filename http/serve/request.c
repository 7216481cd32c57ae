/*
 * http/serve/request.c - how a request begins, is refused, is answered, and comes to its line of the log; http/serve/serve.c runs what
 * is between.
 */
#include "http/serve/request.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/hist.h"
#include "base/log.h"
#include "base/logfile.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "http/access/realip.h"
#include "http/filters/filters.h"
#include "http/filters/headers.h"
#include "http/request/aside.h"
#include "http/request/body.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/filter.h"
#include "http/request/source.h"
#include "http/request/template.h"
#include "http/request/verdict.h"
#include "http/serve/open_logs.h"
#include "http/serve/redirect.h"
#include "http/serve/stand.h"
#include "http/site/site.h"
#include "http/site/status_zone.h"
#include "http/site/tls.h"
#include "http/wire/grpc.h"
#include "http/wire/request.h"
#include "http/wire/response.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

enum { CLOSE_WITHOUT_ANSWER = 444, CLIENT_CLOSED_REQUEST = 499 };

void request_begin(struct http_exchange *ex, const struct location *l)
{
    struct worker *w = ex->worker;
    assert(ex->state == REQUEST_RUNS && !ex->route.location && ex->sent.head == 0);
    ex->route.location = l;
    ex->route.settings = l->settings;
    ex->body.whole = true;
    counter_set(&w->slot->in_flight, ++w->in_flight);
}

/* Where it stands whose head could not be understood; of that as much counts as has been read. */
static void stand_on_top(struct http_exchange *ex)
{
    const struct vserver *server = request_find_server(ex);
    request_use_location(ex, server->top);
    /* The PROXY protocol may have named the client. */
    realip_apply(ex, server->top);
}

void request_log_refusal(struct http_exchange *ex, const char *why, bool in_headers)
{
    stand_on_top(ex);
    http_log(ex, LOG_LEVEL_INFO, "%s while reading client request %s", why, in_headers ? "headers" : "line");
}

struct verdict request_start(struct http_exchange *ex)
{
    assert(ex->state == REQUEST_RUNS && ex->route.location && !ex->source);
    request_route(ex);
    if (ex->req.ignored_headers)
        http_log(ex, LOG_LEVEL_INFO,
                 "client sent invalid header line: \"%.*s\" while reading client request headers",
                 SLICE_ARGS(ex->req.ignored_header));
    struct verdict v = tls_pass(ex);
    return v.kind == VERDICT_NEXT ? body_pass(ex) : v;
}

/* nginx's own codes for kinds of 400: error_page and return know them, clients do not. */
static int shown_status(int status)
{
    return status >= 494 && status <= 497 ? 400 : status;
}

static bool is_grpc_call(const struct http_exchange *ex)
{
    const struct slice *type = http_find_header(&ex->req, SLICE("Content-Type"));
    return ex->client.http2 && type && grpc_is_type(*type);
}

/* By a limit of any kind, or a pool that is full: there is no room now. */
static bool is_refused(const struct http_exchange *ex)
{
    return ex->res.retry_after_s > 0 || slice_eq(slice_of(ex->limits.req_status), SLICE("REJECTED")) ||
           slice_eq(slice_of(ex->limits.conn_status), SLICE("REJECTED"));
}

/* To a client of gRPC the answer is well whatever has happened, and its trailers, which stand in its head, say what has. */
static bool make_grpc_error(struct http_exchange *ex, int status)
{
    struct http_response *res = &ex->res;
    struct slice code = arena_printf(&ex->arena, "%d", grpc_code_of(status, is_refused(ex)));
    struct slice text = slice_of(http_reason(status));
    res->status = shown_status(status);
    res->as_grpc = true;
    res->content_type = SLICE("application/grpc");
    return code.data && http_add_header(res, &ex->arena, SLICE("grpc-status"), code) &&
           (!text.len || http_add_header(res, &ex->arena, SLICE("grpc-message"), text));
}

/* The built-in page takes the place of whatever body there was. Headers that belong to the status stay. */
static bool make_error_page(struct http_exchange *ex, int status)
{
    struct http_response *res = &ex->res;
    /* Or another body would go out behind the page's head. */
    assert(!ex->source && !ex->job && !ex->proxy);
    res->reason = (struct slice){0};
    res->body = res->last_piece = NULL;
    res->content_length = 0;
    res->last_modified = res->etag = (struct slice){0};
    res->accept_ranges = false;
    if (status >= 400 && is_grpc_call(ex))
        return make_grpc_error(ex, status);
    struct slice page = http_error_page(status, ex->route.settings->answers.server_tokens);
    res->status = shown_status(status);
    res->content_type = page.len ? SLICE("text/html") : (struct slice){0};
    if (res->status == 400 || status == 413 || status == 414 || status == 501)
        client_make_last(ex, false);
    return http_add_memory(res, &ex->arena, page.data, page.len);
}

/* Of the response's body, unless an upstream has said. */
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

/* Out of memory for a response. */
static struct verdict give_up_response(struct http_exchange *ex)
{
    client_reset(ex);
    return verdict_of(VERDICT_GONE);
}

struct verdict request_send(struct http_exchange *ex, int error)
{
    assert(ex->state == REQUEST_RUNS && !ex->aside && ex->sent.head == 0);
    assert(ex->route.location);
    if (error)
        /* The page itself failed, or is a redirect: its own status counts, as in nginx. */
        ex->route.forced_status = 0;
    if (error && !make_error_page(ex, error))
        return give_up_response(ex);
    if (ex->route.forced_status) {
        ex->res.status = ex->route.forced_status;
        ex->res.reason = (struct slice){0};
    }
    if (ex->res.location.data && !http_is_field_value(ex->res.location)) {
        http_log(ex, LOG_LEVEL_ERROR, "the redirect has a control character; request refused");
        ex->res.location = (struct slice){0};
        if (!make_error_page(ex, 400))
            return give_up_response(ex);
    }
    bool challenges = ex->res.status == 401 || ex->route.in_error_page; /* whatever code its page has */
    if (challenges && ex->access.www_authenticate.len &&
        !http_add_header(&ex->res, &ex->arena, SLICE("WWW-Authenticate"), ex->access.www_authenticate))
        return give_up_response(ex);
    if (!headers_add(ex))
        return give_up_response(ex);
    filter_decide(ex);
    int failed = ranges_cut(ex);
    if (failed) {
        /* The page has another body. */
        filter_free(ex);
        return verdict_answer(failed);
    }
    if (!source_takes_body(ex))
        ex->client.protocol->drop_body(ex);
    set_rate(ex);
    ex->state = REQUEST_SEND;
    if (!ex->source)
        ex->source = &source_pieces;
    assert((ex->source == &source_handler) == (ex->job != NULL));
    assert((ex->source == &source_upstream) == (ex->proxy != NULL));
    return ex->client.protocol->respond(ex) ? verdict_of(VERDICT_GONE) : give_up_response(ex);
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
    assert(ex->state != REQUEST_GONE && w->in_flight > 0);
    /* Whatever works for the request has been stopped. */
    assert(!ex->job && !ex->proxy && !ex->reading.at_work && !ex->aside);
    assert(w->now_ms >= ex->start_ms);
    counter_set(&w->slot->in_flight, --w->in_flight);
    counter_add(&w->slot->requests, 1);
    if (status < SHM_CODES)
        counter_add(&w->slot->codes[status], 1);
    hist_add(&w->slot->duration, (w->now_ms - ex->start_ms) * 1000);
    status_zones_count(ex);
    if (ex->route.location->access_logs)
        request_log(ex);
    w->busy_since_purge++;
    exchange_release(w, ex);
}

void request_done(struct http_exchange *ex)
{
    assert(ex->state == REQUEST_SEND);
    ex->sent.whole = true;
    conclude(ex);
    exchange_recycle(ex->worker, ex);
}

void request_end_unanswered(struct http_exchange *ex, int status)
{
    assert(ex->sent.head == 0);
    ex->res.status = status;
    conclude(ex);
    ex->state = REQUEST_GONE;
}

void request_gone(struct http_exchange *ex)
{
    bool cut = ex->route.return_code == CLOSE_WITHOUT_ANSWER;
    /* As in nginx: a stream that is reset is not a request that is cut off. */
    bool unfinished = !ex->client.http2 && !ex->body.whole &&
                      (ex->state == REQUEST_BODY || ex->state == REQUEST_PROXY || ex->body.to_handler);
    /* Logged and counted already, as by request_end_unanswered. */
    if (ex->state == REQUEST_GONE)
        return;
    if (ex->aside)
        http_take_back(ex);
    if (ex->res.status == 0 || ex->sent.head == 0)
        ex->res.status = cut ? CLOSE_WITHOUT_ANSWER : unfinished ? 400 : CLIENT_CLOSED_REQUEST;
    conclude(ex);
    ex->state = REQUEST_GONE;
}
