/*
 * http/encoding.c - reading Accept-Encoding: a list of codings with weights.
 *
 * A weight of 0 rules a coding out; "*" stands for those that are not named. Other weights make no difference, as there is
 * one coding only.
 */
#include "http/encoding.h"

bool http_accepts_gzip(const struct http_request *req)
{
    const struct slice *value = http_find_header(req, SLICE("Accept-Encoding"));
    struct slice list = value ? *value : SLICE(""), item;
    bool star = false;
    while (slice_next_in_list(&list, &item)) {
        const char *semicolon = memchr(item.data, ';', item.len);
        struct slice name =
            slice_trim((struct slice){item.data, semicolon ? (size_t)(semicolon - item.data) : item.len});
        struct slice rest =
            semicolon ? slice_trim(slice_from(item, (size_t)(semicolon - item.data) + 1)) : SLICE("");
        bool zero = slice_starts(rest, SLICE("q=0")) && strspn(rest.data + 3, ".0") >= rest.len - 3;
        if (slice_eq_nocase(name, SLICE("gzip")))
            return !zero;
        star |= slice_eq(name, SLICE("*")) && !zero;
    }
    return star;
}
