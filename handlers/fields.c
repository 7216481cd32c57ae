/*
 * handlers/fields.c - the calls of <weir/handler.h> that walk over what a request has by name: headers, arguments, forms,
 * cookies; and that find one.
 *
 * Fields are looked at where they lie. Only what a handler gets is decoded and copied: a large form costs nothing but that,
 * however often it is asked.
 */
#include "handlers/handler.h"
#include "handlers/job.h"

#include "base/arena.h"
#include "base/slice.h"
#include "http/wire/multipart.h"
#include "http/wire/request.h"
#include "http/wire/uri.h"

enum coding { PLAIN, URL_CODED, ESCAPED /* in quotes */ };

/* Of a header, an argument, a form or a cookie, as it was sent. */
struct raw_field {
    struct slice name, value;
    enum coding name_coding, value_coding;
};

/* The one that begins at *at, which moves on. 1, 0 at the end, -1: it is none of those lists. */
typedef int next_raw(weir_request *r, size_t *at, struct raw_field *raw);

/* Ends with a zero. */
static struct slice decoded(weir_request *r, struct slice raw, enum coding coding)
{
    struct slice text = coding == URL_CODED ? http_decode(job_arena(r), raw, true)
                        : coding == ESCAPED ? http_part_text(job_arena(r), raw)
                                            : raw;
    if (!text.data && raw.data)
        weir_fail(r, "out of memory");
    return coding == URL_CODED ? text : (struct slice){job_text(r, text), text.len};
}

static int give_next(weir_request *r, struct weir_field *f, next_raw *next)
{
    struct raw_field raw;
    int result = next(r, &f->next, &raw);
    if (result <= 0)
        return result;
    struct slice name = decoded(r, raw.name, raw.name_coding),
                 value = decoded(r, raw.value, raw.value_coding);
    *f = (struct weir_field){name.data, value.data, name.len, value.len, f->next};
    return 1;
}

static bool is_as_sent(struct slice raw, enum coding coding)
{
    return coding == PLAIN || raw.len == 0 ||
           (coding == ESCAPED ? !memchr(raw.data, '\\', raw.len)
                              : !memchr(raw.data, '%', raw.len) && !memchr(raw.data, '+', raw.len));
}

/* A name that has nothing to decode is not copied for being compared. */
static bool has_field_name(weir_request *r, const struct raw_field *raw, struct slice name)
{
    bool as_sent = is_as_sent(raw->name, raw->name_coding);
    return slice_eq(as_sent ? raw->name : decoded(r, raw->name, raw->name_coding), name);
}

static int find_first(weir_request *r, const char *name, next_raw *next, struct weir_field *f)
{
    struct raw_field raw;
    size_t at = 0;
    while (name && next(r, &at, &raw) > 0) {
        if (!has_field_name(r, &raw, slice_of(name)))
            continue;
        struct slice value = decoded(r, raw.value, raw.value_coding);
        *f = (struct weir_field){name, value.data, strlen(name), value.len, at};
        return 1;
    }
    return 0;
}

static const char *first_value(weir_request *r, const char *name, next_raw *next)
{
    struct weir_field f;
    return find_first(r, name, next, &f) ? f.value : NULL;
}

/* --- lists of pieces --- */

/* The piece of a list that begins at *at; *at moves behind it. False at its end. */
static bool next_piece(struct slice list, char separator, size_t *at, struct slice *piece)
{
    if (*at >= list.len)
        return false;
    struct slice rest = slice_from(list, *at);
    const char *end = memchr(rest.data, separator, rest.len);
    *piece = (struct slice){rest.data, end ? (size_t)(end - rest.data) : rest.len};
    *at += piece->len + 1;
    return true;
}

/* Cut at the first "="; without one the value is empty. */
static void cut_at_equals(struct slice piece, struct raw_field *raw)
{
    const char *equals = memchr(piece.data, '=', piece.len);
    raw->name = (struct slice){piece.data, equals ? (size_t)(equals - piece.data) : piece.len};
    raw->value = equals ? slice_from(piece, raw->name.len + 1) : SLICE("");
}

static int next_pair(struct slice list, size_t *at, struct raw_field *raw)
{
    struct slice piece;
    do {
        if (!next_piece(list, '&', at, &piece))
            return 0;
    } while (piece.len == 0);
    cut_at_equals(piece, raw);
    raw->name_coding = raw->value_coding = URL_CODED;
    return 1;
}

/* --- headers, arguments, cookies --- */

static int next_request_header(weir_request *r, size_t *at, struct raw_field *raw)
{
    if (*at >= (size_t)r->ex->req.header_count)
        return 0;
    const struct http_header *h = &r->ex->req.headers[(*at)++];
    *raw = (struct raw_field){h->name, h->value, PLAIN, PLAIN};
    return 1;
}

static int next_arg(weir_request *r, size_t *at, struct raw_field *raw)
{
    return next_pair(r->ex->req.args, at, raw);
}

/* Several lines are one list (RFC 9113 section 8.2.3). */
static struct slice cookies_of(weir_request *r)
{
    struct slice all = {0};
    for (int i = 0; i < r->ex->req.header_count && !r->cookies.data; i++) {
        const struct http_header *h = &r->ex->req.headers[i];
        if (!slice_eq_nocase(h->name, SLICE("Cookie")))
            continue;
        all = all.data ? arena_printf(job_arena(r), "%.*s;%.*s", SLICE_ARGS(all), SLICE_ARGS(h->value))
                       : h->value;
        if (!all.data)
            weir_fail(r, "out of memory");
    }
    if (!r->cookies.data)
        r->cookies = all.data ? all : SLICE("");
    return r->cookies;
}

static int next_cookie(weir_request *r, size_t *at, struct raw_field *raw)
{
    struct slice piece, all = cookies_of(r);
    do {
        if (!next_piece(all, ';', at, &piece))
            return 0;
    } while (!memchr(piece.data, '=', piece.len)); /* it has no name */
    cut_at_equals(slice_trim(piece), raw);
    *raw = (struct raw_field){slice_trim(raw->name), slice_trim(raw->value), PLAIN, PLAIN};
    return 1;
}

/* --- forms --- */

static struct slice body_type(weir_request *r)
{
    const struct slice *type = http_find_header(&r->ex->req, SLICE("Content-Type"));
    return type ? *type : SLICE("");
}

static struct slice body_of(weir_request *r)
{
    size_t len;
    const char *body = weir_body(r, &len);
    return (struct slice){body, len};
}

static int next_form_part(weir_request *r, size_t *at, struct http_part *part)
{
    struct slice boundary;
    if (!http_multipart_boundary(body_type(r), &boundary))
        return -1;
    enum http_part_result result = http_next_part(body_of(r), boundary, at, part);
    return result == HTTP_PART_FOUND ? 1 : result == HTTP_PART_NONE ? 0 : -1;
}

static int next_form(weir_request *r, size_t *at, struct raw_field *raw)
{
    struct slice type = body_type(r);
    const char *semicolon = memchr(type.data, ';', type.len);
    struct slice essence = {type.data, semicolon ? (size_t)(semicolon - type.data) : type.len};
    struct http_part part;
    int result;
    if (slice_eq_nocase(slice_trim(essence), SLICE("application/x-www-form-urlencoded")))
        return next_pair(body_of(r), at, raw);
    do {
        result = next_form_part(r, at, &part);
    } while (result > 0 && part.filename.data);
    if (result > 0)
        *raw = (struct raw_field){part.name, part.content, ESCAPED, PLAIN};
    return result;
}

/* --- the calls --- */

int weir_next_header(weir_request *r, struct weir_field *f)
{
    return give_next(r, f, next_request_header);
}

int weir_next_arg(weir_request *r, struct weir_field *f)
{
    return give_next(r, f, next_arg);
}

int weir_next_form(weir_request *r, struct weir_field *f)
{
    return give_next(r, f, next_form);
}

int weir_next_cookie(weir_request *r, struct weir_field *f)
{
    return give_next(r, f, next_cookie);
}

int weir_next_part(weir_request *r, struct weir_part *p)
{
    struct http_part part;
    int result = next_form_part(r, &p->next, &part);
    if (result <= 0)
        return result;
    p->name = decoded(r, part.name, ESCAPED).data;
    p->filename = part.filename.data ? decoded(r, part.filename, ESCAPED).data : NULL;
    p->type = job_text(r, part.type);
    p->data = part.content.data;
    p->bytes = part.content.len;
    return 1;
}

int weir_find_arg(weir_request *r, const char *name, struct weir_field *f)
{
    return find_first(r, name, next_arg, f);
}

int weir_find_form(weir_request *r, const char *name, struct weir_field *f)
{
    return find_first(r, name, next_form, f);
}

const char *weir_arg(weir_request *r, const char *name)
{
    return first_value(r, name, next_arg);
}

const char *weir_form(weir_request *r, const char *name)
{
    return first_value(r, name, next_form);
}

const char *weir_cookie(weir_request *r, const char *name)
{
    return first_value(r, name, next_cookie);
}
