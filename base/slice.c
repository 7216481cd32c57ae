/*
 * base/slice.c - the few operations on slices that are too long to be inline.
 */
#include "base/slice.h"

bool slice_next_in_list(struct slice *list, struct slice *element)
{
    while (list->len > 0) {
        const char *comma = memchr(list->data, ',', list->len);
        size_t n = comma ? (size_t)(comma - list->data) : list->len;
        *element = slice_trim((struct slice){list->data, n});
        *list = slice_from(*list, comma ? n + 1 : n);
        if (element->len > 0)
            return true;
    }
    return false;
}

bool slice_to_u64(struct slice s, unsigned long long max, unsigned long long *value)
{
    unsigned long long v = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)s.data[i] - (unsigned)'0';
        if (digit > 9 || digit > max || v > (max - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *value = v;
    return true;
}

size_t slice_utf8(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    if (s.len == 0)
        return 0;
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (n == 0 || n > s.len)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool outside = (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90);
    return n > 1 && (overlong || outside) ? 0 : n;
}

unsigned slice_control(struct slice character)
{
    const unsigned char *p = (const unsigned char *)character.data;
    unsigned code = character.len == 1   ? p[0]
                    : character.len == 2 ? (p[0] & 31u) << 6 | (p[1] & 63u)
                    : character.len == 3 ? (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u)
                                         : 0;
    bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    bool turns = code == 0x61c || code == 0x200e || code == 0x200f || (code >= 0x202a && code <= 0x202e) ||
                 (code >= 0x2066 && code <= 0x2069);
    return control || turns || code == 0x2028 || code == 0x2029 ? code : 0;
}
