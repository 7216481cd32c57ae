/*
 * base/logfile.c - log files: lines gather during a turn of the loop and go out with one write; a file that cannot be
 * written costs lines, never requests.
 */
#include "base/logfile.h"

#include "base/fd.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum {
    PENDING_MAX = 64 << 10,
    COMPLAIN_EVERY_S = 60,
    GZIP_WINDOW = 15 + 16 /* zlib: with a header of gzip */,
    Z_MEMORY = 8
};

struct logfile *logfiles_add(struct logfiles *files, struct slice path)
{
    for (struct logfile *f = files->first; f; f = f->next)
        if (slice_eq(f->path, path))
            return f;
    struct logfile *f = arena_zalloc(files->arena, sizeof *f);
    if (!f)
        return NULL;
    assert(path.len > 0);
    f->path = path;
    f->fd = -1;
    if (slice_starts(path, SLICE("syslog:"))) {
        f->syslog = arena_zalloc(files->arena, sizeof *f->syslog);
        if (!f->syslog)
            return NULL;
        f->wrong = syslog_parse(slice_from(path, 7), true, f->syslog);
    }
    f->next = files->first;
    files->first = f;
    return f;
}

enum { MEMORY_LEN = sizeof "memory:" - 1 };

static bool is_memory(const struct logfile *f)
{
    return slice_starts(f->path, SLICE("memory:"));
}

struct log_sink logfile_sink(const struct logfile *f, int level, bool json)
{
    return (struct log_sink){f->fd, (enum log_level)level, json, f->syslog, f->memory};
}

static int open_file(const struct logfile *f)
{
    return slice_eq(f->path, SLICE("stderr")) ? STDERR_FILENO : fd_open_append(f->path.data);
}

struct logfile *logfiles_open(struct logfiles *files)
{
    for (struct logfile *f = files->first; f; f = f->next) {
        if (f->syslog)
            continue; /* connects when there is something to say */
        if (is_memory(f)) {
            if (!f->memory &&
                !(f->memory = log_memory_open((size_t)strtoull(f->path.data + MEMORY_LEN, NULL, 10))))
                return f;
            continue;
        }
        if (f->fd < 0)
            f->fd = open_file(f);
        if (f->fd < 0)
            return f;
    }
    return NULL;
}

static unsigned long count_lines(struct slice lines)
{
    unsigned long count = 0;
    for (size_t i = 0; i < lines.len; i++)
        count += lines.data[i] == '\n';
    return count;
}

/* -1 with errno. */
static int write_compressed(const struct logfile *f, struct slice lines)
{
    struct buf out = {0};
    z_stream z = {0};
    int result = -1;
    errno = ENOMEM;
    if (deflateInit2(&z, f->gzip, Z_DEFLATED, GZIP_WINDOW, Z_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return -1;
    if (buf_reserve(&out, deflateBound(&z, lines.len))) {
        z.next_in = (Bytef *)(uintptr_t)lines.data;
        z.avail_in = (uInt)lines.len;
        z.next_out = (Bytef *)out.data;
        z.avail_out = (uInt)out.cap;
        if (deflate(&z, Z_FINISH) == Z_STREAM_END)
            result =
                fd_append_whole(f->fd, (struct slice){out.data, z.total_out}, false) == z.total_out ? 0 : -1;
        /* half a member would hide whatever follows it from those who read the file */
    }
    int saved = errno;
    deflateEnd(&z);
    buf_free(&out);
    errno = saved;
    return result;
}

static unsigned long write_lines(const struct logfile *f, struct slice lines)
{
    if (f->fd < 0)
        return count_lines(lines);
    if (f->gzip)
        return write_compressed(f, lines) == 0 ? 0 : count_lines(lines);
    return count_lines(slice_from(lines, fd_append_whole(f->fd, lines, true)));
}

static void note_lost(struct logfile *f, unsigned long lost, int error)
{
    time_t now = time(NULL);
    assert(lost > 0);
    f->lost += lost;
    f->unreported += lost;
    f->goes_on = false;
    log_count_lost(lost);
    if (now - f->complained < COMPLAIN_EVERY_S)
        return;
    f->complained = now;
    log_error("write() to \"%s\" failed (%d: %s); lines are being lost", f->path.data, error,
              strerror(error));
}

void logfiles_tell_lost(struct logfiles *files)
{
    for (struct logfile *f = files->first; f; f = f->next) {
        log_tell_lost(f->fd);
        assert(f->unreported <= f->lost);
        if (!f->unreported || !f->goes_on)
            continue;
        log_warn("\"%s\" can be written again; %lu line%s lost", f->path.data, f->unreported,
                 f->unreported == 1 ? " was" : "s were");
        f->unreported = 0;
    }
}

static void write_pending_lines(struct logfile *f)
{
    struct slice lines = buf_slice(&f->pending);
    if (lines.len == 0)
        return;
    assert(!f->syslog && lines.data[lines.len - 1] == '\n');
    unsigned long lost = write_lines(f, lines);
    f->goes_on = true;
    if (lost)
        note_lost(f, lost, errno);
    f->pending.start = f->pending.end = 0;
    f->pending_since_ms = 0;
}

void logfiles_reopen(struct logfiles *files, uid_t owner)
{
    logfiles_flush_all(files); /* what belongs to the old files */
    for (struct logfile *f = files->first; f; f = f->next) {
        if (f->syslog || is_memory(f))
            continue;
        int fd = open_file(f);
        if (fd < 0) {
            log_crit("open() \"%s\" failed (%d: %s); still writing to the old file", f->path.data, errno,
                     strerror(errno));
            continue;
        }
        if (fd == STDERR_FILENO)
            continue;
        /* Devices and pipes stay whose they are, and a file that has another name too. */
        struct stat st;
        if (geteuid() == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
            fchown(fd, owner, (gid_t)-1) < 0)
            log_errno(LOG_LEVEL_ERROR, errno, "fchown() \"%s\" failed", f->path.data);
        if (f->fd < 0) {
            f->fd = fd;
        } else {
            /* The old number leads to the new file, so that whoever holds it writes there. */
            dup3(fd, f->fd, O_CLOEXEC);
            close(fd);
        }
    }
}

void logfile_append(struct logfile *f, struct slice line)
{
    assert(line.len > 0 && line.data[line.len - 1] == '\n');
    if (f->syslog) { /* a message each, whatever bytes are in it */
        if (!syslog_send(f->syslog, -1, (struct slice){line.data, line.len - 1}))
            note_lost(f, 1, errno);
        else
            f->goes_on = true;
        return;
    }
    if (!buf_append_slice(&f->pending, line))
        note_lost(f, 1, ENOMEM);
    if (buf_len(&f->pending) >= (f->buffer_bytes ? f->buffer_bytes : PENDING_MAX))
        write_pending_lines(f);
}

int64_t logfiles_flush(struct logfiles *files, uint64_t now_ms)
{
    int64_t next_ms = -1;
    for (struct logfile *f = files->first; f; f = f->next) {
        if (buf_len(&f->pending) == 0)
            continue;
        if (f->pending_since_ms == 0)
            f->pending_since_ms = now_ms;
        assert(f->flush_ms >= 0 && f->pending_since_ms <= now_ms);
        uint64_t due_ms = f->pending_since_ms + (uint64_t)f->flush_ms;
        if (f->buffer_bytes == 0 || (f->flush_ms && now_ms >= due_ms))
            write_pending_lines(f);
        else if (f->flush_ms && (next_ms < 0 || (int64_t)(due_ms - now_ms) < next_ms))
            next_ms = (int64_t)(due_ms - now_ms);
    }
    return next_ms;
}

void logfiles_flush_all(struct logfiles *files)
{
    for (struct logfile *f = files->first; f; f = f->next)
        write_pending_lines(f);
}

void logfiles_close(struct logfiles *files)
{
    for (struct logfile *f = files->first; f; f = f->next) {
        if (f->fd > STDERR_FILENO)
            close(f->fd);
        f->fd = -1;
        if (f->syslog)
            syslog_close(f->syslog);
        if (f->memory)
            log_memory_close(f->memory);
        f->memory = NULL;
        buf_free(&f->pending);
    }
}
