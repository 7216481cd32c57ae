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

/*
 * The library goes on reading as long as what comes is no data. It may read about as much of the socket as a record has, and then says that it
 * waits: the socket tells of the rest, when others have had their turn.
 */
static long on_socket(BIO *bio, int what, const char *data, size_t len, int arg, long more, int result,
                      size_t *got)
{
    struct net_tls *t = (struct net_tls *)(void *)BIO_get_callback_arg(bio);
    (void)data;
    (void)len;
    (void)arg;
    (void)more;
    if (what == BIO_CB_READ && t->bytes_read >= NET_TLS_RECORD_MAX) {
        t->is_dry = true;
        BIO_clear_retry_flags(bio);
        BIO_set_retry_read(bio);
        return -1;
    }
    if (what == (BIO_CB_READ | BIO_CB_RETURN)) {
        t->is_dry |= result <= 0;
        t->bytes_read += result > 0 ? *got : 0;
    }
    return result;
}

/* Before that the library itself bounds what may come. */
void net_tls_note_ready(struct net_tls *t)
{
    if (t->ready || !SSL_is_init_finished(t->ssl) || net_tls_must_ask(t))
        return;
    t->ready = true;
    BIO_set_callback_arg(SSL_get_rbio(t->ssl), (char *)t);
    BIO_set_callback_ex(SSL_get_rbio(t->ssl), on_socket);
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
