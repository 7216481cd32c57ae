/*
 * http/access/auth_request.c - auth_request: another location is asked whether a request may pass (nginx,
 * ngx_http_auth_request_module).
 *
 * The exchange itself goes there: what makes the request is put aside, a GET for the other URI takes its place and runs like
 * any request, but for limits and access, which were the first one's. Where it would be answered its status is taken, and the
 * request comes back.
 */
#include "http/access/auth_request.h"

#include "base/arena.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/request/aside.h"
#include "http/request/assign.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/request/verdict.h"
#include "http/site/build.h"
#include "http/site/site.h"

struct verdict auth_request_ask(struct http_exchange *ex)
{
    struct http_aside *aside = arena_alloc(&ex->arena, sizeof *aside);
    struct slice uri = http_template_expand(ex->route.location->auth_request, ex);
    const char *mark = uri.len ? memchr(uri.data, '?', uri.len) : NULL;
    if (!aside || uri.len == 0 || uri.data[0] != '/') {
        http_log(ex, LOG_LEVEL_ERROR, "invalid URI \"%.*s\" in \"auth_request\"; it begins with \"/\"",
                 SLICE_ARGS(uri));
        return verdict_answer(500);
    }
    http_put_aside(ex, aside);
    ex->route.first_method = ex->req.method_name; /* $request_method is the first one's, as in nginx */
    ex->req.method = HTTP_GET;
    ex->req.method_name = SLICE("GET");
    ex->req.framing = HTTP_BODY_NONE;
    ex->req.content_length = 0;
    ex->req.path = (struct slice){uri.data, mark ? (size_t)(mark - uri.data) : uri.len};
    ex->req.args = mark ? slice_from(uri, ex->req.path.len + 1) : (struct slice){0};
    ex->route.is_internal = ex->route.rewritten = true;
    ex->route.in_error_page = false;
    ex->route.forced_status = 0;
    return verdict_of(VERDICT_ROUTE);
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

struct verdict auth_request_ended(struct http_exchange *ex, int status)
{
    struct slice www_authenticate = ex->access.www_authenticate;
    const struct location *asked = ex->aside->route.location;
    struct slice *values = expand_sets(ex, asked);
    http_take_back(ex);
    for (int i = 0; values && i < asked->auth_set_count; i++)
        http_assign(ex, asked->auth_sets[i].variable, values[i]);
    if (status == 401 && www_authenticate.len) /* auth_basic's may be there already: either would do */
        ex->access.www_authenticate =
            ex->access.www_authenticate.len
                ? arena_printf(&ex->arena, "%.*s, %.*s", SLICE_ARGS(ex->access.www_authenticate),
                               SLICE_ARGS(www_authenticate))
                : arena_dup(&ex->arena, www_authenticate);
    if (status != 401 && status != 403 && (status < 200 || status > 299)) {
        http_log(ex, LOG_LEVEL_ERROR, "auth request unexpected status: %d", status);
        return verdict_answer(500);
    }
    ex->access.asked_by = asked;
    ex->access.status = status;
    return verdict_of(VERDICT_AGAIN);
}

/* auth_request URI | off; auth_request_set $NAME VALUE */
void site_build_auth_request(struct site *site, struct location *l)
{
    const struct conf_node *n = l->settings->auth_request.uri;
    bool asks = n && !slice_eq(n->args[0], SLICE("off"));
    if (asks)
        l->auth_request = site_compile(site, n->args[0], n);
    l->auth_sets = site_array(site, site_count_lines(l->settings->auth_request.sets), sizeof *l->auth_sets);
    for (const struct conf_lines *line = l->settings->auth_request.sets; line; line = line->next)
        l->auth_sets[l->auth_set_count++] = (struct auth_set){
            site_set_variable(line->node), site_compile(site, line->node->args[1], line->node)};
}
