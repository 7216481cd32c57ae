/*
 * http/filters/charset_map.c - charset_map: tables of the configuration between two character sets, which go before iconv(3).
 *
 * The first is one of single bytes, the second another one or UTF-8. Bytes below 128 are the same in both; of the others, those that the
 * table has not become question marks, and characters of UTF-8 numbers as HTML has them, as in nginx.
 */
#include "http/filters/charset_map.h"

#include "base/buf.h"
#include "base/slice.h"
#include "conf/directive.h"
#include "conf/tree.h"
#include "http/request/filter.h"
#include "http/site/build.h"
#include "http/site/site.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { BYTES = 256, ASCII = 128, UTF8_BYTES = 3 /* of a character that a table may have */ };

struct charset_map {
    struct slice first, second;
    bool is_utf8; /* the second */
    /* A line gives a byte below 128 another meaning. */
    bool changes_ascii;
    unsigned char forth[BYTES][1 + UTF8_BYTES]; /* a length, and as many bytes */
    unsigned char back[BYTES];
    /* With is_utf8, in place of back: by a character's upper eight bits; NULL, 0: not there. */
    unsigned char *pages[BYTES];
    const struct charset_map *next;
};

struct map_filter {
    struct body_filter filter; /* first */
    const struct charset_map *map;
    bool is_forth;
    struct buf held; /* the beginning of a character of UTF-8 */
    struct buf out;
};

/* --- the body --- */

static bool put_byte(struct buf *out, unsigned c)
{
    return buf_append(out, (const char[]){(char)c}, 1);
}

/* How many bytes a character has that begins so; 0: none does. */
static size_t utf8_length(unsigned char first)
{
    return first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
}

/* The character at the beginning of text, and its length. -1: there is none, and *length bytes are to be passed over; -2: more is to come. */
static long utf8_decode(struct slice text, size_t *length)
{
    static const long least[] = {0, 0, 0x80, 0x800, 0x10000};
    assert(text.data && text.len > 0);
    unsigned char first = (unsigned char)text.data[0];
    size_t n = utf8_length(first);
    long c = n < 2 ? first : first & (0x7F >> n);
    *length = 1;
    if (n == 0)
        return -1;
    for (size_t i = 1; i < n; i++) {
        if (i == text.len)
            return -2;
        if ((text.data[i] & 0xC0) != 0x80)
            return -1;
        c = c << 6 | (text.data[i] & 0x3F);
    }
    bool is_surrogate = c >= 0xD800 && c < 0xE000;
    if (c < least[n] || c > 0x10FFFF || is_surrogate)
        return -1;
    *length = n;
    return c;
}

static bool put_char(const struct charset_map *m, struct buf *out, long c)
{
    const unsigned char *page = c <= 0xFFFF ? m->pages[c >> 8] : NULL;
    if (c < ASCII)
        return put_byte(out, (unsigned)c);
    return page && page[c & 0xFF] ? put_byte(out, page[c & 0xFF]) : buf_printf(out, "&#%ld;", c);
}

static bool from_utf8(struct map_filter *f, bool at_end)
{
    bool ok = true;
    while (ok && buf_len(&f->held) > 0) {
        size_t n;
        long c = utf8_decode(buf_slice(&f->held), &n);
        if (c == -2 && !at_end)
            break;
        ok = c < 0 ? put_byte(&f->out, '?') : put_char(f->map, &f->out, c);
        buf_consume(&f->held, n);
    }
    return ok;
}

static bool from_bytes(struct map_filter *f, struct slice in)
{
    bool ok = true;
    for (size_t i = 0; ok && i < in.len; i++) {
        unsigned char c = (unsigned char)in.data[i];
        const unsigned char *to = f->map->forth[c];
        ok = f->is_forth ? buf_append(&f->out, (const char *)to + 1, to[0])
                         : put_byte(&f->out, f->map->back[c]);
    }
    return ok;
}

static bool pass(struct http_exchange *ex, struct body_filter *filter, struct slice in, enum filter_mode mode)
{
    struct map_filter *f = (struct map_filter *)filter;
    f->out.start = f->out.end = 0;
    bool ok = f->map->is_utf8 && !f->is_forth
                  ? (in.len == 0 || buf_append_slice(&f->held, in)) && from_utf8(f, mode == FILTER_END)
                  : from_bytes(f, in);
    return ok && filter_next(ex, filter, buf_slice(&f->out), mode);
}

static void free_filter(struct body_filter *filter)
{
    struct map_filter *f = (struct map_filter *)filter;
    buf_free(&f->held);
    buf_free(&f->out);
    free(f);
}

struct body_filter *charset_map_filter(const struct charset_map *map, struct slice from)
{
    struct map_filter *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->filter = (struct body_filter){.pass = pass, .free = free_filter};
    f->map = map;
    f->is_forth = slice_eq_nocase(map->first, from);
    return &f->filter;
}

const struct charset_map *charset_map_find(const struct charset_map *maps, struct slice from, struct slice to)
{
    for (const struct charset_map *m = maps; m; m = m->next)
        if ((slice_eq_nocase(m->first, from) && slice_eq_nocase(m->second, to)) ||
            (slice_eq_nocase(m->first, to) && slice_eq_nocase(m->second, from)))
            return m;
    return NULL;
}

bool charset_map_keeps_length(const struct charset_map *map)
{
    return !map->is_utf8;
}

bool charset_map_keeps_ranges(const struct charset_map *map)
{
    return !map->is_utf8 && !map->changes_ascii;
}

/* --- from settings --- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

/* Reads bytes of two digits each; at most `most`. Returns how many there are; 0: it is no such text. */
static size_t read_bytes(struct slice text, unsigned char *bytes, size_t most)
{
    if (text.len == 0 || text.len % 2 || text.len / 2 > most)
        return 0;
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_digit(text.data[i]), low = hex_digit(text.data[i + 1]);
        if (high < 0 || low < 0)
            return 0;
        bytes[i / 2] = (unsigned char)(high << 4 | low);
    }
    return text.len / 2;
}

static bool set_page(struct site *site, struct charset_map *m, const unsigned char *bytes, size_t n,
                     unsigned char byte)
{
    size_t length;
    long c = utf8_decode((struct slice){(const char *)bytes, n}, &length);
    if (c < 0 || length != n)
        return false;
    unsigned char **page = &m->pages[c >> 8];
    if (!*page)
        *page = site_array(site, BYTES, 1);
    (*page)[c & 0xFF] = byte;
    return true;
}

static void add_line(struct site *site, struct charset_map *m, const struct conf_node *line)
{
    unsigned char from = 0, to[UTF8_BYTES] = {0};
    size_t n =
        line->nargs == 1 && !line->has_block ? read_bytes(line->args[0], to, m->is_utf8 ? UTF8_BYTES : 1) : 0;
    if (n == 0 || read_bytes(line->name, &from, 1) != 1 || (m->is_utf8 && !set_page(site, m, to, n, from))) {
        conf_error(&site->conf->errors, line,
                   "invalid line \"%.*s\" in \"charset_map\"; write: HH %s; with hexadecimal digits",
                   SLICE_ARGS(line->name), m->is_utf8 ? "HH[HH[HH]]" : "HH");
        return;
    }
    m->changes_ascii |= from != to[0] && (from < ASCII || to[0] < ASCII);
    m->forth[from][0] = (unsigned char)n;
    for (size_t i = 0; i < n; i++)
        m->forth[from][1 + i] = to[i];
    m->back[to[0]] = from;
}

static struct charset_map *build_map(struct site *site, const struct conf_node *n)
{
    struct charset_map *m = site_array(site, 1, sizeof *m);
    m->first = n->args[0];
    m->second = n->args[1];
    m->is_utf8 = slice_eq_nocase(m->second, SLICE("utf-8"));
    for (int i = 0; i < BYTES; i++) {
        m->forth[i][0] = 1;
        m->forth[i][1] = m->back[i] = (unsigned char)(i < ASCII ? i : '?');
    }
    for (const struct conf_node *line = n->children; line; line = line->next)
        add_line(site, m, line);
    return m;
}

const struct charset_map *charset_maps_build(struct site *site, const struct conf_lines *blocks)
{
    const struct charset_map *maps = NULL;
    for (; blocks; blocks = blocks->next) {
        const struct conf_node *n = blocks->node;
        const char *why = slice_eq_nocase(n->args[0], n->args[1])          ? "is between a charset and itself"
                          : charset_map_find(maps, n->args[0], n->args[1]) ? "is there twice"
                                                                           : NULL;
        if (why) {
            conf_error(&site->conf->errors, n, "\"charset_map\" of \"%.*s\" and \"%.*s\" %s",
                       SLICE_ARGS(n->args[0]), SLICE_ARGS(n->args[1]), why);
            continue;
        }
        struct charset_map *m = build_map(site, n);
        m->next = maps;
        maps = m;
    }
    return maps;
}
