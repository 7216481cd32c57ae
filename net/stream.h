/*
 * net/stream.h - a connected socket as its users see it: every system call on it is made here.
 *
 * Plain TCP and unix sockets have no layer: then each call is the system call, inline. A layer (encryption, or one made for
 * tests) takes the calls over. Whatever a layer does, it answers as the system call would: bytes, 0 at the end, or -1 with
 * errno, EAGAIN when the watcher says when to go on.
 * Ownership: the stream owns its descriptor from net_stream_init to net_stream_close.
 * Threads:   the loop's.
 */
#ifndef WEIR_NET_STREAM_H
#define WEIR_NET_STREAM_H

#include <ev.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

struct net_stream;
typedef void net_on_event(struct ev_loop *loop, ev_io *io, int events);

/* What stands between a stream's user and its socket. None of the calls but `reset` is NULL. */
struct net_layer {
    ssize_t (*read)(struct net_stream *s, void *data, size_t room);
    ssize_t (*peek)(struct net_stream *s, void *data, size_t room);
    ssize_t (*write)(struct net_stream *s, const void *data, size_t len, bool more_follows);
    ssize_t (*send_file)(struct net_stream *s, int fd, off_t offset, size_t len);
    int (*end_writing)(struct net_stream *s);
    /* What the user wants to be told of is not what the socket is watched for; and whom to tell. */
    void (*watch)(struct net_stream *s, struct ev_loop *loop, int events);
    void (*set_user)(struct net_stream *s, net_on_event *on_event);
    void (*reset)(struct net_stream *s); /* the close is going to be a reset */
    /* Before the descriptor is closed, unless it is taken over: then that of the watcher is -1. */
    void (*close)(struct net_stream *s);
};

struct net_stream {
    ev_io io;                      /* first: the watcher is the stream */
    const struct net_layer *layer; /* NULL: none */
};

/* fd is non-blocking. It is not watched yet. */
static inline void net_stream_init(struct net_stream *s, int fd, net_on_event *on_event)
{
    ev_io_init(&s->io, on_event, fd, 0);
    s->layer = NULL;
}

/* Whom to tell of events from now on, with what data. */
static inline void net_stream_set_user(struct net_stream *s, void *data, net_on_event *on_event)
{
    s->io.data = data;
    if (s->layer)
        s->layer->set_user(s, on_event);
    else
        ev_set_cb(&s->io, on_event);
}

/* The socket itself, for layers. ev_io_set would cost a system call even where nothing changes. */
static inline void net_stream_watch_socket(struct net_stream *s, struct ev_loop *loop, int events)
{
    if (ev_is_active(&s->io) ? (s->io.events & (EV_READ | EV_WRITE)) == events : events == 0)
        return;
    ev_io_stop(loop, &s->io);
    ev_io_modify(&s->io, events);
    if (events)
        ev_io_start(loop, &s->io);
}

/* Watches for EV_READ, EV_WRITE, both or nothing from now on. */
static inline void net_stream_watch(struct net_stream *s, struct ev_loop *loop, int events)
{
    if (s->layer)
        s->layer->watch(s, loop, events);
    else
        net_stream_watch_socket(s, loop, events);
}

/* At most `room` bytes. 0: the other side sends nothing more. */
static inline ssize_t net_stream_read(struct net_stream *s, void *data, size_t room)
{
    return s->layer ? s->layer->read(s, data, room) : recv(s->io.fd, data, room, 0);
}

/* The same, and what was read is there for the next read again. */
static inline ssize_t net_stream_peek(struct net_stream *s, void *data, size_t room)
{
    return s->layer ? s->layer->peek(s, data, room) : recv(s->io.fd, data, room, MSG_PEEK | MSG_DONTWAIT);
}

/* How much of it went. more_follows: at once, so that no short packet need go before it. */
static inline ssize_t net_stream_write(struct net_stream *s, const void *data, size_t len, bool more_follows)
{
    return s->layer ? s->layer->write(s, data, len, more_follows)
                    : send(s->io.fd, data, len, MSG_NOSIGNAL | (more_follows ? MSG_MORE : 0));
}

/* From a file. 0: the file is shorter than that. */
static inline ssize_t net_stream_send_file(struct net_stream *s, int fd, off_t offset, size_t len)
{
    return s->layer ? s->layer->send_file(s, fd, offset, len) : sendfile(s->io.fd, fd, &offset, len);
}

/* Nothing more is written: the other side reads the end. 0, or -1 with errno. */
static inline int net_stream_end_writing(struct net_stream *s)
{
    return s->layer ? s->layer->end_writing(s) : shutdown(s->io.fd, SHUT_WR);
}

/* Whether the other side has left or sends nothing more, though much that it has sent may wait unread. */
static inline bool net_stream_has_ended(const struct net_stream *s)
{
    struct pollfd end = {s->io.fd, POLLRDHUP, 0};
    return poll(&end, 1, 0) == 1;
}

/* What became of a connection that was being made: 0, or an errno. */
static inline int net_stream_connect_error(const struct net_stream *s)
{
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(s->io.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return error;
}

/* Its close is going to be a reset: the other side need not wait for the end. 0, or -1 with errno. */
static inline int net_stream_reset_at_close(struct net_stream *s)
{
    struct linger none = {.l_onoff = 1};
    if (s->layer && s->layer->reset)
        s->layer->reset(s);
    return setsockopt(s->io.fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

static inline void net_stream_close(struct net_stream *s, struct ev_loop *loop)
{
    ev_io_stop(loop, &s->io);
    if (s->layer)
        s->layer->close(s);
    if (s->io.fd >= 0)
        close(s->io.fd);
}

#endif
