/*
 * tests/fuzz/fuzz_hello.c - a client's first words, by way of the choice of a server by its name and of a protocol: whatever comes, it ends, and
 * a name is in small letters and has no zero.
 */
#include "tests/fuzz/fuzz.h"

#include "tests/unit/net/tls_help.h"

#include <ev.h>
#include <signal.h>

static const struct net_tls_context *context;

static const struct net_tls_context *choose(const void *with, struct slice name)
{
    (void)with;
    FUZZ_CHECK(name.len <= 255);
    for (size_t i = 0; i < name.len; i++)
        FUZZ_CHECK(name.data[i] != 0 && !(name.data[i] >= 'A' && name.data[i] <= 'Z'));
    return name.len % 2 ? context : NULL;
}

static const struct net_tls_server server = {.choose = choose};

static void on_event(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)io;
    (void)events;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct ev_loop *loop;
    static struct net_tls_context *first;
    int ends[2];
    char data[4096];
    struct net_stream s;
    if (!loop) {
        char *pair = tls_help_pair();
        signal(SIGPIPE, SIG_IGN);
        loop = ev_loop_new(0);
        first = tls_help_context(pair, false);
        context = tls_help_context(pair, false);
        free(pair);
    }
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    net_stream_init(&s, ends[0], on_event);
    FUZZ_CHECK(net_tls_accept(&s, loop, first, &server, NULL));
    ssize_t given = send(ends[1], bytes, len, MSG_NOSIGNAL);
    shutdown(ends[1], SHUT_WR);
    for (int i = 0; i < 1000 && given >= 0; i++)
        if (net_stream_read(&s, data, sizeof data) <= 0)
            break;
    net_stream_close(&s, loop);
    close(ends[1]);
    return 0;
}
