/*
 * net/tls_away.c - full handshakes away from the loop: a signature takes hundreds of microseconds, or milliseconds with RSA.
 *
 * The library asks for a certificate once it knows that no session is taken up, and before anything costly: there the loop lets go, unless
 * the way to a thread and back would be a large part of what it takes. While
 * somebody else has the handshake, nothing of the library is touched here, and the client is only looked at, whether it has left.
 */
#include "net/tls_internal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COST_WEIGHT = 8 };

/* What this thread has had of the processor: another one's turns are not the handshake's. */
static uint64_t processor_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000 + 1;
}

static void note_cost(const struct net_tls_context *context, uint64_t spent_us)
{
    unsigned before = atomic_load_explicit(context->cost_us, memory_order_relaxed);
    unsigned now = spent_us < UINT_MAX / COST_WEIGHT ? (unsigned)spent_us + 1 : UINT_MAX / COST_WEIGHT;
    /* What is more may have been an accident, as a first time is; what is less is none. */
    unsigned mean = !before || now < before ? (before + now) / (before ? 2 : 1)
                                            : (before * (COST_WEIGHT - 1) + now) / COST_WEIGHT;
    atomic_store_explicit(context->cost_us, mean, memory_order_relaxed);
}

void net_tls_note_cost(struct net_tls *t)
{
    net_tls_keep_loaded(t);
    if (!t->begun_us)
        return;
    note_cost(t->context, processor_us() - t->begun_us);
    t->begun_us = 0;
    t->computes = false;
}

static int on_certificate(SSL *ssl, void *with)
{
    struct net_tls *t = SSL_get_app_data(ssl);
    (void)with;
    int varies = t->context->varying_count ? net_tls_vary(t) : 1;
    if (varies != 1)
        return varies;
    if (t->computes || t->context->where < 0)
        return 1;
    unsigned cost_us = atomic_load_explicit(t->context->cost_us, memory_order_relaxed);
    if (!cost_us || !t->server->stays(t->with, cost_us))
        return -1;
    t->computes = true;
    t->begun_us = processor_us();
    return 1;
}

void net_tls_watch_certificate(SSL_CTX *ctx)
{
    SSL_CTX_set_cert_cb(ctx, on_certificate, NULL);
}

static void break_off(struct net_tls *t, const char *why)
{
    t->broken = true;
    t->failed = t->has_left ? 0 : EPROTO;
    free(t->why);
    t->why = strdup(why);
}

/* Returns -1 with errno. */
ssize_t net_tls_leave(struct net_stream *s, struct net_tls *t)
{
    assert(!t->away && !t->computes && !t->ready);
    t->computes = true; /* a thread may be at it before we are back */
    enum net_tls_work work = SSL_is_init_finished(t->ssl) ? NET_TLS_ASKS
                             : net_tls_has_to_read(t)     ? NET_TLS_READS
                                                          : NET_TLS_COMPUTES;
    int where = work == NET_TLS_ASKS ? t->context->client_status.where : t->context->where;
    t->away = t->server->leave(t->with, t, where, work);
    if (!t->away) {
        t->computes = false;
        break_off(t, "no thread was free for it");
        errno = EPROTO;
        return -1;
    }
    net_tls_watch_socket(s, t);
    errno = EAGAIN;
    return -1;
}

void net_tls_compute(struct net_tls *t)
{
    net_tls_begin_call(t);
    if (SSL_is_init_finished(t->ssl)) {
        net_tls_ask_about_client(t);
        return;
    }
    uint64_t begun_us = processor_us();
    int n = SSL_do_handshake(t->ssl);
    note_cost(t->context, processor_us() - begun_us);
    if (n <= 0)
        net_tls_settle(t, n);
}

void net_tls_back(struct net_tls *t, const char *why_not)
{
    assert(t->away);
    t->away = NULL;
    t->computes = false;
    net_tls_keep_loaded(t);
    if (!t->stream) {
        close(t->fd);
        net_tls_free(t);
        return;
    }
    if (why_not)
        break_off(t, why_not);
    net_tls_note_ready(t);
    t->read_wants_write = !t->broken && SSL_want_write(t->ssl);
    /* A failure, the end of the handshake, or what was read together with it: no event of the socket tells of them. */
    t->more = t->broken || SSL_is_init_finished(t->ssl) || SSL_has_pending(t->ssl);
    net_tls_watch_socket(t->stream, t);
}

/* Whether it has left. What it sends is left for the library, and no longer looked at: it would be told again and again. */
void net_tls_look_at_client(struct net_stream *s, struct net_tls *t)
{
    char byte;
    ssize_t n = recv(s->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n > 0) {
        net_stream_watch_socket(s, t->loop, 0);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        t->has_left = true;
        net_stream_watch_socket(s, t->loop, 0);
        /* Where it is being computed, it ends as it does. */
        t->server->forget(t->with, t->away, false);
    }
}
