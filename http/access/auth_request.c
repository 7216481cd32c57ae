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
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/request/aside.h"
#include "http/request/assign.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/request/verdict.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/site.h"

struct auth_request_settings {
    const struct conf_node *uri;
    struct conf_lines *sets;
};

struct part auth_request_settings_part = {.size = sizeof(struct auth_request_settings)};
SETTINGS_PART(auth_request_settings)

/* auth_request_set */
struct auth_set {
    struct slice variable;
    const struct http_template *value;
};

/* Of a location; uri NULL: nobody is asked. */
struct auth_request {
    const struct http_template *uri;
    struct auth_set *sets;
    int set_count;
};

struct part auth_request_part = {.size = sizeof(struct auth_request)};
LOCATION_PART(auth_request)

bool auth_request_is_asked(const struct location *l)
{
    return auth_request_of(l)->uri != NULL;
}

struct verdict auth_request_ask(struct http_exchange *ex)
{
    struct http_aside *aside = arena_alloc(&ex->arena, sizeof *aside);
    struct slice uri = http_template_expand(auth_request_of(ex->route.location)->uri, ex);
    const char *mark = uri.len ? memchr(uri.data, '?', uri.len) : NULL;
    if (!aside || uri.len == 0 || uri.data[0] != '/') {
        http_log(ex, LOG_LEVEL_ERROR, "invalid URI \"%.*s\" in \"auth_request\"; it begins with \"/\"",
                 SLICE_ARGS(uri));
        return verdict_answer(500);
    }
    http_put_aside(ex, aside);
    /* $request_method is the first one's, as in nginx. */
    ex->route.first_method = ex->req.method_name;
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
static struct slice *expand_sets(struct http_exchange *ex, const struct auth_request *of)
{
    size_t count = (size_t)of->set_count;
    struct slice *values = count ? arena_alloc(&ex->arena, count * sizeof *values) : NULL;
    for (size_t i = 0; values && i < count; i++)
        values[i] = http_template_expand(of->sets[i].value, ex);
    return values;
}

struct verdict auth_request_ended(struct http_exchange *ex, int status)
{
    struct slice www_authenticate = ex->access.www_authenticate;
    const struct location *asked = ex->aside->route.location;
    const struct auth_request *of = auth_request_of(asked);
    struct slice *values = expand_sets(ex, of);
    http_take_back(ex);
    for (int i = 0; values && i < of->set_count; i++)
        http_assign(ex, of->sets[i].variable, values[i]);
    /* auth_basic's may be there already: either would do. */
    if (status == 401 && www_authenticate.len)
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

/* --- from settings --- */

static const struct conf_lines *sets(const struct settings *s)
{
    return auth_request_settings_of(s)->sets;
}

/* auth_request URI | off; auth_request_set $NAME VALUE */
static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct auth_request_settings *s = auth_request_settings_of(l->settings);
    struct auth_request *to = auth_request_in(l);
    (void)c;
    if (s->uri && !slice_eq(s->uri->args[0], SLICE("off")))
        to->uri = site_compile(site, s->uri->args[0], s->uri);
    to->sets = s->sets ? site_array(site, site_count_lines(s->sets), sizeof *to->sets) : NULL;
    for (const struct conf_lines *line = s->sets; line; line = line->next)
        to->sets[to->set_count++] = (struct auth_set){site_set_variable(line->node),
                                                      site_compile(site, line->node->args[1], line->node)};
}

#define PART(member) CONF_PART_FIELD(auth_request_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "auth_request", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = PART(uri),
     .syntax = "URI | off",
     .help = "Asks this URI by a GET whether a request may pass: with 2xx it may, with 401 or 403 it gets that."},
    {.name = "auth_request_set", .where = CONF_HTTP_ALL, .args = {2, 2}, .type = CONF_LINES, .field = PART(sets),
     .syntax = "$NAME VALUE",
     .help = "Sets a variable from that answer. Inherited where a level has none."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_ACCESS, rows, NULL};

const struct feature feature_auth_request = {
    .name = "auth_request", .table = &table, .location = &auth_request_part, .sets = sets, .build = build};
