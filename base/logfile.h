/*
 * base/logfile.h - files that logs are appended to, opened once per path and opened anew after a rotation.
 *
 * Ownership: a registry owns its files; a struct logfile lives as long as it.
 * Threads:   the process's main thread.
 */
#ifndef WEIR_BASE_LOGFILE_H
#define WEIR_BASE_LOGFILE_H

#include "base/arena.h"
#include "base/buf.h"

#include <sys/types.h>
#include <time.h>

struct logfile {
    struct slice path;
    int fd;             /* -1 when it could not be opened */
    struct buf pending; /* lines of this turn of the loop */
    time_t complained;  /* when a failed write was last reported */
    unsigned long lost; /* lines that could not be written */
    struct logfile *next;
};

/* A file of the error log of some requests, and from which level on (enum log_level). */
struct error_file {
    struct logfile *file;
    const int *level;
    struct error_file *next;
};

struct logfiles {
    struct arena *arena;
    struct logfile *first;
};

/* The file of that path, registered but not opened. "stderr" stands for standard error. NULL when memory is out. */
struct logfile *logfiles_add(struct logfiles *files, struct slice path);

/* Opens what is not open. Returns NULL, or the file that could not be opened, with errno. */
struct logfile *logfiles_open(struct logfiles *files);

/* Opens all anew under their paths; a file that cannot be opened stays as it was, and the error log says so. */
void logfiles_reopen(struct logfiles *files, uid_t owner);

/* Appends one line, with its newline, to the file's pending lines; full ones are written at once. */
void logfile_append(struct logfile *file, struct slice line);

/* Writes all pending lines. */
void logfiles_flush(struct logfiles *files);

void logfiles_close(struct logfiles *files);

#endif
