/*
 * proxy/source.c - an upstream's response as the source of a client's: what has been fetched is passed on from where it is kept.
 *
 * Fetching and passing on meet at the spool: the one writes there as the upstream sends, the other reads as the client takes.
 */
#include "proxy/internal.h"
#include "proxy/upstream.h"

#include "base/buf.h"
#include "base/slice.h"
#include "base/spool.h"
#include "http/request/exchange.h"
#include "http/request/source.h"
#include "http/wire/hop_by_hop.h"
#include "http/wire/request.h"
#include "http/wire/response_head.h"

#include <assert.h>
#include <string.h>

/* Cut off, so that the client sees that the answer is not whole. */
static enum source_says upstream_source_cut(struct proxy *p)
{
    if (p->broken)
        proxy_log_errno(p, "recv()", p->broken);
    else
        proxy_log(p, p->frames.is_over ? "upstream prematurely closed FastCGI request while reading upstream"
                                       : "upstream prematurely closed connection while reading upstream");
    proxy_end_try(p, UPSTREAM_LEFT, p->ex->upstream.status, false);
    return SOURCE_FAILED;
}

/* Trailers that would change what an answer is are left out (RFC 9110 section 6.5.1). */
static bool upstream_source_add_trailers(struct http_exchange *ex, struct buf *out)
{
    const struct proxy *p = ex->proxy;
    struct slice rest = buf_slice(&p->body.trailers);
    bool ok = true, wanted = p->to->kind == CONF_PASS_GRPC || http_accepts_trailers(&ex->req);
    while (ok && wanted && proxy_how(p)->pass_trailers && rest.len) {
        struct http_header h;
        const char *end = memmem(rest.data, rest.len, "\r\n", 2);
        if (!end || !http_parse_field(&h, rest.data, end))
            break;
        /* A gRPC call's metadata have any name. */
        if (p->to->kind == CONF_PASS_GRPC || http_may_be_trailer(h.name))
            ok = buf_append(out, rest.data, (size_t)(end - rest.data) + 2);
        rest = slice_from(rest, (size_t)(end - rest.data) + 2);
    }
    return ok;
}

static enum source_says upstream_source_look(struct http_exchange *ex, struct http_piece *stretch)
{
    struct proxy *p = ex->proxy;
    struct spool_stretch next;
    if (p->state == PROXY_TUNNEL)
        return SOURCE_TUNNEL;
    if (spool_look(&p->reader, &next)) {
        stretch->data = next.data;
        stretch->fd = next.fd;
        stretch->offset = next.offset;
        stretch->len = next.len;
        return SOURCE_HAS;
    }
    assert(p->state == PROXY_BODY || p->state == PROXY_END);
    if (p->state == PROXY_END)
        return SOURCE_END;
    if (p->input == PROXY_INPUT_ENDED)
        return upstream_source_cut(p);
    if (p->input == PROXY_INPUT_PAUSED)
        proxy_resume_reading(p);
    return SOURCE_LATER;
}

static void upstream_source_take(struct http_exchange *ex, size_t n)
{
    struct proxy *p = ex->proxy;
    assert(n <= spool_in_memory(&p->kept) + spool_in_file(&p->kept));
    if (!spool_take(&p->reader, n))
        proxy_log_disk(p);
    if (p->input == PROXY_INPUT_PAUSED)
        proxy_resume_reading(p);
}

static void upstream_source_stop(struct http_exchange *ex)
{
    proxy_destroy(ex->proxy);
}

/* It is the upstream that is waited for, and has a timer. */
static int64_t upstream_source_time_left_ms(const struct http_exchange *ex, int64_t at_most_ms)
{
    (void)ex;
    return at_most_ms;
}

static bool upstream_source_takes_body(const struct http_exchange *ex)
{
    return proxy_sends_on(ex->proxy);
}

static bool upstream_source_outlives_client(const struct http_exchange *ex)
{
    return proxy_how(ex->proxy)->upstream.ignore_client_abort;
}

const struct source source_upstream = {.look = upstream_source_look,
                                       .take = upstream_source_take,
                                       .add_trailers = upstream_source_add_trailers,
                                       .stop = upstream_source_stop,
                                       .time_left_ms = upstream_source_time_left_ms,
                                       .tunnel = tunnel_begin,
                                       .body_came = proxy_body_came,
                                       .body_is_full = proxy_body_is_full,
                                       .takes_body = upstream_source_takes_body,
                                       .outlives_client = upstream_source_outlives_client,
                                       .is_live = true,
                                       .needs_client = true};
