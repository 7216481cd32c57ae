/*
 * http/h2/concurrency.c - how many streams a client may have at a time.
 */
#include "http/h2/concurrency.h"

#include "base/list.h"
#include "http/access/limit.h"
#include "http/client/connection.h"
#include "http/request/exchange.h"
#include "worker/loop/worker_state.h"

enum { STREAMS_MOST = 128, CHANGE_MS = 100 /* between two changes */ };

void h2_concurrency_open(struct h2_session *s)
{
    int64_t most = s->c->settings->http2.max_streams;
    s->max_streams = s->known_streams = (unsigned)(most ? most : STREAMS_MOST);
    s->follows_permits = most == 0;
}

bool h2_concurrency_has_room(const struct h2_session *s)
{
    /* What the client does not know yet does not bind it. */
    unsigned most = s->known_streams > s->max_streams ? s->known_streams : s->max_streams;
    return s->stream_count < most;
}

/* Those of the connection's own requests that hold one. */
static unsigned count_holders(const struct h2_session *s)
{
    unsigned count = 0;
    for (const struct list_node *n = s->streams.next; n != &s->streams; n = n->next) {
        const struct h2_stream *st = container_of(n, struct h2_stream, link);
        count += st->ex && st->ex->limits.held_count > 0;
    }
    return count;
}

void h2_concurrency_follow(struct h2_stream *st)
{
    struct h2_session *s = st->session;
    uint64_t now_ms = connection_worker(s->c)->now_ms;
    unsigned free_permits;
    if (!s->follows_permits || now_ms < s->limited_ms + CHANGE_MS || !limit_count_free(st->ex, &free_permits))
        return;
    unsigned wanted = free_permits < STREAMS_MOST ? free_permits + count_holders(s) : STREAMS_MOST;
    wanted = wanted < 1 ? 1 : wanted > STREAMS_MOST ? STREAMS_MOST : wanted;
    if (wanted == s->max_streams)
        return;
    nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                    NGHTTP2_INITIAL_MAX_CONCURRENT_STREAMS};
    s->limited_ms = now_ms;
    s->max_streams = wanted;
    if (nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, &entry, 1) != 0)
        s->is_over = true;
}

void h2_concurrency_is_known(struct h2_session *s)
{
    s->known_streams = s->max_streams;
}
