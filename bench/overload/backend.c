/*
 * bench/overload/backend.c - a server that answers each request some milliseconds later, whatever else it has to do.
 *
 *     backend PORT [MS]
 *
 * What the proxies under measurement have behind them: one thread, epoll, keep-alive, and a heap of answers by when
 * they are due, so that a request that waits costs next to nothing. "?ms=N" of the path goes before MS (10). GET /most
 * tells how many requests were under way at once at most since it was asked before, now, and in all.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNS_MAX = 20000,
    HEAD_MAX = 2048,
    EVENTS = 16,
    ANSWERS = 16,
    BACKLOG = 4096,
    NS_PER_S = 1000000000,
    NS_PER_MS = 1000000
};

/* By descriptor, which is smaller than CONNS_MAX. */
static struct conn {
    bool pending; /* in the heap, once */
    /* False while pending: the client has gone, the answer is dropped when due. */
    bool open;
    size_t used;
    char head[HEAD_MAX];
} conns[CONNS_MAX];

/* A binary heap, the earliest first. */
static struct due {
    uint64_t at;
    int fd;
} heap[CONNS_MAX];
static size_t heap_count;

static uint64_t most, total;
static long default_ms = 10;
static int poller;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void heap_add(uint64_t at, int fd)
{
    size_t i = heap_count++;
    for (; i > 0 && heap[(i - 1) / 2].at > at; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = (struct due){at, fd};
}

static int heap_take(void)
{
    int fd = heap[0].fd;
    struct due last = heap[--heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < heap_count; i = child) {
        if (child + 1 < heap_count && heap[child + 1].at < heap[child].at)
            child++;
        if (last.at <= heap[child].at)
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return fd;
}

/* The descriptor of a pending connection stays taken until its answer is due: the heap knows it by that number. */
static void drop(int fd)
{
    struct conn *c = &conns[fd];
    c->open = false;
    epoll_ctl(poller, EPOLL_CTL_DEL, fd, NULL);
    if (!c->pending)
        close(fd);
}

static void answer(int fd, const char *body)
{
    char text[256];
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(body), body);
    if (send(fd, text, (size_t)len, MSG_NOSIGNAL) != len)
        drop(fd);
}

/* A few at a time: requests that come in meanwhile are noticed, and their time begins, when they come. */
static void answer_due(uint64_t now)
{
    for (int i = 0; i < ANSWERS && heap_count > 0 && heap[0].at <= now; i++) {
        int fd = heap_take();
        conns[fd].pending = false;
        if (conns[fd].open)
            answer(fd, "slept\n");
        else
            close(fd);
    }
}

static void tell(int fd)
{
    char body[96];
    snprintf(body, sizeof body, "most %llu now %zu total %llu\n", (unsigned long long)most, heap_count,
             (unsigned long long)total);
    most = heap_count;
    answer(fd, body);
}

static void request(int fd)
{
    struct conn *c = &conns[fd];
    const char *ms = strstr(c->head, "?ms=");
    bool ask = strncmp(c->head, "GET /most ", 10) == 0;
    c->used = 0;
    if (ask) {
        tell(fd);
        return;
    }
    long wait_ms = ms && ms < strstr(c->head, "\r\n") ? strtol(ms + 4, NULL, 10) : default_ms;
    c->pending = true;
    heap_add(now_ns() + (uint64_t)wait_ms * NS_PER_MS, fd);
    total++;
    if (heap_count > most)
        most = heap_count;
}

/* Requests have no body and are not pipelined; anything else ends the connection. */
static void read_some(int fd)
{
    struct conn *c = &conns[fd];
    ssize_t n = recv(fd, c->head + c->used, HEAD_MAX - 1 - c->used, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || c->pending) {
        drop(fd);
        return;
    }
    c->used += (size_t)n;
    c->head[c->used] = '\0';
    const char *end = strstr(c->head, "\r\n\r\n");
    if (end && end + 4 == c->head + c->used)
        request(fd);
    else if (end || c->used == HEAD_MAX - 1)
        drop(fd);
}

static void accept_all(int listener)
{
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    for (int fd;
         (fd = accept4(listener, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (fd >= CONNS_MAX || epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        conns[fd] = (struct conn){.open = true};
    }
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, BACKLOG) < 0 ||
        epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) < 0) {
        perror("backend: listen");
        exit(1);
    }
    return listener;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: backend PORT [MS]\n", stderr);
        return 2;
    }
    if (argc > 2)
        default_ms = strtol(argv[2], NULL, 10);
    int listener = listen_on((uint16_t)strtoul(argv[1], NULL, 10));
    prctl(PR_SET_TIMERSLACK, 1UL);
    for (;;) {
        struct epoll_event events[EVENTS];
        uint64_t now = now_ns();
        answer_due(now);
        uint64_t left = heap_count == 0 ? 3600ULL * NS_PER_S : heap[0].at > now ? heap[0].at - now : 0;
        struct timespec wait = {(time_t)(left / NS_PER_S), (long)(left % NS_PER_S)};
        int n = epoll_pwait2(poller, events, EVENTS, &wait, NULL);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all(listener);
            else
                read_some(events[i].data.fd);
        }
    }
}
