/*
 * http/filters/sub_filter.c - replacing texts in answers: sub_filter and its kin (nginx, ngx_http_sub_module).
 *
 * Texts are found in any case of their letters. What may be the beginning of one at the end of a stretch is kept until more
 * comes, so that a text is found however the body is cut.
 */
#include "conf/rows.h"
#include "http/filters/filters.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "conf/tree.h"
#include "http/request/filter.h"
#include "http/request/template.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/site.h"

#include <stdlib.h>

/* Replacements may be much longer than what they replace. */
enum { OUT_BYTES_AT_ONCE = 128 << 10 };

struct sub_settings {
    struct conf_lines *filters, *types;
    bool once, last_modified;
};

struct part sub_settings_part = {.size = sizeof(struct sub_settings)};
SETTINGS_PART(sub_settings)

struct substitution {
    const struct http_template *text, *by;
};

/* Of a location. */
struct substitutions {
    struct substitution *items;
    int count;
};

struct part substitutions_part = {.size = sizeof(struct substitutions)};
LOCATION_PART(substitutions)

struct replacement {
    struct slice text; /* never empty; in lower case */
    const struct http_template *by;
    struct slice value; /* of by, once it has been needed */
    bool known, done;   /* sub_filter_once */
};

struct sub_filter {
    struct body_filter filter; /* first */
    struct replacement *items;
    int count;
    bool once;
    /* Bytes that a text begins with, in both cases. */
    bool begins[256];
    struct buf held; /* not decided yet */
    struct buf out;
};

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

/* text is in lower case. */
static bool same(const char *at, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lower(at[i]) != (unsigned char)text[i])
            return false;
    return true;
}

enum found { NOTHING, FOUND, PERHAPS /* more bytes will tell */ };

static enum found look(const struct sub_filter *s, struct slice rest, bool at_end, int *which)
{
    bool perhaps = false;
    for (int i = 0; i < s->count; i++) {
        const struct replacement *r = &s->items[i];
        size_t n = r->text.len < rest.len ? r->text.len : rest.len;
        if (r->done || !same(rest.data, r->text.data, n))
            continue;
        if (n == r->text.len) {
            *which = i;
            /* A text before it in the list may still turn out to be there. */
            return perhaps ? PERHAPS : FOUND;
        }
        perhaps = !at_end;
    }
    return perhaps ? PERHAPS : NOTHING;
}

/* Sends what is decided of s->held. */
static bool replace(struct http_exchange *ex, struct sub_filter *s, bool at_end)
{
    struct slice in = buf_slice(&s->held);
    size_t from = 0, at = 0;
    bool ok = true, perhaps = false;
    s->out.start = s->out.end = 0;
    while (ok && at < in.len && buf_len(&s->out) < OUT_BYTES_AT_ONCE) {
        int which = 0;
        enum found found =
            s->begins[(unsigned char)in.data[at]] ? look(s, slice_from(in, at), at_end, &which) : NOTHING;
        if (found == PERHAPS) {
            perhaps = true;
            break;
        }
        if (found == NOTHING) {
            at++;
            continue;
        }
        struct replacement *r = &s->items[which];
        if (!r->known)
            r->value = http_template_expand(r->by, ex);
        r->known = true;
        ok = buf_append(&s->out, in.data + from, at - from) && buf_append_slice(&s->out, r->value);
        at += r->text.len;
        from = at;
        r->done = s->once;
    }
    if (ok && at > from)
        ok = buf_append(&s->out, in.data + from, at - from);
    s->filter.full = at < in.len && !perhaps;
    buf_consume(&s->held, at);
    return ok;
}

static bool pass(struct http_exchange *ex, struct body_filter *f, struct slice in, enum filter_mode mode)
{
    struct sub_filter *s = (struct sub_filter *)f;
    bool ok = in.len == 0 || buf_append_slice(&s->held, in);
    do {
        ok = ok && replace(ex, s, mode == FILTER_END) &&
             filter_next(ex, f, buf_slice(&s->out), f->full ? FILTER_MORE : mode);
    } while (ok && f->full && mode == FILTER_END);
    return ok;
}

static void free_filter(struct body_filter *f)
{
    struct sub_filter *s = (struct sub_filter *)f;
    buf_free(&s->held);
    buf_free(&s->out);
    free(s);
}

/* NULL: out of memory, and the body goes out as it is. */
static struct sub_filter *new_filter(struct http_exchange *ex, const struct substitutions *of, bool once)
{
    struct sub_filter *s = calloc(1, sizeof *s);
    struct replacement *items = arena_zalloc(&ex->arena, (size_t)of->count * sizeof *items);
    if (!s || !items) {
        free(s);
        return NULL;
    }
    s->filter = (struct body_filter){.pass = pass, .free = free_filter};
    s->items = items;
    s->once = once;
    for (int i = 0; i < of->count; i++) {
        struct slice text = arena_dup_lower(&ex->arena, http_template_expand(of->items[i].text, ex));
        if (text.len == 0)
            continue;
        items[s->count++] = (struct replacement){.text = text, .by = of->items[i].by};
        unsigned char first = (unsigned char)text.data[0];
        s->begins[first] = true;
        if (first >= 'a' && first <= 'z')
            s->begins[first - 0x20] = true;
    }
    return s;
}

void sub_filter_decide(struct http_exchange *ex)
{
    const struct substitutions *of = substitutions_of(ex->route.location);
    const struct sub_settings *s = sub_settings_of(ex->route.location->settings);
    /* It says of the validators what the answer with a body would. */
    bool bare = ex->res.status == 304;
    if (of->count == 0 || (ex->res.content_length == 0 && !bare) || ex->res.status == 204 ||
        !conf_lists_type(s->types, "text/html", ex->res.content_type))
        return;
    struct sub_filter *f = new_filter(ex, of, s->once);
    if (!f)
        return;
    /* No text that is empty by its variables is one. */
    bool any = f->count > 0;
    if (any && !bare && ex->req.method != HTTP_HEAD)
        filter_add(ex, &f->filter);
    else
        free_filter(&f->filter);
    if (!any)
        return;
    filter_changes_body(ex);
    if (!s->last_modified)
        ex->res.last_modified = ex->res.etag = (struct slice){0};
}

/* --- from settings --- */

/* sub_filter TEXT REPLACEMENT */
static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct conf_lines *lines = sub_settings_of(l->settings)->filters;
    struct substitutions *to = substitutions_in(l);
    (void)c;
    to->items = lines ? site_array(site, site_count_lines(lines), sizeof *to->items) : NULL;
    for (; lines; lines = lines->next) {
        const struct conf_node *n = lines->node;
        if (n->args[0].len == 0)
            conf_error(&site->conf->errors, n,
                       "\"sub_filter\" has an empty text to look for; remove it or write one");
        to->items[to->count++] =
            (struct substitution){site_compile(site, n->args[0], n), site_compile(site, n->args[1], n)};
    }
}

#define PART(member) CONF_PART_FIELD(sub_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "sub_filter", .where = CONF_HTTP_ALL, .args = {2, 2}, .type = CONF_LINES, .field = PART(filters),
     .syntax = "TEXT REPLACEMENT",
     .help = "Replaces a text in answers, found in any case of its letters; both may contain variables. Inherited where a level has none."},
    {.name = "sub_filter_once", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(once), .default_text = "on", .live = CONF_LIVE,
     .help = "Whether each text is replaced once, or wherever it is found."},
    {.name = "sub_filter_types", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = PART(types),
     .syntax = "TYPE ...",
     .help = "What texts are replaced in beside text/html; * is everything."},
    {.name = "sub_filter_last_modified", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(last_modified), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether such answers keep Last-Modified and a weak ETag, or have neither."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_BODIES, rows, NULL};

const struct feature feature_sub_filter = {
    .name = "sub_filter", .table = &table, .location = &substitutions_part, .build = build};
