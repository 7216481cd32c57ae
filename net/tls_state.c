/*
 * net/tls_state.c - what a stream's TLS waits for, what has become of a call of the library, and its end.
 */
#include "net/tls_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* As the user wants it, but for what waits for the opposite direction. */
void net_tls_watch_socket(struct net_stream *s, const struct net_tls *t)
{
    int events = 0;
    if (t->wanted & EV_READ)
        events |= t->read_wants_write ? EV_WRITE : EV_READ;
    if (t->wanted & EV_WRITE)
        events |= t->write_wants_read ? EV_READ : EV_WRITE;
    /* Whether the client is there yet is all that may be looked at. */
    if (t->away)
        events &= EV_READ;
    net_stream_watch_socket(s, t->loop, events);
    if (t->more && !t->away && t->wanted & EV_READ)
        ev_feed_event(t->loop, &s->io, EV_READ);
}

void net_tls_begin_call(struct net_tls *t)
{
    ERR_clear_error();
    errno = 0;
    t->bytes_read = 0;
    t->is_dry = false;
}

ssize_t net_tls_settle(struct net_tls *t, int result)
{
    int error = SSL_get_error(t->ssl, result), system_error = errno;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ||
        error == SSL_ERROR_WANT_X509_LOOKUP) {
        errno = EAGAIN;
        return -1;
    }
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    t->broken = true;
    if (error == SSL_ERROR_SYSCALL && ERR_peek_error() == 0) {
        t->failed = system_error;
    } else {
        free(t->why);
        t->why = strdup(net_tls_last_error()); /* without memory it is not known */
        t->failed = EPROTO;
    }
    errno = t->failed;
    return t->failed ? -1 : 0;
}

bool net_tls_must_ask(const struct net_tls *t)
{
    return t->server && t->context->client_status.depth != NET_TLS_STATUS_OFF && !t->status.is_known &&
           SSL_get0_peer_certificate(t->ssl) && SSL_get_verify_result(t->ssl) == X509_V_OK;
}

void net_tls_note_ready(struct net_tls *t)
{
    t->ready = t->ready || (SSL_is_init_finished(t->ssl) && !net_tls_must_ask(t));
}

void net_tls_free(struct net_tls *t)
{
    SSL_free(t->ssl);
    net_tls_staples_let_go(t->staples);
    free(t->why);
    free(t->status.error);
    net_tls_loading_free(t->loading);
    free(t);
}
