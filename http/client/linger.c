/*
 * http/client/linger.c - the end of a connection whose client may still be sending.
 *
 * A connection that is closed while the client still sends would be reset, and the reset would take the response away from the
 * client (RFC 9112 section 9.6): so the sending side is closed, and what arrives is thrown away for a while.
 */
#include "http/client/linger.h"

#include "base/list.h"
#include "net/stream.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <sys/ioctl.h>

enum { LINGER_READS_AT_ONCE = 4 };

/* lingering_timeout, within what is left of lingering_time. */
static void set_linger_timer(struct connection *c)
{
    assert(c->state == CONNECTION_LINGER && c->until_ms > connection_worker(c)->now_ms);
    int64_t left_ms = (int64_t)(c->until_ms - connection_worker(c)->now_ms);
    int64_t silence_ms = connection_settings(c)->client.lingering_timeout_ms;
    connection_set_timer(c, silence_ms < left_ms ? silence_ms : left_ms);
}

/* To close it then would be to reset it. */
static bool has_unread(const struct connection *c)
{
    int bytes = 0;
    return ioctl(c->stream.io.fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

static bool lingering_is_wanted(const struct connection *c)
{
    const struct settings *s = connection_settings(c);
    if (c->eof || s->client.lingering_time_ms == 0 || s->client.lingering_timeout_ms == 0)
        return false;
    return s->client.lingering_close == CONF_LINGERING_ALWAYS ||
           (s->client.lingering_close == CONF_LINGERING_ON && (c->linger_after || c->rest || has_unread(c)));
}

void connection_finish(struct connection *c)
{
    struct worker *w = connection_worker(c);
    assert(connection_is_between(c) && !c->dead && !c->out);
    if (!lingering_is_wanted(c)) {
        connection_close(c);
        return;
    }
    net_stream_end_writing(&c->stream);
    c->state = CONNECTION_LINGER;
    c->close_after = false;
    connection_drop_input(c);
    list_remove(&c->link);
    /* The first to make room when connections run out. */
    list_push_back(&w->idle, &c->link);
    c->until_ms = w->now_ms + (uint64_t)connection_settings(c)->client.lingering_time_ms;
    set_linger_timer(c);
}

void connection_linger(struct connection *c)
{
    struct worker *w = connection_worker(c);
    ssize_t n;
    int reads = LINGER_READS_AT_ONCE;
    assert(c->state == CONNECTION_LINGER && !c->dead && !c->ex && !c->out);
    while ((n = net_stream_read(&c->stream, w->input, INPUT_BYTES)) > 0 && --reads > 0) {
    }
    /* More may be there: it is other connections' turn. */
    if (n > 0 && w->now_ms < c->until_ms)
        return;
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && w->now_ms < c->until_ms)
        set_linger_timer(c);
    else
        connection_close(c);
}
