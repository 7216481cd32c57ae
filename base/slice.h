/*
 * base/slice.h - a borrowed run of bytes: pointer and length, never owned, not zero-terminated.
 *
 * Ownership: a slice owns nothing; whoever made it says how long its bytes live.
 * Threads:   plain values; safe anywhere.
 */
#ifndef WEIR_BASE_SLICE_H
#define WEIR_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct slice {
    /* NULL means "absent", which differs from an empty text. */
    const char *data;
    size_t len; /* bytes */
};

/* A slice over a string literal. */
#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

/* For printf's "%.*s": the length as int, then the bytes. */
#define SLICE_ARGS(s) (int)(s).len, (s).data ? (s).data : ""

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_eq_nocase(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_starts_nocase(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && strncasecmp(s.data, prefix.data, prefix.len) == 0;
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

/* FNV-1a (Fowler, Noll, Vo): for places in tables whose keys nobody chooses against it. */
static inline uint64_t slice_hash(struct slice s)
{
    uint64_t h = 14695981039346656037ull;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.data[i]) * 1099511628211ull;
    return h ^ h >> 32;
}

/* The rest of s after its first n bytes; empty if s is shorter, absent if it is absent. */
static inline struct slice slice_from(struct slice s, size_t n)
{
    /* Nothing may be added to NULL, not even zero. */
    if (!s.data)
        return s;
    return n >= s.len ? (struct slice){s.data + s.len, 0} : (struct slice){s.data + n, s.len - n};
}

/* s without blanks and tabs at its start. */
static inline struct slice slice_trim_start(struct slice s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.len--;
    }
    return s;
}

/* s without blanks and tabs at either end (OWS of RFC 9110 section 5.6.3). */
static inline struct slice slice_trim(struct slice s)
{
    s = slice_trim_start(s);
    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/*
 * Cuts the next element off a comma-separated list (RFC 9110 section 5.6.1), trimmed.
 * Returns false at the end of the list; empty elements are skipped. *list advances.
 */
bool slice_next_in_list(struct slice *list, struct slice *element);

/* The bytes of the character of UTF-8 that s begins with (RFC 3629 section 4); 0 if it begins with none. */
size_t slice_utf8(struct slice s);

/*
 * The number of that character if a terminal would act on it and not show it: controls (C0, DEL, C1), ends of lines, and what
 * turns the direction of writing (Unicode UAX #9). 0: it is harmless, or NUL.
 */
unsigned slice_control(struct slice character);

/* Reads a whole slice of decimal digits. Returns false on anything else, or above `max`. */
bool slice_to_u64(struct slice s, unsigned long long max, unsigned long long *value);

#endif
