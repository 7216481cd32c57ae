/*
 * net/tls_stream.c - reading and writing through TLS as if it were the socket.
 *
 * The handshake is part of the first read. A record that the socket takes only in part has been encrypted already: the next write must
 * finish it before anything else, so its plain text counts as written only then.
 */
#include "net/tls_internal.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

static ssize_t tls_read(struct net_stream *s, void *data, size_t room);

struct net_tls *net_tls_of(const struct net_stream *s)
{
    return s->layer && s->layer->read == tls_read ? (struct net_tls *)(uintptr_t)s->layer : NULL;
}

/* --- events --- */

/* What has been decrypted, or lies undecrypted in memory, no event of the socket tells of. */
static void tell_of_more(struct net_stream *s, struct net_tls *t, bool more)
{
    t->more = more;
    if (more && t->wanted & EV_READ)
        ev_feed_event(t->loop, &s->io, EV_READ);
}

static void tls_watch(struct net_stream *s, struct ev_loop *loop, int events)
{
    struct net_tls *t = net_tls_of(s);
    (void)loop;
    assert(loop == t->loop);
    t->wanted = events;
    net_tls_watch_socket(s, t);
}

static void tls_set_user(struct net_stream *s, net_on_event *on_event)
{
    net_tls_of(s)->user = on_event;
}

static void on_event(struct ev_loop *loop, ev_io *io, int events)
{
    struct net_stream *s = (struct net_stream *)io; /* its first member */
    struct net_tls *t = net_tls_of(s);
    int told = 0;
    if (t->away) {
        net_tls_look_at_client(s, t);
        return;
    }
    if (events & EV_READ)
        told |= t->write_wants_read ? EV_READ | EV_WRITE : EV_READ;
    if (events & EV_WRITE)
        told |= t->read_wants_write ? EV_READ | EV_WRITE : EV_WRITE;
    if (t->read_wants_write || t->write_wants_read) {
        t->read_wants_write = t->write_wants_read = false;
        net_tls_watch_socket(s, t);
    }
    /* Who is told of both may leave the reading for the next turn. */
    if (t->more && told & EV_WRITE && t->wanted & EV_READ)
        ev_feed_event(loop, io, EV_READ);
    if (told & t->wanted)
        t->user(loop, io, told & t->wanted);
}

/* --- what a call has come to --- */

/* Whether nothing can be asked of the library; then *result is the call's, with errno. */
static bool is_settled(struct net_tls *t, ssize_t *result)
{
    if (!t->away && !t->broken)
        return false;
    t->more &= t->away != NULL;
    errno = t->away ? EAGAIN : t->failed;
    *result = errno ? -1 : 0;
    return true;
}

static ssize_t settle_read(struct net_stream *s, struct net_tls *t, int result)
{
    if (SSL_want_x509_lookup(t->ssl))
        return net_tls_leave(s, t);
    ssize_t settled = net_tls_settle(t, result);
    t->ends_unheard = settled == 0;
    if (settled < 0 && errno == EAGAIN && SSL_want_write(t->ssl) && !t->read_wants_write) {
        t->read_wants_write = true;
        net_tls_watch_socket(s, t);
        errno = EAGAIN;
    }
    return settled;
}

static ssize_t settle_write(struct net_stream *s, struct net_tls *t, int result)
{
    ssize_t settled = net_tls_settle(t, result);
    if (settled < 0 && errno == EAGAIN && SSL_want_read(t->ssl) && !t->write_wants_read) {
        t->write_wants_read = true;
        net_tls_watch_socket(s, t);
        errno = EAGAIN;
    }
    if (settled < 0)
        return -1;
    /* A write knows no end: the other side is gone. */
    t->broken = true;
    errno = t->failed = EPIPE;
    return -1;
}

/* 1: it is over, and nothing of what is inside has been read; else as with a read. */
static ssize_t shake_hands(struct net_stream *s, struct net_tls *t)
{
    net_tls_begin_call(t);
    int n = SSL_do_handshake(t->ssl);
    net_tls_note_ready(t);
    net_tls_note_cost(t);
    if (n == 1 && !t->ready)
        return net_tls_leave(s, t);
    t->more = n == 1 && t->more;
    return n == 1 ? 1 : settle_read(s, t, n);
}

/* --- the layer --- */

/*
 * What a client sends before its handshake is over, and might be somebody else's repetition. 1: *got bytes of it; 0: there is no more; less:
 * it is as with a read.
 */
static int read_early(struct net_tls *t, void *data, size_t room, size_t *got)
{
    int kind = SSL_read_early_data(t->ssl, data, room, got);
    if (kind == SSL_READ_EARLY_DATA_ERROR)
        return -1;
    t->is_early = kind == SSL_READ_EARLY_DATA_SUCCESS && *got > 0;
    t->early_is_over = kind == SSL_READ_EARLY_DATA_FINISH;
    return t->is_early ? 1 : 0;
}

/* Meanwhile records are read one by one: two requests for new keys at once would be too much. */
static void note_unsent(struct net_tls *t, size_t bytes)
{
    if ((bytes == 0) != (t->unsent == 0))
        SSL_set_read_ahead(t->ssl, bytes == 0);
    t->unsent = bytes;
}

/*
 * A library that owes the other side new keys takes no further ones while a record has gone out in part: the rest of that goes first. What
 * it was is encrypted already, so nothing of it is looked at. As SSL_write.
 */
static int send_rest(struct net_tls *t)
{
    static const char no_matter[NET_TLS_RECORD_MAX];
    if (!t->unsent || SSL_get_key_update_type(t->ssl) == SSL_KEY_UPDATE_NONE)
        return 1;
    int n = SSL_write(t->ssl, no_matter, (int)t->unsent);
    if (n > 0) {
        t->ahead = t->unsent;
        note_unsent(t, 0);
    }
    return n;
}

/* A record with data, past those without. As `call`, SSL_read or SSL_peek. */
static int read_record(struct net_tls *t, void *data, size_t room,
                       int (*call)(SSL *ssl, void *data, int room))
{
    int n;
    errno = 0;
    t->bytes_read = 0;
    t->is_dry = false;
    do {
        n = send_rest(t);
        if (n > 0)
            n = call(t->ssl, data, (int)(room < INT32_MAX ? room : INT32_MAX));
    } while (n <= 0 && SSL_want_read(t->ssl) && t->ready && !t->is_dry);
    return n;
}

/* As much as there is, as a socket would give it: a record is 16 KiB at most. */
static ssize_t tls_read(struct net_stream *s, void *data, size_t room)
{
    struct net_tls *t = net_tls_of(s);
    size_t got = 0;
    ssize_t settled;
    int n;
    if (is_settled(t, &settled))
        return settled;
    net_tls_begin_call(t);
    if (t->reads_early && !t->early_is_over) {
        n = read_early(t, data, room, &got);
        net_tls_note_ready(t);
        net_tls_note_cost(t);
        t->more = false;
        if (n < 0)
            return settle_read(s, t, n);
        /* What is behind it is not for now: an answer must know what it answers. */
        tell_of_more(s, t, n > 0);
        if (n > 0)
            return (ssize_t)got;
    }
    if (t->server && !t->ready && (settled = shake_hands(s, t)) <= 0)
        return settled;
    do {
        n = read_record(t, (char *)data + got, room - got, SSL_read);
        got += n > 0 ? (size_t)n : 0;
    } while (n > 0 && got < room && SSL_has_pending(t->ssl));
    net_tls_note_ready(t);
    net_tls_note_cost(t);
    t->more = false;
    if (got == 0)
        return settle_read(s, t, n);
    /* The end, or a failure, is what the next call says: nothing else may be asked of the library before. */
    tell_of_more(s, t, n > 0 ? SSL_has_pending(t->ssl) : net_tls_settle(t, n) == 0 || t->broken);
    return (ssize_t)got;
}

static ssize_t tls_peek(struct net_stream *s, void *data, size_t room)
{
    struct net_tls *t = net_tls_of(s);
    ssize_t settled;
    if (is_settled(t, &settled))
        return settled;
    net_tls_begin_call(t);
    int n = read_record(t, data, room, SSL_peek);
    net_tls_note_ready(t);
    tell_of_more(s, t, n > 0);
    return n > 0 ? n : settle_read(s, t, n);
}

/* What a record takes: a client may want less (RFC 6066 section 4), and the library would begin the next one by itself. */
static size_t record_room(const struct net_tls *t)
{
    const SSL_SESSION *session = SSL_get0_session(t->ssl);
    unsigned code = session ? SSL_SESSION_get_max_fragment_length(session) : 0;
    size_t most = code ? (size_t)256 << code : NET_TLS_RECORD_MAX;
    return most < t->context->record_bytes ? most : t->context->record_bytes;
}

/* One record. */
static ssize_t write_record(struct net_stream *s, struct net_tls *t, const void *data, size_t len)
{
    size_t room = record_room(t), most = len < room ? len : room, size = t->unsent ? t->unsent : most;
    if (t->ahead) {
        size_t known = len < t->ahead ? len : t->ahead;
        t->ahead -= known;
        return (ssize_t)known;
    }
    net_tls_begin_call(t);
    size_t early = 0;
    int n = t->is_early && !t->ready ? SSL_write_early_data(t->ssl, data, size, &early)
                                     : SSL_write(t->ssl, data, (int)size);
    n = n > 0 && early ? (int)early : n;
    if (n <= 0) {
        ssize_t result = settle_write(s, t, n);
        if (result < 0 && errno == EAGAIN)
            note_unsent(t, size);
        return result;
    }
    note_unsent(t, 0);
    /* The record was begun when more was given than this time. */
    t->ahead = (size_t)n > len ? (size_t)n - len : 0;
    return (ssize_t)((size_t)n - t->ahead);
}

static ssize_t tls_write(struct net_stream *s, const void *data, size_t len, bool more_follows)
{
    struct net_tls *t = net_tls_of(s);
    size_t done = 0;
    (void)more_follows;
    t->ends_unheard = false;
    if (t->away || t->broken || t->said_goodbye) {
        errno = t->away ? EAGAIN : t->failed ? t->failed : EPIPE;
        return -1;
    }
    while (done < len) {
        ssize_t n = write_record(s, t, (const char *)data + done, len - done);
        if (n <= 0)
            return done ? (ssize_t)done : n;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* Several records are read at once: the file costs a call of its own. */
static ssize_t tls_send_file(struct net_stream *s, int fd, off_t offset, size_t len)
{
    static char piece[4 * NET_TLS_RECORD_MAX]; /* a process has one loop */
    size_t done = 0;
    while (done < len) {
        size_t most = sizeof piece < len - done ? sizeof piece : len - done;
        ssize_t got = pread(fd, piece, most, offset + (off_t)done);
        ssize_t n = got > 0 ? tls_write(s, piece, (size_t)got, false) : got;
        if (n <= 0)
            return done ? (ssize_t)done : n;
        done += (size_t)n;
        if (n < got)
            break;
    }
    return (ssize_t)done;
}

/* The goodbye of RFC 8446 section 6.1, if it goes at once. */
static void say_goodbye(struct net_tls *t)
{
    if (!t->ready || t->broken || t->said_goodbye || t->unsent)
        return;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
    t->said_goodbye = true;
}

static int tls_end_writing(struct net_stream *s)
{
    struct net_tls *t = net_tls_of(s);
    if (!t->ends_unheard)
        say_goodbye(t);
    return shutdown(s->io.fd, SHUT_WR);
}

/* A handshake that is away keeps the descriptor: another connection must not get its number meanwhile. */
static void tls_close(struct net_stream *s)
{
    struct net_tls *t = net_tls_of(s);
    s->layer = NULL;
    if (t->away) {
        t->stream = NULL;
        t->fd = s->io.fd;
        s->io.fd = -1;
        t->server->forget(t->with, t->away, true);
        return;
    }
    /* Without one the library would take the session for one that has broken off. */
    SSL_set_quiet_shutdown(t->ssl, t->ends_unheard);
    say_goodbye(t);
    net_tls_free(t);
}

/* Nobody is there for a goodbye. */
static void tls_reset(struct net_stream *s)
{
    net_tls_of(s)->ends_unheard = true;
}

static const struct net_layer calls = {.read = tls_read,
                                       .reset = tls_reset,
                                       .peek = tls_peek,
                                       .write = tls_write,
                                       .send_file = tls_send_file,
                                       .end_writing = tls_end_writing,
                                       .watch = tls_watch,
                                       .set_user = tls_set_user,
                                       .close = tls_close};

bool net_tls_begin(struct net_stream *s, struct ev_loop *loop, const struct net_tls_context *context)
{
    struct net_tls *t = calloc(1, sizeof *t);
    SSL *ssl = t ? SSL_new(context->ctx) : NULL;
    assert(!s->layer);
    if (!ssl || SSL_set_fd(ssl, s->io.fd) != 1) {
        SSL_free(ssl);
        free(t);
        ERR_clear_error();
        return false;
    }
    *t = (struct net_tls){.layer = calls,
                          .ssl = ssl,
                          .loop = loop,
                          .stream = s,
                          .context = context,
                          .fd = -1,
                          .user = ev_cb(&s->io),
                          .wanted = ev_is_active(&s->io) ? s->io.events & (EV_READ | EV_WRITE) : 0};
    SSL_set_app_data(ssl, t);
    s->layer = &t->layer;
    ev_set_cb(&s->io, on_event);
    return true;
}

bool net_tls_accept(struct net_stream *s, struct ev_loop *loop, const struct net_tls_context *context,
                    const struct net_tls_server *server, void *with)
{
    if (!net_tls_begin(s, loop, context))
        return false;
    struct net_tls *t = net_tls_of(s);
    t->server = server;
    t->with = with;
    t->reads_early = context->takes_early_data; /* before the name is known */
    SSL_set_accept_state(t->ssl);
    return true;
}

/* --- its state --- */

bool net_tls_is_on(const struct net_stream *s)
{
    return net_tls_of(s) != NULL;
}

bool net_tls_is_ready(const struct net_stream *s)
{
    const struct net_tls *t = net_tls_of(s);
    return t && t->ready;
}

const struct net_tls_context *net_tls_context_of(const struct net_stream *s)
{
    return net_tls_of(s)->context;
}

const char *net_tls_why(const struct net_stream *s)
{
    const struct net_tls *t = net_tls_of(s);
    return t && t->why ? t->why : "";
}

bool net_tls_begins_with(unsigned char byte)
{
    /* The latter is SSL 2, which is refused as TLS refuses it. */
    return byte == SSL3_RT_HANDSHAKE || byte & 0x80;
}
