/*
 * http/h2/leave.c - how a connection ends without losing a request: two GOAWAYs.
 */
#include "http/h2/leave.h"

#include "worker/loop/worker_state.h"

#include <assert.h>
#include <string.h>

enum { GRACE_MS = 1000 /* for the client to answer a PING */ };

static const uint8_t leaving[8] = {'w', 'e', 'i', 'r', ' ', 'b', 'y', 'e'};

void h2_end_for(struct h2_session *s, enum shm_http2_close reason)
{
    if (s->has_reason)
        return;
    s->has_reason = true;
    s->reason = (uint8_t)reason;
}

void h2_leave(struct h2_session *s, enum shm_http2_close reason)
{
    if (s->leave != H2_STAYS)
        return;
    h2_end_for(s, reason);
    s->leave = H2_HAS_WARNED;
    s->leave_by_ms = connection_worker(s->c)->now_ms + GRACE_MS;
    if (nghttp2_submit_shutdown_notice(s->ng) != 0)
        s->is_over = true;
    connection_ready(s->c);
}

/* Not before: nghttp2 has PINGs overtake other frames. */
void h2_ask_whether_seen(struct h2_session *s)
{
    if (nghttp2_submit_ping(s->ng, NGHTTP2_FLAG_NONE, leaving) != 0)
        s->is_over = true;
}

void h2_leave_now(struct h2_session *s)
{
    if (s->leave != H2_HAS_WARNED)
        return;
    h2_say_last(s, NGHTTP2_NO_ERROR);
    connection_ready(s->c);
}

void h2_say_last(struct h2_session *s, uint32_t code)
{
    s->leave = H2_HAS_SAID;
    s->last_said = nghttp2_session_get_last_proc_stream_id(s->ng);
    if (nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, s->last_said, code, NULL, 0) != 0)
        s->is_over = true;
}

void h2_terminate(struct h2_session *s, uint32_t code)
{
    int32_t last = s->leave == H2_HAS_SAID ? s->last_said : nghttp2_session_get_last_proc_stream_id(s->ng);
    if (nghttp2_session_terminate_session2(s->ng, last, code) != 0)
        s->is_over = true;
}

bool h2_is_leaving_ping(const uint8_t *data)
{
    return memcmp(data, leaving, sizeof leaving) == 0;
}
