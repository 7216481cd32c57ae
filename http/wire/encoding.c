/*
 * http/wire/encoding.c - reading Accept-Encoding: a list of codings with weights.
 *
 * A weight of 0 rules a coding out, and so does what is no weight; "*" stands for codings that are not named. Other weights make
 * no difference, as there is one coding only. Several lines are one list (RFC 9110 sections 5.3, 12.4.2, 12.5.3).
 */
#include "http/wire/encoding.h"

#include "base/slice.h"

#include <assert.h>

enum answer { NOT_NAMED, TAKEN, REFUSED };

int http_weight(struct slice parameter)
{
    static const int places[] = {100, 10, 1};
    struct slice value = slice_trim(parameter);
    if (value.len < 3 || value.len > 7 || (value.data[0] | 0x20) != 'q' || value.data[1] != '=')
        return -1;
    value = slice_from(value, 2);
    if ((value.data[0] != '0' && value.data[0] != '1') || (value.len > 1 && value.data[1] != '.'))
        return -1;
    int thousandths = 1000 * (value.data[0] - '0');
    for (size_t i = 2; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return -1;
        assert(i - 2 < sizeof places / sizeof places[0]);
        thousandths += places[i - 2] * (value.data[i] - '0');
    }
    return thousandths <= 1000 ? thousandths : -1;
}

/* What a list says of gzip, or by "*" of what it does not name. A refusal is not taken back. */
static void read_list(struct slice list, enum answer *gzip, enum answer *star)
{
    struct slice item;
    while (slice_next_in_list(&list, &item)) {
        const char *semicolon = memchr(item.data, ';', item.len);
        size_t n = semicolon ? (size_t)(semicolon - item.data) : item.len;
        struct slice name = slice_trim((struct slice){item.data, n});
        enum answer *about = slice_eq_nocase(name, SLICE("gzip")) ? gzip
                             : slice_eq(name, SLICE("*"))         ? star
                                                                  : NULL;
        if (about && *about != REFUSED)
            *about = !semicolon || http_weight(slice_from(item, n + 1)) > 0 ? TAKEN : REFUSED;
    }
}

bool http_accepts_gzip(const struct http_request *req)
{
    enum answer gzip = NOT_NAMED, star = NOT_NAMED;
    for (int i = 0; i < req->header_count; i++)
        if (slice_eq_nocase(req->headers[i].name, SLICE("Accept-Encoding")))
            read_list(req->headers[i].value, &gzip, &star);
    return gzip == TAKEN || (gzip == NOT_NAMED && star == TAKEN);
}
