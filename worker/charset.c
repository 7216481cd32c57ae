/*
 * worker/charset.c - charset and its kin (nginx, ngx_http_charset_module): the character set that Content-Type names, and
 * converting bodies to it by iconv(3).
 *
 * nginx converts by tables of the configuration (charset_map); iconv brings its own.
 */
#include "worker/filter.h"

#include "conf/directive.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>

enum { CHARACTER_BYTES = 16, STEP_BYTES = 16 << 10 };

struct charset_filter {
    struct body_filter filter; /* first */
    iconv_t how;
    struct buf held; /* the beginning of a character */
    struct buf out;
};

/* Converts s->held; what is left there is the beginning of a character. */
static bool convert(struct charset_filter *s, bool at_end)
{
    s->out.start = s->out.end = 0;
    while (buf_len(&s->held) > 0) {
        if (!buf_reserve(&s->out, STEP_BYTES))
            return false;
        char *in = s->held.data + s->held.start, *out = s->out.data + s->out.end;
        size_t in_left = buf_len(&s->held), out_left = s->out.cap - s->out.end - CHARACTER_BYTES;
        size_t before_in = in_left, before_out = out_left;
        size_t result = iconv(s->how, &in, &in_left, &out, &out_left);
        s->out.end += before_out - out_left;
        buf_consume(&s->held, before_in - in_left);
        if (result != (size_t)-1 || errno == E2BIG)
            continue;
        if (errno == EINVAL && !at_end && buf_len(&s->held) < CHARACTER_BYTES)
            return true;
        buf_consume(&s->held, 1); /* no character of the one set, or not to be had in the other */
        s->out.data[s->out.end++] = '?';
    }
    char *out = s->out.data + s->out.end; /* some character sets have to be left at the end */
    size_t out_left = at_end && buf_reserve(&s->out, CHARACTER_BYTES) ? CHARACTER_BYTES : 0,
           before = out_left;
    if (out_left)
        iconv(s->how, NULL, NULL, (out = s->out.data + s->out.end, &out), &out_left);
    s->out.end += before - out_left;
    return true;
}

static bool pass(struct connection *c, struct body_filter *f, struct slice in, enum filter_mode mode)
{
    struct charset_filter *s = (struct charset_filter *)f;
    return (in.len == 0 || buf_append_slice(&s->held, in)) && convert(s, mode == FILTER_END) &&
           filter_next(c, f, buf_slice(&s->out), mode);
}

static void free_filter(struct body_filter *f)
{
    struct charset_filter *s = (struct charset_filter *)f;
    iconv_close(s->how);
    buf_free(&s->held);
    buf_free(&s->out);
    free(s);
}

static void add_conversion(struct connection *c, struct slice from, struct slice to)
{
    struct http_exchange *ex = c->ex;
    struct slice f = arena_printf(&ex->arena, "%.*s", SLICE_ARGS(from)),
                 t = arena_printf(&ex->arena, "%.*s", SLICE_ARGS(to));
    iconv_t how = f.data && t.data ? iconv_open(t.data, f.data) : (iconv_t)-1;
    struct charset_filter *s = how == (iconv_t)-1 ? NULL : calloc(1, sizeof *s);
    if (!s) {
        http_log(ex, LOG_LEVEL_ERROR, "cannot convert from charset \"%.*s\" to \"%.*s\"", SLICE_ARGS(from),
                 SLICE_ARGS(to));
        if (how != (iconv_t)-1)
            iconv_close(how);
        return;
    }
    s->filter = (struct body_filter){.pass = pass, .free = free_filter};
    s->how = how;
    filter_add(ex, &s->filter);
}

/* The value of Content-Type's charset; *bare becomes the type without its parameters. data NULL: it names none. */
static struct slice named_charset(struct slice type, struct slice *bare)
{
    const char *semicolon = type.len ? memchr(type.data, ';', type.len) : NULL;
    *bare = slice_trim((struct slice){type.data, semicolon ? (size_t)(semicolon - type.data) : type.len});
    for (size_t i = bare->len; i + 8 < type.len; i++) {
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

static bool has_encoding(const struct http_response *res)
{
    for (const struct http_response_header *h = res->headers; h; h = h->next)
        if (slice_eq_nocase(h->header.name, SLICE("Content-Encoding")))
            return true;
    return false;
}

static const char usual_types[] =
    "text/html text/xml text/plain text/vnd.wap.wml application/javascript application/rss+xml";

/* What there is already stays, but for an upstream's with override_charset. */
void charset_decide(struct connection *c)
{
    struct http_exchange *ex = c->ex;
    struct http_response *res = &ex->res;
    const struct location *l = c->location;
    const struct settings *s = l->settings;
    struct slice bare, from;
    if (!l->charset || has_encoding(res) || res->content_type.len == 0 || res->status == 204)
        return;
    struct slice to = http_template_expand(l->charset, ex), named = named_charset(res->content_type, &bare);
    bool overrides = named.data && c->proxy && s->override_charset;
    const char *always = s->charset_types ? "text/html" : usual_types;
    if (to.len == 0 || slice_eq(to, SLICE("off")) || (named.data && !overrides) || !http_is_token(to) ||
        !conf_lists_type(s->charset_types, always, res->content_type))
        return;
    from = named.data ? named : l->source_charset ? http_template_expand(l->source_charset, ex) : named;
    struct slice type = arena_printf(&ex->arena, "%.*s; charset=%.*s", SLICE_ARGS(bare), SLICE_ARGS(to));
    if (!type.data)
        return;
    res->content_type = type;
    if (from.len == 0 || slice_eq(from, SLICE("off")) || slice_eq_nocase(from, to) ||
        res->content_length == 0)
        return;
    if (ex->req.method != HTTP_HEAD && res->status != 304)
        add_conversion(c, from, to);
    if (ex->filters || ex->req.method == HTTP_HEAD)
        filter_changes_body(ex);
}

/* What is to be converted and cannot is an error while the configuration is read, unless variables say it. */
static const struct http_template *build_charset(struct site *site, const struct conf_node *n, bool converts)
{
    struct slice name = n->args[0];
    if (converts && !memchr(name.data, '$', name.len)) {
        iconv_t how = iconv_open("UTF-8", name.data);
        if (how == (iconv_t)-1)
            conf_error(&site->conf->errors, n, "unknown charset \"%.*s\"; \"iconv -l\" lists what there is",
                       SLICE_ARGS(name));
        else
            iconv_close(how);
    }
    return site_compile(site, name, n);
}

void site_build_charset(struct site *site, struct location *l)
{
    const struct conf_node *to = l->settings->charset, *from = l->settings->source_charset;
    if (!to || slice_eq(to->args[0], SLICE("off")))
        return;
    bool converts = from && !slice_eq(from->args[0], SLICE("off"));
    l->charset = build_charset(site, to, converts);
    if (converts)
        l->source_charset = build_charset(site, from, converts);
}
