/*
 * http/serve/serve.c - the loop that runs a request: its phases in their order, error pages, other URIs in its place, until it
 * waits for something or its response is on its way.
 *
 * A phase looks at the request and returns what is to happen next; it never calls back into here. Who makes a request wait
 * gives it back by request_resume, and it goes on in h1_drive before the turn of the worker's loop ends.
 */
#include "http/serve/serve.h"

#include "base/slice.h"
#include "handlers/auth_basic.h"
#include "handlers/offload.h"
#include "handlers/return.h"
#include "handlers/static.h"
#include "handlers/status.h"
#include "http/access/auth.h"
#include "http/access/auth_request.h"
#include "http/access/limit.h"
#include "http/access/limit_keyed.h"
#include "http/access/realip.h"
#include "http/request/body.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/verdict.h"
#include "http/serve/redirect.h"
#include "http/serve/request.h"
#include "http/serve/try_files.h"
#include "http/site/site.h"
#include "proxy/proxy.h"
#include "proxy/upstream.h"
#include "worker/loop/figures.h"
#include "worker/loop/worker_state.h"

#include <assert.h>

enum { CLOSE_WITHOUT_ANSWER = 444 };

/* OPTIONS * */
static bool is_about_server(const struct http_request *req)
{
    return slice_eq(req->path, SLICE("*"));
}

/* As in nginx, "return" answers before any limit is asked; the status is never refused. */
static bool is_exempt(struct http_exchange *ex)
{
    enum conf_content content = ex->route.location->content;
    return ex->route.return_code || content == CONF_CONTENT_STATUS || content == CONF_CONTENT_STUB_STATUS ||
           is_about_server(&ex->req);
}

/* --- phases: each may be run again, and knows by the request what it has done --- */

/* set_real_ip_from of the location, as in nginx after what the rewrite module does: "return" still sees who has connected. */
static struct verdict find_client(struct http_exchange *ex)
{
    if (!ex->route.return_code && !ex->client.direct_addr.data)
        realip_apply(ex, ex->route.location);
    return verdict_of(VERDICT_NEXT);
}

/* return 444 */
static struct verdict close_unanswered(struct http_exchange *ex)
{
    if (ex->route.return_code != CLOSE_WITHOUT_ANSWER)
        return verdict_of(VERDICT_NEXT);
    ex->client.protocol->cut_off(ex);
    return verdict_of(VERDICT_GONE);
}

static struct verdict limit_by_key(struct http_exchange *ex)
{
    return is_exempt(ex) ? verdict_of(VERDICT_NEXT) : keyed_pass(ex);
}

static struct verdict limit_concurrency(struct http_exchange *ex)
{
    return is_exempt(ex) ? verdict_of(VERDICT_NEXT) : limit_pass(ex);
}

/* allow, deny, auth_basic, auth_request */
static struct verdict let_in(struct http_exchange *ex)
{
    if (ex->aside || ex->route.return_code)
        return verdict_of(VERDICT_NEXT);
    return auth_pass(ex);
}

static struct verdict try_files(struct http_exchange *ex)
{
    if (!try_files_has(ex->route.location) || ex->route.files_tried || is_exempt(ex))
        return verdict_of(VERDICT_NEXT);
    ex->route.files_tried = true;
    return try_files_pass(ex);
}

/* proxy_request_buffering off, or gRPC: the body goes to the upstream while it comes; or to a handler that reads it so. */
static bool passes_body_on(struct http_exchange *ex)
{
    const struct location *l = ex->route.location;
    if (l->content == CONF_CONTENT_HANDLER)
        return l->handler->streams_body && !try_files_has(l);
    if (l->content != CONF_CONTENT_PROXY || try_files_has(l))
        return false;
    const struct proxy_settings *how = location_passes(l->settings, l->proxy);
    bool framed = ex->req.framing == HTTP_BODY_LENGTH || how->http_version;
    return !how->upstream.request_buffering && how->upstream.pass_request_body && !l->proxy->body && framed;
}

/*
 * What the head decides does not wait for the body, which is read where a handler or an upstream will have it. Limits of
 * concurrency wait for the body, so that no slow client holds a permit.
 */
static struct verdict read_body(struct http_exchange *ex)
{
    if (ex->body.whole || is_exempt(ex))
        return verdict_of(VERDICT_NEXT);
    struct verdict v = let_in(ex);
    const struct location *l = ex->route.location;
    if (v.kind != VERDICT_NEXT)
        return v;
    bool limited = limit_is_set(l) && !ex->limits.status;
    if (!limited)
        v = try_files(ex);
    if (v.kind != VERDICT_NEXT)
        return v;
    bool wanted = l->content == CONF_CONTENT_PROXY || l->content == CONF_CONTENT_HANDLER ||
                  (try_files_has(l) && limited);
    /* Else another location may yet stand for the request. */
    bool is_chosen = !try_files_has(l) || ex->route.files_tried;
    int failed = l->content == CONF_CONTENT_PROXY && is_chosen ? proxy_check_target(ex) : 0;
    if (failed)
        return verdict_answer(failed);
    return wanted && !passes_body_on(ex) ? body_read(ex) : v;
}

/* --- content --- */

/* The upstreams of the configuration. False: out of memory. */
static bool list_upstreams(const struct worker *w, struct arena *arena, struct status_source *source)
{
    int count = 0;
    for (const struct upstream *u = w->site->upstreams; u; u = u->next)
        count += !u->named;
    struct status_upstream *list = arena_zalloc(arena, (size_t)(count + 1) * sizeof *list);
    source->upstreams = list;
    source->upstream_count = count;
    for (const struct upstream *u = w->site->upstreams; list && u; u = u->next) {
        if (u->named)
            continue;
        const struct shm_peer **peers = arena_zalloc(arena, (size_t)(u->peer_count + 1) * sizeof(void *));
        if (!peers)
            return false;
        for (int i = 0; i < u->peer_count; i++)
            peers[i] = u->peers[i]->shared;
        /* The site has the last one first. */
        list[--count] = (struct status_upstream){u->name, u->group, peers, u->peer_count};
    }
    return list != NULL;
}

static int run_status(struct http_exchange *ex)
{
    struct worker *w = ex->worker;
    if (ex->req.method != HTTP_GET && ex->req.method != HTTP_HEAD)
        return 405;
    worker_publish_figures(w);
    struct status_source source = {.shm = w->shm,
                                   .site_pools = w->conf->pools,
                                   .site_zones = w->conf->http->zones,
                                   .certificates = certificates_of(w->site),
                                   .zones = site_zones_of(w->site),
                                   .now_ms = w->now_ms};
    if (!list_upstreams(w, &ex->arena, &source))
        return 500;
    return ex->route.location->content == CONF_CONTENT_STATUS ? status_answer(ex, &source)
                                                              : status_answer_stub(ex, &source);
}

/* A directory's index is another path, for which another location may stand. */
static struct verdict go_to_index(struct http_exchange *ex)
{
    if (!request_count_redirect(ex, ex->req.path))
        return verdict_answer(500);
    ex->route.is_internal = true;
    return verdict_of(VERDICT_ROUTE);
}

/* By an upstream or a thread, which take their time, or here and now. */
static struct verdict answer_by_content(struct http_exchange *ex)
{
    const struct location *l = ex->route.location;
    if (ex->route.return_code)
        return verdict_answer(return_answer(ex, ex->route.return_code, ex->route.return_text, l->settings));
    if (is_about_server(&ex->req)) {
        ex->res.status = 200;
        return verdict_answer(0);
    }
    if (l->content == CONF_CONTENT_PROXY)
        return proxy_start(ex);
    if (l->content == CONF_CONTENT_HANDLER)
        return offload_start(ex);
    if (l->content != CONF_CONTENT_STATIC)
        return verdict_answer(run_status(ex));
    int result = static_answer(ex, &l->files, &ex->worker->files);
    return result == STATIC_ROUTE_AGAIN ? go_to_index(ex) : verdict_answer(result);
}

static struct verdict run_phases(struct http_exchange *ex)
{
    static struct verdict (*const phases[])(struct http_exchange *) = {
        find_client,       close_unanswered, limit_by_key, read_body,
        limit_concurrency, let_in,           try_files,    answer_by_content};
    struct verdict v = verdict_of(VERDICT_NEXT);
    assert(ex->state == REQUEST_RUNS && !ex->job && !ex->proxy && !ex->source);
    for (size_t i = 0; i < sizeof phases / sizeof phases[0] && v.kind == VERDICT_NEXT; i++)
        v = phases[i](ex);
    assert(v.kind != VERDICT_NEXT);
    return v;
}

/* --- what becomes of it --- */

/* The response to auth_request's question is for the request that asked; else error_page may have a page for it. */
static struct verdict look_at_answer(struct http_exchange *ex, int error)
{
    assert(ex->state == REQUEST_RUNS);
    if (ex->aside) {
        ex->res.status = error ? error : ex->res.status;
        if (ex->route.settings->logs.subrequest)
            request_log(ex);
        return auth_request_ended(ex, ex->res.status);
    }
    return error ? request_error_page(ex, error) : verdict_of(VERDICT_SEND);
}

/* What was said while it was being served: by an upstream that could not be asked at all, say. */
static struct verdict take_resumed(struct http_exchange *ex)
{
    if (ex->state != REQUEST_READY)
        return verdict_of(VERDICT_GONE);
    struct verdict v = ex->resumed;
    ex->resumed = verdict_of(VERDICT_NEXT);
    ex->state = REQUEST_RUNS;
    return v;
}

void request_serve(struct http_exchange *ex, struct verdict v)
{
    assert(ex->worker->driving && ex->worker->driving == ex->connection);
    assert(v.kind != VERDICT_WAIT && v.kind != VERDICT_GONE);
    assert(ex->state == REQUEST_RUNS || ex->state == REQUEST_BODY || ex->state == REQUEST_PROXY ||
           (ex->state == REQUEST_HANDLER && !ex->job));
    /* A body that has come, or went wrong on its way to an upstream or a handler, is waited for no longer. */
    ex->state = REQUEST_RUNS;
    for (;;) {
        switch (v.kind) {
        case VERDICT_NEXT:
        case VERDICT_AGAIN:
            v = run_phases(ex);
            break;
        case VERDICT_ROUTE:
            request_route(ex);
            v = verdict_of(VERDICT_AGAIN);
            break;
        case VERDICT_CHECK_PASSWORD:
            v = offload_ask(ex, &auth_basic_handler, ex->access.question, auth_answered);
            break;
        case VERDICT_ANSWER:
            v = look_at_answer(ex, v.status);
            break;
        case VERDICT_SEND:
            v = request_send(ex, v.status);
            break;
        case VERDICT_REDIRECT:
            v = request_redirect(ex, ex->leads_to);
            break;
        case VERDICT_REDIRECT_GET:
            v = request_redirect_away(ex, ex->leads_to);
            break;
        case VERDICT_WAIT:
            v = take_resumed(ex);
            break;
        case VERDICT_GONE:
            return;
        }
    }
}

void request_serve_resumed(struct http_exchange *ex)
{
    assert(ex->state == REQUEST_READY);
    request_serve(ex, take_resumed(ex));
}
