/*
 * worker/body.c - reading a request's body: to memory up to client_body_buffer_size, then to a temporary file.
 *
 * The file has no name (O_TMPFILE, or unlinked at once), so nothing is left behind whatever dies.
 */
#include "worker/core.h"

#include "base/fd.h"

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
             s->client_body_temp_path.data, errno, strerror(errno));
    return 500;
}

/* client_body_in_file_only: others may read it by its name, which is a number of ten digits, as nginx has it. */
static int open_named(struct http_exchange *ex, const struct settings *s)
{
    static uint32_t number;
    for (int i = 0; i < NAMES_TRIED; i++) {
        if (number == 0)
            number = (uint32_t)getpid() << 12; /* workers do not begin with the same */
        ex->body_file =
            arena_printf(&ex->arena, "%.*s/%010u", SLICE_ARGS(s->client_body_temp_path), ++number);
        int fd =
            ex->body_file.data ? open(ex->body_file.data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
        if (fd < 0 && errno == ENOENT && fd_make_dirs(s->client_body_temp_path.data, 0700) == 0)
            continue;
        ex->body_file_stays = s->client_body_in_file_only == CONF_BODY_FILE_ON;
        if (fd >= 0 || errno != EEXIST) {
            ex->body_file = fd >= 0 ? ex->body_file : (struct slice){0};
            return fd;
        }
    }
    return -1;
}

static int spill(struct http_exchange *ex, const struct settings *s)
{
    struct slice part = buf_slice(&ex->body);
    if (ex->body_fd < 0)
        ex->body_fd =
            s->client_body_in_file_only ? open_named(ex, s) : fd_open_unnamed(s->client_body_temp_path.data);
    if (ex->body_fd < 0)
        return temp_failed(ex, s, "open");
    if (fd_write_all(ex->body_fd, part.data, part.len) < 0)
        return temp_failed(ex, s, "write");
    ex->body.start = ex->body.end = 0;
    return 0;
}

/* POST to a folder: its index file may be an application's. */
static bool may_have_index(const struct connection *c)
{
    struct slice path = c->ex->req.path;
    return c->ex->req.method == HTTP_POST && path.len && path.data[path.len - 1] == '/';
}

/* Only handlers and upstreams read bodies; everything else lets them pass by. */
static int keep(struct connection *c, const char *data, size_t len)
{
    struct http_exchange *ex = c->ex;
    const struct settings *s = c->location->settings;
    ex->body_seen += len;
    ex->request_bytes += len;
    uint64_t announced = ex->req.framing == HTTP_BODY_CHUNKED ? ex->chunked.left : 0;
    if (s->client_max_body_bytes && ex->body_seen + announced > (uint64_t)s->client_max_body_bytes) {
        http_log(ex, LOG_LEVEL_ERROR, "client intended to send too large chunked body");
        return 413;
    }
    if (!(c->location->keeps_body || may_have_index(c)) ||
        (ex->return_code && !request_error_needs_body(c, ex->return_code)))
        return 0;
    if (!buf_append(&ex->body, data, len))
        return 500;
    ex->body_len += len;
    bool passing = c->state == CONNECTION_PROXY;
    return !passing && buf_len(&ex->body) > (size_t)s->client_body_buffer_bytes ? spill(ex, s) : 0;
}

int body_finish(struct connection *c)
{
    const struct settings *s = c->location->settings;
    bool to_file = c->ex->body_fd >= 0 || (s->client_body_in_file_only && c->ex->body_whole);
    return to_file && buf_len(&c->ex->body) > 0 ? spill(c->ex, s) : 0;
}

size_t body_take(struct connection *c, char *data, size_t len, bool *done, int *error)
{
    struct http_exchange *ex = c->ex;
    if (ex->req.framing == HTTP_BODY_LENGTH) {
        size_t n = ex->body_left < len ? (size_t)ex->body_left : len;
        ex->body_left -= n;
        *error = keep(c, data, n);
        *done = ex->body_left == 0;
        return n;
    }
    size_t body_len, used;
    enum http_chunked_result result = http_chunked_decode(&ex->chunked, data, len, &body_len, &used);
    *error = keep(c, data, body_len);
    if (result == HTTP_CHUNKED_ERROR) {
        http_log(ex, LOG_LEVEL_INFO, "client sent invalid chunked body");
        *error = 400;
    }
    *done = result == HTTP_CHUNKED_DONE;
    return used;
}
