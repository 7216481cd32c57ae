/*
 * http/wire/multipart.c - delimiters, heads of parts, and the parameters of their fields.
 */
#include "http/wire/multipart.h"

#include "base/arena.h"
#include "base/slice.h"
#include "http/wire/request.h"

#include <assert.h>
#include <string.h>

enum { BOUNDARY_MAX = 70 /* RFC 2046 section 5.1.1 */ };

/* --- parameters: ; name=text ; name="text" (RFC 9110 section 5.6.6) --- */

static bool is_escape(struct slice text, size_t at)
{
    return text.data[at] == '\\' && at + 1 < text.len &&
           (text.data[at + 1] == '"' || text.data[at + 1] == '\\');
}

/* Where the quote ends that begins before `at`; the length of the text when it does not. */
static size_t end_of_quote(struct slice text, size_t at)
{
    while (at < text.len && text.data[at] != '"')
        at += is_escape(text, at) ? 2 : 1;
    return at < text.len ? at : text.len;
}

static size_t end_of_piece(struct slice text, char separator)
{
    const char *end = text.len ? memchr(text.data, separator, text.len) : NULL;
    return end ? (size_t)(end - text.data) : text.len;
}

/* Takes the next parameter from the rest of a value. False: there is none, or it is malformed, and then rest is not empty. */
static bool next_parameter(struct slice *rest, struct slice *name, struct slice *text)
{
    struct slice s = slice_trim_start(*rest);
    if (s.len == 0 || s.data[0] != ';') {
        *rest = s;
        return false;
    }
    s = slice_trim_start(slice_from(s, 1));
    size_t equals = end_of_piece(s, '=');
    *name = slice_trim((struct slice){s.data, equals});
    s = slice_trim_start(slice_from(s, equals + (equals < s.len)));
    bool quoted = s.len && s.data[0] == '"';
    size_t end = quoted ? end_of_quote(s, 1) : end_of_piece(s, ';');
    bool whole = !quoted || end < s.len;
    *text = quoted ? (struct slice){s.data + 1, end - 1} : slice_trim((struct slice){s.data, end});
    if (whole)
        *rest = slice_from(s, end + quoted);
    return whole;
}

/* What stands before the first parameter; the rest is behind it. */
static struct slice essence(struct slice value, struct slice *rest)
{
    size_t end = end_of_piece(value, ';');
    *rest = slice_from(value, end);
    return slice_trim((struct slice){value.data, end});
}

bool http_multipart_boundary(struct slice content_type, struct slice *boundary)
{
    struct slice rest, name, text;
    if (!slice_eq_nocase(essence(content_type, &rest), SLICE("multipart/form-data")))
        return false;
    while (next_parameter(&rest, &name, &text))
        if (slice_eq_nocase(name, SLICE("boundary"))) {
            *boundary = text;
            return text.len > 0 && text.len <= BOUNDARY_MAX;
        }
    return false;
}

/* --- delimiters: CRLF "--" boundary, "--" behind the last part, blanks, CRLF or the body's end --- */

struct delimiter {
    /* From the line end before the delimiter on, which is not of the content. */
    size_t start, end;
    bool last;
};

/* Whether the two dashes at `at` begin one. */
static bool is_delimiter(struct slice body, size_t at, struct slice boundary, struct delimiter *d)
{
    struct slice rest = slice_from(body, at + 2);
    if (!slice_starts(slice_from(body, at), SLICE("--")) || !slice_starts(rest, boundary))
        return false;
    rest = slice_from(rest, boundary.len);
    d->last = slice_starts(rest, SLICE("--"));
    rest = slice_trim_start(slice_from(rest, d->last ? 2 : 0));
    assert(rest.len <= body.len);
    d->end = d->last ? body.len : body.len - rest.len + 2;
    return slice_starts(rest, SLICE("\r\n")) || (d->last && rest.len == 0);
}

static bool find_delimiter(struct slice body, size_t from, struct slice boundary, struct delimiter *d)
{
    d->start = 0;
    if (from == 0 && is_delimiter(body, 0, boundary, d))
        return true;
    const char *found;
    while (from < body.len && (found = memmem(body.data + from, body.len - from, "\r\n--", 4))) {
        d->start = (size_t)(found - body.data);
        from = d->start + 2;
        if (is_delimiter(body, from, boundary, d))
            return true;
    }
    return false;
}

/* --- parts --- */

static bool read_disposition(struct slice value, struct http_part *part)
{
    struct slice rest, name, text, extended = {0};
    if (!slice_eq_nocase(essence(value, &rest), SLICE("form-data")))
        return false;
    while (next_parameter(&rest, &name, &text)) {
        struct slice *to = slice_eq_nocase(name, SLICE("name"))        ? &part->name
                           : slice_eq_nocase(name, SLICE("filename"))  ? &part->filename
                           : slice_eq_nocase(name, SLICE("filename*")) ? &extended
                                                                       : NULL;
        if (to && !to->data)
            *to = text;
    }
    /* RFC 7578 forbids filename* alone, and some send it all the same: the part is a file at least. */
    if (!part->filename.data)
        part->filename = extended;
    return rest.len == 0 && part->name.data;
}

/* The fields between two places of the body, a line each. */
static bool read_head(struct slice head, struct http_part *part)
{
    bool ok = true;
    while (ok && head.len) {
        struct http_header h;
        const char *end = memmem(head.data, head.len, "\r\n", 2);
        size_t line = end ? (size_t)(end - head.data) : head.len;
        ok = http_parse_field(&h, head.data, head.data + line);
        if (ok && slice_eq_nocase(h.name, SLICE("Content-Disposition")))
            ok = !part->name.data && read_disposition(h.value, part);
        else if (ok && slice_eq_nocase(h.name, SLICE("Content-Type")))
            part->type = h.value;
        head = slice_from(head, line + 2);
    }
    return ok && part->name.data;
}

enum http_part_result http_next_part(struct slice body, struct slice boundary, size_t *at,
                                     struct http_part *part)
{
    struct delimiter before, behind;
    if (!find_delimiter(body, *at, boundary, &before))
        return HTTP_PART_BROKEN;
    /* The last delimiter comes behind a preamble alone: its lines have other ends than they should, say. */
    if (before.last)
        return before.start > *at ? HTTP_PART_BROKEN : HTTP_PART_NONE;
    *part = (struct http_part){.type = SLICE("text/plain")};
    /* The empty line may be the delimiter's own line end and one more; and its line end may be that of the next delimiter. */
    assert(before.end >= 2 && before.end <= body.len);
    size_t line_end = before.end - 2;
    const char *empty = memmem(body.data + line_end, body.len - line_end, "\r\n\r\n", 4);
    if (!empty)
        return HTTP_PART_BROKEN;
    size_t head_end = (size_t)(empty - body.data) + 2;
    struct slice head = {body.data + before.end, head_end > before.end ? head_end - before.end : 0};
    if (!read_head(head, part) || !find_delimiter(body, head_end, boundary, &behind))
        return HTTP_PART_BROKEN;
    size_t content = head_end + 2;
    part->content = (struct slice){body.data + content, behind.start > content ? behind.start - content : 0};
    assert(behind.start >= *at && part->content.data + part->content.len <= body.data + body.len);
    *at = behind.start;
    return HTTP_PART_FOUND;
}

struct slice http_part_text(struct arena *arena, struct slice text)
{
    if (!text.len || !memchr(text.data, '\\', text.len))
        return text;
    char *copy = arena_alloc(arena, text.len);
    size_t n = 0;
    for (size_t i = 0; copy && i < text.len; i++) {
        i += is_escape(text, i);
        copy[n++] = text.data[i];
    }
    assert(n <= text.len);
    return (struct slice){copy, n};
}
