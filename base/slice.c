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
