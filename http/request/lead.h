/*
 * http/request/lead.h - how far the handlers of one connection are ahead of its client, together.
 *
 * Ownership: the connection's and each handler's, which may outlive it.
 * Threads:   the loop holds and lets go; `bytes` is anybody's.
 */
#ifndef WEIR_HTTP_REQUEST_LEAD_H
#define WEIR_HTTP_REQUEST_LEAD_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

struct http_lead {
    /* Written, and not on the way to the client yet. */
    _Atomic uint64_t bytes;
    unsigned users;
};

/* One more has it, which is made if there is none; NULL: out of memory. */
static inline struct http_lead *http_lead_hold(struct http_lead **place)
{
    if (!*place && (*place = calloc(1, sizeof **place)))
        (*place)->users = 1; /* whose place it is */
    if (*place)
        (*place)->users++;
    return *place;
}

static inline void http_lead_let_go(struct http_lead *lead)
{
    assert(!lead || lead->users > 0);
    if (lead && --lead->users == 0)
        free(lead);
}

#endif
