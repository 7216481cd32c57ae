/*
 * http/wire/hop_by_hop.c - fields that are between two neighbours only, and have no place in HTTP/2.
 */
#include "http/wire/hop_by_hop.h"

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
