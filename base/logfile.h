/*
 * base/logfile.h - files that logs are appended to, opened once per path and opened anew after a rotation; also servers of
 * syslog and memory, by paths as the configuration has them.
 *
 * Ownership: a registry owns its files; a struct logfile lives as long as it.
 * Threads:   the process's main thread.
 */
#ifndef WEIR_BASE_LOGFILE_H
#define WEIR_BASE_LOGFILE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/log_memory.h"
#include "base/syslog.h"

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct logfile {
    struct slice path;
    /* " in FILE:LINE" of the first directive that wants the file; for messages. */
    struct slice place;
    int fd; /* -1 when it could not be opened */
    /* Why the server of "syslog:..." cannot be found; else NULL. */
    const char *wrong;
    struct syslog *syslog;     /* "syslog:..." */
    struct log_memory *memory; /* "memory:..." */
    bool has_users;
    /* Level of compression; 0: none. What is written at a time is a member of its own (RFC 1952). */
    int gzip;
    /* Lines that are not written yet: of this turn of the loop, or of the buffer. */
    struct buf pending;
    /* Lines wait until they have so many bytes; 0: for the end of the turn. */
    size_t buffer_bytes;
    int64_t flush_ms; /* lines wait no longer; 0: for ever */
    uint64_t pending_since_ms;
    time_t complained;  /* when a failed write was last reported */
    unsigned long lost; /* lines that could not be written */
    /* Lost lines that are not yet reported by their number. */
    unsigned long unreported;
    bool goes_on; /* the last write went well */
    struct logfile *next;
};

/* A file of the error log of some requests, and from which level on (enum log_level). */
struct error_file {
    struct logfile *file;
    const int *level;
    const bool *json;
    struct error_file *next;
};

struct logfiles {
    struct arena *arena;
    struct logfile *first;
};

/* The sink of the error log that the file is, once it is open. */
struct log_sink logfile_sink(const struct logfile *file, int level, bool json);

/*
 * The file of that path, registered but not opened. "stderr" stands for standard error, "memory:BYTES" for memory,
 * "syslog:..." for a server (base/syslog.h). NULL when memory is out.
 */
struct logfile *logfiles_add(struct logfiles *files, struct slice path);

/* Opens what is not open. Returns NULL, or the file that could not be opened, with errno. */
struct logfile *logfiles_open(struct logfiles *files);

/* Opens all anew under their paths; a file that cannot be opened stays as it was, and the error log says so. */
void logfiles_reopen(struct logfiles *files, uid_t owner);

/* Appends one line, with its newline, to the file's pending lines; full ones are written at once. */
void logfile_append(struct logfile *file, struct slice line);

/*
 * The end of a turn: writes what need not wait longer. now_ms is monotonic. Returns in how many milliseconds it has to come
 * again at the latest; -1: whenever it likes.
 */
int64_t logfiles_flush(struct logfiles *files, uint64_t now_ms);

/* Writes all pending lines. */
void logfiles_flush_all(struct logfiles *files);

/* Once a second: reports how many lines were lost, in the log itself where it is one of errors, as soon as it can be written again. */
void logfiles_tell_lost(struct logfiles *files);

void logfiles_close(struct logfiles *files);

#endif
