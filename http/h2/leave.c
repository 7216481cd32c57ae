/*
 * http/h2/leave.c - how a connection ends without losing a request: two GOAWAYs.
 */
#include "http/h2/leave.h"

#include "http/h2/defence.h"

#include <assert.h>
#include <string.h>

static const uint8_t leaving[8] = {'w', 'e', 'i', 'r', ' ', 'b', 'y', 'e'};

void h2_leave(struct h2_session *s, enum shm_http2_close reason)
{
    if (s->leave != H2_STAYS)
        return;
    h2_end_for(s, reason);
    s->leave = H2_HAS_WARNED;
    if (nghttp2_submit_shutdown_notice(s->ng) != 0 ||
        nghttp2_submit_ping(s->ng, NGHTTP2_FLAG_NONE, leaving) != 0)
        s->is_over = true;
    connection_ready(s->c);
}

void h2_leave_now(struct h2_session *s)
{
    if (s->leave != H2_HAS_WARNED)
        return;
    s->leave = H2_HAS_SAID;
    if (nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(s->ng),
                              NGHTTP2_NO_ERROR, NULL, 0) != 0)
        s->is_over = true;
    connection_ready(s->c);
}

bool h2_is_leaving_ping(const uint8_t *data)
{
    return memcmp(data, leaving, sizeof leaving) == 0;
}
