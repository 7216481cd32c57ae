/*
 * http/serve/open_logs.c - access logs whose names have variables: opened when there is a line for them, kept open by
 * open_log_file_cache, else closed at the end of the turn.
 *
 * A client may have a say in such a name, so one that would leave its directory by ".." is refused, and as in nginx nothing is
 * logged where the request's root does not exist.
 */
#include "http/serve/open_logs.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/slice.h"
#include "http/request/template.h"
#include "http/site/paths.h"
#include "http/site/site.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OPEN_AT_ONCE_MAX = 64, /* names in one turn, where none is kept */
    KEPT_MAX = 1024,       /* names are looked for one by one */
    COMPLAIN_EVERY_S = 60
};

struct open_log {
    struct open_log *next; /* the one used last at the front */
    int fd;
    uint64_t used_ms, checked_ms;
    struct stat st; /* of the file that fd is */
    const struct conf_open_logs *rules;
    struct buf pending;
    char path[];
};

static void write_pending(struct open_log *l)
{
    static time_t complained;
    struct slice lines = buf_slice(&l->pending);
    assert(l->fd >= 0);
    struct slice rest = slice_from(lines, lines.len ? fd_append_whole(l->fd, lines, true) : 0);
    int error = errno;
    for (size_t i = 0; i < rest.len; i++)
        log_count_lost(rest.data[i] == '\n');
    if (rest.len && time(NULL) - complained >= COMPLAIN_EVERY_S) {
        complained = time(NULL);
        log_errno(LOG_LEVEL_ERROR, error, "write() to \"%s\" failed; lines are lost", l->path);
    }
    l->pending.start = l->pending.end = 0;
}

static void drop_log(struct worker *w, struct open_log **link)
{
    struct open_log *l = *link;
    assert(w->open_log_count > 0);
    *link = l->next;
    w->open_log_count--;
    write_pending(l);
    buf_free(&l->pending);
    close(l->fd);
    free(l);
}

/* Rotated away, or deleted. */
static bool file_is_moved(struct open_log *l, uint64_t now_ms)
{
    struct stat now;
    if (now_ms - l->checked_ms < (uint64_t)l->rules->valid_ms)
        return false;
    l->checked_ms = now_ms;
    return stat(l->path, &now) < 0 || now.st_ino != l->st.st_ino || now.st_dev != l->st.st_dev;
}

static struct open_log *find_open_log(struct worker *w, struct slice path)
{
    for (struct open_log **link = &w->open_logs; *link; link = &(*link)->next) {
        struct open_log *l = *link;
        if (!slice_eq(slice_of(l->path), path))
            continue;
        if (file_is_moved(l, w->now_ms)) {
            drop_log(w, link);
            return NULL;
        }
        *link = l->next;
        l->next = w->open_logs;
        w->open_logs = l;
        return l;
    }
    return NULL;
}

static void drop_oldest_log(struct worker *w)
{
    struct open_log **link = &w->open_logs;
    assert(*link);
    while ((*link)->next)
        link = &(*link)->next;
    drop_log(w, link);
}

/* Room for one more. */
static void make_room_for_log(struct worker *w, const struct conf_open_logs *rules)
{
    int64_t most = rules->max == 0 ? OPEN_AT_ONCE_MAX : rules->max < KEPT_MAX ? rules->max : KEPT_MAX;
    while (w->open_logs && w->open_log_count >= most)
        drop_oldest_log(w);
}

static struct open_log *open_log(struct worker *w, struct slice path, const struct conf_open_logs *rules)
{
    make_room_for_log(w, rules);
    struct open_log *l = calloc(1, sizeof *l + path.len + 1);
    if (!l)
        return NULL;
    memcpy(l->path, path.data, path.len);
    l->fd = fd_open_append(l->path);
    if (l->fd < 0 || fstat(l->fd, &l->st) < 0) {
        log_count_lost(1);
        log_errno(LOG_LEVEL_CRIT, errno, "open() \"%s\" failed; a line of the access log is lost", l->path);
        if (l->fd >= 0)
            close(l->fd);
        free(l);
        return NULL;
    }
    l->rules = rules;
    l->checked_ms = w->now_ms;
    l->next = w->open_logs;
    w->open_logs = l;
    w->open_log_count++;
    return l;
}

static bool has_root(struct http_exchange *ex)
{
    struct stat st;
    struct slice root = static_folder(ex, &ex->route.location->files);
    return root.data && stat(root.data, &st) == 0 && S_ISDIR(st.st_mode);
}

void open_logs_append(struct http_exchange *ex, const struct access_log *log, struct slice line)
{
    struct worker *w = ex->worker;
    struct slice path = http_template_expand(log->path, ex);
    if (path.len == 0 || path.len >= PATH_MAX || memchr(path.data, '\0', path.len) ||
        memmem(path.data, path.len, "/../", 4)) {
        log_error("invalid name \"%.*s\" of an access log; its line is lost", SLICE_ARGS(path));
        return;
    }
    struct open_log *l = find_open_log(w, path);
    if (!l && has_root(ex))
        l = open_log(w, path, &ex->route.settings->logs.open);
    if (!l)
        return;
    l->used_ms = w->now_ms;
    buf_append_slice(&l->pending, line);
}

void open_logs_flush(struct worker *w)
{
    struct open_log **link = &w->open_logs;
    while (*link) {
        struct open_log *l = *link;
        bool kept = l->rules->max && w->now_ms - l->used_ms <= (uint64_t)l->rules->inactive_ms;
        write_pending(l);
        if (kept)
            link = &l->next;
        else
            drop_log(w, link);
    }
}

void open_logs_close(struct worker *w)
{
    while (w->open_logs)
        drop_log(w, &w->open_logs);
    assert(w->open_log_count == 0);
}
