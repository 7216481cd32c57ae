/*
 * bench/overload/client.c - connections, arrivals, and as much of HTTP/1.1 as it takes to find an answer's end.
 *
 * A request is far smaller than any socket buffer and there is one at a time, so a write that takes less than all of it
 * is an error, not something to continue. Answers need a Content-Length.
 */
#include "bench/overload/client.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    /* Few at a time: arrivals are looked at in between. */
    EVENTS = 64,
    /* A client whose connection failed does not come back sooner. */
    REST_NS = 10 * 1000000,
    /* Arrivals later than this because of this program are skipped. */
    TOLERATED_NS = 20000000,
    NS_PER_S = 1000000000,
};

static int poller;
static struct sockaddr_in address;
static struct conn *resting, **resting_end = &resting; /* in the order of rest_until */
static uint64_t random_state = 0x9e3779b97f4a7c15;

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

void client_init(struct sockaddr_in server)
{
    address = server;
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) {
        perror("load: epoll_create1");
        exit(1);
    }
}

/* Exclusive of 0 and 1 (xorshift64*). */
static double random_share(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return ((double)(random_state * 0x2545f4914f6cdd1d >> 11) + 0.5) / 9007199254740992.0;
}

/* ---- one connection ---- */

static void conn_rest(struct conn *c)
{
    c->rest_until = now_ns() + REST_NS;
    c->next = NULL;
    *resting_end = c;
    resting_end = &c->next;
}

static void conn_close(struct conn *c)
{
    close(c->fd);
    c->state = CONN_CLOSED;
}

static void count_error(struct stream *s)
{
    s->total.errors++;
    s->recent.errors++;
}

/* The request, if there was one, is lost; the client comes back after a rest. */
static void conn_fail(struct conn *c)
{
    count_error(c->stream);
    conn_close(c);
    conn_rest(c);
}

static void conn_write(struct conn *c)
{
    struct stream *s = c->stream;
    c->state = CONN_WAITING;
    c->status = 0;
    c->used = 0;
    c->last = false;
    hist_add(&s->total.late, now_ns() - c->intended);
    if (send(c->fd, s->request, s->request_len, MSG_NOSIGNAL) != (ssize_t)s->request_len)
        conn_fail(c);
}

static void conn_open(struct conn *c)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        perror("load: socket");
        exit(1);
    }
    /* Closing resets: no port stays in TIME_WAIT for whoever measures next. */
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    c->state = CONN_CONNECTING;
    if ((connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) < 0)
        conn_fail(c);
}

/* Sends a request now, or as soon as the connection is open. */
static void conn_send(struct conn *c, uint64_t intended)
{
    c->intended = intended;
    if (c->state == CONN_CLOSED)
        conn_open(c);
    else
        conn_write(c);
}

static void conn_connected(struct conn *c)
{
    int error = 0;
    socklen_t len = sizeof error;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error ||
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event) < 0)
        conn_fail(c);
    else
        conn_write(c);
}

static void count_offered(struct stream *s)
{
    s->total.offered++;
    s->recent.offered++;
}

/* A connection that nothing is asked of: the next request takes it. */
static void conn_free(struct conn *c)
{
    struct stream *s = c->stream;
    if (s->closed) {
        count_offered(s);
        conn_send(c, now_ns());
    } else if (s->backlog_count > 0) {
        uint64_t intended = s->backlog[s->backlog_head];
        s->backlog_head = (s->backlog_head + 1) % BACKLOG_MAX;
        s->backlog_count--;
        conn_send(c, intended);
    } else {
        c->next = s->free;
        s->free = c;
    }
}

/* ---- answers ---- */

static void count_answer(struct stats *t, int status, uint64_t latency)
{
    t->by_class[status / 100 < 6 ? status / 100 : 0]++;
    hist_add(status == 200 ? &t->ok : &t->refused, latency);
}

static void conn_answered(struct conn *c)
{
    uint64_t latency = now_ns() - c->intended;
    count_answer(&c->stream->total, c->status, latency);
    count_answer(&c->stream->recent, c->status, latency);
    c->state = CONN_IDLE;
    c->stream->seen_count += !c->seen;
    c->seen = true;
    if (c->last) {
        c->stream->total.reconnects++;
        conn_close(c);
    }
    conn_free(c);
}

/* The value of a header field in a complete, terminated head; NULL when absent. */
static const char *field(const char *head, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = head; (line = strstr(line, "\r\n")); line += 2)
        if (strncasecmp(line + 2, name, len) == 0)
            return line + 2 + len + strspn(line + 2 + len, " ");
    return NULL;
}

/* Takes the head off, once it is complete. False: this is no answer we can follow. */
static bool take_head(struct conn *c)
{
    c->in[c->used] = '\0';
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end)
        return c->used < sizeof c->in - 1;
    end[2] = '\0';
    size_t head = (size_t)(end - c->in) + 4;
    const char *length = field(c->in, "Content-Length:"), *connection = field(c->in, "Connection:");
    if (c->used < 12 || strncmp(c->in, "HTTP/1.1 ", 9) != 0 || !length)
        return false;
    c->status = (int)strtol(c->in + 9, NULL, 10);
    c->last = connection && strncasecmp(connection, "close", 5) == 0;
    c->body_left = strtoull(length, NULL, 10);
    if (c->used - head > c->body_left)
        return false;
    c->body_left -= c->used - head;
    return c->status >= 200;
}

static void conn_read(struct conn *c)
{
    bool in_body = c->status != 0;
    char *to = in_body ? c->in : c->in + c->used;
    ssize_t n = recv(c->fd, to, in_body ? sizeof c->in : sizeof c->in - 1 - c->used, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    /* The end of an idle connection loses nothing; it stays on the stack of free ones. */
    if (c->state == CONN_IDLE) {
        if (n > 0)
            count_error(c->stream);
        else
            c->stream->total.reconnects++;
        conn_close(c);
        return;
    }
    if (n <= 0 || (in_body && (uint64_t)n > c->body_left)) {
        conn_fail(c);
        return;
    }
    if (in_body) {
        c->body_left -= (uint64_t)n;
    } else {
        c->used += (size_t)n;
        if (!take_head(c)) {
            conn_fail(c);
            return;
        }
    }
    if (c->status && c->body_left == 0)
        conn_answered(c);
}

/* ---- streams ---- */

void stream_request(struct stream *s, const char *path, const char *headers)
{
    s->request_len = (size_t)snprintf(s->request, sizeof s->request,
                                      "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, headers);
    if (s->request_len >= sizeof s->request) {
        fprintf(stderr, "load: path and headers are longer than %d bytes\n", REQUEST_MAX);
        exit(1);
    }
}

void stream_start(struct stream *s, size_t count)
{
    s->conns = calloc(count, sizeof *s->conns);
    if (!s->conns) {
        perror("load: connections");
        exit(1);
    }
    s->conn_count = count;
    s->next_arrival = now_ns();
    for (size_t i = 0; i < count; i++) {
        s->conns[i].stream = s;
        conn_free(&s->conns[i]);
    }
}

static void arrive(struct stream *s, uint64_t intended)
{
    struct conn *c = s->free;
    count_offered(s);
    if (c) {
        s->free = c->next;
        conn_send(c, intended);
    } else if (s->backlog_count < BACKLOG_MAX) {
        s->backlog[(s->backlog_head + s->backlog_count++) % BACKLOG_MAX] = intended;
    } else {
        s->total.unsent++;
    }
}

uint64_t stream_arrivals(struct stream *s, uint64_t now)
{
    if (s->closed || s->rate <= 0)
        return UINT64_MAX;
    while (s->next_arrival <= now) {
        if (now - s->next_arrival > TOLERATED_NS)
            s->total.skipped++;
        else
            arrive(s, s->next_arrival);
        double gap = (s->poisson ? -log(random_share()) : 1) / s->rate;
        s->next_arrival += (uint64_t)(gap * NS_PER_S);
    }
    return s->next_arrival;
}

size_t stream_unanswered(const struct stream *s, uint64_t *oldest)
{
    size_t count = s->backlog_count;
    if (count > 0)
        *oldest = s->backlog[s->backlog_head];
    for (size_t i = 0; i < s->conn_count; i++) {
        const struct conn *c = &s->conns[i];
        if (c->state != CONN_WAITING && c->state != CONN_CONNECTING)
            continue;
        if (count++ == 0 || c->intended < *oldest)
            *oldest = c->intended;
    }
    return count;
}

static void wake_rested(uint64_t now)
{
    while (resting && resting->rest_until <= now) {
        struct conn *c = resting;
        resting = c->next;
        if (!resting)
            resting_end = &resting;
        conn_free(c);
    }
}

void client_poll(uint64_t until)
{
    struct epoll_event events[EVENTS];
    uint64_t now = now_ns();
    wake_rested(now);
    if (resting && resting->rest_until < until)
        until = resting->rest_until;
    uint64_t left = until > now ? until - now : 0;
    struct timespec wait = {(time_t)(left / NS_PER_S), (long)(left % NS_PER_S)};
    int n = epoll_pwait2(poller, events, EVENTS, &wait, NULL);
    if (n < 0 && errno != EINTR) {
        perror("load: epoll_pwait2");
        exit(1);
    }
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (c->state == CONN_CONNECTING)
            conn_connected(c);
        else if (c->state != CONN_CLOSED)
            conn_read(c);
    }
}
