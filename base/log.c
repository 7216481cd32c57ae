/*
 * base/log.c - the error log.
 *
 * A line is formatted on the caller's stack and written with one write(2) to a file opened O_APPEND, so that lines
 * of several processes and threads never mix and no lock is needed.
 */
#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const level_names[] = {"stderr", "emerg",  "alert", "crit", "error",
                                          "warn",   "notice", "info",  "debug"};

static struct log_sink sinks[LOG_SINKS_MAX];
static _Atomic int sink_count;
static _Atomic int most_verbose;
static _Atomic bool copy_to_stderr = true;
static atomic_ulong lost_lines;

static void find_most_verbose(void)
{
    int verbose = LOG_LEVEL_EMERG;
    for (int i = 0; i < sink_count; i++)
        if ((int)sinks[i].level > verbose)
            verbose = (int)sinks[i].level;
    most_verbose = verbose;
}

void log_set_sinks(const struct log_sink *list, int count)
{
    if (count > LOG_SINKS_MAX)
        count = LOG_SINKS_MAX;
    for (int i = 0; i < count; i++)
        sinks[i] = list[i];
    sink_count = count;
    find_most_verbose();
}

void log_set_level(int sink, enum log_level level)
{
    if (sink < sink_count)
        sinks[sink].level = level;
    find_most_verbose();
}

void log_also_stderr(bool on)
{
    copy_to_stderr = on;
}

bool log_wants(enum log_level level)
{
    return (int)level <= most_verbose || (copy_to_stderr && level <= LOG_LEVEL_WARN);
}

const char *log_level_name(enum log_level level)
{
    return level <= LOG_LEVEL_DEBUG ? level_names[level] : NULL;
}

int log_level_by_name(const char *name)
{
    for (int i = LOG_LEVEL_EMERG; i <= LOG_LEVEL_DEBUG; i++)
        if (strcmp(level_names[i], name) == 0)
            return i;
    return -1;
}

unsigned long log_lost_lines(void)
{
    return lost_lines;
}

static void put_line(int fd, const char *line, size_t len)
{
    ssize_t n;
    do
        n = write(fd, line, len);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)len)
        atomic_fetch_add(&lost_lines, 1);
}

/* A message may carry a client's bytes: control characters must not forge lines. */
static size_t scrub(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    return len;
}

/* list NULL: the usual sinks. */
static void emit(const struct log_sink *list, int count, enum log_level level, int error, const char *format,
                 va_list args)
{
    char line[LOG_LINE_BYTES], date[CLOCK_TEXT_BYTES];
    clock_error_date(time(NULL), date);
    int head = snprintf(line, sizeof line, "%s [%s] %d#%ld: ", date, level_names[level], (int)getpid(),
                        syscall(SYS_gettid));
    int body = vsnprintf(line + head, sizeof line - (size_t)head, format, args);
    size_t len = (size_t)head + (size_t)(body < 0 ? 0 : body);
    if (len > sizeof line - 160)
        len = sizeof line - 160; /* keep room for the errno text and the newline */
    if (error)
        len += (size_t)snprintf(line + len, 128, " (%d: %.100s)", error, strerror(error));
    scrub(line, len);
    line[len++] = '\n';
    bool on_stderr = false, usual = !list;
    if (usual) {
        list = sinks;
        count = sink_count;
    }
    for (int i = 0; i < count; i++) {
        if (level > list[i].level)
            continue;
        put_line(list[i].fd, line, len);
        on_stderr |= list[i].fd == STDERR_FILENO;
    }
    if (usual && copy_to_stderr && level <= LOG_LEVEL_WARN && !on_stderr) {
        char brief[LOG_LINE_BYTES + 32];
        int n = snprintf(brief, sizeof brief, "weir: [%s] %.*s", level_names[level],
                         (int)(len - (size_t)head), line + head);
        put_line(STDERR_FILENO, brief, (size_t)n);
    }
}

void log_write_to(const struct log_sink *list, int count, enum log_level level, const char *format, ...)
{
    int saved = errno;
    va_list args;
    va_start(args, format);
    emit(list, count, level, 0, format, args);
    va_end(args);
    errno = saved;
}

void log_write(enum log_level level, const char *format, ...)
{
    if (!log_wants(level))
        return;
    int saved = errno;
    va_list args;
    va_start(args, format);
    emit(NULL, 0, level, 0, format, args);
    va_end(args);
    errno = saved;
}

void log_errno(enum log_level level, int error, const char *format, ...)
{
    if (!log_wants(level))
        return;
    int saved = errno;
    va_list args;
    va_start(args, format);
    emit(NULL, 0, level, error, format, args);
    va_end(args);
    errno = saved;
}
