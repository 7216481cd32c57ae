/*
 * handlers/process.c - "handler process COMMAND...": a request's conversation with a process of an application.
 */
#include "handlers/process.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/slice.h"
#include "handlers/job.h"
#include "handlers/process_settings.h"
#include "http/request/cgi.h"
#include "http/wire/fastcgi.h"
#include "http/wire/response_head.h"
#include "pool/pool.h"
#include "shm/shm.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    READ_BYTES = 32 << 10,
    HEAD_BYTES_MAX = 64 << 10,
    BODY_AT_ONCE_BYTES = 64 << 10,
    LOOK_MS = 1000, /* whether anybody waits */
    LEFT_MS = 60000,
    FLUSH_MS = 5,
    GATEWAY_FAILED = 502,
    BUSY = 503,
    GATEWAY_LATE = 504
};

/* --- the request --- */

/* A variable, and the parameter that has its value. */
static const char *const variables[] = {"request_uri", "server_protocol", "server_name",  "server_addr",
                                        "server_port", "remote_addr",     "remote_port",  "remote_user",
                                        "scheme",      "https",           "content_type", NULL};
static const char *const parameters[] = {"REQUEST_URI",    "SERVER_PROTOCOL", "SERVER_NAME", "SERVER_ADDR",
                                         "SERVER_PORT",    "REMOTE_ADDR",     "REMOTE_PORT", "REMOTE_USER",
                                         "REQUEST_SCHEME", "HTTPS",           "CONTENT_TYPE"};

static bool write_text(struct buf *to, const char *name, const char *value)
{
    return fastcgi_write_pair(to, slice_of(name), slice_of(value ? value : ""));
}

/* Of what a body came in nothing is left: it is whole. */
static bool is_left_out(const void *with, struct slice name)
{
    (void)with;
    return slice_eq(name, SLICE("HTTP_TRANSFER_ENCODING"));
}

static bool write_params(weir_request *r, struct buf *to, size_t body_bytes)
{
    char length[24];
    bool ok = write_text(to, "GATEWAY_INTERFACE", "CGI/1.1") &&
              write_text(to, "REQUEST_METHOD", weir_method(r)) && write_text(to, "SCRIPT_NAME", "") &&
              write_text(to, "PATH_INFO", weir_path(r)) && write_text(to, "QUERY_STRING", weir_query(r));
    for (size_t i = 0; ok && variables[i]; i++) {
        const char *value = weir_variable(r, variables[i]);
        if (value)
            ok = write_text(to, parameters[i], value);
    }
    snprintf(length, sizeof length, "%zu", body_bytes);
    return ok && write_text(to, "CONTENT_LENGTH", length) &&
           cgi_write_fields(&r->ex->req, is_left_out, NULL, to);
}

/* --- the conversation --- */

/* Too much for a thread's stack. */
struct scratch {
    struct http_response_head head;
    char data[READ_BYTES];
};

struct talk {
    weir_request *r;
    struct scratch *scratch;
    struct process *p;
    struct process_set *set;
    struct buf out; /* records to send */
    const char *body;
    size_t body_bytes, body_sent; /* as records in `out` */
    bool body_is_over;
    struct fastcgi_reader reader;
    struct buf head; /* what has come of it */
    bool has_head, is_flushed;
    uint64_t left_ms; /* when it was seen that the client has */
};

/* Adds the next part of the body to `out`. False: out of memory. */
static bool add_records(struct talk *t)
{
    size_t left = t->body_bytes - t->body_sent, now = left < BODY_AT_ONCE_BYTES ? left : BODY_AT_ONCE_BYTES;
    t->body_is_over = now == left;
    bool ok = fastcgi_write_stream(&t->out, FASTCGI_STDIN, (struct slice){t->body + t->body_sent, now}) &&
              (!t->body_is_over || fastcgi_write_end(&t->out, FASTCGI_STDIN));
    t->body_sent += now;
    return ok;
}

/* False: the process takes nothing any more; what it has said may be a response all the same. */
static bool send_some(struct talk *t)
{
    ssize_t n = write(t->p->socket, t->out.data + t->out.start, buf_len(&t->out));
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    buf_consume(&t->out, (size_t)n);
    return buf_len(&t->out) > 0 || t->body_is_over || add_records(t);
}

static void pass_head_on(struct talk *t, const struct http_response_head *head)
{
    weir_set_status(t->r, head->status);
    for (int i = 0; i < head->header_count; i++) {
        const struct http_header *h = &head->headers[i];
        char name[256];
        if (slice_eq_nocase(h->name, SLICE("Status")) || h->name.len >= sizeof name)
            continue;
        memcpy(name, h->name.data, h->name.len);
        name[h->name.len] = '\0';
        char *value = weir_alloc(t->r, h->value.len + 1);
        memcpy(value, h->value.len ? h->value.data : "", h->value.len);
        value[h->value.len] = '\0';
        /* What else is the server's to say is left out. */
        weir_set_header(t->r, name, value);
    }
}

/* What the process has written: a head, then a body, which may have to wait for the client. NULL, or what is wrong. */
static const char *pass_on(struct talk *t, const char *data, size_t len)
{
    struct http_response_head *head = &t->scratch->head;
    const char *why = NULL;
    size_t head_len;
    if (!len)
        return NULL;
    if (t->has_head) {
        weir_write(t->r, data, len); /* where the client has left it is nobody's */
        return NULL;
    }
    if (!buf_append(&t->head, data, len))
        return "out of memory for its head";
    struct slice all = buf_slice(&t->head);
    enum http_response_head_result result =
        http_parse_cgi_head(head, all.data, all.len, false, &head_len, &why);
    if (result == HTTP_RESPONSE_HEAD_BAD)
        return why;
    if (result == HTTP_RESPONSE_HEAD_MORE)
        return all.len > HEAD_BYTES_MAX ? "it sent too big header" : NULL;
    pass_head_on(t, head);
    t->has_head = true;
    weir_write(t->r, all.data + head_len, all.len - head_len);
    if (strcmp(weir_method(t->r), "HEAD") == 0)
        weir_flush(t->r); /* how long it would be is not known */
    buf_free(&t->head);
    return NULL;
}

/* NULL, or why the conversation is over. */
static const char *receive_some(struct talk *t)
{
    char *data = t->scratch->data;
    const char *why = NULL;
    size_t left;
    ssize_t n = read(t->p->socket, data, READ_BYTES);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? NULL : strerror(errno);
    if (n == 0)
        return "it has ended";
    if (!fastcgi_read(&t->reader, data, (size_t)n, &left, &why))
        return why;
    if (buf_len(&t->reader.errors)) {
        weir_log(t->r, WEIR_LOG_ERROR, "FastCGI sent in stderr: \"%.*s\"",
                 SLICE_ARGS(buf_slice(&t->reader.errors)));
        buf_consume(&t->reader.errors, buf_len(&t->reader.errors));
    }
    t->is_flushed &= left == 0;
    return pass_on(t, data, left);
}

/* How long may be waited for what comes next, in ms; 0: the time is over. */
static int64_t patience_ms(struct talk *t)
{
    int64_t left_ms = weir_time_left_ms(t->r);
    if (left_ms < INT64_MAX || !weir_client_gone(t->r))
        return left_ms;
    /* Where there is no handler_timeout, what nobody waits for has a bound all the same. */
    uint64_t now_ms = clock_mono_ms();
    t->left_ms = t->left_ms ? t->left_ms : now_ms;
    return now_ms - t->left_ms < LEFT_MS ? LOOK_MS : 0;
}

/* What a response consists of goes out when no more comes for a moment, so that a short one is sent as a whole. */
static int wait_for(struct talk *t, struct pollfd fds[2], int64_t left_ms)
{
    int most_ms = left_ms < LOOK_MS ? (int)left_ms : LOOK_MS;
    int ready = poll(fds, 2, t->has_head && !t->is_flushed && FLUSH_MS < most_ms ? FLUSH_MS : most_ms);
    if (ready == 0 && t->has_head && !t->is_flushed) {
        weir_flush(t->r);
        t->is_flushed = true;
        return poll(fds, 2, most_ms);
    }
    return ready;
}

/* Until the response is whole: NULL; or why it will not be. *is_late: the time is over. */
static const char *converse(struct talk *t, bool *is_late)
{
    const char *why = NULL;
    bool sends = send_some(t); /* an idle process has room */
    while (!why && !t->reader.is_over) {
        struct pollfd fds[] = {
            {.fd = t->p->socket, .events = (short)(POLLIN | (sends && buf_len(&t->out) ? POLLOUT : 0))},
            {.fd = t->p->words, .events = POLLIN}};
        int64_t left_ms = patience_ms(t);
        *is_late = left_ms == 0;
        if (*is_late)
            return "its time is over";
        if (wait_for(t, fds, left_ms) < 0 && errno != EINTR)
            return strerror(errno);
        if (fds[1].revents)
            process_log_words(t->set, t->p);
        if (sends && fds[0].revents & POLLOUT)
            sends = send_some(t);
        if (fds[0].revents & (POLLIN | POLLHUP | POLLERR))
            why = receive_some(t);
        else if (!(fds[0].revents & POLLOUT) && process_has_died(t->p))
            why = "it has ended";
    }
    return why ? why : t->has_head ? NULL : "it has sent no head";
}

static bool write_request(struct talk *t)
{
    struct buf params = {0};
    t->body = weir_body(t->r, &t->body_bytes);
    bool ok = write_params(t->r, &params, t->body_bytes) && fastcgi_write_begin(&t->out, true) &&
              fastcgi_write_stream(&t->out, FASTCGI_PARAMS, buf_slice(&params)) &&
              fastcgi_write_end(&t->out, FASTCGI_PARAMS) && add_records(t);
    buf_free(&params);
    return ok;
}

static void end_talk(struct talk *t)
{
    free(t->scratch);
    buf_free(&t->out);
    buf_free(&t->head);
    fastcgi_reader_free(&t->reader);
}

static int talk_with(struct talk *t)
{
    bool is_late = false;
    const char *why = converse(t, &is_late);
    if (why)
        weir_log(t->r, WEIR_LOG_ERROR, "process %d (\"%s\"): %s", (int)t->p->pid, process_set_name(t->set),
                 why);
    if (!why && buf_len(&t->out) == 0 && t->body_is_over && !t->reader.has_surplus)
        process_give_back(t->set, t->p);
    else
        process_end(t->set, t->p, is_late);
    return is_late ? GATEWAY_LATE : why ? GATEWAY_FAILED : 0;
}

static int log_no_process(weir_request *r, const struct process_application *app, int error)
{
    if (error)
        weir_log(r, WEIR_LOG_ERROR, "cannot start \"%s\" (%d: %s)", app->settings.command[0], error,
                 strerror(error));
    else
        weir_log(r, WEIR_LOG_ERROR, "all processes of \"%s\" were in use", process_set_name(app->set));
    return BUSY;
}

static int64_t waits_ms(void *r)
{
    return weir_client_gone(r) ? 0 : weir_time_left_ms(r);
}

/* With the pool of the first request: the location has no other. */
static void show_processes(const weir_request *r, struct process_set *set)
{
    struct shm_slot *slot = r->running ? container_of(r->running, struct shm_slot, running) : NULL;
    struct shm_pool *shown = NULL;
    for (int i = 0; slot && !shown && i < SHM_POOLS; i++)
        if (strcmp(slot->pools[i].name, pool_name(r->pool)) == 0)
            shown = &slot->pools[i];
    process_set_show(set, shown ? shown->processes : NULL, shown ? SHM_POOL_PROCESSES : 0);
}

static int process_run(weir_request *r)
{
    const struct process_application *app = weir_settings(r);
    if (!process_set_is_shown(app->set))
        show_processes(r, app->set);
    struct talk t = {.r = r, .set = app->set, .scratch = malloc(sizeof *t.scratch)};
    if (!t.scratch || !write_request(&t)) {
        end_talk(&t);
        weir_fail(r, "out of memory for the request");
    }
    t.p = process_take(app->set, &(struct process_patience){waits_ms, r});
    int error = errno;
    int status = 0;
    if (t.p && weir_client_gone(r))
        process_put_back(app->set, t.p); /* nobody wants it done any more */
    else
        status = t.p ? talk_with(&t) : log_no_process(r, app, error);
    end_talk(&t);
    return status;
}

const struct weir_handler process_handler = {.name = "process",
                                             .run = process_run,
                                             .init = process_application_new,
                                             .free = process_application_free,
                                             .variables = variables};
