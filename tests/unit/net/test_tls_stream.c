/*
 * tests/unit/net/test_tls_stream.c - two streams that speak TLS over sockets that take very little: what one writes the other reads,
 * whoever waits for what; and ends, in each order.
 */
#include "tests/unit/check.h"
#include "tests/unit/net/tls_help.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdlib.h>

enum { BYTES = 600000, SMALL = 4608, TURNS_MAX = 2000000 };

/* Made once. */
static const char *pair(void)
{
    static char *made;
    if (!made)
        made = tls_help_pair();
    return made;
}

struct side {
    struct net_stream stream;
    size_t sent, received;
    bool wrong, ended;
    unsigned seed;
};

static const struct net_tls_context *keep_context(const void *with, struct slice name)
{
    (void)with;
    (void)name;
    return NULL;
}

static const struct net_tls_server server = {.choose = keep_context};

static void on_event(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)io;
    (void)events;
}

static void open_pair(struct ev_loop *loop, struct side *a, struct side *b, const struct net_tls_context *s,
                      const struct net_tls_context *c)
{
    int ends[2], small = SMALL;
    CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    for (int i = 0; i < 2; i++) {
        setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        setsockopt(ends[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    }
    *a = (struct side){.seed = 1};
    *b = (struct side){.seed = 2};
    net_stream_init(&a->stream, ends[0], on_event);
    net_stream_init(&b->stream, ends[1], on_event);
    CU_ASSERT_FATAL(net_tls_accept(&a->stream, loop, s, &server, NULL));
    CU_ASSERT_FATAL(
        net_tls_connect(&b->stream, loop, c, &(struct net_tls_target){.asked_name = SLICE("localhost")}));
}

static void close_pair(struct ev_loop *loop, struct side *a, struct side *b)
{
    net_stream_close(&a->stream, loop);
    net_stream_close(&b->stream, loop);
}

static unsigned char byte_at(size_t i)
{
    return (unsigned char)(i * 31 + i / 251);
}

/* A piece of a size by chance; what is not taken is given again, in another buffer. */
static void send_some(struct side *s, size_t most)
{
    static char piece[40000];
    size_t len = (size_t)rand_r(&s->seed) % sizeof piece + 1;
    len = len < most - s->sent ? len : most - s->sent;
    for (size_t i = 0; i < len; i++)
        piece[i] = (char)byte_at(s->sent + i);
    ssize_t n = len ? net_stream_write(&s->stream, piece, len, false) : 0;
    if (n > 0)
        s->sent += (size_t)n;
    else
        s->wrong |= len > 0 && errno != EAGAIN;
}

static void receive_some(struct side *s)
{
    char piece[9000];
    ssize_t n = net_stream_read(&s->stream, piece, (size_t)rand_r(&s->seed) % sizeof piece + 1);
    s->wrong |= n < 0 && errno != EAGAIN;
    s->ended |= n == 0;
    for (ssize_t i = 0; i < n; i++)
        s->wrong |= (unsigned char)piece[i] != byte_at(s->received++);
}

static void shake(struct side *a, struct side *b)
{
    int over = 0;
    for (int i = 0; i < 1000 && over != 1; i++) {
        over = net_tls_shake_hands(&b->stream);
        CU_ASSERT_FATAL(over >= 0);
        receive_some(a);
    }
    CHECK_NUMBER(over, 1);
}

/* Both ways at once: neither waits for the other for ever. */
static void bytes_in_both_directions(void)
{
    struct ev_loop *loop = ev_loop_new(0);
    struct net_tls_context *s = tls_help_context(pair(), false), *c = tls_help_context(NULL, true);
    struct side a, b;
    open_pair(loop, &a, &b, s, c);
    shake(&a, &b);
    int turns = 0;
    while ((a.received < BYTES || b.received < BYTES) && turns++ < TURNS_MAX && !a.wrong && !b.wrong) {
        send_some(&a, BYTES);
        send_some(&b, BYTES);
        receive_some(&a);
        receive_some(&b);
    }
    CU_ASSERT(!a.wrong && !b.wrong && !a.ended && !b.ended);
    CHECK_NUMBER(a.received, BYTES);
    CHECK_NUMBER(b.received, BYTES);
    close_pair(loop, &a, &b);
    net_tls_context_free(s);
    net_tls_context_free(c);
    ev_loop_destroy(loop);
}

/* Who has said goodbye writes no more, and still reads; the other side sees the end, once it has read all. */
static void the_end_of_one_direction(void)
{
    struct ev_loop *loop = ev_loop_new(0);
    struct net_tls_context *s = tls_help_context(pair(), false), *c = tls_help_context(NULL, true);
    struct side a, b;
    open_pair(loop, &a, &b, s, c);
    shake(&a, &b);
    while (a.sent < 1000)
        send_some(&a, 1000);
    CU_ASSERT(net_stream_end_writing(&a.stream) == 0);
    CU_ASSERT(net_stream_write(&a.stream, "x", 1, false) < 0 && errno == EPIPE);
    for (int i = 0; i < 1000 && !b.ended; i++)
        receive_some(&b);
    CHECK_NUMBER(b.received, 1000);
    CU_ASSERT(b.ended && !b.wrong);
    while (b.sent < 1000)
        send_some(&b, 1000);
    for (int i = 0; i < 1000 && a.received < 1000; i++)
        receive_some(&a);
    CHECK_NUMBER(a.received, 1000);
    CU_ASSERT(!a.wrong && !a.ended);
    close_pair(loop, &a, &b);
    net_tls_context_free(s);
    net_tls_context_free(c);
    ev_loop_destroy(loop);
}

/* Once the other side is gone a write fails, and goes on failing: it never says that nothing was written. */
static void writes_after_the_end(void)
{
    struct ev_loop *loop = ev_loop_new(0);
    struct net_tls_context *s = tls_help_context(pair(), false), *c = tls_help_context(NULL, true);
    struct side a, b;
    open_pair(loop, &a, &b, s, c);
    shake(&a, &b);
    net_stream_close(&b.stream, loop);
    while (!a.ended && !a.wrong)
        receive_some(&a);
    for (int i = 0; i < 10; i++)
        CU_ASSERT(net_stream_write(&a.stream, "x", 1, false) < 0 && errno != EAGAIN);
    net_stream_close(&a.stream, loop);
    net_tls_context_free(s);
    net_tls_context_free(c);
    ev_loop_destroy(loop);
}

static const struct check_case cases[] = {
    {"bytes in both directions", bytes_in_both_directions},
    {"the end of one direction", the_end_of_one_direction},
    {"writes after the end", writes_after_the_end},
};

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    return check_main("tls stream", cases, sizeof cases / sizeof cases[0]);
}
