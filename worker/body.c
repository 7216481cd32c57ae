/*
 * worker/body.c - reading a request's body: to memory up to client_body_buffer_size, then to a temporary file.
 *
 * It is read once something wants it: a handler, an upstream, or a limit of concurrency before them. What the head decides is
 * answered without it; the rest is skipped then.
 * The file has no name (O_TMPFILE, or unlinked at once), so nothing is left behind whatever dies; unless
 * client_body_in_file_only or $request_body_file asks for one.
 */
#include "worker/core.h"

#include "base/fd.h"
#include "base/log.h"
#include "http/variables.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NAMES_TRIED = 100 };

static int temp_failed(struct http_exchange *ex, const struct settings *s, const char *what)
{
    http_log(ex, LOG_LEVEL_CRIT, "%s() in client_body_temp_path \"%s\" failed (%d: %s)", what,
             s->client.body_temp_path.data, errno, strerror(errno));
    return 500;
}

/* Others may read it by its name, which is a number of ten digits, as nginx has it. */
static int open_named(struct http_exchange *ex, const struct settings *s)
{
    static uint32_t number;
    for (int i = 0; i < NAMES_TRIED; i++) {
        if (number == 0)
            number = (uint32_t)getpid() << 12; /* workers do not begin with the same */
        ex->body.file =
            arena_printf(&ex->arena, "%.*s/%010u", SLICE_ARGS(s->client.body_temp_path), ++number);
        int fd =
            ex->body.file.data ? open(ex->body.file.data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
        if (fd < 0 && errno == ENOENT && fd_make_dirs(s->client.body_temp_path.data, 0700) == 0)
            continue;
        ex->body.file_stays = s->client.body_in_file_only == CONF_BODY_FILE_ON;
        if (fd >= 0 || errno != EEXIST) {
            ex->body.file = fd >= 0 ? ex->body.file : (struct slice){0};
            return fd;
        }
    }
    return -1;
}

static int spill(struct http_exchange *ex, const struct settings *s)
{
    struct slice part = buf_slice(&ex->body.mem);
    if (ex->body.fd < 0)
        ex->body.fd = s->client.body_in_file_only || http_body_files_have_names()
                          ? open_named(ex, s)
                          : fd_open_unnamed(s->client.body_temp_path.data);
    if (ex->body.fd < 0)
        return temp_failed(ex, s, "open");
    if (fd_write_all(ex->body.fd, part.data, part.len) < 0)
        return temp_failed(ex, s, "write");
    ex->body.mem.start = ex->body.mem.end = 0;
    return 0;
}

static int keep(struct http_exchange *ex, const char *data, size_t len)
{
    const struct settings *s = ex->route.location->settings;
    ex->body.seen += len;
    uint64_t announced = ex->req.framing == HTTP_BODY_CHUNKED ? ex->body.chunked.left : 0;
    if (s->client.max_body_bytes && ex->body.seen + announced > (uint64_t)s->client.max_body_bytes) {
        http_log(ex, LOG_LEVEL_ERROR, "client intended to send too large chunked body");
        return 413;
    }
    if (!buf_append(&ex->body.mem, data, len))
        return 500;
    ex->body.len += len;
    bool passing = ex->state == REQUEST_PROXY;
    return !passing && buf_len(&ex->body.mem) > (size_t)s->client.body_buffer_bytes ? spill(ex, s) : 0;
}

int body_finish(struct http_exchange *ex)
{
    const struct settings *s = ex->route.location->settings;
    bool to_file = ex->body.fd >= 0 || (s->client.body_in_file_only && ex->body.whole);
    return to_file && buf_len(&ex->body.mem) > 0 ? spill(ex, s) : 0;
}

/* Tells a client that waits for it to send the body. */
static struct verdict ask_for(struct http_exchange *ex)
{
    bool ok = !ex->req.expect_continue || ex->body.begun ||
              buf_append_slice(send_buffer(ex), SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    ex->body.begun = true;
    if (ok)
        return verdict_of(VERDICT_NEXT);
    connection_close(ex->connection);
    return verdict_of(VERDICT_GONE);
}

struct verdict body_pass(struct http_exchange *ex)
{
    uint64_t max = (uint64_t)ex->route.location->settings->client.max_body_bytes;
    if (!max || ex->body.whole || ex->req.framing != HTTP_BODY_LENGTH || ex->req.content_length <= max)
        return verdict_of(VERDICT_NEXT);
    http_log(ex, LOG_LEVEL_ERROR, "client intended to send too large body: %llu bytes",
             (unsigned long long)ex->req.content_length);
    ex->res.close = ex->connection->linger_after = true;
    return verdict_answer(413);
}

struct verdict body_begin(struct http_exchange *ex)
{
    struct verdict v = body_pass(ex);
    return v.kind == VERDICT_NEXT ? ask_for(ex) : v;
}

static void count_wait(struct http_exchange *ex)
{
    if (ex->body.wait_since_ms)
        ex->body.waited_ms += ex->worker->now_ms - ex->body.wait_since_ms;
    ex->body.wait_since_ms = 0;
}

/*
 * A byte now and then renews client_body_timeout for ever. That harms nobody, but while the request holds a permit: then the time that
 * we have waited for the client in all must not be longer than the least rate allows. Time in which the upstream takes nothing
 * is not the client's.
 */
void body_wait(struct http_exchange *ex)
{
    const struct settings *s = ex->route.location->settings;
    int64_t timeout_ms = ex->route.location->settings->client.body_timeout_ms;
    count_wait(ex);
    ex->body.wait_since_ms = ex->worker->now_ms;
    if (s->client.body_min_rate.bytes_per_s && limit_holds(ex)) {
        uint64_t allowed_ms = (uint64_t)s->client.body_min_rate.after_ms +
                              ex->body.seen * 1000 / (uint64_t)s->client.body_min_rate.bytes_per_s;
        int64_t left_ms = allowed_ms > ex->body.waited_ms ? (int64_t)(allowed_ms - ex->body.waited_ms) : 1;
        timeout_ms = left_ms < timeout_ms ? left_ms : timeout_ms;
    }
    connection_set_timer(ex->connection, timeout_ms);
}

void body_wait_over(struct http_exchange *ex)
{
    count_wait(ex);
    connection_set_timer(ex->connection, 0);
}

struct verdict body_read(struct http_exchange *ex)
{
    struct verdict v = body_begin(ex);
    if (v.kind != VERDICT_NEXT)
        return v;
    ex->state = REQUEST_BODY;
    connection_set_timer(ex->connection, ex->route.location->settings->client.body_timeout_ms);
    return verdict_of(VERDICT_WAIT);
}

/*
 * What nobody wants of a body is thrown away as it comes, so that the next request is found behind it. Not where the client waits for
 * "100 Continue", which it does not get: whether it sends the body then is not known (RFC 9110 section 10.1.1).
 */
void body_drop(struct http_exchange *ex)
{
    if (ex->body.whole)
        return;
    bool follows = !ex->body.begun && !ex->req.expect_continue;
    ex->body.whole = true;
    ex->connection->rest = follows ? calloc(1, sizeof *ex->connection->rest) : NULL;
    if (!ex->connection->rest) {
        ex->res.close = ex->connection->linger_after = true;
        return;
    }
    ex->connection->rest->is_chunked = ex->req.framing == HTTP_BODY_CHUNKED;
    ex->connection->rest->left = ex->body.left;
    ex->connection->rest->until_ms =
        ex->worker->now_ms + (uint64_t)ex->route.location->settings->client.lingering_time_ms;
}

size_t body_skip(struct connection *c, char *data, size_t len)
{
    struct body_rest *rest = c->rest;
    enum http_chunked_result result = HTTP_CHUNKED_MORE;
    size_t body_len, used = rest->left < len ? (size_t)rest->left : len;
    if (rest->is_chunked) {
        result = http_chunked_decode(&rest->chunked, data, len, &body_len, &used);
    } else {
        rest->left -= used;
        result = rest->left == 0 ? HTTP_CHUNKED_DONE : HTTP_CHUNKED_MORE;
    }
    if (result == HTTP_CHUNKED_MORE)
        return used;
    free(rest);
    c->rest = NULL;
    if (connection_is_between(c))
        connection_show(c, SHM_CONNECTION_WAITING); /* the next head has its own time */
    if (result == HTTP_CHUNKED_DONE)
        return used;
    log_info("client sent invalid chunked body, which nobody wanted; closing its connection");
    *(c->ex ? &c->ex->res.close : &c->close_after) = c->linger_after = true;
    return len;
}

size_t body_take(struct http_exchange *ex, char *data, size_t len, bool *done, int *error)
{
    ex->body.begun = true;
    if (ex->req.framing == HTTP_BODY_LENGTH) {
        size_t n = ex->body.left < len ? (size_t)ex->body.left : len;
        ex->body.left -= n;
        ex->request_bytes += n;
        *error = keep(ex, data, n);
        *done = ex->body.left == 0;
        return n;
    }
    size_t body_len, used;
    enum http_chunked_result result = http_chunked_decode(&ex->body.chunked, data, len, &body_len, &used);
    ex->request_bytes += used; /* with the chunks' framing, as it was received */
    *error = keep(ex, data, body_len);
    if (result == HTTP_CHUNKED_ERROR) {
        http_log(ex, LOG_LEVEL_INFO, "client sent invalid chunked body");
        *error = 400;
    }
    *done = result == HTTP_CHUNKED_DONE;
    return used;
}
