/*
 * http/wire/fastcgi.c - FastCGI's records as data (FastCGI Specification 1.0): writing a request's, and taking a response out of them.
 */
#include "http/wire/fastcgi.h"

#include <assert.h>
#include <string.h>

enum {
    VERSION = 1,
    REQUEST_ID = 1,
    RESPONDER = 1,
    KEEP_CONN = 1,
    /* The most that a record holds and that needs no padding. */
    CONTENT_MAX = 65528,
    ALIGNMENT = 8,
    SHORT_LENGTH_MAX = 127
};

/* --- a request --- */

static bool write_head(struct buf *out, enum fastcgi_type type, size_t content, size_t padding)
{
    const unsigned char head[FASTCGI_HEAD_BYTES] = {VERSION,
                                                    (unsigned char)type,
                                                    0,
                                                    REQUEST_ID,
                                                    (unsigned char)(content >> 8),
                                                    (unsigned char)content,
                                                    (unsigned char)padding};
    assert(content <= CONTENT_MAX && padding < ALIGNMENT);
    return buf_append(out, head, sizeof head);
}

bool fastcgi_write_begin(struct buf *out, bool keep)
{
    const unsigned char body[8] = {0, RESPONDER, keep ? KEEP_CONN : 0};
    return write_head(out, FASTCGI_BEGIN_REQUEST, sizeof body, 0) && buf_append(out, body, sizeof body);
}

bool fastcgi_write_stream(struct buf *out, enum fastcgi_type type, struct slice bytes)
{
    static const char zeros[ALIGNMENT];
    while (bytes.len) {
        size_t now = bytes.len < CONTENT_MAX ? bytes.len : CONTENT_MAX;
        size_t padding = (ALIGNMENT - now % ALIGNMENT) % ALIGNMENT;
        if (!write_head(out, type, now, padding) || !buf_append(out, bytes.data, now) ||
            (padding && !buf_append(out, zeros, padding)))
            return false;
        bytes = slice_from(bytes, now);
    }
    return true;
}

bool fastcgi_write_end(struct buf *out, enum fastcgi_type type)
{
    return write_head(out, type, 0, 0);
}

/* One byte, or four of which the first one's highest bit is set. */
static bool write_length(struct buf *params, size_t len)
{
    const unsigned char bytes[4] = {(unsigned char)(len >> 24 | 0x80), (unsigned char)(len >> 16),
                                    (unsigned char)(len >> 8), (unsigned char)len};
    return len <= SHORT_LENGTH_MAX ? buf_append(params, &bytes[3], 1) : buf_append(params, bytes, 4);
}

bool fastcgi_begin_pair(struct buf *params, struct slice name, size_t value_bytes)
{
    if (name.len > INT32_MAX || value_bytes > INT32_MAX)
        return false;
    return write_length(params, name.len) && write_length(params, value_bytes) &&
           (!name.len || buf_append_slice(params, name));
}

bool fastcgi_write_pair(struct buf *params, struct slice name, struct slice value)
{
    return fastcgi_begin_pair(params, name, value.len) && (!value.len || buf_append_slice(params, value));
}

/* --- a response --- */

static bool refuse(const char **why, const char *text)
{
    *why = text;
    return false;
}

/* The head of a record is whole. */
static bool begin_record(struct fastcgi_reader *r, const char **why)
{
    const unsigned char *h = r->head;
    if (h[0] != VERSION)
        return refuse(why, "upstream sent unsupported FastCGI protocol version");
    if (h[2] != 0 || h[3] != REQUEST_ID)
        return refuse(why, "upstream sent unexpected FastCGI request id");
    if (h[1] != FASTCGI_STDOUT && h[1] != FASTCGI_STDERR && h[1] != FASTCGI_END_REQUEST)
        return refuse(why, "upstream sent unexpected FastCGI record");
    r->is_surplus = h[1] == FASTCGI_STDOUT && r->output_is_over;
    r->has_surplus |= r->is_surplus;
    r->content = (size_t)(h[4] << 8 | h[5]);
    r->padding = h[6];
    r->output_is_over |= h[1] == FASTCGI_END_REQUEST || (h[1] == FASTCGI_STDOUT && r->content == 0);
    return true;
}

static void end_record(struct fastcgi_reader *r)
{
    r->is_over |= r->head[1] == FASTCGI_END_REQUEST;
    r->head_bytes = 0;
}

/* What there is no room for, or no memory, is left out: it is for people. */
static void keep_errors(struct fastcgi_reader *r, const char *data, size_t len)
{
    size_t room = FASTCGI_ERRORS_BYTES - buf_len(&r->errors);
    if (len && room)
        (void)!buf_append(&r->errors, data, len < room ? len : room);
}

/* Of the record's content and padding; returns how many bytes of `data` it was. */
static size_t take(struct fastcgi_reader *r, char *to, size_t *left, const char *data, size_t len)
{
    size_t now = len < r->content ? len : r->content;
    size_t rest = len - now < r->padding ? len - now : r->padding;
    if (r->is_surplus) {
        /* Nobody knows whose it is. */
    } else if (r->head[1] == FASTCGI_STDOUT && now) {
        memmove(to + *left, data, now);
        *left += now;
    } else if (r->head[1] == FASTCGI_STDERR) {
        keep_errors(r, data, now);
    }
    r->content -= now;
    r->padding -= rest;
    return now + rest;
}

bool fastcgi_read(struct fastcgi_reader *r, char *data, size_t len, size_t *left, const char **why)
{
    size_t at = 0;
    *left = 0;
    while (at < len && !r->is_over) {
        if (r->head_bytes < FASTCGI_HEAD_BYTES) {
            r->head[r->head_bytes++] = (unsigned char)data[at++];
            if (r->head_bytes == FASTCGI_HEAD_BYTES && !begin_record(r, why))
                return false;
        } else {
            at += take(r, data, left, data + at, len - at);
        }
        if (r->head_bytes == FASTCGI_HEAD_BYTES && r->content == 0 && r->padding == 0)
            end_record(r);
    }
    r->has_surplus |= at < len;
    assert(*left <= len);
    return true;
}

void fastcgi_reader_free(struct fastcgi_reader *r)
{
    buf_free(&r->errors);
}
