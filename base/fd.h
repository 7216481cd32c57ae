/*
 * base/fd.h - small helpers over file descriptors.
 *
 * Threads: safe from any thread.
 * Errors:  -1 with errno set, unless said otherwise.
 */
#ifndef WEIR_BASE_FD_H
#define WEIR_BASE_FD_H

#include "base/buf.h"

#include <sys/types.h>
#include <sys/uio.h>

int fd_set_nonblocking(int fd);
int fd_set_cloexec(int fd, bool on);

/* Writes all n bytes, also over signals and short writes. */
int fd_write_all(int fd, const void *data, size_t n);

/* Appends the whole file to *out. A file larger than max_bytes is an error (EFBIG). */
int fd_read_file(const char *path, size_t max_bytes, struct buf *out);

/* The same from an open descriptor, from where it stands. */
int fd_read_all(int fd, size_t max_bytes, struct buf *out);

/* mkdir with all its parents; an existing directory is no error. */
int fd_make_dirs(const char *path, mode_t mode);

/* The same for the directory that `path` lies in. */
int fd_make_parent_dirs(const char *path, mode_t mode);

/* Opens path for appending, creating it with mode 0644; a file also for reading, where that is permitted. */
int fd_open_append(const char *path);

/*
 * From now on, while this process is root, fd_open_append and the two below follow no link that belongs to this user, who may
 * write to directories on the way: -1 with EPERM.
 */
void fd_distrust(uid_t uid);

/* open(2) */
int fd_open_warily(const char *path, int flags, mode_t mode);

/* A directory, made with its parents where it is missing: its descriptor. */
int fd_make_dir_warily(const char *path, mode_t mode);

/*
 * Appends to what fd_open_append opened, beside other writers. What a full disk has cut off is taken away again, so that nothing
 * runs into it: with by_line whole lines stay, else all or nothing. Returns how many bytes stand; with fewer than data.len
 * errno says why. A pipe or a device keeps what it has taken.
 */
size_t fd_append_whole(int fd, struct slice data, bool by_line);

/* Sends a message over a unix socket, at once or not at all; a descriptor goes beside it, unless it is -1. -1 with errno. */
ssize_t fd_send_beside(int socket, const struct iovec *parts, int count, int fd);

/*
 * Receives one that is there, and the descriptor beside it, or -1; there may be no other: more are closed. 0: the end, or a message that
 * is empty or was cut off. -1 with errno.
 */
ssize_t fd_receive_beside(int socket, void *data, size_t room, int *fd);

/* Closes a descriptor that another process has sent, without waiting for what a socket has still to send (SO_LINGER). */
void fd_close_foreign(int fd);

/* An anonymous file in memory that holds the content, positioned at its start. Nobody can change it, whoever has it. */
int fd_memory_file(const char *name, struct slice content);

/*
 * A new file without a name in the directory `dir`, which is made if need be; it is gone with its last descriptor. -1 with errno.
 */
int fd_open_unnamed(const char *dir);

#endif
