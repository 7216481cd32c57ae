/*
 * http/request/template.c - texts with variables.
 *
 * A template is a list of parts: literal text, or a variable's getter with the rest of its name ("http_", "arg_" and
 * their kin are prefixes). Getters may use the request's arena.
 */
#include "http/request/template.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "http/request/variables.h"

#include <assert.h>

struct part {
    struct slice literal; /* when both are NULL */
    const struct http_variable *variable;
    const struct http_user_variable *user; /* in its place */
    struct slice name_rest;
    struct part *next;
};

struct http_template {
    struct part *parts;
};

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Cuts the name behind a "$" off *rest. False: *name is what http_template_compile says of it. */
static bool cut_name(struct slice *rest, struct slice *cut)
{
    bool braces = rest->len > 0 && rest->data[0] == '{';
    struct slice name = slice_from(*rest, braces);
    size_t n = 0;
    /* Of a capture: what follows is text, as in nginx. */
    if (!braces && name.len && name.data[0] >= '1' && name.data[0] <= '9')
        n = name.len = 1;
    while (n < name.len && is_name_char(name.data[n]))
        n++;
    bool open = braces && n > 0 && (n == name.len || name.data[n] != '}');
    *cut = open ? (struct slice){rest->data, n + 1} : (struct slice){name.data, n};
    if (n == 0 || open)
        return false;
    *rest = slice_from(*rest, n + (braces ? 2 : 0));
    return true;
}

static bool is_capture(const struct http_scope *scope, struct slice name)
{
    const struct http_capture_names *names = scope ? scope->captures : NULL;
    while (names && !slice_eq_nocase(names->name, name))
        names = names->next;
    return names != NULL;
}

static const struct http_user_variable *find_user_variable(const struct http_scope *scope, struct slice name)
{
    const struct http_user_variable *v = scope ? scope->variables : NULL;
    while (v && !slice_eq_nocase(v->name, name))
        v = v->next;
    return v;
}

/*
 * A name of the configuration's own comes first: it may be "http_x", whose prefix means something otherwise, or one of the
 * few of the server's own that it may redefine. As in nginx a group's name then stands for the group in all places, and is
 * empty until its expression has matched.
 */
static bool find_variable(struct part *p, struct slice name, const struct http_scope *scope)
{
    p->user = find_user_variable(scope, name);
    bool defined = p->user && p->user->data;
    if (!defined && is_capture(scope, name)) {
        p->user = NULL;
        p->variable = &http_named_capture;
        p->name_rest = name;
        return true;
    }
    p->variable = p->user ? NULL : http_find_variable(name, &p->name_rest);
    return p->variable || p->user;
}

static struct part *next_template_part(struct arena *arena, struct slice *rest,
                                       const struct http_scope *scope, struct slice *unknown)
{
    struct part *p = arena_zalloc(arena, sizeof *p);
    if (!p)
        return NULL;
    assert(rest->len > 0);
    if (rest->data[0] == '$') {
        struct slice behind = slice_from(*rest, 1);
        if (!cut_name(&behind, unknown) || !find_variable(p, *unknown, scope))
            return NULL;
        *rest = behind;
        return p;
    }
    const char *dollar = memchr(rest->data, '$', rest->len);
    size_t n = dollar ? (size_t)(dollar - rest->data) : rest->len;
    p->literal = (struct slice){rest->data, n};
    *rest = slice_from(*rest, n);
    return p;
}

struct http_template *http_template_compile(struct arena *arena, struct slice text,
                                            const struct http_scope *scope, struct slice *unknown)
{
    struct http_template *t = arena_zalloc(arena, sizeof *t);
    struct part **tail = t ? &t->parts : NULL;
    *unknown = (struct slice){0};
    while (t && text.len > 0) {
        *tail = next_template_part(arena, &text, scope, unknown);
        if (!*tail)
            return NULL;
        tail = &(*tail)->next;
    }
    return t;
}

struct http_template *http_template_variable(struct arena *arena, struct slice name,
                                             const struct http_scope *scope)
{
    struct http_template *t = arena_zalloc(arena, sizeof *t);
    struct part *p = t ? arena_zalloc(arena, sizeof *p) : NULL;
    if (!p || !find_variable(p, name, scope))
        return NULL;
    t->parts = p;
    return t;
}

const struct http_template *http_template_constant(struct arena *arena, struct slice text)
{
    struct http_template *t = arena_zalloc(arena, sizeof *t);
    struct part *p = t ? arena_zalloc(arena, sizeof *p) : NULL;
    if (!p)
        return NULL;
    p->literal = text;
    t->parts = p;
    return t;
}

static struct slice value_of(const struct part *p, struct http_exchange *ex)
{
    if (p->user)
        return p->user->get(ex, p->user->data);
    assert(!p->variable || !p->literal.data); /* never both */
    return p->variable ? p->variable->get(ex, p->name_rest) : p->literal;
}

bool http_template_is_empty(const struct http_template *t)
{
    return !t->parts;
}

bool http_template_is_constant(const struct http_template *t)
{
    const struct part *p = t->parts;
    return !p || (!p->next && !p->variable && !p->user);
}

struct slice http_template_expand(const struct http_template *t, struct http_exchange *ex)
{
    struct buf text = {0};
    if (!t->parts)
        return SLICE("");
    if (http_template_is_constant(t))
        return t->parts->literal;
    bool ok = true;
    for (const struct part *p = t->parts; ok && p; p = p->next)
        ok = buf_append_slice(&text, value_of(p, ex));
    struct slice copy = ok ? arena_dup(&ex->arena, buf_slice(&text)) : (struct slice){0};
    buf_free(&text);
    return copy;
}

static bool append_escaped(struct buf *out, struct slice s)
{
    static const char digits[] = "0123456789ABCDEF";
    if (!buf_reserve(out, s.len * 4 + 1))
        return false;
    char *at = out->data + out->end;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            *at++ = (char)c;
            continue;
        }
        *at++ = '\\';
        *at++ = 'x';
        *at++ = digits[c >> 4];
        *at++ = digits[c & 15];
    }
    out->end = (size_t)(at - out->data);
    assert(out->end <= out->cap);
    return true;
}

static bool append_json_text(struct buf *out, struct slice s)
{
    bool ok = true;
    for (size_t i = 0; ok && i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        const char *short_form = c == '\n'   ? "\\n"
                                 : c == '\r' ? "\\r"
                                 : c == '\t' ? "\\t"
                                 : c == '\b' ? "\\b"
                                 : c == '\f' ? "\\f"
                                             : NULL;
        if (short_form)
            ok = buf_append(out, short_form, 2);
        else if (c == '"' || c == '\\')
            ok = buf_append(out, "\\", 1) && buf_append(out, &s.data[i], 1);
        else {
            size_t n = slice_utf8(slice_from(s, i)); /* RFC 8259 section 8.1: JSON is UTF-8 */
            unsigned code = slice_control((struct slice){s.data + i, n});
            ok = (code && code != 0x7f) || c == '\0' ? buf_printf(out, "\\u%04X", code)
                                                     : buf_append(out, n ? &s.data[i] : "\\uFFFD", n ? n : 6);
            i += n ? n - 1 : 0;
        }
    }
    return ok;
}

static bool append_log_value(struct buf *out, enum http_escape escape, struct slice value)
{
    if (escape == HTTP_ESCAPE_JSON)
        return append_json_text(out, value);
    if (escape == HTTP_ESCAPE_NONE)
        return buf_append_slice(out, value);
    return value.data ? append_escaped(out, value) : buf_append(out, "-", 1);
}

bool http_template_log(const struct http_template *t, enum http_escape escape, struct http_exchange *ex,
                       struct buf *out)
{
    bool ok = true;
    for (const struct part *p = t->parts; ok && p; p = p->next) {
        struct slice value = value_of(p, ex);
        ok = p->variable || p->user ? append_log_value(out, escape, value) : buf_append_slice(out, value);
    }
    return ok;
}
