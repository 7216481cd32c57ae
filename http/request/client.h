/*
 * http/request/client.h - what a request may ask of whoever talks to its client: the protocol that it came by.
 *
 * The calls are those that every version of HTTP has a meaning for; how heads are written, how a body is delimited, and what
 * becomes of the connection behind the response is the protocol's alone.
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_REQUEST_CLIENT_H
#define WEIR_HTTP_REQUEST_CLIENT_H

#include "http/request/exchange.h"
#include "net/stream.h"

struct client_protocol {
    /* What the request waited for has come, or its source has more: it goes on before the turn of the loop ends. */
    void (*go_on)(struct http_exchange *ex);

    /* No more of the response will come: the client must see that it is not whole. The request is over. */
    void (*reset)(struct http_exchange *ex);

    /* The same without a byte of a response, though earlier ones still go out: return 444. */
    void (*cut_off)(struct http_exchange *ex);

    /* Another exchange stands for the request from now on; NULL: none, and there is no request any more. */
    void (*replace)(struct http_exchange *ex, struct http_exchange *by);

    /* An interim response (RFC 9110 section 15.2), where the client understands them. False: out of memory. */
    bool (*interim)(struct http_exchange *ex, int status, struct slice reason,
                    const struct http_header *fields, int count);

    /* The response's head goes out, and with it what there is of its body; ex->source has the rest. False: out of memory. */
    bool (*respond)(struct http_exchange *ex);

    /* A stretch of the body as it is to go out, from the end of the filters. False: out of memory. */
    bool (*data)(struct http_exchange *ex, struct slice stretch);

    /* The request's body is wanted: a client that waits to be told so is. False: out of memory. */
    bool (*ask_for_body)(struct http_exchange *ex);

    /* What is still to come of the body is not wanted. */
    void (*drop_body)(struct http_exchange *ex);

    /* The client has to go on within this time; 0: nothing is expected of it. */
    void (*expect)(struct http_exchange *ex, int64_t within_ms);

    /*
     * No request is to follow on the connection. still_sends: the client may be sending, and is to see the response all the
     * same.
     */
    void (*make_last)(struct http_exchange *ex, bool still_sends);

    /* Whether the client has gone, though no event has said so yet. */
    bool (*has_left)(struct http_exchange *ex);

    /* Whether output waits for the client to take it. */
    bool (*is_behind)(const struct http_exchange *ex);

    /* Whether trailers can go out behind the body. */
    bool (*takes_trailers)(const struct http_exchange *ex);

    /* Of the response's head: a field that is the protocol's own ("connection"), as variables name it. data NULL: none. */
    struct slice (*sent_field)(const struct http_exchange *ex, struct slice name);

    /*
     * With SOURCE_TUNNEL, once the head is out: the client's stream, which is the caller's until reset. What the client has sent
     * behind its request is appended to `early`; *ended: it sends nothing more. NULL: out of memory.
     */
    struct net_stream *(*hand_over)(struct http_exchange *ex, struct buf *early, bool *ended);
};

static inline void client_go_on(struct http_exchange *ex)
{
    ex->client.protocol->go_on(ex);
}

static inline void client_reset(struct http_exchange *ex)
{
    ex->client.protocol->reset(ex);
}

static inline void client_expect(struct http_exchange *ex, int64_t within_ms)
{
    ex->client.protocol->expect(ex, within_ms);
}

static inline void client_make_last(struct http_exchange *ex, bool still_sends)
{
    ex->client.protocol->make_last(ex, still_sends);
}

#endif
