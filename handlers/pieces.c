/*
 * handlers/pieces.c - a body that is there when its head is: pieces of memory and of files, one behind the other.
 */
#include "handlers/aio.h"

#include "http/request/source.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <fcntl.h>

static enum source_says look_at_piece(struct http_exchange *ex, struct http_piece *stretch)
{
    struct http_piece *p = ex->res.body;
    assert(ex->source == &source_pieces && (!p || p->len > 0));
    if (!p || ex->res.no_body)
        return SOURCE_END;
    if (!aio_ready(ex, p))
        return SOURCE_LATER;
    *stretch = *p;
    stretch->len = aio_limit(ex, p, p->len);
    return SOURCE_HAS;
}

/* directio: but for what the socket may still hold. */
static void leave_cache(const struct http_piece *p, size_t sent)
{
    off_t end = p->offset + (off_t)sent - SEND_AT_ONCE_BYTES;
    if (sent == p->len)
        posix_fadvise(p->fd, 0, 0, POSIX_FADV_DONTNEED);
    else if (end > 0)
        posix_fadvise(p->fd, 0, end, POSIX_FADV_DONTNEED);
}

static void take_of_piece(struct http_exchange *ex, size_t n)
{
    struct http_piece *p = ex->res.body;
    assert(p && n > 0 && n <= p->len && !ex->reading.at_work);
    if (p->fd < 0)
        p->data += n;
    else if (p->leaves_cache)
        leave_cache(p, n);
    p->offset += (off_t)n;
    p->len -= n;
    if (p->len == 0)
        ex->res.body = p->next;
}

static void stop_pieces(struct http_exchange *ex)
{
    if (ex->reading.at_work)
        aio_client_gone(ex);
}

const struct source source_pieces = {.look = look_at_piece, .take = take_of_piece, .stop = stop_pieces};
