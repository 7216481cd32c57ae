/*
 * http/request/body.c - reading a request's body: to memory up to client_body_buffer_size, then to a temporary file.
 *
 * It is read once something wants it: a handler, an upstream, or a limit of concurrency before them. What the head decides is
 * answered without it; the rest is skipped then.
 * The file has no name (O_TMPFILE, or unlinked at once), so nothing is left behind whatever dies; unless
 * client_body_in_file_only or $request_body_file asks for one.
 */
#include "http/request/body.h"

#include "base/arena.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/slice.h"
#include "base/spool.h"
#include "conf/settings.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/request/variables.h"
#include "http/request/verdict.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NAMES_TRIED = 100 };

static int temp_failed(struct http_exchange *ex, const struct settings *s, const char *what, int error)
{
    http_log(ex, LOG_LEVEL_CRIT, "%s() in client_body_temp_path \"%s\" failed (%d: %s)", what,
             s->client.body_temp_path.data, error, strerror(error));
    return 500;
}

/* Others may read it by its name, which is a number of ten digits, as nginx has it. */
static int open_named_file(struct http_exchange *ex, const struct settings *s)
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

static int spill_body(struct http_exchange *ex, const struct settings *s)
{
    struct spool *kept = &ex->body.kept;
    if (kept->fd < 0 && (s->client.body_in_file_only || http_body_files_have_names())) {
        kept->fd = open_named_file(ex, s);
        if (kept->fd < 0)
            return temp_failed(ex, s, "open", errno);
    }
    bool ok = spool_move_to_file(kept, s->client.body_temp_path.data);
    return ok ? 0 : temp_failed(ex, s, kept->failed, kept->error);
}

int body_keep(struct http_exchange *ex, const char *data, size_t len, uint64_t announced)
{
    const struct settings *s = ex->route.settings;
    assert(ex->body.begun && !ex->body.whole);
    ex->body.seen += len;
    if (s->client.max_body_bytes && ex->body.seen + announced > (uint64_t)s->client.max_body_bytes) {
        http_log(ex, LOG_LEVEL_ERROR, "client intended to send too large chunked body");
        return 413;
    }
    if (!spool_append(&ex->body.kept, data, len))
        return 500;
    ex->body.len += len;
    assert(ex->body.len <= ex->body.seen);
    bool passing = http_passes_body(ex) || ex->state == REQUEST_SEND;
    return !passing && spool_in_memory(&ex->body.kept) > (size_t)s->client.body_buffer_bytes
               ? spill_body(ex, s)
               : 0;
}

int body_finish(struct http_exchange *ex)
{
    const struct settings *s = ex->route.settings;
    bool to_file = ex->body.kept.fd >= 0 || (s->client.body_in_file_only && ex->body.whole);
    return to_file && spool_in_memory(&ex->body.kept) > 0 ? spill_body(ex, s) : 0;
}

/* Tells a client that waits for it to send the body. */
static struct verdict ask_client_for_body(struct http_exchange *ex)
{
    assert(!ex->body.whole);
    bool ok = ex->body.begun || ex->client.protocol->ask_for_body(ex);
    ex->body.begun = true;
    if (ok)
        return verdict_of(VERDICT_NEXT);
    client_reset(ex);
    return verdict_of(VERDICT_GONE);
}

struct verdict body_pass(struct http_exchange *ex)
{
    uint64_t max = (uint64_t)ex->route.settings->client.max_body_bytes;
    if (!max || ex->body.whole || ex->req.framing != HTTP_BODY_LENGTH || ex->req.content_length <= max)
        return verdict_of(VERDICT_NEXT);
    http_log(ex, LOG_LEVEL_ERROR, "client intended to send too large body: %llu bytes",
             (unsigned long long)ex->req.content_length);
    client_make_last(ex, true);
    return verdict_answer(413);
}

struct verdict body_begin(struct http_exchange *ex)
{
    struct verdict v = body_pass(ex);
    return v.kind == VERDICT_NEXT ? ask_client_for_body(ex) : v;
}

static void count_wait_for_client(struct http_exchange *ex)
{
    assert(*ex->now_ms >= ex->body.wait_since_ms);
    if (ex->body.wait_since_ms)
        ex->body.waited_ms += *ex->now_ms - ex->body.wait_since_ms;
    ex->body.wait_since_ms = 0;
}

/*
 * A byte now and then renews client_body_timeout for ever. That harms nobody, but while the request holds a permit: then the time that
 * we have waited for the client in all must not be longer than the least rate allows. Time in which the upstream takes nothing
 * is not the client's.
 */
void body_wait(struct http_exchange *ex)
{
    const struct settings *s = ex->route.settings;
    int64_t timeout_ms = ex->route.settings->client.body_timeout_ms;
    assert(http_passes_body(ex));
    count_wait_for_client(ex);
    ex->body.wait_since_ms = *ex->now_ms;
    if (s->client.body_min_rate.bytes_per_s && ex->limits.held_count) {
        uint64_t allowed_ms = (uint64_t)s->client.body_min_rate.after_ms +
                              ex->body.seen * 1000 / (uint64_t)s->client.body_min_rate.bytes_per_s;
        int64_t left_ms = allowed_ms > ex->body.waited_ms ? (int64_t)(allowed_ms - ex->body.waited_ms) : 1;
        timeout_ms = left_ms < timeout_ms ? left_ms : timeout_ms;
    }
    client_expect(ex, timeout_ms);
}

void body_wait_over(struct http_exchange *ex)
{
    count_wait_for_client(ex);
    client_expect(ex, 0);
}

struct verdict body_read(struct http_exchange *ex)
{
    struct verdict v = body_begin(ex);
    if (v.kind != VERDICT_NEXT)
        return v;
    assert(ex->state == REQUEST_RUNS && !ex->body.whole && !ex->source);
    ex->state = REQUEST_BODY;
    client_expect(ex, ex->route.settings->client.body_timeout_ms);
    return verdict_of(VERDICT_WAIT);
}
