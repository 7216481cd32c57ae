/*
 * bench/proxy_peer.c - what stands on either side of a proxy under measurement.
 *
 *     proxy_peer serve PORT ADDRESSES
 *     proxy_peer sockets PORT COUNT
 *
 * serve is the backend, on 127.0.0.1 and so many addresses from there on: one thread, epoll, keep-alive. GET /1k
 * answers with 1 KiB, GET /big... with 100 MB, POST with its body's length; /ws becomes a WebSocket that echoes.
 *
 * sockets opens so many WebSockets one after the other and says "open COUNT". For a line "send COUNT" it then sends so
 * many messages, by turns, WINDOW at once, and says "echoed COUNT" when all are back. It ends with its stdin.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    BUFFER = 2048, /* a head, or messages */
    PIECE = 1 << 20,
    BIG = 100000000,
    KILOBYTE = 1024,
    EVENTS = 64,
    BACKLOG = 4096,
    WINDOW = 64,
    MESSAGE = 100, /* shorter than 126: a length of one byte */
    MASKED_HEAD = 6,
    PLAIN_HEAD = 2,
    PORTS_EACH = 20000, /* connections from one source address */
    FIN_TEXT = 0x81,
    MASKED = 0x80
};

/* The key and what becomes of it are RFC 6455's own example. */
static const char asks[] =
    "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
static const char upgrades[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};

struct conn {
    int fd;
    bool echoes; /* serve: is a WebSocket */
    bool waits;  /* sockets: for an echo */
    uint32_t used;
    uint64_t to_read, to_send; /* of a body */
    uint64_t body;             /* its length in all */
    unsigned char buffer[BUFFER];
};

static struct conn *conns; /* serve: by descriptor; sockets: by number */
static size_t conns_max;
static unsigned char piece[PIECE];
static char answer_1k[KILOBYTE + 256];
static size_t answer_1k_len;
static int poller;

static void fail(const char *what)
{
    fprintf(stderr, "proxy_peer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void poll_for(int how, int fd, uint32_t what, uint64_t whose)
{
    struct epoll_event event = {.events = what, .data.u64 = whose};
    if (epoll_ctl(poller, how, fd, &event) < 0)
        fail("epoll_ctl");
}

/* As many as there may be open files, in memory that is not touched before it is needed. */
static void make_conns(size_t wanted)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        fail("getrlimit");
    conns_max = wanted ? wanted : (size_t)files.rlim_cur;
    conns = calloc(conns_max, sizeof *conns);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!conns || poller < 0)
        fail("no memory or descriptors");
}

/* ---- serve ---- */

static void drop(struct conn *c)
{
    close(c->fd);
    c->fd = -1;
}

/* These answers are smaller than a socket buffer, and there is one at a time. */
static void say(struct conn *c, const void *text, size_t len)
{
    if (send(c->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
        drop(c);
}

static void send_big(struct conn *c)
{
    while (c->to_send > 0) {
        ssize_t n = send(c->fd, piece, c->to_send < PIECE ? (size_t)c->to_send : PIECE, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN)
                poll_for(EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLOUT, (uint64_t)c->fd);
            else
                drop(c);
            return;
        }
        c->to_send -= (uint64_t)n;
    }
    poll_for(EPOLL_CTL_MOD, c->fd, EPOLLIN, (uint64_t)c->fd);
}

static void tell_length(struct conn *c)
{
    char text[128];
    int len = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n%019llu\n",
                       (unsigned long long)c->body);
    say(c, text, (size_t)len);
}

/* Any order of letters; the head ends with a NUL. */
static const char *header(const char *head, const char *name)
{
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, strlen(name)) == 0)
            return line + 2 + strlen(name);
    return NULL;
}

static void request(struct conn *c, const char *head)
{
    if (strncmp(head, "GET /1k ", 8) == 0) {
        say(c, answer_1k, answer_1k_len);
    } else if (strncmp(head, "GET /big", 8) == 0) {
        char text[128];
        int len = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BIG);
        say(c, text, (size_t)len);
        c->to_send = BIG;
        if (c->fd >= 0)
            send_big(c);
    } else if (strncmp(head, "GET /ws ", 8) == 0 && header(head, "Upgrade:")) {
        c->echoes = true;
        say(c, upgrades, sizeof upgrades - 1);
    } else {
        drop(c);
    }
}

/* Proxies do not pipeline, and of a body they are told the length. */
static void on_head(struct conn *c)
{
    c->buffer[c->used] = '\0';
    char *head = (char *)c->buffer, *end = strstr(head, "\r\n\r\n");
    /* If the buffer is full, the next read takes nothing, and that ends the connection. */
    if (!end)
        return;
    size_t more = c->used - (size_t)(end + 4 - head);
    end[2] = '\0';
    c->used = 0;
    const char *length = header(head, "Content-Length:");
    c->body = length ? strtoull(length, NULL, 10) : 0;
    c->to_read = c->body - more;
    if (more > c->body || header(head, "Transfer-Encoding:"))
        drop(c);
    else if (strncmp(head, "POST ", 5) != 0)
        request(c, head);
    else if (c->to_read == 0)
        tell_length(c);
}

/* All whole messages that have come, unmasked, in one answer. */
static void echo(struct conn *c)
{
    unsigned char out[BUFFER];
    size_t done = 0, filled = 0;
    while (c->used - done >= MASKED_HEAD) {
        const unsigned char *in = c->buffer + done;
        size_t len = in[1] & ~MASKED;
        if (!(in[1] & MASKED) || len >= 126) {
            drop(c);
            return;
        }
        if (c->used - done < MASKED_HEAD + len)
            break;
        out[filled++] = in[0];
        out[filled++] = (unsigned char)len;
        for (size_t i = 0; i < len; i++)
            out[filled++] = in[MASKED_HEAD + i] ^ in[PLAIN_HEAD + i % 4];
        done += MASKED_HEAD + len;
    }
    memmove(c->buffer, c->buffer + done, c->used - done);
    c->used -= (uint32_t)done;
    if (filled)
        say(c, out, filled);
}

static void read_some(struct conn *c)
{
    bool body = c->to_read > 0;
    ssize_t n = body ? recv(c->fd, piece, c->to_read < PIECE ? (size_t)c->to_read : PIECE, 0)
                     : recv(c->fd, c->buffer + c->used, BUFFER - 1 - c->used, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || c->to_send > 0) {
        drop(c);
    } else if (body) {
        c->to_read -= (uint64_t)n;
        if (c->to_read == 0)
            tell_length(c);
    } else {
        c->used += (uint32_t)n;
        if (c->echoes)
            echo(c);
        else
            on_head(c);
    }
}

static void accept_all(int listener)
{
    struct sockaddr from;
    socklen_t len = sizeof from;
    for (int fd; (fd = accept4(listener, &from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        if ((size_t)fd >= conns_max) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        conns[fd] = (struct conn){.fd = fd};
        poll_for(EPOLL_CTL_ADD, fd, EPOLLIN, (uint64_t)fd);
    }
}

static struct sockaddr_in loopback(unsigned n, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK + n)};
}

static int listen_on(unsigned n, uint16_t port)
{
    struct sockaddr_in address = loopback(n, port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0)
        fail("listen");
    poll_for(EPOLL_CTL_ADD, fd, EPOLLIN, (uint64_t)fd);
    return fd;
}

static void serve(uint16_t port, unsigned addresses)
{
    int first = -1, last = -1;
    make_conns(0);
    for (unsigned i = 0; i < addresses; i++) {
        last = listen_on(i, port);
        first = first < 0 ? last : first;
    }
    answer_1k_len =
        (size_t)snprintf(answer_1k, sizeof answer_1k,
                         "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%0*d",
                         KILOBYTE, KILOBYTE, 0);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = (int)events[i].data.u64;
            if (fd >= first && fd <= last)
                accept_all(fd);
            else if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
                read_some(&conns[fd]);
            else
                send_big(&conns[fd]);
        }
    }
}

/* ---- sockets ---- */

static void open_one(struct conn *c, unsigned number, uint16_t port)
{
    struct sockaddr_in from = loopback(number / PORTS_EACH, 0), to = loopback(0, port);
    struct timeval patience = {5, 0};
    struct linger reset = {1, 0}; /* no port is left in TIME_WAIT */
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&from, sizeof from) < 0 ||
        connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 ||
        send(c->fd, asks, sizeof asks - 1, MSG_NOSIGNAL) < 0)
        fail("connect");
    while (!strstr((char *)c->buffer, "\r\n\r\n")) {
        ssize_t n = recv(c->fd, c->buffer + c->used, BUFFER - 1 - c->used, 0);
        if (n <= 0)
            fail("no answer to the handshake");
        c->used += (uint32_t)n;
    }
    if (strncmp((char *)c->buffer, "HTTP/1.1 101 ", 13) != 0)
        fail((char *)c->buffer);
    c->used = 0;
    poll_for(EPOLL_CTL_ADD, c->fd, EPOLLIN, number);
}

static void send_message(struct conn *c)
{
    unsigned char frame[MASKED_HEAD + MESSAGE] = {FIN_TEXT, MASKED | MESSAGE};
    memcpy(frame + PLAIN_HEAD, mask, sizeof mask);
    for (size_t i = 0; i < MESSAGE; i++)
        frame[MASKED_HEAD + i] = 'm' ^ mask[i % 4];
    c->waits = true;
    if (send(c->fd, frame, sizeof frame, MSG_NOSIGNAL) != sizeof frame)
        fail("send");
}

/* The next in turn that waits for no echo. */
static struct conn *next_free(void)
{
    static size_t turn;
    struct conn *c;
    do {
        c = &conns[turn++ % conns_max];
    } while (c->waits);
    return c;
}

/* Whether the whole echo has come. */
static bool take_echo(struct conn *c)
{
    ssize_t n = recv(c->fd, c->buffer + c->used, BUFFER - c->used, MSG_DONTWAIT);
    if (n <= 0)
        fail("a socket was closed");
    c->used += (uint32_t)n;
    if (c->used < PLAIN_HEAD + MESSAGE)
        return false;
    if (c->used > PLAIN_HEAD + MESSAGE || c->buffer[0] != FIN_TEXT || c->buffer[1] != MESSAGE ||
        c->buffer[PLAIN_HEAD] != 'm' || c->buffer[PLAIN_HEAD + MESSAGE - 1] != 'm')
        fail("an echo is not what was sent");
    c->used = 0;
    c->waits = false;
    return true;
}

static void send_messages(size_t count)
{
    size_t sent = 0, echoed = 0;
    for (; sent < count && sent < WINDOW && sent < conns_max; sent++)
        send_message(next_free());
    while (echoed < count) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(poller, events, EVENTS, 5000);
        if (n == 0)
            fail("messages did not come back");
        for (int i = 0; i < n; i++) {
            if (!take_echo(&conns[events[i].data.u64]))
                continue;
            echoed++;
            if (sent++ < count)
                send_message(next_free());
        }
    }
    printf("echoed %zu\n", echoed);
}

static void sockets(uint16_t port, size_t count)
{
    char line[64];
    make_conns(count);
    for (size_t i = 0; i < count; i++)
        open_one(&conns[i], (unsigned)i, port);
    printf("open %zu\n", count);
    while (fflush(stdout) == 0 && fgets(line, sizeof line, stdin))
        if (strncmp(line, "send ", 5) == 0)
            send_messages(strtoul(line + 5, NULL, 10));
}

int main(int argc, char **argv)
{
    uint16_t port = argc == 4 ? (uint16_t)strtoul(argv[2], NULL, 10) : 0;
    unsigned long number = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    if (port && number && strcmp(argv[1], "serve") == 0)
        serve(port, (unsigned)number);
    else if (port && number && strcmp(argv[1], "sockets") == 0)
        sockets(port, number);
    else
        return fputs("usage: proxy_peer serve PORT ADDRESSES | sockets PORT COUNT\n", stderr), 2;
    return 0;
}
