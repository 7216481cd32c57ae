/*
 * http/wire/uri.c - decoding and normalising paths.
 */
#include "http/wire/uri.h"

#include "base/arena.h"
#include "base/slice.h"
#include "http/wire/chars.h"

#include <assert.h>

/* No escape, no empty segment, none that starts with a dot. */
bool http_is_normal_path(struct slice raw, bool merge)
{
    for (size_t i = 0; i < raw.len; i++) {
        if (char_is(raw.data[i], CHAR_PLAIN))
            continue;
        if (raw.data[i] == '%')
            return false;
        if (raw.data[i] == '/' && i + 1 < raw.len &&
            ((merge && raw.data[i + 1] == '/') || raw.data[i + 1] == '.'))
            return false;
    }
    return true;
}

/* One byte of the path, decoded. Returns -1 for a bad escape. */
static int next_byte(struct slice raw, size_t *i)
{
    if (raw.data[*i] != '%')
        return (unsigned char)raw.data[(*i)++];
    if (*i + 2 >= raw.len)
        return -1;
    int high = hex_value(raw.data[*i + 1]), low = hex_value(raw.data[*i + 2]);
    *i += 3;
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Closes the segment [start, n): drops "." and empty ones, takes back one for "..". Returns the new n, or -1. */
static long close_segment(char *out, size_t start, size_t n)
{
    assert(start >= 1 && start <= n && out[start - 1] == '/');
    size_t len = n - start;
    if (len == 0 || (len == 1 && out[start] == '.'))
        return (long)start;
    if (len != 2 || out[start] != '.' || out[start + 1] != '.')
        return (long)n;
    if (start < 2)
        return -1; /* above the root */
    size_t back = start - 1;
    while (back > 0 && out[back - 1] != '/')
        back--;
    return (long)back;
}

bool http_normalize_path(struct slice raw, bool merge, char *scratch, struct slice *path)
{
    if (http_is_normal_path(raw, merge)) {
        *path = raw;
        return true;
    }
    size_t n = 0, start = 1;
    scratch[n++] = '/';
    for (size_t i = 1; i < raw.len;) {
        int c = next_byte(raw, &i);
        if (c <= 0)
            return false;
        if (c != '/') {
            scratch[n++] = (char)c;
            continue;
        }
        bool keep_empty = !merge && n == start;
        long closed = close_segment(scratch, start, n);
        if (closed < 0)
            return false;
        n = (size_t)closed;
        assert(n >= 1 && n <= i);
        if (scratch[n - 1] != '/' || keep_empty)
            scratch[n++] = '/';
        start = n;
    }
    long closed = close_segment(scratch, start, n);
    if (closed < 0)
        return false;
    assert((size_t)closed <= raw.len && scratch[0] == '/');
    *path = (struct slice){scratch, (size_t)closed};
    return true;
}

struct slice http_decode(struct arena *arena, struct slice s, bool plus)
{
    char *out = arena_alloc(arena, s.len + 1);
    size_t n = 0;
    if (!out)
        return (struct slice){0};
    for (size_t i = 0; i < s.len; i++) {
        int high = s.data[i] == '%' && i + 2 < s.len ? hex_value(s.data[i + 1]) : -1;
        int low = high >= 0 ? hex_value(s.data[i + 2]) : -1;
        if (low >= 0) {
            out[n++] = (char)(high * 16 + low);
            i += 2;
        } else {
            out[n++] = plus && s.data[i] == '+' ? ' ' : s.data[i];
        }
    }
    assert(n <= s.len);
    out[n] = '\0';
    return (struct slice){out, n};
}

static struct slice encode(struct arena *arena, struct slice path, const char *besides)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = arena_alloc(arena, path.len * 3 + 1);
    size_t n = 0;
    if (!out)
        return (struct slice){0};
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.data[i];
        if (c <= ' ' || c >= 0x7f || strchr(besides, c)) {
            out[n++] = '%';
            out[n++] = digits[c >> 4];
            out[n++] = digits[c & 15];
        } else {
            out[n++] = (char)c;
        }
    }
    assert(n <= path.len * 3);
    out[n] = '\0';
    return (struct slice){out, n};
}

struct slice http_encode_path(struct arena *arena, struct slice path)
{
    return encode(arena, path, "%?#\"<>\\^`{|}");
}

struct slice http_encode_segment(struct arena *arena, struct slice name)
{
    /* All but unreserved (RFC 3986 section 2.3). */
    return encode(arena, name, "%?#\"<>\\^`{|}:'!$&()*+,/;=@[]");
}

/* By way of the dots, as most paths have one or none. */
unsigned http_climbs(struct slice path)
{
    unsigned count = 0;
    if (path.len == 0)
        return 0;
    const char *end = path.data + path.len;
    for (const char *p = path.data; p < end && (p = memchr(p, '.', (size_t)(end - p))); p++)
        count +=
            (p == path.data || p[-1] == '/') && end - p >= 2 && p[1] == '.' && (end - p == 2 || p[2] == '/');
    return count;
}

bool http_parse_trusted(struct slice uri, char *scratch, struct slice *path, struct slice *args)
{
    const char *mark = uri.len ? memchr(uri.data, '?', uri.len) : NULL;
    struct slice raw = {uri.data, mark ? (size_t)(mark - uri.data) : uri.len};
    size_t n = 0;
    *args = mark ? slice_from(uri, raw.len + 1) : (struct slice){0};
    for (size_t i = 0; i < raw.len; i++) {
        int high = raw.data[i] == '%' && i + 2 < raw.len ? hex_value(raw.data[i + 1]) : -1;
        int low = high >= 0 ? hex_value(raw.data[i + 2]) : -1;
        scratch[n++] = (char)(low >= 0 ? high * 16 + low : raw.data[i]);
        i += low >= 0 ? 2 : 0;
    }
    assert(n <= raw.len);
    *path = (struct slice){scratch, n};
    return n && scratch[0] == '/' && !memchr(scratch, '\0', n) && http_climbs(raw) == 0 &&
           http_climbs(*path) == 0;
}

struct slice http_encode_args(struct arena *arena, struct slice text)
{
    return encode(arena, text, "%?#&+;\"<>\\^`{|}");
}
