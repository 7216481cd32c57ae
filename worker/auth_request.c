/*
 * worker/auth_request.c - auth_request: another location is asked whether a request may pass (nginx,
 * ngx_http_auth_request_module).
 *
 * The exchange itself goes there: what makes the request is put aside, a GET for the other URI takes its place and runs like
 * any request, but for limits and access, which were the first one's. Where it would be answered its status is taken, and the
 * request comes back.
 */
#include "worker/core.h"

#include "base/log.h"

struct auth_detour {
    const struct location *location;
    struct http_request req;
    struct http_captures location_captures;
    struct http_response res;
    struct slice www_authenticate;
    struct http_try *tries, *last_try;
    const struct http_header *upstream_headers;
    int upstream_header_count, upstream_status;
    struct slice upstream_addr, upstream_uri, upstream_trailers, proxy_host;
    uint64_t upstream_queue_us;
    struct buf body;
    struct slice body_file;
    uint64_t body_len;
    int body_fd, forced_status, internal_redirects, return_code;
    const void *return_text;
    bool body_file_stays, body_whole, is_internal, in_error_page, path_is_final, rewritten;
};

static void forget_upstream(struct http_exchange *ex)
{
    ex->tries = ex->last_try = NULL;
    ex->upstream_headers = NULL;
    ex->upstream_header_count = ex->upstream_status = 0;
    ex->upstream_queue_us = 0;
    ex->upstream_addr = ex->upstream_uri = ex->upstream_trailers = ex->proxy_host = (struct slice){0};
}

static void put_aside(struct connection *c, struct auth_detour *d)
{
    struct http_exchange *ex = c->ex;
    *d = (struct auth_detour){.location = c->location,
                              .req = ex->req,
                              .location_captures = ex->location_captures,
                              .res = ex->res,
                              .www_authenticate = ex->www_authenticate,
                              .tries = ex->tries,
                              .last_try = ex->last_try,
                              .upstream_headers = ex->upstream_headers,
                              .upstream_header_count = ex->upstream_header_count,
                              .upstream_status = ex->upstream_status,
                              .upstream_addr = ex->upstream_addr,
                              .upstream_uri = ex->upstream_uri,
                              .upstream_trailers = ex->upstream_trailers,
                              .proxy_host = ex->proxy_host,
                              .upstream_queue_us = ex->upstream_queue_us,
                              .body = ex->body,
                              .body_file = ex->body_file,
                              .body_len = ex->body_len,
                              .body_fd = ex->body_fd,
                              .forced_status = ex->forced_status,
                              .internal_redirects = ex->internal_redirects,
                              .return_code = ex->return_code,
                              .return_text = ex->return_text,
                              .body_file_stays = ex->body_file_stays,
                              .body_whole = ex->body_whole,
                              .is_internal = ex->is_internal,
                              .in_error_page = ex->in_error_page,
                              .path_is_final = ex->path_is_final,
                              .rewritten = ex->rewritten};
    http_response_init(&ex->res);
    ex->www_authenticate = (struct slice){0};
    forget_upstream(ex);
    ex->body = (struct buf){0};
    ex->body_file = (struct slice){0};
    ex->body_len = 0;
    ex->body_fd = -1;
    ex->body_whole = true; /* of the GET; what is still to come of the request waits */
    ex->detour = d;
}

const struct location *auth_request_origin(const struct http_exchange *ex)
{
    return ex->detour->location;
}

bool auth_request_has_whole_body(const struct http_exchange *ex)
{
    return ex->detour ? ex->detour->body_whole : ex->body_whole;
}

void auth_request_hand_over(struct http_exchange *copy, const struct http_exchange *old)
{
    const struct auth_detour *d = old->detour;
    copy->forced_status = d->forced_status;
    copy->internal_redirects = d->internal_redirects;
    copy->in_error_page = d->in_error_page;
}

void auth_request_restore_body(struct http_exchange *ex)
{
    const struct auth_detour *d = ex->detour;
    exchange_drop_bodies(ex);
    buf_free(&ex->body);
    ex->body = d->body;
    ex->body_file = d->body_file;
    ex->body_file_stays = d->body_file_stays;
    ex->body_len = d->body_len;
    ex->body_fd = d->body_fd;
    ex->body_whole = d->body_whole;
    ex->detour = NULL;
}

void auth_request_restore(struct connection *c)
{
    struct http_exchange *ex = c->ex;
    const struct auth_detour *d = ex->detour;
    auth_request_restore_body(ex);
    ex->req = d->req;
    ex->location_captures = d->location_captures;
    ex->forced_status = d->forced_status;
    ex->internal_redirects = d->internal_redirects;
    ex->is_internal = d->is_internal;
    ex->in_error_page = d->in_error_page;
    ex->path_is_final = d->path_is_final;
    ex->rewritten = d->rewritten;
    request_use_location(c, d->location);
    ex->return_code = d->return_code;
    ex->return_text = d->return_text;
    ex->res = d->res;
    ex->www_authenticate = d->www_authenticate;
    ex->first_method = (struct slice){0};
    ex->tries = d->tries;
    ex->last_try = d->last_try;
    ex->upstream_headers = d->upstream_headers;
    ex->upstream_header_count = d->upstream_header_count;
    ex->upstream_status = d->upstream_status;
    ex->upstream_addr = d->upstream_addr;
    ex->upstream_uri = d->upstream_uri;
    ex->upstream_trailers = d->upstream_trailers;
    ex->proxy_host = d->proxy_host;
    ex->upstream_queue_us = d->upstream_queue_us;
}

struct verdict auth_request_ask(struct connection *c)
{
    struct http_exchange *ex = c->ex;
    struct auth_detour *d = arena_alloc(&ex->arena, sizeof *d);
    struct slice uri = http_template_expand(c->location->auth_request, ex);
    const char *mark = uri.len ? memchr(uri.data, '?', uri.len) : NULL;
    if (!d || uri.len == 0 || uri.data[0] != '/') {
        http_log(ex, LOG_LEVEL_ERROR, "invalid URI \"%.*s\" in \"auth_request\"; it begins with \"/\"",
                 SLICE_ARGS(uri));
        return verdict_answer(500);
    }
    put_aside(c, d);
    ex->first_method = ex->req.method_name; /* $request_method is the first one's, as in nginx */
    ex->req.method = HTTP_GET;
    ex->req.method_name = SLICE("GET");
    ex->req.framing = HTTP_BODY_NONE;
    ex->req.content_length = 0;
    ex->req.path = (struct slice){uri.data, mark ? (size_t)(mark - uri.data) : uri.len};
    ex->req.args = mark ? slice_from(uri, ex->req.path.len + 1) : (struct slice){0};
    ex->is_internal = ex->rewritten = true;
    ex->in_error_page = false;
    ex->forced_status = 0;
    request_route(c);
    return verdict_of(VERDICT_AGAIN);
}

/* auth_request_set: the values, from the answer while it is there. NULL: none. */
static struct slice *expand_sets(struct http_exchange *ex, const struct location *asked)
{
    size_t count = (size_t)asked->auth_set_count;
    struct slice *values = count ? arena_alloc(&ex->arena, count * sizeof *values) : NULL;
    for (size_t i = 0; values && i < count; i++)
        values[i] = http_template_expand(asked->auth_sets[i].value, ex);
    return values;
}

struct verdict auth_request_ended(struct connection *c, int status)
{
    struct http_exchange *ex = c->ex;
    struct slice www_authenticate = ex->www_authenticate;
    const struct location *asked = ex->detour->location;
    ex->res.status = status;
    struct slice *values = expand_sets(ex, asked);
    if (c->location->settings->log_subrequest)
        request_log(c, ex);
    auth_request_restore(c);
    for (int i = 0; values && i < asked->auth_set_count; i++)
        rewrite_set(c, asked->auth_sets[i].variable, values[i]);
    if (status == 401 && www_authenticate.len) /* auth_basic's may be there already: either would do */
        ex->www_authenticate = ex->www_authenticate.len
                                   ? arena_printf(&ex->arena, "%.*s, %.*s", SLICE_ARGS(ex->www_authenticate),
                                                  SLICE_ARGS(www_authenticate))
                                   : arena_dup(&ex->arena, www_authenticate);
    if (status != 401 && status != 403 && (status < 200 || status > 299)) {
        http_log(ex, LOG_LEVEL_ERROR, "auth request unexpected status: %d", status);
        return verdict_answer(500);
    }
    ex->auth_asked_by = asked;
    ex->auth_status = status;
    return verdict_of(VERDICT_AGAIN);
}

/* auth_request URI | off; auth_request_set $NAME VALUE */
void site_build_auth_request(struct site *site, struct location *l)
{
    const struct conf_node *n = l->settings->auth_request;
    bool asks = n && !slice_eq(n->args[0], SLICE("off"));
    if (asks)
        l->auth_request = site_compile(site, n->args[0], n);
    l->auth_sets = site_array(site, site_count_lines(l->settings->auth_request_sets), sizeof *l->auth_sets);
    for (const struct conf_lines *line = l->settings->auth_request_sets; line; line = line->next)
        l->auth_sets[l->auth_set_count++] = (struct auth_set){
            site_set_variable(line->node), site_compile(site, line->node->args[1], line->node)};
}
