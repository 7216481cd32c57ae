/*
 * http/serve/redirect.c - finding the location for a request, and another URI in its place: error pages, X-Accel-Redirect,
 * try_files, named locations.
 */
#include "http/serve/redirect.h"

#include "base/arena.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/access/realip.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/regex.h"
#include "http/request/template.h"
#include "http/request/verdict.h"
#include "http/serve/rewrite.h"
#include "http/serve/stand.h"
#include "http/site/site.h"
#include "http/wire/response.h"
#include "http/wire/uri.h"

#include <assert.h>

enum { REDIRECTS_MAX = 10 };

/* What an expression was to decide and could not must not be taken as decided. */
static void refuse_undecided(struct http_exchange *ex)
{
    if (!http_regex_take_failure())
        return;
    http_log(ex, LOG_LEVEL_ERROR, "a regular expression took too much memory or too many steps");
    ex->route.return_code = 500;
    ex->route.return_text = NULL;
}

void request_route(struct http_exchange *ex)
{
    /* Of a log line or a header: not of this request. */
    http_regex_take_failure();
    const struct vserver *server = request_find_server(ex);
    /* Before any step that may ask for the client's address. */
    if (!ex->client.direct_addr.data)
        realip_apply(ex, server->top);
    rewrite_route(ex);
    refuse_undecided(ex);
}

bool request_count_redirect(struct http_exchange *ex, struct slice to)
{
    assert(ex->route.redirects >= 0 && ex->route.redirects <= REDIRECTS_MAX + 1);
    if (++ex->route.redirects <= REDIRECTS_MAX)
        return true;
    const char *args = memchr(to.data, '?', to.len);
    if (args)
        to.len = (size_t)(args - to.data);
    http_log(ex, LOG_LEVEL_ERROR, "rewrite or internal redirection cycle while %s \"%.*s\"",
             to.len && to.data[0] == '@' ? "redirect to named location" : "internally redirecting to",
             SLICE_ARGS(to));
    return false;
}

static void drop_rest_of_body(struct http_exchange *ex)
{
    assert(ex->state == REQUEST_RUNS && !ex->source);
    ex->client.protocol->drop_body(ex);
    http_drop_bodies(ex);
    ex->req.framing = HTTP_BODY_NONE;
}

/* For another URI in the request's place: a request without a body. */
static void become_get(struct http_exchange *ex)
{
    struct http_request *req = &ex->req;
    drop_rest_of_body(ex);
    if (req->method != HTTP_HEAD)
        req->method = HTTP_GET;
    req->method_name = req->method == HTTP_HEAD ? SLICE("HEAD") : SLICE("GET");
}

/* `absent` are the arguments of a URI without a "?": nginx tells apart what is empty and what is not there. */
static void set_request_uri(struct http_exchange *ex, struct slice uri, struct slice absent)
{
    const char *mark = memchr(uri.data, '?', uri.len);
    ex->req.args = mark ? slice_from(uri, (size_t)(mark - uri.data) + 1) : absent;
    ex->req.path = (struct slice){uri.data, mark ? (size_t)(mark - uri.data) : uri.len};
}

/* Of the request's body: another location cannot have it whole. */
static bool is_partly_gone(const struct http_exchange *ex)
{
    return ex->body.taken || (ex->body.begun && !ex->body.whole);
}

static bool wants_body(const struct location *l)
{
    return l->content == CONF_CONTENT_PROXY || l->content == CONF_CONTENT_HANDLER;
}

/* The URI, the method and the body stay what they are. */
static struct verdict go_to_named(struct http_exchange *ex, struct slice name)
{
    const struct location *l = site_find_named(ex->route.server, name);
    if (!l) {
        http_log(ex, LOG_LEVEL_ERROR, "could not find named location \"%.*s\"", SLICE_ARGS(name));
        return verdict_answer(500);
    }
    if (is_partly_gone(ex) && wants_body(l)) {
        http_log(ex, LOG_LEVEL_ERROR,
                 "the body of the request cannot go on to named location \"%.*s\", as it was not read whole",
                 SLICE_ARGS(name));
        return verdict_answer(500);
    }
    if (is_partly_gone(ex))
        drop_rest_of_body(ex);
    ex->route.location_captures.count = 0;
    http_regex_take_failure();
    rewrite_in_location(ex, l);
    refuse_undecided(ex);
    return verdict_of(VERDICT_AGAIN);
}

/* With another path and other arguments. */
static struct verdict route_again(struct http_exchange *ex)
{
    if (ex->req.path.len == 0)
        ex->req.path = SLICE("/");
    ex->route.is_internal = ex->route.rewritten = true;
    assert(ex->route.redirects > 0);
    return verdict_of(VERDICT_ROUTE);
}

struct verdict request_redirect(struct http_exchange *ex, struct slice uri)
{
    if (!request_count_redirect(ex, uri))
        return verdict_answer(500);
    if (uri.len && uri.data[0] == '@')
        return go_to_named(ex, uri);
    uri = arena_dup(&ex->arena, uri);
    if (!uri.data)
        return verdict_answer(500);
    set_request_uri(ex, uri, SLICE(""));
    return route_again(ex);
}

struct verdict request_redirect_away(struct http_exchange *ex, struct slice uri)
{
    struct slice path, args;
    char *scratch = arena_alloc(&ex->arena, uri.len + 1);
    if (uri.len && uri.data[0] == '@')
        return request_redirect(ex, uri);
    if (!scratch || !http_parse_trusted(uri, scratch, &path, &args)) {
        http_log(ex, LOG_LEVEL_ERROR,
                 "unsafe URI \"%.*s\" was detected while reading response header from upstream",
                 SLICE_ARGS(uri));
        return verdict_answer(scratch ? 404 : 500);
    }
    become_get(ex);
    if (!request_count_redirect(ex, path))
        return verdict_answer(500);
    ex->req.path = path;
    ex->req.args = args;
    return route_again(ex);
}

/* The status that a page gets; 0: its own. */
static int page_status(const struct error_target *t, int status)
{
    return t->new_code > 0                  ? t->new_code
           : t->new_code == 0               ? 0
           : status >= 494 && status <= 497 ? 400
                                            : status;
}

/* A URL: sends the client there. A page for this redirect would be one again, for ever. */
static struct verdict send_away(struct http_exchange *ex, const struct error_target *t, struct slice url)
{
    ex->res.location = url;
    ex->res.location_is_made = false;
    ex->res.status = http_is_redirect(t->new_code) ? t->new_code : 302;
    ex->route.forced_status = 0;
    return (struct verdict){.kind = VERDICT_SEND, .status = ex->res.status};
}

static bool is_for_body(const struct http_exchange *ex, struct slice name)
{
    const struct location *l = site_find_named(ex->route.server, name);
    return l && wants_body(l);
}

struct verdict request_error_page(struct http_exchange *ex, int status)
{
    struct verdict plain = {.kind = VERDICT_SEND, .status = status};
    assert(status > 0 && !ex->aside && ex->sent.head == 0);
    bool ends_here = (ex->route.in_error_page && !ex->route.settings->answers.recursive_error_pages) ||
                     ex->route.redirects > REDIRECTS_MAX;
    const struct error_target *t = ends_here ? NULL : site_find_error_target(ex->route.location, status);
    if (!t)
        return plain;
    int before = ex->route.forced_status;
    ex->route.forced_status = page_status(t, status); /* $status in the page's URI, too */
    struct slice uri = http_template_expand(t->uri, ex);
    /* A named location that wants the body would get a request that lacks a part of it. */
    if (uri.len == 0 || (uri.data[0] == '@' && is_partly_gone(ex) && is_for_body(ex, uri))) {
        ex->route.forced_status = before;
        return plain;
    }
    struct slice location = ex->res.location,
                 range =
                     status == 416 ? http_added_header(&ex->res, SLICE("Content-Range")) : (struct slice){0};
    bool location_is_made = ex->res.location_is_made;
    ex->route.in_error_page = ex->route.is_internal = true;
    http_response_reset(&ex->res);
    /* These belong to the status, whatever page is shown, as does Retry-After, which the reset leaves. */
    ex->res.location = location;
    ex->res.location_is_made = location_is_made;
    if (range.len)
        http_add_header(&ex->res, &ex->arena, SLICE("Content-Range"), range);
    http_drop_held(ex);
    if (uri.data[0] == '@')
        return request_redirect(ex, uri);
    http_drop_bodies(ex);
    if (uri.data[0] != '/')
        return send_away(ex, t, uri);
    become_get(ex);
    if (!request_count_redirect(ex, uri))
        return verdict_answer(500);
    struct slice absent = {0};
    if (!http_template_is_constant(t->uri))
        absent = SLICE("");
    set_request_uri(ex, uri, absent);
    ex->route.rewritten = true;
    return verdict_of(VERDICT_ROUTE);
}
