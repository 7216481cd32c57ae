/*
 * net/tls_away.c - full handshakes away from the loop: a signature takes hundreds of microseconds, or milliseconds with RSA.
 *
 * The library asks for a certificate once it knows that no session is taken up, and before anything costly: there the loop lets go. While
 * somebody else has the handshake, nothing of the library is touched here, and the client is only looked at, whether it has left.
 */
#include "net/tls_internal.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

static int on_certificate(SSL *ssl, void *with)
{
    const struct net_tls *t = SSL_get_app_data(ssl);
    (void)with;
    return t->computes || t->context->where < 0 ? 1 : -1;
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
    t->away = t->server->leave(t->with, t, t->context->where);
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
    ERR_clear_error();
    errno = 0;
    int n = SSL_do_handshake(t->ssl);
    if (n <= 0)
        net_tls_settle(t, n);
}

void net_tls_back(struct net_tls *t, const char *why_not)
{
    assert(t->away);
    t->away = NULL;
    t->computes = false;
    if (!t->stream) {
        close(t->fd);
        net_tls_free(t);
        return;
    }
    if (why_not)
        break_off(t, why_not);
    t->ready = SSL_is_init_finished(t->ssl);
    t->read_wants_write = !t->broken && SSL_want_write(t->ssl);
    /* A failure, or what was read together with the handshake's last words. */
    t->more = t->broken || SSL_has_pending(t->ssl);
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
