/*
 * tests/unit/http/bench_client.h - a client of the bench: its stream is the test's own layer, which gives its input in the pieces
 * that the test chooses, takes as much output as the test allows, and fails where the test says.
 *
 * The descriptor is a socket that is connected to nothing: it is there to be watched, and to be closed once.
 */
#ifndef WEIR_TESTS_UNIT_HTTP_BENCH_CLIENT_H
#define WEIR_TESTS_UNIT_HTTP_BENCH_CLIENT_H

#include "tests/unit/http/bench.h"

#include <arpa/inet.h>
#include <errno.h>

enum { CLIENTS_MAX = 1024, CLIENT_TURNS_MAX = 200000 };

struct client {
    struct connection *c; /* NULL: closed */
    struct slice input;   /* what it has still to send */
    /* The first read gets at most so much, and any read; 0: no bound. */
    size_t first, piece;
    /* Behind its input it sends nothing more. */
    bool ends;
    size_t take; /* in a turn; 0: all */
    bool takes_nothing;
    /* The call of that number fails so, and those behind it where the error is one for good. */
    int fail_at, error;
    int calls;
    size_t room; /* left of what it takes in this turn */
    struct buf got;
    /* How often its stream was told that nothing more comes, and closed. */
    int ended, closed;
    bool reset; /* at its close */
};

static struct client *clients[CLIENTS_MAX]; /* by descriptor */

static inline struct client *client_of(const struct net_stream *s)
{
    assert(clients[s->io.fd]);
    return clients[s->io.fd];
}

static inline bool is_for_good(int error)
{
    return error != EAGAIN && error != EINTR;
}

/* Counts a call. True where it fails, with errno. */
static inline bool client_fails(struct client *p)
{
    p->calls++;
    errno = p->error;
    return p->fail_at && (p->calls == p->fail_at || (p->calls > p->fail_at && is_for_good(p->error)));
}

static inline ssize_t client_look(struct net_stream *s, void *data, size_t room)
{
    struct client *p = client_of(s);
    size_t n = p->input.len < room ? p->input.len : room;
    size_t most = p->first ? p->first : p->piece;
    if (client_fails(p))
        return -1;
    if (n == 0 && p->ends)
        return 0;
    if (n == 0) {
        errno = EAGAIN;
        return -1;
    }
    n = most && most < n ? most : n;
    memcpy(data, p->input.data, n);
    return (ssize_t)n;
}

static inline ssize_t client_read(struct net_stream *s, void *data, size_t room)
{
    struct client *p = client_of(s);
    ssize_t n = client_look(s, data, room);
    if (n > 0) {
        p->input = slice_from(p->input, (size_t)n);
        p->first = 0;
    }
    return n;
}

static inline ssize_t client_write(struct net_stream *s, const void *data, size_t len, bool more_follows)
{
    struct client *p = client_of(s);
    (void)more_follows;
    CU_ASSERT(len > 0 && !p->ended);
    if (client_fails(p))
        return -1;
    if (p->room == 0) {
        errno = EAGAIN;
        return -1;
    }
    size_t n = len < p->room ? len : p->room;
    p->room -= n;
    if (!buf_append(&p->got, data, n))
        abort();
    return (ssize_t)n;
}

static inline ssize_t client_send_file(struct net_stream *s, int fd, off_t offset, size_t len)
{
    static char bytes[16 << 10];
    ssize_t n = pread(fd, bytes, len < sizeof bytes ? len : sizeof bytes, offset);
    return n <= 0 ? n : client_write(s, bytes, (size_t)n, false);
}

static inline int client_end_writing(struct net_stream *s)
{
    struct client *p = client_of(s);
    if (client_fails(p))
        return -1;
    p->ended++;
    return 0;
}

static inline void client_close(struct net_stream *s)
{
    struct client *p = client_of(s);
    struct linger linger = {0};
    socklen_t len = sizeof linger;
    if (getsockopt(s->io.fd, SOL_SOCKET, SO_LINGER, &linger, &len) < 0)
        abort();
    p->reset = linger.l_onoff;
    p->closed++;
    p->c = NULL;
    clients[s->io.fd] = NULL;
}

static inline void client_watch(struct net_stream *s, struct ev_loop *loop, int events)
{
    net_stream_watch_socket(s, loop, events);
}

static inline void client_set_user(struct net_stream *s, net_on_event *on_event)
{
    ev_set_cb(&s->io, on_event);
}

static const struct net_layer client_layer = {.read = client_read,
                                              .peek = client_look,
                                              .write = client_write,
                                              .send_file = client_send_file,
                                              .end_writing = client_end_writing,
                                              .watch = client_watch,
                                              .set_user = client_set_user,
                                              .close = client_close};

/* It connects. Its members are the test's to set, before or after; got is freed by client_free. */
static inline void client_connect(struct client *p)
{
    struct sockaddr_storage peer = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&peer;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(fd >= 0 && fd < CLIENTS_MAX);
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(4321)};
    in->sin_addr.s_addr = htonl(0xc0000201);    /* 192.0.2.1 */
    connection_new(&bench.listener, fd, &peer); /* which finds nothing to read yet */
    p->c = container_of(bench.w.busy.prev, struct connection, link);
    CU_ASSERT_FATAL(p->c->stream.io.fd == fd);
    p->c->stream.layer = &client_layer;
    clients[fd] = p;
}

static inline void client_free(struct client *p)
{
    CU_ASSERT(!p->c);
    buf_free(&p->got);
}

static inline int client_watched(const struct client *p)
{
    const ev_io *io = &p->c->stream.io;
    return ev_is_active(io) ? io->events & (EV_READ | EV_WRITE) : 0;
}

/* What a poll would say of it. */
static inline int client_ready(const struct client *p)
{
    bool failed = p->fail_at && is_for_good(p->error) && p->calls + 1 >= p->fail_at;
    return (p->input.len || p->ends || failed ? EV_READ : 0) | (p->takes_nothing ? 0 : EV_WRITE);
}

/* One event, where it is waited for, and the end of the turn. False: none is. */
static inline bool client_turn(struct client *p)
{
    int events = p->c ? client_ready(p) & client_watched(p) : 0;
    if (!events)
        return false;
    p->room = p->takes_nothing ? 0 : p->take ? p->take : SIZE_MAX;
    p->c->version->on_event(bench.w.loop, &p->c->stream.io, events);
    bench_end_turn();
    return true;
}

/* Until nothing more comes of it. */
static inline void client_run(struct client *p)
{
    int turns = 0;
    while (client_turn(p) && ++turns < CLIENT_TURNS_MAX) {
    }
    CU_ASSERT(turns < CLIENT_TURNS_MAX);
}

/* What its worker has to give goes on: a request was resumed. */
static inline void client_settle(struct client *p)
{
    p->room = p->takes_nothing ? 0 : p->take ? p->take : SIZE_MAX;
    bench_end_turn();
    client_run(p);
}

static inline void client_say(struct client *p, struct slice input)
{
    CU_ASSERT(p->input.len == 0);
    p->input = input;
    client_run(p);
}

/* It sends nothing more, and its connection ends with that. */
static inline void client_leave(struct client *p)
{
    p->ends = true;
    p->takes_nothing = false;
    client_run(p);
    CU_ASSERT(!p->c);
}

static inline struct slice client_got(const struct client *p)
{
    return buf_slice(&p->got);
}

static inline void client_forget(struct client *p)
{
    p->got.start = p->got.end = 0;
}

/* "200 404": the codes of the responses that it has got. */
static inline const char *client_codes(const struct client *p)
{
    static char codes[512];
    size_t len = 0;
    struct slice rest = client_got(p), line = SLICE("HTTP/1.1 ");
    for (const char *at; rest.len && (at = memmem(rest.data, rest.len, line.data, line.len));) {
        rest = slice_from(rest, (size_t)(at - rest.data) + line.len);
        len += (size_t)snprintf(codes + len, sizeof codes - len, "%s%.3s", len ? " " : "", rest.data);
        if (len > sizeof codes - 8)
            abort();
    }
    codes[len] = '\0';
    return codes;
}

#define CHECK_CODES(client, wanted) \
    check_text(client_codes(client), (wanted), "the codes of the responses", __FILE__, __LINE__)

/* What is behind the head of the only response that it has got. */
static inline struct slice client_body(const struct client *p)
{
    struct slice all = client_got(p);
    const char *end = all.len ? memmem(all.data, all.len, "\r\n\r\n", 4) : NULL;
    return end ? slice_from(all, (size_t)(end + 4 - all.data)) : (struct slice){0};
}

static inline bool client_has(const struct client *p, const char *text)
{
    struct slice all = client_got(p);
    return all.len && memmem(all.data, all.len, text, strlen(text)) != NULL;
}

#endif
