/*
 * http/wire/hop_by_hop.c - fields that are between two neighbours only, and have no place in HTTP/2.
 */
#include "http/wire/hop_by_hop.h"

#include "http/wire/request.h"

#include <string.h>

bool http_is_hop_by_hop(struct slice name)
{
    static const struct slice names[] = {{"connection", 10},       {"keep-alive", 10},
                                         {"proxy-connection", 16}, {"transfer-encoding", 17},
                                         {"upgrade", 7},           {"http2-settings", 14}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_eq_nocase(name, names[i]))
            return true;
    return false;
}

bool http_accepts_trailers(const struct http_request *req)
{
    for (int i = 0; i < req->header_count; i++) {
        struct slice list = req->headers[i].value, option;
        if (!slice_eq_nocase(req->headers[i].name, SLICE("TE")))
            continue;
        while (slice_next_in_list(&list, &option)) {
            const char *semicolon = memchr(option.data, ';', option.len);
            struct slice name = {option.data, semicolon ? (size_t)(semicolon - option.data) : option.len};
            if (slice_eq_nocase(slice_trim(name), SLICE("trailers")))
                return true;
        }
    }
    return false;
}
