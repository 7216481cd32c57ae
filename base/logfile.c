/*
 * base/logfile.c - log files: lines gather during a turn of the loop and go out with one write; a file that cannot be
 * written costs lines, never requests.
 */
#include "base/logfile.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PENDING_MAX = 64 << 10, COMPLAIN_EVERY_S = 60 };

struct logfile *logfiles_add(struct logfiles *files, struct slice path)
{
    for (struct logfile *f = files->first; f; f = f->next)
        if (slice_eq(f->path, path))
            return f;
    struct logfile *f = arena_zalloc(files->arena, sizeof *f);
    if (!f)
        return NULL;
    f->path = path;
    f->fd = -1;
    f->next = files->first;
    files->first = f;
    return f;
}

static int open_file(const struct logfile *f)
{
    return slice_eq(f->path, SLICE("stderr")) ? STDERR_FILENO : fd_open_append(f->path.data);
}

struct logfile *logfiles_open(struct logfiles *files)
{
    for (struct logfile *f = files->first; f; f = f->next) {
        if (f->fd < 0)
            f->fd = open_file(f);
        if (f->fd < 0)
            return f;
    }
    return NULL;
}

static void write_pending(struct logfile *f)
{
    struct slice lines = buf_slice(&f->pending);
    if (lines.len == 0)
        return;
    if (f->fd < 0 || fd_write_all(f->fd, lines.data, lines.len) < 0) {
        int error = errno;
        time_t now = time(NULL);
        for (size_t i = 0; i < lines.len; i++)
            f->lost += lines.data[i] == '\n';
        if (now - f->complained >= COMPLAIN_EVERY_S) {
            f->complained = now;
            log_error("write() to \"%s\" failed (%d: %s); lines are being lost", f->path.data, error,
                      strerror(error));
        }
    }
    f->pending.start = f->pending.end = 0;
    f->pending_since_ms = 0;
}

void logfiles_reopen(struct logfiles *files, uid_t owner)
{
    logfiles_flush_all(files); /* what belongs to the old files */
    for (struct logfile *f = files->first; f; f = f->next) {
        int fd = open_file(f);
        if (fd < 0) {
            log_crit("open() \"%s\" failed (%d: %s); still writing to the old file", f->path.data, errno,
                     strerror(errno));
            continue;
        }
        if (fd == STDERR_FILENO)
            continue;
        if (geteuid() == 0 && fchown(fd, owner, (gid_t)-1) < 0)
            log_errno(LOG_LEVEL_ERROR, errno, "fchown() \"%s\" failed", f->path.data);
        if (f->fd < 0) {
            f->fd = fd;
        } else { /* under the old number, so that whoever holds it writes to the new file */
            dup3(fd, f->fd, O_CLOEXEC);
            close(fd);
        }
    }
}

void logfile_append(struct logfile *f, struct slice line)
{
    if (!buf_append_slice(&f->pending, line))
        f->lost++;
    if (buf_len(&f->pending) >= (f->buffer_bytes ? f->buffer_bytes : PENDING_MAX))
        write_pending(f);
}

void logfiles_flush(struct logfiles *files, uint64_t now_ms)
{
    for (struct logfile *f = files->first; f; f = f->next) {
        if (buf_len(&f->pending) == 0)
            continue;
        if (f->pending_since_ms == 0)
            f->pending_since_ms = now_ms;
        if (f->buffer_bytes == 0 || (f->flush_ms && now_ms >= f->pending_since_ms + (uint64_t)f->flush_ms))
            write_pending(f);
    }
}

void logfiles_flush_all(struct logfiles *files)
{
    for (struct logfile *f = files->first; f; f = f->next)
        write_pending(f);
}

void logfiles_close(struct logfiles *files)
{
    for (struct logfile *f = files->first; f; f = f->next) {
        if (f->fd > STDERR_FILENO)
            close(f->fd);
        f->fd = -1;
        buf_free(&f->pending);
    }
}
