/*
 * http/h1/handshake.c - a connection begins to speak TLS, and the costly part of that is a task of a thread pool.
 */
#include "http/h1/handshake.h"

#include "base/log.h"
#include "http/h1/input.h"
#include "http/h1/settle.h"
#include "http/site/tls.h"
#include "net/tls.h"
#include "pool/pool.h"
#include "worker/loop/pools.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* A handshake that has left the loop. */
struct handshake {
    struct loop_task task; /* first */
    struct net_tls *tls;
};

static void compute(struct pool_task *task)
{
    net_tls_compute(((struct handshake *)(void *)task)->tls);
}

static const char *why_not_computed(enum pool_outcome outcome)
{
    return outcome == POOL_TASK_DONE      ? NULL
           : outcome == POOL_TASK_EXPIRED ? "it has waited for a thread for the pool's whole queue_timeout"
           : outcome == POOL_TASK_SHED    ? "its pool has a standing queue, and it is among the oldest"
                                          : "its pool is being closed";
}

static void come_back(struct worker *w, struct loop_task *task)
{
    struct handshake *h = (struct handshake *)task; /* its first member */
    (void)w;
    net_tls_back(h->tls, why_not_computed((enum pool_outcome)task->task.outcome));
    free(h);
}

static const struct net_tls_context *choose(const void *with, struct slice name)
{
    const struct connection *c = with;
    return tls_context_for(c->listener->listen, name);
}

static void *leave(const void *with, struct net_tls *tls, int where)
{
    const struct connection *c = with;
    struct handshake *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    *h = (struct handshake){.task = {.task.run = compute, .ended = come_back}, .tls = tls};
    if (pools_submit(connection_worker(c), where, &h->task) == POOL_OK)
        return h;
    free(h);
    return NULL;
}

/* One that waits is told of as cancelled soon, one that runs when it has ended. */
static void forget(const void *with, void *taken)
{
    const struct connection *c = with;
    struct handshake *h = taken;
    pools_cancel(connection_worker(c), &h->task);
}

static const struct net_tls_server server = {.choose = choose, .leave = leave, .forget = forget};

bool h1_begin_tls(struct connection *c)
{
    struct worker *w = connection_worker(c);
    const struct site_listen *listen = c->listener->listen;
    /* It is the first one, unless a header is in front of it. */
    size_t room = listen->proxy_protocol && !c->told ? INPUT_BYTES : 1;
    ssize_t n = net_stream_peek(&c->stream, w->input, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        h1_close_at_end(c, n < 0 ? errno : 0);
        return false;
    }
    size_t used = 0;
    if (listen->proxy_protocol && !c->told && !h1_take_proxy_header(c, w->input, (size_t)n, &used))
        return false;
    /* It is out of the way before TLS reads. */
    if (used && net_stream_read(&c->stream, w->input, used) != (ssize_t)used) {
        connection_close(c);
        return false;
    }
    if (used == (size_t)n)
        return false;
    c->has_begun = true;
    if (!net_tls_begins_with((unsigned char)w->input[used]))
        return true;
    if (net_tls_accept(&c->stream, w->loop, tls_context(listen), &server, c))
        return true;
    log_error("out of memory for a connection's TLS; closing it");
    connection_close(c);
    return false;
}

void h1_log_failed_handshake(const struct connection *c)
{
    if (net_tls_is_on(&c->stream) && !net_tls_is_ready(&c->stream))
        log_info("*%llu SSL_do_handshake() failed (SSL: %s) while SSL handshaking", (unsigned long long)c->id,
                 net_tls_why(&c->stream));
}
