/*
 * http/filters/charset.c - charset and its kin (nginx, ngx_http_charset_module): the character set that Content-Type names, and
 * converting bodies to it by iconv(3).
 *
 * nginx converts by tables of the configuration (http/filters/charset_map.c); iconv brings its own, for what has no table there.
 */
#include "http/filters/charset.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "conf/rows.h"
#include "http/filters/charset_map.h"
#include "http/filters/filters.h"
#include "http/request/exchange.h"
#include "http/request/filter.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/site.h"

#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHARACTER_BYTES = 16, STEP_BYTES = 16 << 10 };

/* Between the two it is UTF-32, so that a character that one of them has not is known as one, whatever state they are in. */
static const char between[] = "UTF-32LE";

struct charset_settings {
    const struct conf_node *name, *source;
    struct conf_lines *types, *maps;
    bool override;
};

struct part charset_settings_part = {.size = sizeof(struct charset_settings)};
SETTINGS_PART(charset_settings)

/* Of a location; NULL: none. */
struct charset_location {
    const struct http_template *name, *source;
    const struct charset_map *maps; /* of the site */
};

struct part charset_location_part = {.size = sizeof(struct charset_location)};
LOCATION_PART(charset_location)

/* Of a site. */
struct charset_site {
    const struct charset_map *maps;
};

struct part charset_site_part = {.size = sizeof(struct charset_site)};
SITE_PART(charset_site)

bool charset_lists_type(const struct settings *s, struct slice type)
{
    return conf_lists_type(charset_settings_of(s)->types, "text/html", type);
}

struct charset_filter {
    struct body_filter filter; /* first */
    iconv_t decode, encode;
    struct buf held;  /* the beginning of a character */
    struct buf chars; /* UTF-32 */
    struct buf out;
};

/* As much of `from` as goes, behind `to`. Returns 0, or why it stopped: EILSEQ, EINVAL or ENOMEM. */
static int step(iconv_t how, struct buf *from, struct buf *to)
{
    while (buf_len(from) > 0) {
        if (!buf_reserve(to, STEP_BYTES))
            return ENOMEM;
        char *in = from->data + from->start, *out = to->data + to->end;
        size_t in_left = buf_len(from), out_left = to->cap - to->end;
        size_t before_in = in_left, before_out = out_left;
        int why = iconv(how, &in, &in_left, &out, &out_left) == (size_t)-1 ? errno : 0;
        to->end += before_out - out_left;
        buf_consume(from, before_in - in_left);
        if (why && why != E2BIG)
            return why;
    }
    return 0;
}

static bool append_char(struct buf *chars, unsigned char c)
{
    return buf_append(chars, (const char[]){(char)c, 0, 0, 0}, 4);
}

/* What is no character becomes a question mark. What is left in s->held is the beginning of one. */
static bool decode(struct charset_filter *s, bool at_end)
{
    int why;
    while ((why = step(s->decode, &s->held, &s->chars)) != 0) {
        if (why == ENOMEM)
            return false;
        if (why == EINVAL && !at_end && buf_len(&s->held) < CHARACTER_BYTES)
            return true;
        buf_consume(&s->held, 1);
        if (!append_char(&s->chars, '?'))
            return false;
    }
    return true;
}

/* What the character set has not is written as HTML has it, as in nginx. */
static bool encode_number(struct charset_filter *s)
{
    const unsigned char *c = (const unsigned char *)s->chars.data + s->chars.start;
    char text[16];
    struct buf chars = {0};
    int n = snprintf(text, sizeof text, "&#%lu;",
                     c[0] | (unsigned long)c[1] << 8 | (unsigned long)c[2] << 16 | (unsigned long)c[3] << 24);
    bool ok = true;
    for (int i = 0; ok && i < n; i++)
        ok = append_char(&chars, (unsigned char)text[i]);
    ok = ok && step(s->encode, &chars, &s->out) != ENOMEM;
    buf_free(&chars);
    buf_consume(&s->chars, 4);
    return ok;
}

static bool convert(struct charset_filter *s, bool at_end)
{
    int why;
    s->out.start = s->out.end = 0;
    if (!decode(s, at_end))
        return false;
    while ((why = step(s->encode, &s->chars, &s->out)) != 0)
        if (why == ENOMEM || !encode_number(s))
            return false;
    if (!at_end)
        return true;
    if (!buf_reserve(&s->out, CHARACTER_BYTES))
        return false;
    /* Some character sets have to be left at the end. */
    char *out = s->out.data + s->out.end;
    size_t out_left = s->out.cap - s->out.end, before = out_left;
    iconv(s->encode, NULL, NULL, &out, &out_left);
    s->out.end += before - out_left;
    return true;
}

static bool pass(struct http_exchange *ex, struct body_filter *f, struct slice in, enum filter_mode mode)
{
    struct charset_filter *s = (struct charset_filter *)f;
    return (in.len == 0 || buf_append_slice(&s->held, in)) && convert(s, mode == FILTER_END) &&
           filter_next(ex, f, buf_slice(&s->out), mode);
}

static void free_filter(struct body_filter *f)
{
    struct charset_filter *s = (struct charset_filter *)f;
    if (s->decode != (iconv_t)-1)
        iconv_close(s->decode);
    if (s->encode != (iconv_t)-1)
        iconv_close(s->encode);
    buf_free(&s->held);
    buf_free(&s->chars);
    buf_free(&s->out);
    free(s);
}

/* NULL: one of them is not known, or out of memory. map: the table between them, or NULL. */
static struct body_filter *new_filter(struct http_exchange *ex, const struct charset_map *map,
                                      struct slice from, struct slice to)
{
    if (map)
        return charset_map_filter(map, from);
    struct slice f = arena_printf(&ex->arena, "%.*s", SLICE_ARGS(from)),
                 t = arena_printf(&ex->arena, "%.*s", SLICE_ARGS(to));
    struct charset_filter *s = f.data && t.data ? calloc(1, sizeof *s) : NULL;
    if (!s)
        return NULL;
    s->filter = (struct body_filter){.pass = pass, .free = free_filter};
    s->decode = iconv_open(between, f.data);
    s->encode = iconv_open(t.data, between);
    if (s->decode != (iconv_t)-1 && s->encode != (iconv_t)-1)
        return &s->filter;
    http_log(ex, LOG_LEVEL_ERROR, "cannot convert from charset \"%.*s\" to \"%.*s\"", SLICE_ARGS(from),
             SLICE_ARGS(to));
    free_filter(&s->filter);
    return NULL;
}

/* The value of Content-Type's charset. data NULL: it names none. */
static struct slice named_charset(struct slice type)
{
    const char *semicolon = memchr(type.data, ';', type.len);
    for (size_t i = semicolon ? (size_t)(semicolon - type.data) : type.len; i + 8 < type.len; i++) {
        struct slice rest = slice_from(type, i);
        if (strncasecmp(rest.data, "charset=", 8) != 0)
            continue;
        rest = slice_from(rest, 8);
        bool quoted = rest.len && rest.data[0] == '"';
        rest = slice_from(rest, quoted);
        size_t n = 0;
        while (n < rest.len && rest.data[n] != ';' && rest.data[n] != '"' && rest.data[n] != ' ')
            n++;
        return (struct slice){rest.data, n};
    }
    return (struct slice){0};
}

/* The type with its parameters, but for the charset that it named. */
static struct slice with_charset(struct arena *arena, struct slice type, struct slice named, struct slice to)
{
    if (!named.data)
        return arena_printf(arena, "%.*s; charset=%.*s", SLICE_ARGS(type), SLICE_ARGS(to));
    bool quoted = named.data[-1] == '"';
    size_t before = (size_t)(named.data - type.data) - quoted;
    struct slice rest = slice_from(named, named.len);
    rest.len = (size_t)(type.data + type.len - rest.data);
    rest = slice_from(rest, quoted && rest.len);
    return arena_printf(arena, "%.*s%.*s%.*s", (int)before, type.data, SLICE_ARGS(to), SLICE_ARGS(rest));
}

/* What the answer's charset is to be. data NULL: what it is, or none. */
static struct slice wanted_charset(struct http_exchange *ex, struct slice type, struct slice named)
{
    const struct location *l = ex->route.location;
    /* It counts for every type, and whatever the type names already. */
    struct slice wanted = ex->sent.charset;
    if (wanted.len == 0) {
        bool stays = named.data && !(ex->proxy && charset_settings_of(l->settings)->override);
        if (!charset_location_of(l)->name || stays || !charset_lists_type(l->settings, type))
            return (struct slice){0};
        wanted = http_template_expand(charset_location_of(l)->name, ex);
    }
    return http_is_token(wanted) && !slice_eq(wanted, SLICE("off")) ? wanted : (struct slice){0};
}

/*
 * Byte for byte the body keeps its length, its ranges and a strong validator, as in nginx: they are about what is sent, and
 * that is always the same of the same file.
 */
static void change_head(struct http_exchange *ex, const struct charset_map *map)
{
    bool keeps_ranges = map && charset_map_keeps_ranges(map);
    int64_t length = ex->res.content_length;
    if (keeps_ranges)
        return;
    filter_changes_body(ex);
    if (map && charset_map_keeps_length(map))
        ex->res.content_length = length;
}

void charset_decide(struct http_exchange *ex)
{
    struct http_response *res = &ex->res;
    const struct location *l = ex->route.location;
    struct slice type = res->content_type;
    if (type.len == 0 || res->status == 204 || res->status == 301 || res->status == 302 ||
        (type.len > 10 && strncasecmp(type.data, "multipart/", 10) == 0))
        return;
    struct slice named = named_charset(type), to = wanted_charset(ex, type, named);
    if (!to.data)
        return;
    struct slice from = named;
    if (!named.data && charset_location_of(l)->source)
        from = http_template_expand(charset_location_of(l)->source, ex);
    bool converts = from.data && from.len && !slice_eq(from, SLICE("off")) && !slice_eq_nocase(from, to) &&
                    res->content_length != 0;
    const struct charset_map *map =
        converts ? charset_map_find(charset_location_of(l)->maps, from, to) : NULL;
    bool foreign = ex->sent.charset.len && converts && !map;
    if (foreign || (converts && http_added_header(res, SLICE("Content-Encoding")).data))
        /* Nor does an upstream choose among the converters of the system. */
        return;
    struct body_filter *f = converts ? new_filter(ex, map, from, to) : NULL;
    type = with_charset(&ex->arena, type, named, to);
    if ((converts && !f) || !type.data) {
        if (f)
            f->free(f);
        /* It stays what it is, and is not said to be anything else. */
        return;
    }
    res->content_type = type;
    if (!f)
        return;
    if (ex->req.method == HTTP_HEAD || res->status == 304)
        f->free(f);
    else
        filter_add(ex, f);
    if (res->status != 304)
        change_head(ex, map);
}

/* What is to be converted and cannot is an error while the configuration is read, unless variables say it. */
static const struct http_template *build_charset(struct site *site, const struct conf_node *n, bool by_iconv)
{
    struct slice name = n->args[0];
    if (by_iconv && !memchr(name.data, '$', name.len)) {
        iconv_t how = iconv_open("UTF-8", name.data);
        if (how == (iconv_t)-1)
            conf_error(&site->conf->errors, n, "unknown charset \"%.*s\"; \"iconv -l\" lists what there is",
                       SLICE_ARGS(name));
        else
            iconv_close(how);
    }
    return site_compile(site, name, n);
}

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct charset_settings *s = charset_settings_of(l->settings);
    const struct charset_map *maps = charset_site_of(site)->maps;
    const struct conf_node *to = s->name, *from = s->source;
    (void)c;
    if (!to || slice_eq(to->args[0], SLICE("off"))) {
        /* Of no use here, but a mistake in it is one. */
        if (from)
            site_compile(site, from->args[0], from);
        return;
    }
    bool converts = from && !slice_eq(from->args[0], SLICE("off"));
    bool by_iconv = converts && !charset_map_find(maps, from->args[0], to->args[0]);
    *charset_location_in(l) = (struct charset_location){
        .name = build_charset(site, to, by_iconv),
        .source = converts ? build_charset(site, from, by_iconv) : NULL,
        .maps = maps,
    };
}

static void prepare(struct site *site)
{
    if (site->conf->http)
        charset_site_in(site)->maps =
            charset_maps_build(site, charset_settings_of(&site->conf->http->settings)->maps);
}

#define PART(member) CONF_PART_FIELD(charset_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "charset", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = PART(name),
     .syntax = "NAME | off",
     .help = "The charset that Content-Type names where it names none; may contain variables."},
    {.name = "charset_types", .where = CONF_HTTP_ALL, .args = {1, CONF_ANY}, .type = CONF_LINES, .field = PART(types),
     .default_text = "text/xml text/plain text/vnd.wap.wml application/javascript application/rss+xml",
     .syntax = "TYPE ...",
     .help = "Which answers that is for beside text/html."},
    {.name = "charset_map", .where = CONF_HTTP, .args = {2, 2}, .type = CONF_LINES, .field = PART(maps), .block = true,
     .syntax = "CHARSET CHARSET { HH HEX; ... }",
     .help = "A table between two charsets, used in both directions in place of iconv(3): bytes of the first, and what they are in the second, bytes or characters of utf-8. What it has not is \"?\" or, from utf-8, a number as in HTML."},
    {.name = "source_charset", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = PART(source),
     .syntax = "NAME | off",
     .help = "What answers are written in; they are converted to charset by charset_map, or by iconv(3)."},
    {.name = "override_charset", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_FLAG, .field = PART(override), .default_text = "off", .live = CONF_LIVE,
     .help = "Whether answers of upstreams that name another charset are converted too."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_BODIES, rows, NULL};

const struct feature feature_charset = {.name = "charset",
                                        .table = &table,
                                        .location = &charset_location_part,
                                        .site = &charset_site_part,
                                        .prepare = prepare,
                                        .build = build};
