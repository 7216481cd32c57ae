/*
 * base/log.h - the error log: one line, one write, from any thread of any process.
 *
 * Lines look as nginx's do: "2026/11/21 03:46:00 [error] PID#TID: MESSAGE".
 * Ownership: the sink list is the caller's; it must outlive its use.
 * Threads:   log_write is safe from any thread; the log_set_* calls belong to the main thread of a process.
 * Errors:    a line that cannot be written (full disk) is counted in log_lost_lines and otherwise dropped: logging
 *            never fails a request.
 */
#ifndef WEIR_BASE_LOG_H
#define WEIR_BASE_LOG_H

#include "base/slice.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>

enum log_level {
    /* No line has this level; it makes the numbers syslog's plus one. */
    LOG_LEVEL_STDERR,
    LOG_LEVEL_EMERG,
    LOG_LEVEL_ALERT,
    LOG_LEVEL_CRIT,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

enum { LOG_LINE_BYTES = 2048, LOG_SINKS_MAX = 8 };

struct syslog;
struct log_memory;

/* Where lines of a level and above go; to a descriptor unless one of the others is set. */
struct log_sink {
    int fd;
    enum log_level level;
    bool json; /* an object for each line */
    struct syslog *syslog;
    struct log_memory *memory;
};

/* What a line is about; absent where it is about nothing of the kind. */
struct log_context {
    unsigned long long connection;
    struct slice client, server, request, subrequest, upstream, host, referrer;
};

/* Where lines go. Before the first call only log_also_stderr counts. */
void log_set_sinks(const struct log_sink *sinks, int count);

/* Changes the level and the form of one sink, numbered as given to log_set_sinks; other threads may be logging. */
void log_set_level(int sink, enum log_level level, bool json);

/* Also writes lines of level emerg..warn to stderr, as "weir: [LEVEL] MESSAGE"; on at first, as long as somebody looks. */
void log_also_stderr(bool on);

/* Whether a line of this level would be written anywhere. */
bool log_wants(enum log_level level);

/* printf of one line. errno is preserved. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line about a request, to these sinks instead of the usual ones unless there are none; their levels count. */
void log_write_about(const struct log_sink *sinks, int count, enum log_level level,
                     const struct log_context *about, const char *text);

/* The same, and " (ERRNO: text)" behind it as nginx has it. */
void log_errno(enum log_level level, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "emerg" ... "debug", or NULL. */
const char *log_level_name(enum log_level level);

/* The level of that name, or -1. */
int log_level_by_name(const char *name);

/* Lines of this process's logs, access logs included, that were lost because they could not be written. */
unsigned long log_lost_lines(void);

/* Counts lines that somebody else has lost. */
void log_count_lost(unsigned long lines);

/* Says in the log behind fd how many lines it has lost since this was last said, once it takes lines again. */
void log_tell_lost(int fd);

#define log_emerg(...) log_write(LOG_LEVEL_EMERG, __VA_ARGS__)
#define log_alert(...) log_write(LOG_LEVEL_ALERT, __VA_ARGS__)
#define log_crit(...) log_write(LOG_LEVEL_CRIT, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
