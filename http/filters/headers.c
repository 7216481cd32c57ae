/*
 * http/filters/headers.c - headers that the configuration adds to answers: add_header, expires (nginx, ngx_http_headers_module).
 */
#include "http/filters/headers.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/request/client.h"
#include "http/request/template.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/site.h"
#include "http/wire/request.h"
#include "http/wire/response.h"
#include "worker/loop/worker_state.h"

struct added_header {
    struct slice name;
    const struct http_template *value;
    bool always;
};

enum expires_kind {
    EXPIRES_OFF,
    EXPIRES_EPOCH,
    EXPIRES_MAX,
    EXPIRES_TIME,
    EXPIRES_DAILY /* at a time of the day */
};
struct expires {
    enum expires_kind kind;
    bool modified; /* from when the file was changed */
    /* Says it for each answer; NULL: what follows. */
    const struct http_template *text;
    int64_t seconds;
};

enum inherit_how { INHERIT_ON, INHERIT_OFF, INHERIT_MERGE };

struct header_settings {
    struct conf_lines *added, *trailers;
    enum inherit_how added_inherit, trailers_inherit;
    const struct conf_node *expires;
};

struct part header_settings_part = {.size = sizeof(struct header_settings)};
SETTINGS_PART(header_settings)

/* Of a location. */
struct headers {
    struct expires *expires; /* NULL: none */
    struct added_header *added, *trailers;
    int added_count, trailer_count;
};

struct part headers_part = {.size = sizeof(struct headers)};
LOCATION_PART(headers)

static bool is_ordinary(int status)
{
    return status == 200 || status == 201 || status == 204 || status == 206 || status == 304 ||
           http_is_redirect(status);
}

static bool replace(struct http_exchange *ex, struct slice name, struct slice value)
{
    return value.data && http_set_header(&ex->res, &ex->arena, name, value);
}

static bool add_moment(struct http_exchange *ex, int64_t at_s, int64_t now_s)
{
    char date[CLOCK_HTTP_DATE_BYTES + 1];
    int64_t age_s = at_s - now_s;
    clock_http_date((time_t)at_s, date);
    struct slice cache =
        age_s < 0 ? SLICE("no-cache") : arena_printf(&ex->arena, "max-age=%lld", (long long)age_s);
    return replace(ex, SLICE("Expires"), arena_dup(&ex->arena, slice_of(date))) &&
           replace(ex, SLICE("Cache-Control"), cache);
}

/* Of today, or of tomorrow where that has passed, in local time. */
static int64_t next_time_of_day(int64_t now_s, int64_t seconds)
{
    time_t now = (time_t)now_s;
    struct tm tm;
    localtime_r(&now, &tm);
    tm.tm_hour = (int)(seconds / 3600);
    tm.tm_min = (int)(seconds / 60 % 60);
    tm.tm_sec = (int)(seconds % 60);
    tm.tm_isdst = -1;
    int64_t at_s = (int64_t)mktime(&tm);
    if (at_s > now_s)
        return at_s;
    tm.tm_mday++;
    tm.tm_isdst = -1;
    return (int64_t)mktime(&tm);
}

/* The time of `expires`, counted from now, or from when the file was changed. */
static bool add_time(struct http_exchange *ex, const struct expires *e, int64_t now_s)
{
    if (e->kind == EXPIRES_DAILY)
        return add_moment(ex, next_time_of_day(now_s, e->seconds), now_s);
    time_t modified =
        e->modified && ex->res.last_modified.len ? clock_parse_http_date(ex->res.last_modified) : -1;
    int64_t from_s = modified >= 0 ? (int64_t)modified : now_s;
    return add_moment(ex, from_s + e->seconds, now_s);
}

enum { DAY_MS = 24 * 60 * 60 * 1000 };

/* [-|+]TIME | @TIME | epoch | max | off */
static bool parse_expires(struct slice text, struct expires *e)
{
    static const char *const words[] = {"off", "epoch", "max"};
    int64_t ms = 0;
    for (int i = 0; i < 3; i++) {
        if (slice_eq(text, slice_of(words[i]))) {
            e->kind = (enum expires_kind)i;
            return !e->modified;
        }
    }
    if (text.len && text.data[0] == '@') {
        e->kind = EXPIRES_DAILY;
        if (e->modified || !conf_parse_time(slice_from(text, 1), &ms) || ms >= DAY_MS)
            return false;
        e->seconds = ms / 1000;
        return true;
    }
    bool negative = text.len && text.data[0] == '-', has_sign = negative || (text.len && text.data[0] == '+');
    if (!conf_parse_time(slice_from(text, has_sign), &ms))
        return false;
    e->kind = EXPIRES_TIME;
    e->seconds = negative ? -ms / 1000 : ms / 1000;
    return true;
}

static bool add_expires(struct http_exchange *ex, const struct expires *e, int64_t now_s)
{
    struct expires said = *e;
    if (e->text) {
        if (!parse_expires(http_template_expand(e->text, ex), &said))
            /* As in nginx, what cannot be read adds nothing. */
            return true;
        e = &said;
    }
    switch (e->kind) {
    case EXPIRES_OFF:
        return true;
    case EXPIRES_EPOCH:
        return replace(ex, SLICE("Expires"), SLICE("Thu, 01 Jan 1970 00:00:01 GMT")) &&
               replace(ex, SLICE("Cache-Control"), SLICE("no-cache"));
    case EXPIRES_MAX:
        return replace(ex, SLICE("Expires"), SLICE("Thu, 31 Dec 2037 23:55:55 GMT")) &&
               replace(ex, SLICE("Cache-Control"), SLICE("max-age=315360000"));
    default:
        return add_time(ex, e, now_s);
    }
}

/*
 * Last-Modified and ETag, of which an answer has one: a line replaces it, and an empty one takes it away. It stays in its place;
 * only the Last-Modified of a file gets one among the others by it, as in nginx.
 */
static bool set_own(struct http_exchange *ex, enum http_own_field own, struct slice name, struct slice value)
{
    struct http_response *res = &ex->res;
    struct slice *field = own == HTTP_OWN_ETAG ? &res->etag : &res->last_modified;
    bool stays = res->placed & own || (own == HTTP_OWN_ETAG && field->data);
    *field = value;
    if (!stays)
        http_drop_header(res, name);
    return stays || !value.data || http_place_own(res, &ex->arena, own, name);
}

static bool add_line(struct http_exchange *ex, const struct added_header *h)
{
    struct slice value = http_template_expand(h->value, ex);
    bool usable = value.len && http_make_field_value(&ex->arena, &value);
    enum http_own_field own = slice_eq_nocase(h->name, SLICE("ETag"))            ? HTTP_OWN_ETAG
                              : slice_eq_nocase(h->name, SLICE("Last-Modified")) ? HTTP_OWN_LAST_MODIFIED
                                                                                 : HTTP_OWN_NONE;
    if (own)
        return set_own(ex, own, h->name, usable ? value : (struct slice){0});
    return !usable || http_add_header(&ex->res, &ex->arena, h->name, value);
}

bool headers_add(struct http_exchange *ex)
{
    const struct headers *l = headers_of(ex->route.location);
    bool ordinary = is_ordinary(ex->res.status), ok = true;
    if (ex->res.headers_added)
        return true;
    ex->res.headers_added = true;
    if (l->expires && ordinary)
        ok = add_expires(ex, l->expires, (int64_t)(ex->worker->now_wall_ms / 1000));
    for (int i = 0; ok && i < l->added_count; i++) {
        const struct added_header *h = &l->added[i];
        if (h->always || ordinary)
            ok = add_line(ex, h);
    }
    return ok;
}

bool headers_want_trailers(struct http_exchange *ex)
{
    int status = ex->res.status;
    bool has_body = ex->req.method != HTTP_HEAD && status >= 200 && status != 204 && status != 304;
    if (!has_body || !ex->client.protocol->takes_trailers(ex))
        return false;
    const struct headers *l = headers_of(ex->route.location);
    for (int i = 0; i < l->trailer_count; i++)
        if (l->trailers[i].always || is_ordinary(status))
            return true;
    return false;
}

bool headers_add_trailers(struct http_exchange *ex, struct buf *out)
{
    const struct headers *l = headers_of(ex->route.location);
    bool ok = true;
    for (int i = 0; ok && i < l->trailer_count; i++) {
        const struct added_header *h = &l->trailers[i];
        if (!h->always && !is_ordinary(ex->res.status))
            continue;
        struct slice value = http_template_expand(h->value, ex);
        if (value.len && http_make_field_value(&ex->arena, &value))
            ok = buf_printf(out, "%.*s: %.*s\r\n", SLICE_ARGS(h->name), SLICE_ARGS(value)) &&
                 http_add_trailer(&ex->res, &ex->arena, h->name, value);
    }
    return ok;
}

/* --- from settings --- */

/* add_header_inherit: the lines of the level above have been taken over where there were none. */
static void inherit_added(struct conf_lines **lines, struct conf_lines *above, enum inherit_how how)
{
    struct conf_lines **tail = lines;
    if (how == INHERIT_OFF && *lines == above)
        *lines = NULL;
    if (how != INHERIT_MERGE || *lines == above)
        return;
    while (*tail)
        tail = &(*tail)->next;
    *tail = above;
}

static void inherit(struct settings *settings, const struct settings *above)
{
    struct header_settings *s = header_settings_in(settings);
    if (!above)
        return;
    inherit_added(&s->added, header_settings_of(above)->added, s->added_inherit);
    inherit_added(&s->trailers, header_settings_of(above)->trailers, s->trailers_inherit);
}

/* expires [modified] [-|+]TIME | epoch | max | off | a text with variables */
static struct expires *build_expires(struct site *site, const struct conf_node *n)
{
    struct expires *e = site_array(site, 1, sizeof *e);
    struct slice text = n->args[n->nargs - 1];
    e->modified = n->nargs == 2;
    bool ok = n->nargs == 1 || slice_eq(n->args[0], SLICE("modified"));
    if (memchr(text.data, '$', text.len))
        e->text = site_compile(site, text, n);
    else
        ok = ok && parse_expires(text, e);
    if (!ok)
        conf_error(
            &site->conf->errors, n,
            "invalid value \"%.*s\" in \"expires\"; write: [modified] [-|+]TIME, @TIME of less than 24h, epoch, max or off",
            SLICE_ARGS(text));
    return e;
}

/* add_header, add_trailer: NAME VALUE [always] */
static struct added_header *build_added(struct site *site, const struct conf_lines *lines, int *count)
{
    struct added_header *added = site_array(site, site_count_lines(lines), sizeof *added);
    *count = 0;
    for (const struct conf_lines *c = lines; c; c = c->next) {
        const struct conf_node *n = c->node;
        if (n->nargs == 3 && !slice_eq(n->args[2], SLICE("always")))
            conf_error(&site->conf->errors, n,
                       "invalid parameter \"%.*s\" of \"%.*s\"; write: NAME VALUE [always]",
                       SLICE_ARGS(n->args[2]), SLICE_ARGS(n->name));
        added[(*count)++] =
            (struct added_header){n->args[0], site_compile(site, n->args[1], n), n->nargs == 3};
    }
    return added;
}

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct header_settings *s = header_settings_of(l->settings);
    struct headers *to = headers_in(l);
    (void)c;
    if (s->added)
        to->added = build_added(site, s->added, &to->added_count);
    if (s->trailers)
        to->trailers = build_added(site, s->trailers, &to->trailer_count);
    if (s->expires)
        to->expires = build_expires(site, s->expires);
}

#define PART(member) CONF_PART_FIELD(header_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "add_header", .where = CONF_HTTP_ALL, .args = {2, 3}, .type = CONF_LINES, .field = PART(added),
     .syntax = "NAME VALUE [always]",
     .help = "A header of answers with status 200, 201, 204, 206, 301, 302, 303, 304, 307 or 308, or always. Inherited where a level has none."},
    {.name = "add_header_inherit", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = PART(added_inherit), .default_text = "on",
     .words = WORDS("on", "off", "merge"),
     .help = "Whether a level without add_header has those of the level above, has none, or whether they come behind its own in any case."},
    {.name = "add_trailer_inherit", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = PART(trailers_inherit), .default_text = "on",
     .words = WORDS("on", "off", "merge"),
     .help = "The same of add_trailer."},
    {.name = "expires", .where = CONF_HTTP_ALL, .args = {1, 2}, .type = CONF_TEMPLATE, .field = PART(expires),
     .syntax = "[modified] [-|+]TIME | epoch | max | off",
     .help = "Expires and Cache-Control of such answers; may contain variables."},
    {.name = "add_trailer", .where = CONF_HTTP_ALL, .args = {2, 3}, .type = CONF_LINES, .field = PART(trailers),
     .syntax = "NAME VALUE [always]",
     .help = "A trailer of such answers, which then go out in chunks. Inherited where a level has none."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_HEADERS, rows, inherit};

const struct feature feature_headers = {
    .name = "headers", .table = &table, .location = &headers_part, .build = build};
