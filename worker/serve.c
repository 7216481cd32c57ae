/*
 * worker/serve.c - the loop that runs a request: its phases in their order, error pages, other URIs in its place, until it
 * waits for something or its answer is on its way.
 *
 * A phase looks at the request and returns what is to happen next; it never calls back into here. Who makes a request wait
 * gives it back by request_resume, and it goes on in connection_drive before the turn of the worker's loop ends.
 */
#include "worker/proxy.h"
#include "worker/upstream.h"

#include "handlers/return.h"
#include "handlers/static.h"
#include "handlers/status.h"

#include <assert.h>

enum { CLOSE_WITHOUT_ANSWER = 444 };

/* OPTIONS * */
static bool is_about_server(const struct http_request *req)
{
    return slice_eq(req->path, SLICE("*"));
}

/* As in nginx, "return" answers before any limit is asked; the status is never refused. */
static bool is_exempt(const struct connection *c)
{
    enum conf_content content = c->location->content;
    return c->ex->route.return_code || content == CONF_CONTENT_STATUS ||
           content == CONF_CONTENT_STUB_STATUS || is_about_server(&c->ex->req);
}

/* --- phases: each may be run again, and knows by the request what it has done --- */

/* set_real_ip_from of the location, as in nginx after what the rewrite module does: "return" still sees who has connected. */
static struct verdict find_client(struct connection *c)
{
    if (!c->ex->route.return_code && !c->ex->client.direct_addr.data)
        realip_apply(c, c->location);
    return verdict_of(VERDICT_NEXT);
}

/* return 444 */
static struct verdict cut_off(struct connection *c)
{
    if (c->ex->route.return_code != CLOSE_WITHOUT_ANSWER)
        return verdict_of(VERDICT_NEXT);
    send_flush(c, false); /* earlier answers */
    if (!c->dead)
        connection_reset(c);
    connection_close(c);
    return verdict_of(VERDICT_GONE);
}

static struct verdict limit_by_key(struct connection *c)
{
    return is_exempt(c) ? verdict_of(VERDICT_NEXT) : keyed_pass(c);
}

static struct verdict limit_concurrency(struct connection *c)
{
    return is_exempt(c) ? verdict_of(VERDICT_NEXT) : limit_pass(c);
}

/* allow, deny, auth_basic, auth_request */
static struct verdict let_in(struct connection *c)
{
    if (c->ex->aside || c->ex->route.return_code)
        return verdict_of(VERDICT_NEXT);
    return auth_pass(c);
}

static struct verdict try_files(struct connection *c)
{
    if (!c->location->try_files || c->ex->route.files_tried || is_exempt(c))
        return verdict_of(VERDICT_NEXT);
    c->ex->route.files_tried = true;
    return try_files_pass(c);
}

/* proxy_request_buffering off: the body goes to the upstream while it comes. */
static bool passes_body_on(const struct connection *c)
{
    const struct location *l = c->location;
    const struct settings *s = l->settings;
    bool framed = c->ex->req.framing == HTTP_BODY_LENGTH || s->proxy_http_version;
    return l->content == CONF_CONTENT_PROXY && !l->try_files && !s->proxy_request_buffering &&
           s->proxy_pass_body && !l->proxy->body && framed;
}

/*
 * What the head decides does not wait for the body, which is read where a handler or an upstream will have it. Limits of
 * concurrency wait for the body, so that no slow client holds a permit.
 */
static struct verdict read_body(struct connection *c)
{
    if (c->ex->body.whole || is_exempt(c))
        return verdict_of(VERDICT_NEXT);
    struct verdict v = let_in(c);
    const struct location *l = c->location;
    if (v.kind != VERDICT_NEXT)
        return v;
    bool limited = l->limit_count > 0 && !c->ex->limits.status;
    if (!limited)
        v = try_files(c);
    if (v.kind != VERDICT_NEXT)
        return v;
    bool wanted =
        l->content == CONF_CONTENT_PROXY || l->content == CONF_CONTENT_HANDLER || (l->try_files && limited);
    bool is_chosen = !l->try_files || c->ex->route.files_tried; /* else another location may yet answer */
    int failed = l->content == CONF_CONTENT_PROXY && is_chosen ? proxy_check_target(c) : 0;
    if (failed)
        return verdict_answer(failed);
    return wanted && !passes_body_on(c) ? body_read(c) : v;
}

/* --- content --- */

static int run_status(struct connection *c)
{
    struct worker *w = connection_worker(c);
    if (c->ex->req.method != HTTP_GET && c->ex->req.method != HTTP_HEAD)
        return 405;
    worker_publish_figures(w);
    struct status_source source = {
        .shm = w->shm, .site_pools = w->conf->pools, .site_zones = w->conf->http->zones, .now_ms = w->now_ms};
    if (!upstream_list(w, &c->ex->arena, &source))
        return 500;
    return c->location->content == CONF_CONTENT_STATUS ? status_answer(c->ex, &source)
                                                       : status_answer_stub(c->ex, &source);
}

/* A folder's index is another path, for which another location may stand. */
static struct verdict go_to_index(struct connection *c)
{
    if (!request_count_redirect(c, c->ex->req.path))
        return verdict_answer(500);
    c->ex->route.is_internal = true;
    request_route(c);
    return verdict_of(VERDICT_AGAIN);
}

/* By an upstream or a thread, which answers later, or here and now. */
static struct verdict answer_by_content(struct connection *c)
{
    const struct location *l = c->location;
    struct http_exchange *ex = c->ex;
    if (ex->route.return_code)
        return verdict_answer(return_answer(ex, ex->route.return_code, ex->route.return_text, l->settings));
    if (is_about_server(&ex->req)) {
        ex->res.status = 200;
        return verdict_answer(0);
    }
    if (l->content == CONF_CONTENT_PROXY)
        return proxy_start(c);
    if (l->content == CONF_CONTENT_HANDLER)
        return offload_start(c);
    if (l->content != CONF_CONTENT_STATIC)
        return verdict_answer(run_status(c));
    int result = static_answer(ex, &l->files, &connection_worker(c)->files);
    return result == STATIC_ROUTE_AGAIN ? go_to_index(c) : verdict_answer(result);
}

static struct verdict run_phases(struct connection *c)
{
    static struct verdict (*const phases[])(struct connection *) = {
        find_client,       cut_off, limit_by_key, read_body,
        limit_concurrency, let_in,  try_files,    answer_by_content};
    struct verdict v = verdict_of(VERDICT_NEXT);
    for (size_t i = 0; i < sizeof phases / sizeof phases[0] && v.kind == VERDICT_NEXT; i++)
        v = phases[i](c);
    assert(v.kind != VERDICT_NEXT);
    return v;
}

/* --- what becomes of it --- */

/* The answer of what auth_request has asked is for the request that asked; else error_page may have a page for it. */
static struct verdict look_at_answer(struct connection *c, int error)
{
    if (c->ex->aside)
        return auth_request_ended(c, error ? error : c->ex->res.status);
    return error ? request_error_page(c, error) : verdict_of(VERDICT_SEND);
}

static struct verdict send_answer(struct connection *c, int error)
{
    struct verdict v = request_send(c, error);
    if (v.kind == VERDICT_GONE && !c->dead && c->proxy)
        proxy_pull_with_head(c);
    return v;
}

/* What was said while it was being served: by an upstream that could not be asked at all, say. */
static struct verdict take_resumed(struct connection *c)
{
    if (c->dead || !c->ex || c->state != CONNECTION_READY)
        return verdict_of(VERDICT_GONE);
    struct verdict v = c->ex->resumed;
    c->ex->resumed = verdict_of(VERDICT_NEXT);
    c->state = CONNECTION_HEAD;
    return v;
}

void request_serve(struct connection *c, struct verdict v)
{
    assert(connection_worker(c)->driving == c);
    for (;;) {
        switch (v.kind) {
        case VERDICT_NEXT:
        case VERDICT_AGAIN:
            v = run_phases(c);
            break;
        case VERDICT_ANSWER:
            v = look_at_answer(c, v.status);
            break;
        case VERDICT_SEND:
            v = send_answer(c, v.status);
            break;
        case VERDICT_REDIRECT:
            v = request_redirect(c, c->ex->leads_to);
            break;
        case VERDICT_REDIRECT_GET:
            v = request_redirect_away(c, c->ex->leads_to);
            break;
        case VERDICT_WAIT:
            v = take_resumed(c);
            break;
        case VERDICT_GONE:
            return;
        }
    }
}

void request_serve_resumed(struct connection *c)
{
    request_serve(c, take_resumed(c));
}

void request_resume(struct connection *c, struct verdict v)
{
    assert(c->ex && !c->dead);
    if (v.kind == VERDICT_WAIT)
        return;
    c->ex->resumed = v;
    c->state = CONNECTION_READY;
    connection_set_timer(c, 0);
    connection_ready(c);
}
