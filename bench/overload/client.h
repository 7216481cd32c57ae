/*
 * bench/overload/client.h - keep-alive HTTP/1.1 connections of one thread, and the streams of requests over them.
 *
 * A stream is closed (each client sends the next request as soon as the last is answered, whatever the answer) or open
 * (requests arrive at their own rate; one that finds no connection free opens another up to a bound, then waits for
 * one). Latency counts from when a request should have been sent. Times are CLOCK_MONOTONIC in ns.
 */
#ifndef BENCH_OVERLOAD_CLIENT_H
#define BENCH_OVERLOAD_CLIENT_H

#include "bench/overload/stats.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    REQUEST_MAX = 512,
    ANSWER_MAX = 2048, /* of a head; a body may be longer */
    BACKLOG_MAX = 1 << 16,
};

enum conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_IDLE, CONN_WAITING };

struct conn {
    struct stream *stream;
    /* The next in the stream's stack of free connections, or in the list of those that rest. */
    struct conn *next;
    enum conn_state state;
    int fd;
    /* Status of the answer being read; 0: its head is not complete. */
    int status;
    bool last; /* the server closes after this answer */
    bool seen; /* it has been answered at least once */
    uint64_t intended, rest_until;
    uint64_t body_left;
    size_t used;
    char in[ANSWER_MAX];
};

struct stream {
    bool closed, poisson;
    double rate; /* arrivals per second of an open stream */
    size_t conn_count, seen_count;
    struct conn *conns;
    /* Idle ones on top, those never opened below. */
    struct conn *free;
    uint64_t next_arrival;
    /* A ring of intended times that wait for a connection. */
    uint64_t backlog[BACKLOG_MAX];
    size_t backlog_head, backlog_count;
    char request[REQUEST_MAX];
    size_t request_len;
    struct stats total, recent;
};

/* The one epoll instance and address of the program; ends it with a message on failure. */
void client_init(struct sockaddr_in server);

uint64_t now_ns(void);

/* Allocates count connections; a closed stream sends its first requests at once. */
void stream_start(struct stream *s, size_t count);

/* What is sent from now on. headers is "" or whole lines with CRLF. */
void stream_request(struct stream *s, const char *path, const char *headers);

/* Sends what has arrived up to now. Returns when the next request arrives, UINT64_MAX for a closed stream. */
uint64_t stream_arrivals(struct stream *s, uint64_t now);

/* Handles what has happened, waiting until the given time at most. */
void client_poll(uint64_t until);

/* Requests sent and not answered; *oldest is set to the earliest intended time of them, if any. */
size_t stream_unanswered(const struct stream *s, uint64_t *oldest);

#endif
