/*
 * bench/tls_peer.c - TLS clients for measurements, one thread and one epoll loop.
 *
 *   tls_peer handshakes PORT SECONDS CLIENTS VERSION RESUME   as many connections as can be: shake hands, close, again
 *   tls_peer storm PORT SECONDS RATE VERSION                  new connections at a rate of their own; each has 10 s
 *   tls_peer kept PORT SECONDS CLIENTS                        connections that stay, each of which asks for /1k.txt every 15 to 25 ms;
 *                                                             says "ready" once all have had an answer
 *   tls_peer idle PORT COUNT VERSION                          connections that have had one answer each; says "ready", and
 *                                                             holds them until its input ends
 *
 * VERSION is 12 or 13, RESUME 0 or 1: with 1 all take up the session of a first connection. Figures are lines "NAME VALUE".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, PATIENCE_MS = 10000, STORM_MAX = 60000 };

static const char request[] = "GET /return HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct client {
    SSL *ssl;
    int fd;
    uint64_t since_ms;
    bool shaken, answered;
};

static struct sockaddr_in server = {.sin_family = AF_INET};
static SSL_CTX *ctx;
static SSL_SESSION *session; /* to be taken up; NULL: none */
static bool wants_session;
static int loop;
static uint64_t finished, resumed, failed, late;

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "tls_peer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int on_session(SSL *ssl, SSL_SESSION *fresh)
{
    (void)ssl;
    if (!wants_session || session)
        return 0;
    session = fresh;
    return 1;
}

static bool open_client(struct client *c)
{
    int yes = 1;
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), .since_ms = now_us() / 1000};
    if (c->fd < 0)
        return false;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    if ((connect(c->fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(loop, EPOLL_CTL_ADD, c->fd, &e) < 0) {
        close(c->fd);
        c->fd = -1;
        return false;
    }
    c->ssl = SSL_new(ctx);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_connect_state(c->ssl);
    SSL_set_tlsext_host_name(c->ssl, "localhost");
    /* A copy: the library takes one that has been taken up out of use when a new ticket comes. */
    SSL_SESSION *copy = session ? SSL_SESSION_dup(session) : NULL;
    if (copy)
        SSL_set_session(c->ssl, copy);
    SSL_SESSION_free(copy);
    return true;
}

/* A reset in place of a close: the machine's ports would run out in TIME_WAIT. */
static void close_client(struct client *c)
{
    struct linger none = {.l_onoff = 1};
    if (c->fd < 0)
        return;
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    /* A session whose connection has broken off is not taken up again. */
    SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(c->ssl);
    close(c->fd);
    c->fd = -1;
    c->ssl = NULL;
}

/* 1: the handshake is over; 0: not yet; -1: it has failed. */
static int shake(struct client *c)
{
    ERR_clear_error();
    int n = SSL_do_handshake(c->ssl);
    if (n == 1) {
        c->shaken = true;
        finished++;
        resumed += SSL_session_reused(c->ssl) == 1;
        return 1;
    }
    int error = SSL_get_error(c->ssl, n);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return 0;
    failed++;
    return -1;
}

static void start(const char *port, const char *version)
{
    int wanted = atoi(version) == 12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    signal(SIGPIPE, SIG_IGN);
    server.sin_port = htons((uint16_t)atoi(port));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(ctx, wanted);
    SSL_CTX_set_max_proto_version(ctx, wanted);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    loop = epoll_create1(0);
}

/* One answer over a blocking connection: for a session, or to see that it works. */
static void ask_once(void)
{
    char answer[4096];
    SSL *ssl = SSL_new(ctx);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0)
        die("connect");
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) != 1 || SSL_write(ssl, request, sizeof request - 1) <= 0 ||
        SSL_read(ssl, answer, sizeof answer) <= 0)
        die("a first request");
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
}

static int handshakes(char **args)
{
    int count = atoi(args[2]);
    struct client *clients = calloc((size_t)count, sizeof *clients);
    struct epoll_event events[EVENTS];
    start(args[0], args[3]);
    wants_session = atoi(args[4]);
    ask_once();
    uint64_t begun = now_us(), end = begun + (uint64_t)(atof(args[1]) * 1e6);
    for (int i = 0; i < count; i++)
        if (!open_client(&clients[i]))
            die("connect");
    while (now_us() < end) {
        int n = epoll_wait(loop, events, EVENTS, 100);
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (c->fd < 0 || shake(c) == 0)
                continue;
            close_client(c);
            if (!open_client(c))
                die("connect");
        }
    }
    double seconds = (double)(now_us() - begun) / 1e6;
    printf("rate %.1f\nfinished %llu\nresumed %llu\nfailed %llu\n", (double)finished / seconds,
           (unsigned long long)finished, (unsigned long long)resumed, (unsigned long long)failed);
    free(clients);
    return 0;
}

static void give_up_late(struct client *clients, size_t from, size_t to)
{
    uint64_t now_ms = now_us() / 1000;
    for (size_t i = from; i < to; i++)
        if (clients[i].fd >= 0 && !clients[i].shaken && now_ms > clients[i].since_ms + PATIENCE_MS) {
            late++;
            close_client(&clients[i]);
        }
}

static int storm(char **args)
{
    struct client *clients = calloc(STORM_MAX, sizeof *clients);
    struct epoll_event events[EVENTS];
    size_t made = 0;
    double rate = atof(args[2]);
    start(args[0], args[3]);
    uint64_t begun = now_us(), end = begun + (uint64_t)(atof(args[1]) * 1e6);
    while (now_us() < end && made < STORM_MAX) {
        while (made < STORM_MAX && (double)made < rate * (double)(now_us() - begun) / 1e6)
            open_client(&clients[made++]);
        int n = epoll_wait(loop, events, EVENTS, 1);
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (c->fd >= 0 && shake(c) != 0)
                close_client(c);
        }
        give_up_late(clients, 0, made);
    }
    printf("made %zu\nfinished %llu\nfailed %llu\nlate %llu\nrate %.1f\n", made, (unsigned long long)finished,
           (unsigned long long)failed, (unsigned long long)late,
           (double)finished / ((double)(now_us() - begun) / 1e6));
    free(clients);
    return 0;
}

/* True once the answer has come. */
static bool go_on(struct client *c)
{
    char answer[4096];
    if (!c->shaken && shake(c) != 1)
        return false;
    if (!c->answered && c->since_ms) {
        SSL_write(c->ssl, request, sizeof request - 1);
        c->since_ms = 0;
    }
    c->answered = c->answered || SSL_read(c->ssl, answer, sizeof answer) > 0;
    return c->answered;
}

static int idle(char **args)
{
    int count = atoi(args[1]), answered = 0;
    struct client *clients = calloc((size_t)count, sizeof *clients);
    struct epoll_event events[EVENTS];
    start(args[0], args[2]);
    for (int i = 0; i < count; i++) {
        if (!open_client(&clients[i]))
            die("connect");
        while (!clients[i].answered) {
            int n = epoll_wait(loop, events, EVENTS, 5000);
            if (n <= 0)
                die("no answer");
            for (int k = 0; k < n; k++)
                answered += !((struct client *)events[k].data.ptr)->answered && go_on(events[k].data.ptr);
        }
    }
    printf("ready %d\n", answered);
    fflush(stdout);
    bool ends = getchar() == EOF;
    free(clients);
    return ends ? 0 : 1;
}

/* --- kept --- */

enum { TAKEN_MAX = 4000000, PAUSE_MIN_US = 15000, PAUSE_SPAN_US = 10000 };

struct kept {
    struct client c; /* first */
    uint64_t asked_us, next_us;
    size_t missing; /* of the answer */
};

static uint32_t *taken_us;
static size_t taken;

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void ask_for_file(struct kept *k, uint64_t now)
{
    static const char text[] = "GET /1k.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";
    k->asked_us = now;
    k->missing = SIZE_MAX;
    SSL_write(k->c.ssl, text, sizeof text - 1);
}

/* The body's length is known: the head's end says what is missing. */
static void read_file(struct kept *k)
{
    char data[8192];
    int n;
    while (k->asked_us && (n = SSL_read(k->c.ssl, data, sizeof data)) > 0) {
        if (k->missing == SIZE_MAX) {
            char *end = memmem(data, (size_t)n, "\r\n\r\n", 4);
            k->missing = end ? 1024 : SIZE_MAX;
            n -= end ? (int)(end + 4 - data) : n;
        }
        if (k->missing != SIZE_MAX)
            k->missing -= (size_t)n;
        if (k->missing > 0)
            continue;
        uint64_t now = now_us();
        if (taken < TAKEN_MAX)
            taken_us[taken++] = (uint32_t)(now - k->asked_us);
        k->asked_us = 0;
        k->next_us = now + PAUSE_MIN_US + (uint64_t)rand() % PAUSE_SPAN_US;
    }
}

/* What has not been answered at the end counts with the time that it has waited. */
static int kept(char **args)
{
    int count = atoi(args[2]);
    struct kept *all = calloc((size_t)count, sizeof *all);
    struct epoll_event events[EVENTS];
    uint64_t end = UINT64_MAX;
    taken_us = calloc(TAKEN_MAX, sizeof *taken_us);
    start(args[0], "13");
    for (int i = 0; i < count; i++)
        if (!open_client(&all[i].c))
            die("connect");
    for (uint64_t now = now_us(); now < end; now = now_us()) {
        int n = epoll_wait(loop, events, EVENTS, 1);
        for (int i = 0; i < n; i++) {
            struct kept *k = events[i].data.ptr;
            if (k->c.shaken)
                read_file(k);
            else if (shake(&k->c) == 1)
                ask_for_file(k, now_us());
        }
        for (int i = 0; i < count; i++)
            if (all[i].c.shaken && !all[i].asked_us && now >= all[i].next_us)
                ask_for_file(&all[i], now);
        if (end == UINT64_MAX && taken >= 2 * (size_t)count) {
            printf("ready\n");
            fflush(stdout);
            taken = 0;
            end = now + (uint64_t)(atof(args[1]) * 1e6);
        }
    }
    size_t answered = taken;
    for (int i = 0; i < count && taken < TAKEN_MAX; i++)
        if (all[i].asked_us)
            taken_us[taken++] = (uint32_t)(now_us() - all[i].asked_us);
    qsort(taken_us, taken, sizeof *taken_us, compare);
    size_t half = taken / 2, most = taken * 99 / 100;
    printf("p50 %.3f\np99 %.3f\nasked %.1f\n", taken_us[half] / 1e3, taken_us[most] / 1e3,
           (double)answered / atof(args[1]));
    free(all);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 7 && strcmp(argv[1], "handshakes") == 0)
        return handshakes(argv + 2);
    if (argc == 6 && strcmp(argv[1], "storm") == 0)
        return storm(argv + 2);
    if (argc == 5 && strcmp(argv[1], "kept") == 0)
        return kept(argv + 2);
    if (argc == 5 && strcmp(argv[1], "idle") == 0)
        return idle(argv + 2);
    fprintf(stderr, "usage: see the head of bench/tls_peer.c\n");
    return 2;
}
